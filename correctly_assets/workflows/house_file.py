"""The house style as a platform keeps it: one file in HOME, for everybody and for each key.

Belongs here: reading and writing that file. Does not belong here: what a style means (core/house_style.py, correction/house_wording.py).

The file is YAML, so that people can write it too::

    variety: en-GB
    keep: [kubectl, Grafana]
    terms: {log in: sign in}
    leave: [COMMA]
    keys: {anna: {variety: en-US}}
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.house_style import NO_STYLE, HouseStyle, parse_house_style


@dataclass(slots=True)
class HouseStyles:
    """Everybody's style, and what holds for a key on top of it."""

    all: HouseStyle = NO_STYLE
    keys: dict[str, HouseStyle] = field(default_factory=dict)

    def of(self, client: str) -> HouseStyle:
        """The style of who asks, by the name of the key."""
        return self.all.with_(self.keys[client]) if client in self.keys else self.all


class HouseFile:
    """The file, read again when it changes, so that a style holds from the next answer on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._styles = HouseStyles()

    def styles(self) -> HouseStyles:
        """What the file says now; no style at all where there is none.

        Raises:
            PermanentError: it cannot be read.
        """
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._styles, self._stamp = HouseStyles(), None
            return self._styles
        if (stat.st_mtime_ns, stat.st_size) != self._stamp:
            self._styles = read_house_styles(self._path)
            self._stamp = (stat.st_mtime_ns, stat.st_size)
        return self._styles


def read_house_styles(path: Path) -> HouseStyles:
    """What a file says; no style at all where there is none.

    Raises:
        PermanentError: it cannot be read.
    """
    if not path.exists():
        return HouseStyles()
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if not isinstance(value, Mapping) or not isinstance(value.get("keys") or {}, Mapping):
            raise UsageError("it is no mapping of variety, keep, terms, leave and keys")
        keys = {str(name): parse_house_style(style or {}) for name, style in (value.get("keys") or {}).items()}
        return HouseStyles(parse_house_style({k: v for k, v in value.items() if k != "keys"}), keys)
    except (OSError, ValueError, AttributeError, yaml.YAMLError, UsageError) as error:
        raise PermanentError(f"The house style {path} cannot be read ({error}); repair or remove it.") from error


@contextmanager
def changed_house_styles(path: Path) -> Iterator[HouseStyles]:
    """The styles, to be changed by one process at a time and written when the block ends.

    Raises:
        PermanentError: the file cannot be read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        styles = read_house_styles(path)
        yield styles
        value = {name: what for name, what in styles.all.to_json().items() if what}
        keys = {name: {k: v for k, v in style.to_json().items() if v} for name, style in styles.keys.items() if style}
        if keys:
            value["keys"] = keys
        write_text_atomically(path, yaml.safe_dump(value, allow_unicode=True, sort_keys=False))
