"""docs/recipe.md, written from the keys themselves: what each may be, its default, its sentence.

python -m pad_ray.recipe_reference > docs/recipe.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pad_ray.recipe import Recipe

_BEFORE = """# Recipe reference

Every key that a recipe may have. `make schema` writes this page from the code; `recipe.schema.json` beside it says the
same to an editor. A key that is left out has its default, one that is not here is refused. On the command line a key is
`section.key=value`, as in `pad-ray distill quick train.epochs=2`; lists and sections are spelled as in YAML. `pad-ray
recipes NAME` prints a recipe with comments, `pad-ray init` writes one to begin with.
"""
_NAMES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}

Schema = dict[str, Any]


def reference() -> str:
    """The whole page, in Markdown."""
    schema: Schema = Recipe.model_json_schema()
    known: Schema = schema["$defs"]
    top = {key: value for key, value in schema["properties"].items() if _section(value, known) is None}
    parts = [_BEFORE, "## Of the whole run\n", *_table(top, schema, known)]
    for key, value in schema["properties"].items():
        if section := _section(value, known):
            parts += _pages(key, section, known)
    return "\n".join(parts) + "\n"


def _pages(name: str, section: Schema, known: Schema) -> Iterator[str]:
    """A section, and behind it the sections that stand in it."""
    yield f"\n{'##' if '.' not in name else '###'} {name}\n\n{section['description']}\n"
    yield from _table(section["properties"], section, known)
    for key, value in section["properties"].items():
        if inner := _section(value, known):
            yield from _pages(f"{name}.{key}", inner, known)


def _table(keys: Schema, section: Schema, known: Schema) -> Iterator[str]:
    yield "| key | may be | default | |\n|---|---|---|---|"
    for key, value in keys.items():
        default = "**required**" if key in section.get("required", ()) else _default(value, known)
        yield f"| `{key}` | {_kind(value, known)} | {default} | {_cell(value.get('description', ''))} |"


def _default(value: Schema, known: Schema) -> str:
    if "default" not in value or value["default"] == "":
        return "empty"
    if isinstance(value["default"], dict) and _section(value, known):
        return "its defaults"
    return f"`{_spelled(value['default'])}`"


def _kind(value: Schema, known: Schema) -> str:
    """What a value may be, in words."""
    if "$ref" in value:
        target = known[value["$ref"].rpartition("/")[2]]
        return "a section" if "properties" in target else _kind(target, known)
    if "anyOf" in value:
        return ", or ".join(dict.fromkeys(_kind(one, known) for one in value["anyOf"]))
    if "enum" in value or "const" in value:
        return ", ".join(f"`{_spelled(one)}`" for one in value.get("enum", [value.get("const")]))
    kind = value.get("type")
    if kind == "null":
        return "null"
    if kind == "array":
        if "prefixItems" in value:
            return f"[{', '.join(_kind(one, known) for one in value['prefixItems'])}]"
        items = value.get("items", {})
        return f"a list of: {_kind(items, known) if items else 'anything'}"
    if kind == "object":
        named = [*value.get("patternProperties", {}).values(), value.get("additionalProperties")]
        inner = next((one for one in named if isinstance(one, dict) and one), None)
        return f"names, each with: {_kind(inner, known)}" if inner else "keys and values"
    return f"{_NAMES[kind]}{_bounds(value)}" if kind else "anything"


def _bounds(value: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {_spelled(value[key])}" for key, sign in signs.items() if key in value]
    return f" {' and '.join(found)}" if found else ""


def _section(value: Schema, known: Schema) -> Schema | None:
    """The section that a value is, may be, or is a list of."""
    for one in (value, *value.get("anyOf", ()), value.get("items", {})):
        target = known.get(one.get("$ref", "").rpartition("/")[2], {})
        if "properties" in target:
            return target
    return None


def _spelled(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
