"""The command over the catalogue of grammar points: `points`.

Belongs here: arguments and printing. Does not belong here: the catalogue (language/points.py).
"""

from __future__ import annotations

from typing import Annotated

import typer

from correctly_assets.commands.common import Json, console, print_json
from correctly_assets.core.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(points)


def points(
    area: Annotated[str | None, typer.Option(help="Only the points of this area, such as articles or tense.")] = None,
    as_json: Json = False,
) -> None:
    """The grammar points that reasons tell of, by area."""
    from correctly_assets.language.points import areas, load_points

    known = areas()
    if area is not None and area not in known:
        raise UsageError(f"There is no area {area!r}: choose one of {', '.join(known)}.")
    catalogue = load_points()
    chosen = {name: ids for name, ids in known.items() if area in (None, name)}
    if as_json:
        keys = {"id", "name", "level", "en", "ko", "example", "others"}
        print_json(
            [
                {"area": name, **catalogue[each].model_dump(mode="json", include=keys)}
                for name, ids in chosen.items()
                for each in ids
            ]
        )
        return
    for name, ids in chosen.items():
        console.print(f"{name}: {len(ids)}", highlight=False)
        for each in ids:
            point = catalogue[each]
            console.print(f"  {each}  {point.level}  {point.name}", highlight=False, markup=False, soft_wrap=True)
