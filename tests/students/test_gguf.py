"""A GGUF file is the student: the same scores, the same tokens, and nothing at all where that is not sure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_student import make_tiny_encoder_decoder, make_tiny_student

from pad_ray.errors import StorageError, StudentError, UsageError
from pad_ray.students.gguf_cache import gguf_of
from pad_ray.students.gguf_export import export_gguf
from tests.cli.test_commands import pad_ray
from tests.decode.byte_student import PROMPTS, make_byte_student


def scores(folder: Path, **source: Any) -> Any:
    """What a model makes of a prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, **source)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **source)
    with torch.inference_mode():
        return model(**tokenizer("".join(PROMPTS), return_tensors="pt", return_token_type_ids=False)).logits


@pytest.mark.parametrize("shape", [{}, {"tie_word_embeddings": False, "attention_bias": True}], ids=["tied", "untied"])
def test_transformers_reads_back_the_same_scores(tmp_path: Path, shape: dict[str, Any]) -> None:
    import torch

    # It reads texts in the manner of gpt-2, whatever the file says.
    student = make_byte_student(tmp_path / "student", trained=False, cut="gpt-2", **shape)
    ours = scores(student)
    for weights, tolerance in (("f32", 0.0), ("f16", 2e-3), ("q8_0", 2e-2)):
        export_gguf(student, tmp_path / f"{weights}.gguf", weights)
        theirs = scores(tmp_path, gguf_file=f"{weights}.gguf")
        torch.testing.assert_close(theirs, ours, atol=tolerance + 1e-6, rtol=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f16.gguf", "f32.gguf", "q8_0.gguf", "student"]


def test_the_file_tells_all_that_the_folder_tells(tmp_path: Path) -> None:
    from gguf import GGUFReader

    student = make_byte_student(tmp_path / "student", trained=False, context=128)
    (student / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    export_gguf(student, tmp_path / "s.gguf")
    told = {name: field.contents() for name, field in GGUFReader(tmp_path / "s.gguf").fields.items()}
    assert told["general.architecture"] == "llama"
    assert told["llama.context_length"] == 128
    assert told["tokenizer.ggml.pre"] == "smollm"
    assert told["tokenizer.ggml.eos_token_id"] == 0
    assert told["tokenizer.ggml.tokens"][:2] == ["<eos>", "<unk>"]
    assert told["tokenizer.ggml.token_type"][:3] == [3, 3, 1]
    assert told["tokenizer.chat_template"] == "{{ messages[0]['content'] }}"


def test_what_would_be_another_model_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(StudentError, match="is a t5 model; only Llama models"):
        export_gguf(make_tiny_encoder_decoder(tmp_path / "t5"), out / "a.gguf")
    with pytest.raises(StudentError, match="cuts texts in a way that has no known name"):
        export_gguf(make_tiny_student(tmp_path / "characters"), out / "a.gguf")
    rope = {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}
    with pytest.raises(StudentError, match="rope_type 'linear'"):
        export_gguf(make_byte_student(tmp_path / "linear", trained=False, **rope), out / "a.gguf")
    with pytest.raises(StudentError, match="is not a folder"):
        export_gguf(tmp_path / "nowhere", out / "a.gguf")
    assert not out.exists()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        export_gguf(make_byte_student(tmp_path / "student", trained=False), tmp_path / "file" / "a.gguf")


def test_equal_weights_share_a_file_of_the_cache_and_others_get_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "cache"))
    student = make_byte_student(tmp_path / "student", trained=False)
    first = gguf_of(student)
    written = first.stat().st_mtime_ns
    (student / "pad_ray.json").write_text("{}")  # no part of what is written
    assert gguf_of(student) == first
    assert first.stat().st_mtime_ns == written
    other = make_byte_student(tmp_path / "other", trained=False, rms_norm_eps=1e-5)
    assert gguf_of(other) != first


def test_the_command_writes_a_file_and_says_what_it_holds(tmp_path: Path) -> None:
    student = make_byte_student(tmp_path / "student", trained=False)
    result = pad_ray("export", "--student", student, "--out", "s.gguf", "--type", "q8_0", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("s.gguf: ")
    assert (tmp_path / "s.gguf").read_bytes()[:4] == b"GGUF"
    wrong = pad_ray("export", "--student", student, "--out", "s.gguf", "--type", "q9", folder=tmp_path)
    assert wrong.returncode == 2
    assert "'q9' is not f16, q8_0" in wrong.stderr
    with pytest.raises(UsageError, match="q9"):
        export_gguf(student, tmp_path / "t.gguf", "q9")
