"""The student as a teacher."""

from __future__ import annotations

from pathlib import Path

from pad_ray.records import Message, Request
from pad_ray.teacher.student import StudentTeacher
from tests.tiny_student import make_tiny_student


def request(number: int, temperature: float, max_tokens: int = 12) -> Request:
    prompt = (Message("user", "Question: How many?"),)
    return Request(f"p#{number}", "p", number, prompt, "s", temperature, max_tokens, seed=number)


def test_requests_of_one_slice_keep_their_own_temperatures_and_limits(tmp_path: Path) -> None:
    teacher = StudentTeacher(str(make_tiny_student(tmp_path / "student")), batch_size=4, threads=1)
    asked = [request(0, 5.0), request(1, 0.0), request(2, 5.0), request(3, 0.0, max_tokens=3), request(4, 0.0)]
    found = {sample.sample_id: sample for sample in teacher.sample(asked)}
    assert found.keys() == {one.sample_id for one in asked}
    assert found["p#1"].text == found["p#4"].text
    assert len({found[name].text for name in ("p#0", "p#1", "p#2")}) == 3
    assert found["p#3"].completion_tokens <= 3
    assert found["p#1"].text.startswith(found["p#3"].text)
    assert list(teacher.sample([])) == []
