"""The model names that clients ask for, and what each asks for: which release, how daring, how the answer is laid out.

Belongs here: the names. Does not belong here: who answers to one now (releases.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from correctly_assets.core.correction import Mode
from correctly_assets.correction.render import Layout

PUBLIC, PUBLIC_BASE, PUBLIC_CANDIDATE = "correctly", "correctly-base", "correctly-candidate"
PUBLIC_COMPARATOR = "correctly-comparator"
TUNED = "ft:correctly:"
"""How the name of an adapter begins as fine-tuning jobs tell it; its ID follows."""
FLUENT, TEXT_ONLY = "correctly-fluent", "correctly-text"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a public model name asks for.

    Attributes:
        model: the name of who answers: `PUBLIC`, `PUBLIC_BASE`, `PUBLIC_CANDIDATE` or `PUBLIC_COMPARATOR`.
        mode: how daring; None is as the request or the client's key says.
        layout: how the answer is laid out; None is as the request says.
    """

    model: str
    mode: Mode | None = None
    layout: Layout | None = None


def wanted(name: str) -> Wanted:
    """What a public model name asks for; a name that is none stands for itself."""
    if name == FLUENT:
        return Wanted(PUBLIC, "fluent")
    if name == TEXT_ONLY:
        return Wanted(PUBLIC, layout="text")
    return Wanted(name)
