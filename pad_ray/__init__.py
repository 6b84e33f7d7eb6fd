"""pad_ray: distil a teacher LLM into a small model that reasons by writing programs.

>>> from pad_ray import Reasoner
>>> Reasoner.load("runs/quick/round-1/student").solve("What is 3 + 4?").answer  # doctest: +SKIP
'7'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pad_ray.reasoner import Reasoner

__version__ = "0.1.0"
__all__ = ["Reasoner", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the Reasoner only when asked for: it brings torch, and `import pad_ray` must stay instant."""
    if name == "Reasoner":
        from pad_ray.reasoner import Reasoner

        return Reasoner
    raise AttributeError(f"module 'pad_ray' has no attribute {name!r}")
