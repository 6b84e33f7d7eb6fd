"""What a plain start costs, as a ratio to a bare interpreter in the same run: `import pad_ray` and `pad-ray --help`.

    python bench/startup.py [--repeat 15]

The house rule: `import pad_ray` under 0.3 s, `pad-ray --help` under 0.5 s.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

CASES = {
    "bare interpreter": ["-c", "pass"],
    "import pad_ray": ["-c", "import pad_ray"],
    "import pad_ray.sandbox": ["-c", "import pad_ray.sandbox"],
    "pad-ray --help": ["-m", "pad_ray.cli", "--help"],
}


def seconds(arguments: list[str]) -> float:
    """Wall time of one interpreter from start to end."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=15)
    repeat = parser.parse_args().repeat
    for arguments in CASES.values():
        seconds(arguments)  # fills the file cache
    # In turns, so that a busy moment of the machine meets all cases alike.
    times = {name: [] for name in CASES}
    for _ in range(repeat):
        for name, arguments in CASES.items():
            times[name].append(seconds(arguments))
    bare = statistics.median(times["bare interpreter"])
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:<24} {median:6.3f} s   {median / bare:5.1f} x bare")


if __name__ == "__main__":
    main()
