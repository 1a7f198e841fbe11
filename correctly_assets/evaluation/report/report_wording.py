"""How single figures read on a report's pages.

Belongs here: one number, interval or cell as text. Does not belong here: sentences and tables (pages.py, judged.py).
"""

from __future__ import annotations

import re
from typing import Any

from correctly_assets.core.gate import Interval


def span(value: Interval) -> str:
    """A score with its interval."""
    return f"{value.point:.1f} ({value.low:.1f}–{value.high:.1f})"


def signed(value: Interval) -> str:
    """A difference with its interval."""
    return f"{value.point:+.1f} ({value.low:+.1f} to {value.high:+.1f})"


def clear(value: Interval) -> str:
    """What may be said of a difference: ▲ above zero with its whole interval, ▼ below, ≈ neither."""
    return "▲" if value.low > 0 else "▼" if value.high < 0 else "≈"


def number(value: Any, digits: int = 1, unit: str = "") -> str:
    """A number, or a dash where nothing was measured."""
    return "–" if value is None else f"{value:,.{digits}f}{unit}"


def cell(text: str) -> str:
    """Text that may stand in a cell of a Markdown table."""
    return re.sub(r"([\\|*`\[\]])", r"\\\1", " ".join(text.split())).replace("<", "&lt;")
