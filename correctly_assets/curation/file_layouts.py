"""The rarer text layouts: M2, and parallel text as JFLEG and fairseq have it.

Belongs here: reading them into raw rows. Does not belong here: the common formats (readers.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from correctly_assets.core.errors import UsageError
from correctly_assets.core.layouts import (
    REFERENCE,
    TWIN,
    apply_m2_edits,
    m2_words,
    parallel_stem,
    read_parallel_lines,
    reference_files,
)
from correctly_assets.core.text import decoding_errors, unicode_form
from correctly_assets.curation.raw_rows import RawRow, refusal

# What begins with blanks is tried at the first of them alone, so that a line of blanks costs no more than another.
_CLOSING = re.compile(r"(?<!\s)\s+([.,;:!?%)\]}…]+)")
_OPENING = re.compile(r"([(\[{$£€#])\s+")
_CLITIC = re.compile(r"(?<=\w)\s+(n't|n’t|'(?:s|re|ve|ll|d|m)|’(?:s|re|ve|ll|d|m))\b", re.IGNORECASE)
_QUOTED = re.compile(r"(?:``|\"|“)\s+(\S(?:.{0,400}?\S)??)\s+(?:''|\"|”)")


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
    number = 0
    source: tuple[int, list[str]] | None = None
    annotators: dict[str, list[tuple[int, int, list[str]]]] = {}
    broken = ""

    def rows() -> Iterator[RawRow]:
        if source is None:
            return
        line, tokens = source
        if broken:
            yield line, refusal(broken, " ".join(tokens))
            return
        kept = annotators.values() if annotators else [[]]
        afters = [detokenise(" ".join(apply_m2_edits(tokens, edits))) for edits in kept]
        for after in dict.fromkeys(afters):
            yield line, {"before": detokenise(" ".join(tokens)), "after": after, "source": "m2"}

    with path.open("rb") as head:
        encoding = unicode_form(head.read(64))
    with path.open("r", encoding=encoding, errors=decoding_errors(encoding)) as file:
        for number, text in enumerate(file, 1):
            text = text.lstrip("\ufeff").rstrip("\n")
            if text.startswith("S "):
                yield from rows()
                source, annotators, broken = (number, text[2:].split()), {}, ""
            elif text.startswith("A ") and source is not None:
                try:
                    span, kind, correction, *_, annotator = text[2:].split("|||")
                    start, end = (int(part) for part in span.split())
                except ValueError:
                    wanted = "A start end|||type|||correction|||…|||annotator"
                    broken = f"The annotation in line {number} is none; write it as `{wanted}`."
                    continue
                edits = annotators.setdefault(annotator, [])
                if kind == "noop":
                    continue
                if not 0 <= start <= end <= len(source[1]):
                    broken = f"The annotation in line {number} reaches outside its sentence; mend its numbers."
                elif kind != "UNK":
                    edits.append((start, end, m2_words(correction)))
            elif text.strip():
                yield (
                    number,
                    refusal(
                        "The line is neither a sentence (S …) nor an annotation (A …); begin it with one of these.",
                        text,
                    ),
                )
    if source is None and number:
        raise UsageError(f"{path.name} has no sentence lines (S …); is it an M2 file?")
    yield from rows()


def parts_of(path: Path) -> list[Path]:
    """The reference files that belong to a NAME.src; none for any other file."""
    return reference_files(path.with_suffix("")) if path.suffix == ".src" else []


def source_of(path: Path) -> Path | None:
    """The NAME.src to which a NAME.ref0 or NAME.tgt belongs; None for any other file."""
    return path.with_suffix(".src") if REFERENCE.fullmatch(path.suffix) else None


def is_part(path: Path) -> bool:
    """Whether this is one file of parallel text, which is nothing without the others."""
    return path.suffix == ".src" or source_of(path) is not None


def alone(path: Path) -> str:
    """Why one file of parallel text is refused that lies without the others."""
    if path.name.endswith(f"{TWIN}.src"):
        return (
            f"{path.name} is a source with its spelling mended and has no references; only the source itself is read."
        )
    missing = "NAME.tgt (or NAME.ref0, NAME.ref1 …)" if path.suffix == ".src" else "NAME.src"
    return (
        f"{path.name} is one file of parallel text and its {missing} is not beside it: put all files of that name into the "
        "inbox within half a minute, or use `correctly add FOLDER`."
    )


def read_parallel(path: Path) -> Iterator[RawRow]:
    """Parallel text: NAME.src and NAME.tgt, or NAME.ref0, NAME.ref1, …, with one sentence a line.

    Every reference that differs from the ones before it makes a row.

    Raises:
        UsageError: a reference file has more or fewer lines than the source.
    """
    stem = parallel_stem(path)
    assert stem is not None  # is_parallel was asked before
    for number, before, afters in read_parallel_lines(path, errors="surrogateescape"):
        if before.strip():
            for after in dict.fromkeys(detokenise(after) for after in afters if after.strip()):
                yield number, {"before": detokenise(before), "after": after, "source": stem.name}
