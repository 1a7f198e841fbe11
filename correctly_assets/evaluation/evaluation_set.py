"""Evaluation sets: JSONL in three shapes, M2 files, and parallel text as JFLEG is distributed.

Belongs here: reading a file into rows with its hash. Does not belong here: scoring, or leak checks (core/text.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from correctly_assets.artifacts.files import sha256_file
from correctly_assets.core.errors import UsageError
from correctly_assets.core.evaluation import EvaluationRow, EvaluationSet
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.layouts import apply_m2_edits, is_parallel, m2_words, parallel_files, read_parallel_lines


def read_evaluation_set(path: Path, limit: int | None = None) -> EvaluationSet:
    """Read a set; the format follows from the name (``.m2``, ``NAME.src`` with ``NAME.ref0``) or from what the lines hold.

    JSONL rows are ``{"source", "references"}`` (or ``"target"``), or ``{"before", "after"}`` as they land. Blank lines
    are skipped; texts lose blanks at their ends. A folder that holds one such ``NAME.src`` stands for it.

    Raises:
        UsageError: the file is missing, empty or holds a line that is none of these; the message names the line.
    """
    if is_parallel(path):
        whole = _parallel(path)
        return whole if limit is None else limited(whole, limit)
    if path.suffix == ".src":
        raise UsageError(f"{path} has no reference file beside it: {path.stem}.ref0 is wanted.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"The evaluation set {path} cannot be read: {error.strerror}.") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"The evaluation set {path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
    rows = tuple(_from_m2(text, path) if path.suffix == ".m2" else _from_jsonl(text.split("\n"), path))
    if not rows:
        raise UsageError(f"The evaluation set {path} holds no rows.")
    sha = hashlib.sha256(data).hexdigest()
    whole = EvaluationSet(path.name, rows, sha)
    return whole if limit is None else limited(whole, limit)


def _parallel(path: Path) -> EvaluationSet:
    files = parallel_files(path)
    name = files[0].name
    rows: list[EvaluationRow] = []
    try:
        for number, source, references in read_parallel_lines(path):
            if not source.strip():
                continue
            texts = tuple(detokenise(text.split()) for text in references if text.strip())
            if not texts:
                raise UsageError(f"{name}, line {number} has no reference in any of its files.")
            rows.append(EvaluationRow(detokenise(source.split()), texts))
        sha = sha256_of([sha256_file(file) for file in files])
    except OSError as error:
        raise UsageError(f"The evaluation set {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The evaluation set {path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
    if not rows:
        raise UsageError(f"The evaluation set {path} holds no rows.")
    return EvaluationSet(name, tuple(rows), sha)


def limited(data: EvaluationSet, limit: int) -> EvaluationSet:
    """Every k-th row, so that a limited set keeps the mix of kinds; the same object where nothing is left out.

    The shipped set stands sorted by kind; its first rows alone would hold no correct sentence.
    """
    count = len(data.rows)
    if limit >= count:
        return data
    rows = tuple(data.rows[index * count // limit] for index in range(limit))
    return EvaluationSet(data.name, rows, sha256_of([data.sha256, limit]))


def _from_jsonl(lines: Iterable[str], path: Path) -> Iterator[EvaluationRow]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _row(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            wanted = '{"source", "references"} or {"before", "after"}'
            raise UsageError(
                f"{path.name}, line {number} is not a row of an evaluation set: expected {wanted}."
            ) from error


def _row(value: Any) -> EvaluationRow:
    source = value["source"] if "source" in value else value["before"]
    references = value.get("references") or [value["target"] if "target" in value else value["after"]]
    if not isinstance(source, str) or not source.strip() or not all(isinstance(text, str) for text in references):
        raise ValueError("a text is missing")
    kind = value.get("kind")
    return EvaluationRow(source.strip(), tuple(text.strip() for text in references), str(kind) if kind else None)


def _from_m2(text: str, path: Path) -> Iterator[EvaluationRow]:
    """M2: ``S tokens``, then ``A start end|||type|||words|||…|||…|||annotator``. Text is put back as people write it,
    because detokenised text is what systems correct and what is scored. Of alternative words (``a||the``) the first counts."""
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        if not lines or not lines[0].startswith("S "):
            raise UsageError(f"{path.name} is not an M2 file: a block begins with {lines[:1]!r}, not with 'S '.")
        tokens = lines[0][2:].split()
        by_annotator: dict[str, list[tuple[int, int, list[str]]]] = {}
        for line in lines[1:]:
            if not line.startswith("A "):
                continue
            try:
                span, kind, words, _, _, annotator = line[2:].split("|||")
                start, end = map(int, span.split())
            except ValueError as error:
                raise UsageError(f"{path.name} holds a malformed annotation: {line!r}.") from error
            edits = by_annotator.setdefault(annotator, [])
            if kind != "noop" and start >= 0:
                edits.append((start, end, m2_words(words)))
        references = [apply_m2_edits(tokens, edits) for edits in by_annotator.values()] or [tokens]
        yield EvaluationRow(detokenise(tokens), tuple(detokenise(words) for words in references))


def detokenise(tokens: Iterable[str]) -> str:
    """Tokens in the Penn manner as people write them: ``do n't`` → ``don't``, no blank before a comma."""
    text = " ".join(tokens)
    for mark in ("``", "''"):
        text = text.replace(mark, '"')
    text = re.sub(r"(?<!\s)\s+([.,;:!?%)\]}]|n't\b|'(?:s|re|ve|ll|d|m)\b|’(?:s|re|ve|ll|d|m)\b)", r"\1", text)
    text = re.sub(r"([(\[{$£€#])\s+", r"\1", text)
    text = re.sub(r"\b(can) (not)\b(?= )", r"\1\2", text)
    # Quotation marks close every second time.
    parts = text.split('"')
    for index in range(1, len(parts), 2):
        if index + 1 < len(parts):
            parts[index] = parts[index].strip()
    return re.sub(r"\s+", " ", '"'.join(parts)).strip()
