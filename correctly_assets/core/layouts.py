"""Two layouts that published corpora come in, as landing and evaluation both read them: parallel text and M2's edits.

Belongs here: which files belong together, lines side by side, edits put into their sentence. Does not belong here: what a
row of either becomes (curation/file_layouts.py, evaluation/evaluation_set.py), or putting tokens back as text, which differs there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from correctly_assets.core.errors import UsageError
from correctly_assets.core.text import decoding_errors, unicode_form

TWIN = ".spellchecked"
"""JFLEG ships each NAME.src once more as NAME.spellchecked.src, without references of its own."""
REFERENCE = re.compile(r"\.(ref\d+|tgt|trg)")
"""What the name of a reference file ends with, beside NAME.src."""


def parallel_stem(path: Path) -> Path | None:
    """The common beginning of NAME.src and NAME.ref0 for NAME.src itself or a folder that holds one such file."""
    if path.is_dir():
        sources = [file.with_suffix("") for file in sorted(path.glob("*.src")) if file not in spellchecked_twins(path)]
        return sources[0] if len(sources) == 1 else None
    return path.with_suffix("") if path.suffix == ".src" else None


def spellchecked_twins(folder: Path) -> list[Path]:
    """The sources of a folder that are another one with its spelling mended; they are left out."""
    return [
        file
        for file in sorted(folder.glob(f"*{TWIN}.src"))
        if file.with_name(file.name.replace(f"{TWIN}.src", ".src")).is_file()
    ]


def is_parallel(path: Path) -> bool:
    """Whether this is a source file, or a folder with one, that has a reference file beside it."""
    stem = parallel_stem(path)
    return stem is not None and bool(reference_files(stem))


def reference_files(stem: Path) -> list[Path]:
    """NAME.ref0, NAME.ref1, … and NAME.tgt beside a NAME.src, by name."""
    there = stem.parent.iterdir() if stem.parent.is_dir() else ()
    beginning = f"{stem.name}."
    return sorted(
        file
        for file in there
        if file.name.startswith(beginning) and REFERENCE.fullmatch(file.name[len(stem.name) :]) and file.is_file()
    )


def parallel_files(path: Path) -> list[Path]:
    """NAME.src, then NAME.ref0, NAME.ref1, … and NAME.tgt of what `is_parallel`."""
    stem = parallel_stem(path)
    assert stem is not None  # is_parallel was asked before
    return [stem.with_name(stem.name + ".src"), *reference_files(stem)]


def read_parallel_lines(path: Path, *, errors: str = "strict") -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Parallel text, one sentence a line: (line from 1, source, its references), as they stand.

    Args:
        errors: what is done about bytes that are not UTF-8, as `open` takes it.

    Raises:
        UsageError: a reference file has more or fewer lines than the source.
        OSError, UnicodeDecodeError: a file cannot be read.
    """
    source, *references = parallel_files(path)
    texts = [_lines(file, errors) for file in (source, *references)]
    for file, lines in zip(references, texts[1:], strict=True):
        if len(lines) != len(texts[0]):
            raise UsageError(
                f"{file.name} has {len(lines):,} lines and {source.name} {len(texts[0]):,}; they must match."
            )
    for number, (before, *afters) in enumerate(zip(*texts, strict=True), 1):
        yield number, before, tuple(afters)


def _lines(path: Path, errors: str) -> list[str]:
    data = path.read_bytes()
    encoding = unicode_form(data[:64])
    text = data.decode(encoding, decoding_errors(encoding) if errors == "surrogateescape" else errors)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.removesuffix("\n").split("\n") if text else []


def m2_words(correction: str) -> list[str]:
    """The words of an M2 correction: none for ``-NONE-``, and the first of alternatives (``a||the``)."""
    first = correction.split("||", 1)[0].strip()
    return [] if first == "-NONE-" else first.split()


def apply_m2_edits(tokens: Sequence[str], edits: Iterable[tuple[int, int, Sequence[str]]]) -> list[str]:
    """The tokens with one annotator's edits (start, end, words); what is put in at one place keeps the file's order."""
    result: list[str] = []
    position = 0
    for start, end, words in sorted(edits, key=lambda edit: edit[:2]):
        result += [*tokens[position:start], *words]
        position = max(position, end)
    return [*result, *tokens[position:]]
