"""`python -m pad_ray.decode.llama_cpp_server FILE SLOTS CONTEXT THREADS SOCKET`: llama.cpp in a process of its own.

It ends when its standard input does, and so with whoever started it. Apart from that process, for three reasons: what
goes wrong in llama.cpp ends a process at once; its threads must sleep while they wait for each other, which the OpenMP
of a process is told before it is loaded, and torch may have loaded it already; and torch is not needed here.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def serve(path: str, slots: int, context: int, threads: int, socket: str) -> None:
    """Listen on a Unix socket, say so with an empty line, and wait for the end of the standard input."""
    llama: Any = import_module("xllamacpp")  # a compiled module, which checkers of types cannot look into
    params = llama.CommonParams()
    params.model.path = path
    params.hostnames = [socket]
    params.n_parallel, params.n_ctx = slots, slots * context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # What prompts have in common is kept in the slots; their own texts are not to be read from outside, nor kept.
    params.endpoint_slots, params.cache_ram_mib, params.ui = False, 0, False
    params.verbosity = -1
    server = llama.Server(params)
    print(flush=True)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    _, file, *sizes, place = sys.argv
    serve(file, int(sizes[0]), int(sizes[1]), int(sizes[2]), place)
