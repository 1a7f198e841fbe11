"""docs/settings.md, made from the groups themselves.

Belongs here: one table a group, the same on every machine. Does not belong here: a description (its field in the group's
module).
"""

from __future__ import annotations

import json
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from correctly_assets.settings.all import Settings
from correctly_assets.settings.group import PROJECT_ROOT, SettingsGroup

_HEAD = """# Settings

Every setting is an environment variable, and every one has a default: `correctly up` needs none of them. Lists and tables are
written as JSON. A value that is not allowed ends the command with one sentence that names the variable. Relative paths
start where the command runs; the defaults lie in the checkout.

This page is made by `python -m correctly_assets.settings`.
"""
_NAMES = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path", SecretStr: "secret"}
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def render() -> str:
    """The page as Markdown: a table a group with variable, type, default and meaning."""
    parts = [_HEAD]
    for name, group in Settings.model_fields.items():
        assert isinstance(group.annotation, type) and issubclass(group.annotation, SettingsGroup)
        parts.append(f"## {name.capitalize()}\n\n{_table(group.annotation)}\n")
    return "\n".join(parts)


def _table(group: type[SettingsGroup]) -> str:
    rows = [
        (f"`{group.variable(name)}`", _type(field), _default(field), field.description or "")
        for name, field in group.model_fields.items()
    ]
    lines = [("Variable", "Type", "Default", "Meaning"), ("---",) * 4, *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in _BOUNDS.items()
        if getattr(limit, name, None) is not None
    ]
    return " ".join([_kind(field.annotation), ", ".join(bounds)]).strip()


def _kind(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _kind(next(part for part in inside if part is not type(None)))
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in inside)
    return "JSON" if origin is not None else _NAMES[annotation]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "unset"
    if isinstance(value, Path):
        return f"`{value.relative_to(PROJECT_ROOT).as_posix()}`"
    if isinstance(value, tuple | dict | BaseModel):
        return f"`{json.dumps(to_jsonable_python(value, exclude_none=True))}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
