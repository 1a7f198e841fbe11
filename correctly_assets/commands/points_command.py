"""The command over the catalogue of grammar points: `points`.

Belongs here: arguments and printing. Does not belong here: the catalogue (language/points.py).
"""

from __future__ import annotations

from typing import Annotated

import typer

from correctly_assets.commands.console import Json, console, print_json
from correctly_assets.core.errors import UsageError
from correctly_assets.language.points import areas, load_points


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(points)


def points(
    area: Annotated[str | None, typer.Option(help="Only the points of this area, such as articles or tense.")] = None,
    as_json: Json = False,
) -> None:
    """The grammar points that reasons tell of: ID, level and name by area; --json has the texts and examples too."""
    known = areas()
    if area is not None and area not in known:
        raise UsageError(f"There is no area {area!r}: choose one of {', '.join(known)}.")
    catalogue = load_points()
    chosen = {name: [catalogue[each] for each in ids] for name, ids in known.items() if area in (None, name)}
    if as_json:
        shown_fields = {"area", "id", "name", "level", "en", "ko", "others", "example"}
        print_json(
            [point.model_dump(mode="json", include=shown_fields) for points in chosen.values() for point in points]
        )
        return
    for name, points in chosen.items():
        console.print(f"{name}: {len(points)}", highlight=False, markup=False)
        width = max((len(point.id) for point in points), default=0)
        for point in points:
            line = f"  {point.id:<{width}}  {point.level}  {point.name}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
