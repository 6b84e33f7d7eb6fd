"""The forms of reasoning that can be distilled. Each module knows its prompts, its parse and its training text."""

from types import ModuleType

from pad_ray.thoughts import program

THOUGHTS: dict[str, ModuleType] = {"program": program}
"""Modules by the recipe's `thought`; each has teacher_messages, student_prompt, repair_prompt and parse."""
