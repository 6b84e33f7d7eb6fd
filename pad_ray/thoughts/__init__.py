"""The forms of reasoning that can be distilled. Each module knows its prompts, its parse, its judge and its targets."""

from pad_ray.thoughts import chain, equation, program, socratic
from pad_ray.thoughts.protocol import Thought

THOUGHTS: dict[str, Thought] = {"program": program, "chain": chain, "equation": equation, "socratic": socratic}
"""Modules by the name that samples, examples and the cards of students carry."""
