"""What an endpoint gives to one process that only asks: the openai client, so many calls at once, and nothing else.

The measure for `bench/sampling.py`, which starts it. It keeps no journal, no ledger and no limits, and tries nothing
again: replies are looked at and forgotten.

    python bench/one_client.py RUN_DIR --url http://127.0.0.1:8000/v1 --concurrency 256
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator

import httpx2
import openai

from pad_ray.records import Request
from pad_ray.storage import Storage


async def ask(url: str, requests: list[Request], concurrency: int) -> None:
    """Every request once."""
    # The transport of pad_ray's own teacher; 0 is no limit.
    transport = openai.DefaultAioHttpClient(limits=httpx2.Limits(max_connections=0, keepalive_expiry=5))
    todo = iter(requests)
    async with openai.AsyncOpenAI(base_url=url, api_key="EMPTY", max_retries=0, http_client=transport) as client:
        await asyncio.gather(*(_worker(client, todo) for _ in range(concurrency)))


async def _worker(client: openai.AsyncOpenAI, todo: Iterator[Request]) -> None:
    for request in todo:
        reply = await client.chat.completions.create(
            model=request.model,
            messages=[{"role": message.role, "content": message.content} for message in request.messages],  # pyright: ignore
            temperature=request.temperature,
            max_tokens=request.max_tokens,
            seed=request.seed,
        )
        if not (reply.choices[0].message.content and reply.usage):
            raise SystemExit(f"{request.sample_id}: no reply")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", help="a planned run: the same requests are asked")
    parser.add_argument("--url", required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    options = parser.parse_args()
    planned = list(Storage(options.run_dir).scan_rows("round-0/requests", Request))
    asyncio.run(ask(options.url, planned, options.concurrency))
