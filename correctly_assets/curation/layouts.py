"""The rarer layouts: M2, parallel text as JFLEG has it, XLSX.

Belongs here: reading them into raw rows. Does not belong here: the common formats (readers.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UsageError

if TYPE_CHECKING:
    from .readers import RawRow

_CLOSING = re.compile(r"\s+([.,;:!?%)\]}…]+)")
_OPENING = re.compile(r"([(\[{$£€#])\s+")
_CLITIC = re.compile(r"(?<=\w)\s+(n't|n’t|'(?:s|re|ve|ll|d|m)|’(?:s|re|ve|ll|d|m))\b", re.IGNORECASE)
_QUOTED = re.compile(r"(?:``|\"|“)\s+(.+?)\s+(?:''|\"|”)")


def detokenise(text: str) -> str:
    """Text with spaces between tokens as people write it: ``do n't worry !`` becomes ``don't worry!``."""
    text = _QUOTED.sub(r'"\1"', text)
    text = _CLITIC.sub(r"\1", text)
    text = re.sub(r"\b(can)\s+(not)\b", r"\1\2", text, flags=re.IGNORECASE)
    return _OPENING.sub(r"\1", _CLOSING.sub(r"\1", text))


def read_m2(path: Path) -> Iterator[RawRow]:
    """M2: ``S`` with the tokens, ``A start end|||type|||correction|||…|||annotator`` for each edit.

    Each annotator's edits make a row of their own; a sentence without edits is a row that is already correct.
    """
    from .readers import refusal

    number = 0
    source: tuple[int, list[str]] | None = None
    annotators: dict[str, list[tuple[int, int, str]]] = {}
    broken = ""

    def rows() -> Iterator[RawRow]:
        if source is None:
            return
        line, tokens = source
        if broken:
            yield line, refusal(broken, " ".join(tokens))
            return
        afters: list[str] = []
        for edits in annotators.values() if annotators else [[]]:
            after = list(tokens)
            for start, end, correction in sorted(edits, reverse=True):
                after[start:end] = correction.split()
            afters.append(detokenise(" ".join(after)))
        for after in dict.fromkeys(afters):
            yield line, {"before": detokenise(" ".join(tokens)), "after": after, "source": "m2"}

    with path.open("r", encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, text in enumerate(file, 1):
            text = text.rstrip("\n")
            if text.startswith("S "):
                yield from rows()
                source, annotators, broken = (number, text[2:].split()), {}, ""
            elif text.startswith("A ") and source is not None:
                try:
                    span, kind, correction, *_, annotator = text[2:].split("|||")
                    start, end = (int(part) for part in span.split())
                except ValueError:
                    broken = (
                        f"The annotation in line {number} is not `A start end|||type|||correction|||…|||annotator`."
                    )
                    continue
                edits = annotators.setdefault(annotator, [])
                if kind == "noop":
                    continue
                if not 0 <= start <= end <= len(source[1]):
                    broken = f"The annotation in line {number} reaches outside its sentence."
                elif kind != "UNK":
                    edits.append((start, end, "" if correction == "-NONE-" else correction))
            elif text.strip():
                yield number, refusal("The line is neither a sentence (S) nor an annotation (A).", text)
    if source is None and number:
        raise UsageError(f"{path.name} has no sentence lines (S …); is it an M2 file?")
    yield from rows()


_REFERENCE = re.compile(r"\.ref\d+")
_TWIN = ".spellchecked"
"""JFLEG ships each NAME.src once more as NAME.spellchecked.src, without references of its own."""


def _stem(path: Path) -> Path | None:
    """The common beginning of NAME.src and NAME.ref0 for a folder, NAME.src or NAME itself."""
    if path.is_dir():
        sources = [file.with_suffix("") for file in sorted(path.glob("*.src")) if file not in spellchecked_twins(path)]
        return sources[0] if len(sources) == 1 else None
    return path.with_suffix("") if path.suffix == ".src" else None


def spellchecked_twins(folder: Path) -> list[Path]:
    """The sources of a folder that are another one with its spelling mended; they are left out."""
    return [
        file
        for file in sorted(folder.glob(f"*{_TWIN}.src"))
        if file.with_name(file.name.replace(f"{_TWIN}.src", ".src")).is_file()
    ]


def parts_of(path: Path) -> list[Path]:
    """The reference files that belong to a NAME.src; none for any other file."""
    return sorted(path.parent.glob(f"{path.stem}.ref[0-9]*")) if path.suffix == ".src" else []


def source_of(path: Path) -> Path | None:
    """The NAME.src to which a NAME.ref0 belongs; None for any other file."""
    return path.with_suffix(".src") if _REFERENCE.fullmatch(path.suffix) else None


def is_part(path: Path) -> bool:
    """Whether this is one file of parallel text, which is nothing without the others."""
    return path.suffix == ".src" or source_of(path) is not None


def alone(path: Path) -> str:
    """Why one file of parallel text is refused that lies without the others."""
    if path.name.endswith(f"{_TWIN}.src"):
        return (
            f"{path.name} is a source with its spelling mended and has no references; only the source itself is read."
        )
    missing = "NAME.ref0, NAME.ref1 …" if path.suffix == ".src" else "NAME.src"
    return (
        f"{path.name} is one file of parallel text and its {missing} is not beside it: put all files of that name into the "
        "inbox within half a minute, or use `correctly add FOLDER`."
    )


def is_parallel(path: Path) -> bool:
    """Whether this is a source file, or a folder with one, that has a reference file beside it."""
    stem = _stem(path)
    return stem is not None and stem.with_name(stem.name + ".ref0").is_file()


def read_parallel(path: Path) -> Iterator[RawRow]:
    """Parallel text as JFLEG has it: NAME.src and NAME.ref0, NAME.ref1, … with one sentence a line.

    Every reference that differs from the ones before it makes a row.

    Raises:
        UsageError: a reference file has more or fewer lines than the source.
    """
    stem = _stem(path)
    assert stem is not None  # is_parallel was asked before
    source = stem.with_name(stem.name + ".src")
    references = sorted(stem.parent.glob(f"{stem.name}.ref[0-9]*"))
    texts = [_sentences(file) for file in (source, *references)]
    for file, lines in zip(references, texts[1:], strict=True):
        if len(lines) != len(texts[0]):
            raise UsageError(
                f"{file.name} has {len(lines):,} lines and {source.name} {len(texts[0]):,}; they must match."
            )
    for number, (before, *afters) in enumerate(zip(*texts, strict=True), 1):
        if before.strip():
            for after in dict.fromkeys(detokenise(after) for after in afters if after.strip()):
                yield number, {"before": detokenise(before), "after": after, "source": stem.name}


def _sentences(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    return text.removesuffix("\n").split("\n") if text else []


def read_xlsx(path: Path) -> Iterator[RawRow]:
    """The first sheet whose first row names a column ``before``. Formulas arrive as such, and are refused later."""
    from zipfile import BadZipFile

    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        workbook = load_workbook(path, read_only=True, data_only=False)
    except (InvalidFileException, BadZipFile, KeyError, ValueError) as error:
        raise UsageError(f"{path.name} is not a readable Excel workbook (.xlsx).") from error
    try:
        for sheet in workbook.worksheets:
            rows = sheet.iter_rows(values_only=True)
            header = [str(name).strip() if name is not None else "" for name in next(rows, ())]
            if "before" not in header:
                continue
            for number, cells in enumerate(rows, 2):
                row = {name: cell for name, cell in zip(header, cells, strict=False) if name and cell not in (None, "")}
                if row:
                    yield number, row
            return
        raise UsageError(f"No sheet of {path.name} has a column `before` in its first row.")
    finally:
        workbook.close()
