"""The allowance without limits."""

from __future__ import annotations

import asyncio

import pytest

from pad_ray.errors import TeacherError
from pad_ray.teacher.allowance import Allowance, Unlimited


def test_nothing_is_held_back_until_a_teacher_refuses_everything_and_then_its_first_sentence_is_told() -> None:
    async def play() -> None:
        allowance: Allowance = Unlimited()
        for _ in range(100):
            await allowance.reserve(1e6, 10**9)
        allowance.throttled(60.0)
        allowance.failed("A call failed.", fatal=False)
        await allowance.reserve(1.0, 1)
        allowance.failed("The key is wrong.", fatal=True)
        allowance.failed("The model is unknown.", fatal=True)
        with pytest.raises(TeacherError, match=r"The key is wrong\."):
            await allowance.reserve(1.0, 1)

    asyncio.run(play())
