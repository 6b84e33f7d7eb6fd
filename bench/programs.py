"""What the benchmarks of the sandbox run: programs as a teacher writes them, each with numbers of its own.

Texts are templates: `$a` to `$d` become numbers from 2 to 60.
"""

from __future__ import annotations

import random
from pathlib import Path
from string import Template
from typing import NamedTuple

from pad_ray.errors import UsageError
from pad_ray.jsonl import json_lines


class Program(NamedTuple):
    """A program and the function or variable that holds its answer."""

    source: str
    entry: str


PLAIN = """
def solution():
    apples_per_box = $a
    boxes = $b
    eaten = $c
    apples_left = apples_per_box * boxes - eaten
    price_per_apple = $d / 100
    return round(apples_left * price_per_apple, 2)
---
import math

def solution():
    guests = $a * $b
    seats_per_table = $c
    tables = math.ceil(guests / seats_per_table)
    return tables
---
def solution():
    savings = $a
    months = 0
    while savings < $a * $b:
        savings += $c
        months += 1
    return months
---
from fractions import Fraction

def solution():
    share = Fraction($a, $b) + Fraction($c, $d)
    total = share * $d
    return total
---
prices = {"pen": $a, "book": $b, "bag": $c}
order = [("pen", 4), ("book", 2), ("bag", 1)]
cost = sum(prices[name] * count for name, count in order)
discount = cost * $d / 1000
ans = cost - discount
---
def solution(first=$a, second=$b):
    numbers = [first + i * second for i in range($c)]
    even = [number for number in numbers if number % 2 == 0]
    print(f"{len(even)} of {len(numbers)}")
    return max(numbers) - min(numbers) + len(even)
---
from datetime import date, timedelta

def solution():
    start = date(2024, 1, $a % 28 + 1)
    end = start + timedelta(days=$b * 7 + $c)
    return (end - start).days + end.weekday()
---
from datetime import datetime, timedelta

def solution():
    leaves = datetime(2023, 5, 14, $a % 24, $b % 60)
    arrives = leaves + timedelta(hours=$c, minutes=$d)
    return arrives.strftime("%H:%M")
---
import itertools

def solution():
    coins = [1, 2, 5, $a]
    sums = {x + y for x, y in itertools.combinations(coins, 2)}
    return len(sums) + $b
---
import math

def solution():
    # Lights that flash every a and b seconds flash together every lcm(a, b) seconds.
    together = $a * $b // math.gcd($a, $b)
    return $c * 3600 // together
---
total_students = $a * 10
boys = total_students * $b // 100
girls = total_students - boys
girls_with_glasses = girls * $c / 100
ans = round(girls_with_glasses)
---
def solution():
    principal = $a * 100
    rate = $b / 100
    for year in range($c):
        principal += principal * rate
    return round(principal, 2)
---
def solution():
    word = "reasoning" * ($a % 3 + 1)
    vowels = 0
    for letter in word:
        if letter in "aeiou":
            vowels += 1
    return vowels * $b
---
def is_prime(n):
    if n < 2:
        return False
    for divisor in range(2, int(n**0.5) + 1):
        if n % divisor == 0:
            return False
    return True

def solution():
    return sum(n for n in range($a, $a + $b) if is_prime(n))
---
def solution():
    ages = {"Tom": $a, "Ann": $b, "Lee": $c}
    ages["Max"] = ages["Tom"] + $d
    oldest = sorted(ages.items(), key=lambda pair: pair[1])[-1]
    return f"{oldest[0]} is {oldest[1]}"
---
def solution():
    # Speed of the slower train first, then the time until they meet.
    speed_a, speed_b = $a, $b + $c
    distance = $d * 10
    hours = distance / (speed_a + speed_b)
    try:
        share = speed_a * hours / distance
    except ZeroDivisionError:
        share = 0
    return round(share, 4)
---
def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)

def solution():
    n = $a % 12 + 4
    k = $b % 4
    return factorial(n) // (factorial(k) * factorial(n - k))
---
eggs_per_day = $a
eaten_for_breakfast = 1
baked_into_muffins = 1
eggs_sold = eggs_per_day - eaten_for_breakfast - baked_into_muffins
dollars_per_egg = $b
answer = eggs_sold * dollars_per_egg
---
def solution():
    rows = []
    for row in range(1, $a % 8 + 3):
        rows.append([row * column for column in range(1, 6)])
    diagonal = [rows[i][i] for i in range(min(len(rows), 5))]
    return diagonal
---
def solution():
    numbers = "$a, $b, $c, $d".split(", ")
    values = [int(number) for number in numbers]
    mean = sum(values) / len(values)
    spread = sum((value - mean) ** 2 for value in values) / len(values)
    return round(spread**0.5, 3)
"""
NUMPY_UNUSED = """
import math
import numpy as np
rooms = $a
windows_per_room = $b
hours = rooms * windows_per_room / $c
ans = math.ceil(hours)
---
import math
import numpy as np
kilometres = $a * $b
litres = kilometres * $c / 100
ans = litres * 1.5
---
import math
import numpy as np
red = $a
blue = red + $b
green = blue * 2
ans = red + blue + green - $c
"""
"""Most teachers that import numpy never use it."""
SCIENCE = """
import numpy as np

def solution():
    scores = np.array([$a, $b, $c, $d])
    return round(float(np.mean(scores)), 2)
---
from sympy import symbols, Eq, solve

def solution():
    x = symbols("x")
    return solve(Eq($a * x + $b, $c), x)[0]
"""
"""Programs that each need a child of their own."""


def corpus(templates: str, size: int, seed: int = 0) -> list[Program]:
    """Programs of these templates in equal shares and mixed order, each with numbers of its own."""
    draw = random.Random(seed)
    texts = [Template(text.strip("\n") + "\n") for text in templates.split("---")]
    programs = [
        Program(texts[i % len(texts)].substitute({name: draw.randint(2, 60) for name in "abcd"}), "")
        for i in range(size)
    ]
    draw.shuffle(programs)
    return programs


def read_corpus(path: Path) -> list[Program]:
    """Programs of a file of JSON lines with `program` and, where it is not `solution` or `ans`, `entry`."""
    programs: list[Program] = []
    for place, row in json_lines(path):
        if not isinstance(row.get("program"), str):
            raise UsageError(
                f'{place} has no text "program".', hint='Write {"program": "…", "entry": "…"} on each line.'
            )
        programs.append(Program(row["program"], str(row.get("entry") or "")))
    return programs
