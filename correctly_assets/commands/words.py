"""Commands over the house style: `words add`, `words list`, `words remove`.

Belongs here: arguments and printing. Does not belong here: the file (workflows/house_file.py), or what a style means
(core/house_style.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from correctly_assets.commands.console import Json, console, print_json
from correctly_assets.core.errors import UsageError
from correctly_assets.core.house_style import NO_STYLE, HouseStyle, error_type, parse_house_style
from correctly_assets.settings import get_settings
from correctly_assets.workflows.house_file import changed_house_styles, read_house_styles

words = typer.Typer(
    no_args_is_help=True, help="The house style: words left alone, preferred spellings and terms, edits not made."
)
Words = Annotated[list[str] | None, typer.Argument(help="Words or phrases; quote a phrase.")]
Key = Annotated[str | None, typer.Option(help="For the client of this key alone; for everybody when left out.")]
Leave = Annotated[
    list[str] | None, typer.Option(help="A kind of edit that is not made: an error type such as PUNCT, or comma.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(words, name="words")


@words.command()
def add(
    phrases: Words = None,
    instead_of: Annotated[
        str | None, typer.Option(help="What the word or phrase is said instead of, in every answer.")
    ] = None,
    variety: Annotated[str | None, typer.Option(help="Spelling: en-GB, en-US, or en-GB-oxendict (Oxford).")] = None,
    leave: Leave = None,
    file: Annotated[
        Path | None, typer.Option(help="A text file: a word a line, or `log in -> sign in`; # begins a remark.")
    ] = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Add words that are never touched, a preferred term or spelling, or a kind of edit that is not made.

    It holds from the next answer on, without training.
    """
    given = list(phrases or [])
    terms: dict[str, str] = {}
    if instead_of is not None:
        if len(given) != 1:
            raise UsageError("Say one word or phrase, and with --instead-of what it replaces.")
        given, terms = [], {instead_of: given[0]}
    new = parse_house_style({"variety": variety, "keep": given, "terms": terms, "leave": leave or []})
    if file is not None:
        new = new.with_(_read_words(file))
    if not new:
        raise UsageError("There is nothing to add: give words, --instead-of, --variety, --leave or --file.")
    with changed_house_styles(get_settings().platform.house_style_path) as styles:
        if key is None:
            styles.all = styles.all.with_(new)
        else:
            styles.keys[key] = styles.keys.get(key, NO_STYLE).with_(new)
    _show(key, as_json)


@words.command("list")
def list_words(key: Key = None, as_json: Json = False) -> None:
    """The house style: for everybody and each key, or what holds for one key."""
    _show(key, as_json)


@words.command()
def remove(
    phrases: Words = None,
    variety: Annotated[bool, typer.Option("--variety", help="Leave the spelling to the writer again.")] = False,
    leave: Leave = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Take words, terms (by either side), the spelling or kinds of edit out of the house style."""
    gone = {" ".join(phrase.split()) for phrase in phrases or []}
    kinds = {error_type(name) for name in leave or []}
    if not (gone or kinds or variety):
        raise UsageError("There is nothing to remove: give words, --variety or --leave.")
    with changed_house_styles(get_settings().platform.house_style_path) as styles:
        was = styles.all if key is None else styles.keys.get(key, NO_STYLE)
        known = {*was.keep, *(phrase for term in was.terms for phrase in term), *was.leave}
        if missing := sorted((gone | kinds) - known):
            raise UsageError(f"The house style has no {', '.join(missing)}; see `correctly words list`.")
        left = HouseStyle(
            None if variety else was.variety,
            tuple(word for word in was.keep if word not in gone),
            tuple(term for term in was.terms if not gone & set(term)),
            tuple(kind for kind in was.leave if kind not in kinds),
        )
        if key is None:
            styles.all = left
        else:
            styles.keys[key] = left
    _show(key, as_json)


def _read_words(path: Path) -> HouseStyle:
    """The words and terms of a text file."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text: {error}.") from error
    keep: list[str] = []
    terms: dict[str, str] = {}
    for line in lines:
        label = line.split("#", 1)[0].strip()
        wrong, arrow, right = (part.strip() for part in label.partition("->"))
        if arrow:
            terms[wrong] = right
        elif label:
            keep.append(label)
    return parse_house_style({"keep": keep, "terms": terms})


def _show(key: str | None, as_json: bool) -> None:
    styles = read_house_styles(get_settings().platform.house_style_path)
    if as_json:
        keys = {name: style.to_json() for name, style in styles.keys.items()}
        print_json({**styles.all.to_json(), "keys": keys} if key is None else styles.of(key).to_json())
        return
    shown = {"everybody": styles.all, **styles.keys} if key is None else {key: styles.of(key)}
    for name, style in shown.items():
        if not style:
            continue
        console.print(f"For {name}:", highlight=False, markup=False)
        for label, what in (
            ("spelling", style.variety or ""),
            ("left alone", ", ".join(style.keep)),
            ("preferred", ", ".join(f"“{right}”, not “{wrong}”" for wrong, right in style.terms)),
            ("edits not made", ", ".join(style.leave)),
        ):
            if what:
                console.print(f"  {label}: {what}", highlight=False, markup=False)
    if not any(shown.values()):
        console.print("There is no house style; `correctly words add` begins one.", highlight=False)
