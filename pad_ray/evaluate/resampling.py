"""The bootstrap over questions that studies, comparisons and pass@k share."""

from __future__ import annotations

from collections.abc import Sequence

BATCH = 250
"""Draws at a time: all at once would be gigabytes for tens of thousands of questions."""
RESAMPLES = 9_999
"""Draws of a bootstrap."""


def vary(values: Sequence[float]) -> bool:
    """Whether a bootstrap would have a width; differences of thirds are never quite alike."""
    return len({round(value, 9) for value in values}) > 1


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean over questions whose values are not all alike: a percentile bootstrap."""
    import numpy as np
    from scipy.stats import bootstrap as resample

    drawn = resample((np.array(values),), np.mean, n_resamples=RESAMPLES, batch=BATCH, method="percentile", rng=0)
    # What is left of a sum of thirds must not pass for a bound beside zero.
    low, high = (round(float(bound), 9) + 0.0 for bound in drawn.confidence_interval)
    return low, high
