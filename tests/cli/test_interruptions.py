"""SIGTERM and Ctrl-C end a command, also where Python would drop them."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, time
from pad_ray.cli_ray import end_like_ctrl_c

class Closed:
    def __del__(self):
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
        time.sleep(1)

end_like_ctrl_c()
try:
    Closed()
    print("goes on", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("ends")
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_an_interruption_is_not_lost_in_a_destructor(name: str) -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM, name], capture_output=True, text=True, timeout=120)
    assert (ended.stdout, ended.stderr) == ("goes on\nends\n", "")
