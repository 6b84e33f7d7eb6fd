"""The cache of replies in a folder, in a bucket, and in a bucket whose server fails now and then."""

from __future__ import annotations

import asyncio

import pytest

from pad_ray.errors import StorageError
from pad_ray.records import Message, Request, Sample
from pad_ray.storage import Storage
from pad_ray.teacher.cache import Cache, entry_name


def asked(number: int) -> Request:
    return Request(f"p{number}#program.r0.k0", f"p{number}", 0, (Message("user", f"{number}?"),), "m", 0.7, 9, number)


def test_a_kept_reply_is_found_again_and_a_damaged_one_is_not(storage: Storage) -> None:
    async def play() -> list[Sample | None]:
        cache = Cache(storage)
        replies = [
            Sample(asked(n).sample_id, f"reply {n} \ud800", "length", model="m-2", cost_usd=1.0) for n in range(20)
        ]
        await asyncio.gather(*(cache.put(asked(n), reply) for n, reply in enumerate(replies)))
        storage.write(entry_name(asked(7)), b"half of")
        return await asyncio.gather(*(cache.get(asked(n)) for n in range(21)))

    found = asyncio.run(play())
    for number, kept in enumerate(found):
        if number in (7, 20):
            assert kept is None
        else:
            assert kept == Sample(
                asked(number).sample_id, f"reply {number} \ud800", "length", model="m-2", cached=True, attempts=0
            )


def test_a_bucket_that_is_not_there_is_told_before_anything_is_paid_for(bucket: str) -> None:
    with pytest.raises(StorageError, match="no-such-bucket"):
        Cache(Storage(f"s3://no-such-bucket/kept?{bucket.partition('?')[2]}"))
