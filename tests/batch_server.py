"""A provider's batch API in the OpenAI shape, which keeps its own count of what it made and billed.

    python -m tests.batch_server --delay 0.2        prints its port

A batch ends --delay seconds after it was created. A question says what becomes of it with `[faults: 429, expired]` (one
for each batch that asks it, then well) or `[always: 400]`: statuses and spoiled bodies as in `tests.fault_plan`,
`expired` (a row of the error file), `missing` (no row at all). Replies that were written are billed.
`GET /stats` tells batches with their metadata, replies written more than once, and tokens billed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from tests.fault_plan import STATUSES, make, scripted, spoil


class Provider:
    """Files and batches in memory."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.calls, self.written, self.totals = Counter[str](), Counter[str](), Counter[str]()
        self.failing = Counter[str](poll=options.poll_errors, create=options.create_errors, content=options.cut_files)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.add_routes(
            [
                web.post("/v1/files", self.upload),
                web.get("/v1/files/{id}/content", self.content),
                web.post("/v1/batches", self.create),
                web.get("/v1/batches", self.list),
                web.get("/v1/batches/{id}", self.look),
                web.get("/stats", self.stats),
            ]
        )
        return app

    async def upload(self, request: web.Request) -> web.Response:
        if refused := self.refused(request):
            return refused
        form = await request.post()
        assert form["purpose"] == "batch"
        field = form["file"]
        assert isinstance(field, web.FileField)
        name = f"file-{len(self.files)}"
        self.files[name] = field.file.read()
        return web.json_response(self.file(name, field.filename))

    def file(self, name: str, filename: str) -> dict[str, Any]:
        told = {"id": name, "object": "file", "filename": filename, "purpose": "batch", "created_at": int(time.time())}
        return {**told, "bytes": len(self.files[name]), "status": "processed"}

    async def content(self, request: web.Request) -> web.StreamResponse:
        data = self.files[request.match_info["id"]]
        if self.fails("content"):
            answer = web.StreamResponse(headers={"Content-Length": str(len(data))})
            await answer.prepare(request)
            await answer.write(data[: len(data) // 2])
            assert request.transport is not None
            request.transport.close()
            return answer
        return web.Response(body=data)

    async def create(self, request: web.Request) -> web.Response:
        if refused := self.refused(request):
            return refused
        asked = await request.json()
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        assert asked["endpoint"] == "/v1/chat/completions"
        assert len({line["body"]["model"] for line in lines}) == 1
        batch_id = f"batch_{len(self.batches)}"
        self.batches[batch_id] = {
            "id": batch_id,
            "object": "batch",
            "endpoint": asked["endpoint"],
            "completion_window": asked["completion_window"],
            "input_file_id": asked["input_file_id"],
            "metadata": asked["metadata"],
            "created_at": int(time.time()),
            "status": "in_progress",
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "due": time.monotonic() + self.options.delay,
        }
        if self.fails("create"):
            return web.json_response({"error": {"message": "Bad gateway."}}, status=502)
        return web.json_response(self.told(batch_id))

    async def list(self, request: web.Request) -> web.Response:
        newest = list(reversed(self.batches))
        after = request.query.get("after")
        start = newest.index(after) + 1 if after else 0
        page = newest[start : start + 2]  # small, so that there are several
        data = [self.told(batch_id) for batch_id in page]
        more = start + len(page) < len(newest)
        return web.json_response(
            {"object": "list", "data": data, "has_more": more, "last_id": page[-1] if page else ""}
        )

    async def look(self, request: web.Request) -> web.Response:
        if self.fails("poll"):
            return web.json_response({"error": {"message": "The server had an error."}}, status=500)
        batch_id = request.match_info["id"]
        batch = self.batches[batch_id]
        if batch["status"] == "in_progress" and time.monotonic() > batch["due"]:
            self.end(batch)
        return web.json_response(self.told(batch_id))

    def told(self, batch_id: str) -> dict[str, Any]:
        return {key: value for key, value in self.batches[batch_id].items() if key != "due"}

    def end(self, batch: dict[str, Any]) -> None:
        if self.options.refuse and batch["id"] == "batch_0":
            error = {"code": self.options.refuse, "message": "This batch cannot be run."}
            batch.update(status="failed", failed_at=int(time.time()), errors={"object": "list", "data": [error]})
            return
        good, bad = list[dict[str, Any]](), list[dict[str, Any]]()
        status = "completed"
        for line in self.files[batch["input_file_id"]].splitlines():
            asked = json.loads(line)
            name, body = asked["custom_id"], asked["body"]
            self.calls[name] += 1
            fault = scripted(body["messages"][-1]["content"], self.calls[name]) or ""
            if self.options.new_names and "max_tokens" in body:
                fault = "old_name"
            if fault == "missing":
                continue
            if fault == "expired":
                status = "expired"
                bad.append(_line(name, None, {"code": "batch_expired", "message": "It was not run in time."}))
            elif fault in STATUSES:
                code, kind, message = STATUSES[fault]
                told = {"message": message, "code": kind, "param": "max_tokens" if fault == "old_name" else None}
                bad.append(_line(name, {"status_code": code, "request_id": "r", "body": {"error": told}}, None))
            else:
                made = make(body, None, 1.0, random.Random(name))
                data = spoil(made.body, fault, after_usage=True) if fault else made.body
                good.append(_line(name, {"status_code": 200, "request_id": "r", "body": json.loads(data)}, None))
                self.written[name] += not fault
                self.totals.update(prompt=made.prompt, cached=made.cached, completion=made.completion)
        for key, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                batch[key] = f"file-{len(self.files)}"
                self.files[batch[key]] = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        counts = {"total": batch["request_counts"]["total"], "completed": len(good), "failed": len(bad)}
        batch.update({"status": status, f"{status}_at": int(time.time()), "request_counts": counts})

    async def stats(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "batches": [batch["metadata"] for batch in self.batches.values()],
                "requests": [batch["request_counts"]["total"] for batch in self.batches.values()],
                "again": [name for name, count in self.written.items() if count > 1],
                **self.totals,
            }
        )

    def fails(self, what: str) -> bool:
        self.failing[what] -= 1
        return self.failing[what] >= 0

    def refused(self, request: web.Request) -> web.Response | None:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not self.options.key or key == self.options.key:
            return None
        told = {"message": f"Incorrect API key provided: {key}.", "code": "invalid_api_key"}
        return web.json_response({"error": told}, status=401)


def _line(name: str, response: dict[str, Any] | None, error: dict[str, Any] | None) -> dict[str, Any]:
    return {"id": f"batch_req_{name}", "custom_id": name, "response": response, "error": error}


class Running(NamedTuple):
    """A provider in a process of its own."""

    url: str

    def stats(self) -> dict[str, Any]:
        """What it counted so far."""
        with urllib.request.urlopen(self.url.replace("/v1", "/stats"), timeout=30) as answer:
            return json.loads(answer.read())


@contextmanager
def running(*options: object) -> Iterator[Running]:
    """Start a provider with these command-line options; it ends with the block, or with who started it."""
    command = [sys.executable, "-m", "tests.batch_server", "--parent", str(os.getpid()), *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        try:
            assert process.stdout is not None
            yield Running(f"http://127.0.0.1:{int(process.stdout.readline())}/v1")
        finally:
            process.terminate()


async def serve(options: argparse.Namespace) -> None:
    """Serve until the process that started it is gone."""
    runner = web.AppRunner(Provider(options).application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    while not options.parent or os.getppid() == options.parent:
        await asyncio.sleep(1)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds until a batch ends")
    parser.add_argument("--key", default="", help="any other key is refused")
    parser.add_argument("--poll-errors", type=int, default=0, help="so many looks at batches are answered 500")
    parser.add_argument("--create-errors", type=int, default=0, help="so many batches are made and answered 502")
    parser.add_argument("--cut-files", type=int, default=0, help="so many result files are cut in the middle")
    parser.add_argument("--refuse", default="", help="the first batch fails as a whole, with this code")
    parser.add_argument("--new-names", action="store_true", help="max_tokens is called max_completion_tokens")
    parser.add_argument("--parent", type=int, default=0, help="stop when this process is gone")
    return parser


if __name__ == "__main__":
    asyncio.run(serve(arguments().parse_args()))
