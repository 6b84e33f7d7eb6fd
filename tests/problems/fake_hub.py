"""A hub of one dataset on loopback: the handful of requests that `datasets` makes, answered as the real one does."""

from __future__ import annotations

import hashlib
import io
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

NAME = "school/sums"
COMMIT = "c0ffee" + "0" * 34
CARD = """---
configs:
- config_name: main
  data_files:
  - {split: train, path: train.parquet}
  - {split: test, path: test.parquet}
- config_name: named
  data_files:
  - {split: train, path: named.parquet}
---
"""


def _parquet(**columns: list[object]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


FILES = {
    "README.md": CARD.encode(),
    "train.parquet": _parquet(question=["1 + 1?", "1 + 2?"], answer=["one more\n#### 2", "3"], level=[1, 1]),
    "test.parquet": _parquet(question=["5 + 5?", ""], answer=["10", "0"], level=[2, 2]),
    "named.parquet": _parquet(id=[7, 8], Problem=["2 + 2?", "3 + 3?"], Result=[4, 6]),
}


class FakeHub(ThreadingHTTPServer):
    """Serves NAME; any other dataset is unknown, `school/gated` is gated. `down` makes it answer 503."""

    daemon_threads = True
    down = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeHub  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def do_GET(self) -> None:
        self._answer(send_body=True)

    def _answer(self, send_body: bool) -> None:
        status, body, headers = self._found(urlsplit(self.path).path)
        self.send_response(503 if self.server.down else status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if send_body:
            self.wfile.write(body)

    def _found(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        if path == "/":
            return 200, b"", {}
        if path.startswith("/datasets/school/gated"):
            return 401, b"", {"X-Error-Code": "GatedRepo"}
        if path.startswith(f"/datasets/{NAME}/resolve/"):
            revision, _, file = path.removeprefix(f"/datasets/{NAME}/resolve/").partition("/")
            if revision not in ("main", COMMIT):
                return 404, b"", {"X-Error-Code": "RevisionNotFound"}
            if file not in FILES:
                return 404, b"", {"X-Error-Code": "EntryNotFound"}
            return 200, FILES[file], {"ETag": f'"{_digest(file)}"', "X-Repo-Commit": COMMIT}
        if path.startswith(f"/api/datasets/{NAME}/tree/"):
            tree = [{"type": "file", "path": f, "size": len(FILES[f]), "oid": _digest(f)} for f in FILES]
            return 200, json.dumps(tree).encode(), {"Content-Type": "application/json"}
        if path.startswith(f"/api/datasets/{NAME}"):
            about = {"id": NAME, "sha": COMMIT, "private": False, "gated": False, "siblings": []}
            return 200, json.dumps(about).encode(), {"Content-Type": "application/json"}
        return 404, b"", {"X-Error-Code": "RepoNotFound"}


def _digest(file: str) -> str:
    return hashlib.sha1(FILES[file]).hexdigest()
