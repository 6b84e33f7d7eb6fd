"""The forms of reasoning that can be distilled. Each module knows its prompts, its parse, its judge and its targets."""

from pad_ray.thoughts import program
from pad_ray.thoughts.protocol import Thought

THOUGHTS: dict[str, Thought] = {"program": program}
"""Modules by the recipe's `thought`."""
