"""Learning rate over the course of a training: warm-up from zero, then cosine, linear or constant."""

from __future__ import annotations

import math

from pad_ray.recipe_train import Train


def learning_rate(step: int, steps: int, peak: float, settings: Train) -> float:
    """Rate of optimizer step `step` (0 is the first) out of `steps`; cosine and linear end just above zero."""
    warm = round(settings.warmup * steps)
    if step < warm:
        return peak * (step + 1) / (warm + 1)
    done = (step - warm) / max(1, steps - warm)
    match settings.schedule:
        case "cosine":
            return peak * 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return peak * (1 - done)
        case "constant":
            return peak
