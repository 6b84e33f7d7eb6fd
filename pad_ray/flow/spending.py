"""What a run's teacher costs, as its user is told: before the first call, while it runs, and why it stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

from pad_ray.errors import RecipeError
from pad_ray.flow.placement import on_this_node
from pad_ray.recipe import Recipe
from pad_ray.recipe_teacher import PAID, UNTOLD
from pad_ray.run import Run
from pad_ray.teacher.governor import Limits, Spend, Stop
from pad_ray.teacher.money import COMPLETION_SHARE, Outlook, dollars, price_of

ASKED_EVERY_S = 1.0
"""Seconds between questions to the governor."""
OUTLOOKS = ("outlook", "outlook_later", "outlook_augment")
"""What the plan counts, by model: the first requests, those of later waves, and those for new problems."""
MEASURED = 20
"""Replies after which their mean says more than the plan's estimate."""


def cost_sentences(recipe: Recipe, counts: dict[str, Any]) -> list[str]:
    """Expected tokens and dollars of a planned round 0; none for replies that are there, or that students write.

    `counts` are those of the stage `plan`.
    """
    teacher = recipe.teacher
    if teacher.kind in UNTOLD:
        return []
    prices = {one.model: price_of(one.price) for one in teacher.members}
    looks, later, made = (_looks(counts, key) for key in OUTLOOKS)
    look = _total([looks])
    said = (
        f"expected: about {look.prompt_tokens:,.0f} prompt and {look.completion_tokens:,.0f} completion tokens (taking"
        f" {COMPLETION_SHARE:.0%} of max_tokens for a reply)"
    )
    again, new = _total([later]), _total([made])
    more: list[str] = []
    if again.requests:
        more.append(f"problems without a correct reply are asked again, up to {again.requests:,} requests more")
    if new.requests:
        tokens = f"about {new.prompt_tokens:,.0f} prompt and {new.completion_tokens:,.0f} completion tokens"
        more.append(f"new problems and their solutions take up to {new.requests:,} requests more, {tokens}")
    if teacher.kind not in PAID:
        return [f"{said}, on machines of your own", *more]
    if unknown := [model for model, price in prices.items() if not price.known]:
        of = f" of {', '.join(unknown)}" if len(prices) > 1 else ""
        return [f"{said}; cost unknown, for teacher.price{of} is unknown_ok", *more]
    usd = sum(one.usd(prices[model]) for model, one in looks.items())
    most = sum(one.most_usd(prices[model]) for model, one in looks.items())
    sentences = [f"{said}, about {dollars(usd)}; at most {dollars(most)} if no call must be repeated"]
    if len(prices) > 1:
        shares = (f"{m} {one.requests:,} requests, about {dollars(one.usd(prices[m]))}" for m, one in looks.items())
        sentences.append(f"by the mixture: {'; '.join(shares)}")
    if more:
        usd += sum(one.usd(prices[model]) for model, one in made.items())
        most += sum(one.most_usd(prices[model]) for found in (later, made) for model, one in found.items())
        about = f"about {dollars(usd)} with the new problems, " if new.requests else ""
        sentences.append(f"{', and '.join(more)}: {about}at most {dollars(most)} in all")
    cap = teacher.budget_usd
    if cap is not None and usd > cap:
        share = f"{cap / usd:.0%}"
        sentences.append(f"teacher.budget_usd {dollars(cap)} is expected to stop the run after about {share} of that")
    return sentences


def left_sentence(before: dict[str, Any], todo: int) -> str:
    """What the samples that are still missing should cost, by the mean of those there are; empty if that says little.

    `before` holds the counts of compaction.
    """
    sampled, usd = before["sampled"], before["spend"]["usd"]
    if todo <= 0 or sampled < MEASURED or not usd:
        return ""
    left = dollars(todo * usd / sampled)
    return f"so far {dollars(usd)} for {sampled:,} samples; about {left} for the {todo:,} that are missing"


def start_governor(run: Run, committed_usd: float) -> Any:
    """The GovernorActor of this call of the run. Raises RecipeError for limits that no call could keep."""
    import ray

    from pad_ray.flow.governing import GovernorActor

    teacher, plan = run.recipe.teacher, run.manifest.find(0, "plan")
    largest = _total([_looks(plan.counts, key) for key in OUTLOOKS]).largest_call if plan else 0
    if teacher.tokens_per_minute is not None and largest > teacher.tokens_per_minute:
        raise RecipeError(
            f"teacher.tokens_per_minute: {teacher.tokens_per_minute:,} is less than a single call may take"
            f" ({largest:,} tokens, with teacher.max_tokens {teacher.max_tokens:,}).",
            hint="Raise it to what the provider grants, or lower teacher.max_tokens.",
        )
    limits = Limits(teacher.concurrency, teacher.budget_usd, teacher.requests_per_minute, teacher.tokens_per_minute)
    governor: Any = GovernorActor.options(**on_this_node()).remote(limits, committed_usd)  # pyright: ignore
    ray.get(governor.keep_key.remote(os.environ.get("OPENAI_API_KEY", "")))
    return governor


class Meter:
    """The spend of a stage while it runs."""

    def __init__(self, governor: Any, before_usd: float, todo: int) -> None:
        """`before_usd` was spent by earlier calls of the run; `todo` samples are still missing."""
        self.governor, self._before, self._todo = governor, before_usd, todo
        self._spend, self._stop, self._asked = Spend(), None, 0.0

    def note(self) -> str:
        """Dollars so far, and projected for the stage once enough replies were measured."""
        if time.monotonic() - self._asked > ASKED_EVERY_S:
            self._ask()
        spent = self._before + self._spend.usd
        if self._spend.answered < MEASURED:
            return f"{dollars(spent)} spent"
        left = max(0, self._todo - self._spend.answered) * self._spend.usd / self._spend.answered
        return f"{dollars(spent)} of about {dollars(spent + left)}"

    def stop(self) -> Stop | None:
        """Why nothing may start any more, if that is so."""
        self._ask()
        return self._stop

    def _ask(self) -> None:
        import ray
        from ray.exceptions import RayActorError

        from pad_ray.flow.governing import governor_gone

        try:
            self._spend, self._stop = ray.get(self.governor.state.remote())
        except RayActorError:
            self._stop = governor_gone()
        self._asked = time.monotonic()


def _looks(counts: dict[str, Any], key: str) -> dict[str, Outlook]:
    return {model: Outlook(**look) for model, look in counts.get(key, {}).items()}


def _total(found: Iterable[dict[str, Outlook]]) -> Outlook:
    total = Outlook()
    for looks in found:
        for look in looks.values():
            total = total.plus(look)
    return total
