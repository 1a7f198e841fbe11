"""Bulk work over Ray Data: landing many rows, and reading many texts for the embedded teacher.

    python deploy/examples/ray/bulk.py land FILE     # as `correctly add FILE`, the guards in Ray's workers
    python deploy/examples/ray/bulk.py generate      # what the embedded teacher works out of each accepted text, ahead of a run

Belongs here: which part of the work goes to workers. Does not belong here: the work itself, which is that of one machine: both ways
give the same rows, the same snapshot and the same train set.
"""

# Ray is no part of the environment that types are checked in.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle

from correctly_assets.artifacts.accepted_rows import ACCEPTED_COLUMNS
from correctly_assets.core.landing import LandOutcome
from correctly_assets.core.ports import Refusal
from correctly_assets.core.types import Example
from correctly_assets.curation.land_file import land_file
from correctly_assets.curation.readers import read_rows
from correctly_assets.curation.rows import parse_row
from correctly_assets.settings import PrivacySettings, Settings, get_settings
from correctly_assets.teachers.embedded.rules import slips_in
from correctly_assets.teachers.embedded.sentence import Parser
from correctly_assets.workflows.land_rows import make_guards
from correctly_assets.workflows.make_teacher import make_analysis_cache
from correctly_assets.workflows.wiring import open_platform_store

# Workers are sent this file's code: it is part of no package that they could import.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

CHUNK = 500
"""Rows that a worker is handed at once."""
Checked = tuple[str, Example, Refusal | None]
"""A row's id as it was parsed, the row as it may land, and why it is held."""


class GuardWorker:
    """Parses rows and has the guards look at them; one stands in each worker, with the guards' word lists loaded once."""

    def __init__(self, privacy: PrivacySettings, languages: Sequence[str]) -> None:
        self._guards, self._languages = make_guards(privacy), languages

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Chunks of raw rows in, chunks of `Checked` out."""
        return {"checked": [cloudpickle.dumps(self._check(cloudpickle.loads(chunk))) for chunk in batch["rows"]]}

    def _check(self, rows: Iterable[Any]) -> list[Checked]:
        parsed = [parse_row(row, languages=self._languages) for row in rows]
        examples = [row for row in parsed if not isinstance(row, Refusal)]
        return [(example.id, *result) for example, result in zip(examples, self._guards.check(examples), strict=True)]


class GuardsElsewhere:
    """What workers have found, handed out in the rows' order (``core.landing.ExampleGuard``)."""

    def __init__(self, found: Iterator[Checked]) -> None:
        self._found = found

    def check(self, examples: Sequence[Example]) -> list[tuple[Example, Refusal | None]]:
        """The workers' results on these examples.

        Raises:
            RuntimeError: they are of other rows: the file was changed while it was read.
        """
        found = list(islice(self._found, len(examples)))
        if [example.id for example in examples] != [parsed for parsed, _, _ in found]:
            raise RuntimeError("The file changed while its rows were looked at; land it again.")
        return [(example, refusal) for _, example, refusal in found]


class SlipWorker:
    """Parses texts and finds where the embedded teacher may put an error."""

    def __init__(self) -> None:
        self._parser = Parser()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Texts in; each with its slips as JSON out."""
        texts = [str(text) for text in batch["text"]]
        slips = [[slip.to_json() for slip in slips_in(sentence)] for sentence in self._parser.parse(texts)]
        return {"text": texts, "slips": [json.dumps(each) for each in slips]}


def land(settings: Settings, path: Path, *, workers: int) -> LandOutcome:
    """Land a file as `correctly add` does. Refused rows, counts and the store's rows are the same; the rows' guards, which take most of
    the time, run in ``workers`` processes of the cluster that Ray is connected to.

    Raises:
        UsageError: the file cannot be read.
    """
    _keep_order()
    with open_platform_store(settings.platform) as store:
        raw = (row for _, row in read_rows(path) if not isinstance(row, Refusal))
        chunks = [{"rows": cloudpickle.dumps(rows)} for rows in _chunks(raw)]
        if not chunks:
            return land_file(path, store, make_guards(settings.privacy))
        checked = ray.data.from_items(chunks).map_batches(
            GuardWorker,
            fn_constructor_args=(settings.privacy, sorted(store.languages())),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
        )
        found = (one for chunk in checked.iter_rows() for one in cloudpickle.loads(chunk["checked"]))
        return land_file(path, store, GuardsElsewhere(found))


def generate(settings: Settings, *, workers: int) -> int:
    """Work out, in Ray's workers, what the embedded teacher reads in the accepted texts, and keep it where the teacher looks it up: the
    train set that is built next is the same, and built without parsing. As much is kept as `AnalysisCache` keeps, the newest.

    Returns:
        How many texts were read.
    """
    _keep_order()
    place = ACCEPTED_COLUMNS.index("after")
    with open_platform_store(settings.platform) as store:
        columns = [part[place] for part in store.accepted_columns(10_000)]
    texts = list(dict.fromkeys(text for part in columns for text in part if text))
    cache = make_analysis_cache(settings.platform)
    known = cache.find("slips", ((text,) for text in texts))
    new = [text for text in texts if (text,) not in known]
    if not new:
        return 0
    made = ray.data.from_items([{"text": text} for text in new]).map_batches(
        SlipWorker, batch_size=CHUNK, compute=ray.data.ActorPoolStrategy(size=workers)
    )
    for rows in made.iter_batches(batch_size=CHUNK):
        cache.keep("slips", {(str(t),): json.loads(s) for t, s in zip(rows["text"], rows["slips"], strict=True)})
    return len(new)


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _keep_order() -> None:
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False


def main(words: Sequence[str]) -> int:
    """Run a command line; returns the exit code."""
    ray.init(ignore_reinit_error=True)
    workers = max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)
    settings = get_settings()
    if words[:1] == ["land"] and len(words) == 2:
        print(json.dumps(land(settings, Path(words[1]), workers=workers).to_json()))
        return 0
    if words == ["generate"]:
        print(f"{generate(settings, workers=workers)} texts were read.")
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
