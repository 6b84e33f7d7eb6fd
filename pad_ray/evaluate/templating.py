"""The templates of reports, studies and model cards, with the words that all of them write figures in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from pad_ray.evaluate import wording

if TYPE_CHECKING:
    from jinja2 import Environment, Template


def template(name: str, **filters: Callable[..., Any]) -> Template:
    """The template `templates/NAME`, with filters of its own besides the common ones; HTML escapes what it is given."""
    environment = _environment(html=".html" in name).overlay()
    environment.filters = {**environment.filters, **filters}
    return environment.get_template(name)


@cache
def _environment(html: bool) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pad_ray.evaluate"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        percent=wording.percent,
        interval=wording.interval,
        points=wording.points,
        points_interval=wording.points_interval,
        p_value=wording.p_value,
        duration=wording.duration,
        words=lambda name: str(name).replace("_", " "),
    )
    return environment
