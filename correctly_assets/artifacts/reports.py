"""An adapter's reports: what was measured, on which set, and the verdict.

Belongs here: one model for the adapter's own report and one for the full report, and reading and writing their JSON, which no
other module parses. Does not belong here: measuring (evaluation/metrics/), building a report and its pages
(evaluation/report/), or the gate (core/gate.py).

A report of an older version is read as it is: fields that are missing take their defaults, fields that are not known here are
kept. Percentages and points are 0 to 100.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import RefusedError
from correctly_assets.core.gate import Interval, Measured

OWN = "report"
"""The name of an adapter's own report; its page and its JSON are ``report.html`` and ``report.json``."""


class ReportError(RefusedError):
    """A report is missing or cannot be read; the message says how to get one."""


class ReportMissing(ReportError):
    """The adapter was not judged, or its report was removed."""


class _Kept(BaseModel):
    """Part of a report. Fields of other versions are kept."""

    model_config = ConfigDict(extra="allow")


class EvaluatedSet(_Kept):
    """The set that was measured on; ``small`` where only large differences show."""

    name: str = ""
    sha256: str = ""
    n: int = 0
    small: bool = False


class ExplanationCounts(_Kept):
    """Counts over the explanations that were asked for.

    Attributes:
        quotes_occur: share of reasons whose quoted words occur in the sentence.
        type_named, type_named_rightly: how many name a kind of error, and the share that names a fitting one.
        rows: how many sentences they come from; None in reports that do not hold it.
    """

    edits: int = 0
    explained: int = 0
    unexplained: int = 0
    model_reasons: int = 0
    rule_reasons: int = 0
    stray_reasons: int = 0
    quotes_occur: float | None = None
    type_named: int = 0
    type_named_rightly: float = 0.0
    words_per_reason: float | None = None
    rows: int | None = None


class SystemScores(_Kept):
    """One system's figures on a set: the flat object of `evaluate`, and more.

    Attributes:
        intervals: by metric (``gleu``, ``errant_f05`` …), with 95 % bootstrap intervals.
        overcorrected, n_clean: share of already correct sentences that it changed, of so many.
        missed, n_wrong: share of wrong sentences that it left alone, of so many.
        guarded: whether its answers passed the correction path's guards.
        p50_ms, p95_ms: milliseconds a text under ``at_once`` texts in flight; None where nothing was timed.
        weights_gb: files that the model is loaded from, in GB.
    """

    system: str = ""
    identity: str = ""
    n: int | None = None
    data_sha256: str | None = None
    scorer: str | None = None
    gleu: float | None = None
    errant_p: float = 0.0
    errant_r: float = 0.0
    errant_f05: float | None = None
    exact_match: float | None = None
    unchanged: float | None = None
    overcorrected: float | None = None
    n_clean: int = 0
    missed: float | None = None
    n_wrong: int = 0
    run_on: float = 0.0
    run_on_count: int = 0
    empty_count: int = 0
    length_outside: float | None = None
    numbers_kept: float | None = None
    names_kept: float | None = None
    negation_kept: float | None = None
    fallbacks: dict[str, int] = Field(default_factory=dict)
    sentences_per_second: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    at_once: int | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd_per_thousand: float | None = None
    weights_gb: float | None = None
    guarded: bool = True
    intervals: dict[str, Interval] = Field(default_factory=dict)


class ReleaseScores(_Kept):
    """What a release keeps of the report it was promoted by; that of the adapter that ships, its scores by mode."""

    systems: dict[str, SystemScores] = Field(default_factory=dict)

    @property
    def own(self) -> SystemScores:
        """The release's own: those of the candidate it was, or, of the adapter that ships, in the careful mode."""
        return self.systems.get("candidate") or self.systems.get("careful") or SystemScores()


class TypeScores(_Kept):
    """One system on one ERRANT type: hits, slips and misses, and precision, recall and F0.5."""

    type: str = ""
    tp: int = 0
    fp: int = 0
    fn: int = 0
    p: float = 0.0
    r: float = 0.0
    f05: float = 0.0


class TypeDifference(_Kept):
    """F0.5 of candidate and rival on one ERRANT type, and the candidate's lead."""

    type: str
    name: str
    edits: int
    candidate: float
    other: float
    difference: Interval


class PointSide(_Kept):
    """One system on one grammar point: edits of the references, those of them that it made, and its edits that are none."""

    edits: int
    found: int
    wrong: int


class PointRow(_Kept):
    """Candidate and rival on one grammar point; ``point`` is its ID, None for edits that no point explains."""

    point: str | None
    name: str
    level: str | None = None
    area: str | None = None
    candidate: PointSide
    other: PointSide
    edits: int

    def side(self, serves: str) -> PointSide:
        """The figures of the system that serves: ``champion``, which is the other one, or ``candidate``."""
        return self.other if serves == "champion" else self.candidate


class PointsSection(_Kept):
    """Edits counted by grammar point.

    Attributes:
        rows: those with most edits in the references first.
        serves: who serves, or would: ``champion`` or ``candidate``.
        badly: IDs of the points of which that system finds less than half, the worst first.
    """

    rows: list[PointRow] = Field(default_factory=list)
    serves: str = "candidate"
    badly: list[str] = Field(default_factory=list)


class ShownSentence(_Kept):
    """A sentence and its answers; ``points`` is what its GLEU gained or lost against the other answer.

    Attributes:
        other, reference: None for a correct sentence that was changed, which is shown alone.
        row: its line in the set, from 1.
        fallback: why the candidate's answer was refused, where it was.
    """

    source: str
    candidate: str
    other: str | None = None
    reference: str | None = None
    row: int | None = None
    points: float | None = None
    fallback: str | None = None


class ExplainedEdit(_Kept):
    """One edit of the candidate with its reason."""

    was: str = ""
    now: str = ""
    reason: str | None = None
    reason_origin: str | None = None


class Verdicts(_Kept):
    """The pairwise judge's verdicts against one rival; ``net`` is share won − share lost."""

    n: int
    win: int
    tie: int
    loss: int
    net: Interval
    unanswered: int = 0


class ShareOfYes(_Kept):
    """Answers to a yes/no question: the share of yes among the ``n`` that were answered; None where ``n`` is 0."""

    asked: int
    n: int
    yes: int = 0
    unanswered: int = 0
    share: Interval | None = None


class Calibration(_Kept):
    """How far the judge agrees with people: per cent of ``n`` labelled pairs, and Cohen's kappa."""

    n: int
    agreement: float
    kappa: float


class JudgeSection(_Kept):
    """What the configured judge said.

    Attributes:
        says: why it could not be asked for verdicts; None where it was.
        questions_say: why it could not be asked the two questions.
        sentences: how many sentences of each system it was asked about.
        same_meaning: by system. reasons_true: by who wrote the reason.
    """

    name: str | None = None
    against: dict[str, Verdicts] = Field(default_factory=dict)
    calibration: Calibration | None = None
    says: str | None = None
    questions_say: str | None = None
    sentences: int | None = None
    same_meaning: dict[str, ShareOfYes] = Field(default_factory=dict)
    reasons_true: dict[str, ShareOfYes] | None = None


class Spread(_Kept):
    """Mean of grades from 1 to 5, and their standard deviation; None for a single grade."""

    mean: float
    sd: float | None = None


class ReviewedSystem(_Kept):
    """What people's reviews of one system come to (`core.review.summarise`)."""

    system: str
    adapter: str | None = None
    n: int = 0
    scenarios: int = 0
    total: int = 0
    reviewers: int = 0
    naturalness: Spread
    clarity: Spread


class ReportSection(_Kept):
    """What is shown of one evaluation set.

    Attributes:
        unchecked: what could not be checked for leaks.
        comparator: what stands in the comparator's row where it was not measured.
        stack: what the platform serves models behind (CORRECTLY_STACK).
        rival: the system that the candidate is compared with, type by type and sentence by sentence.
        systems: by the name they are shown under, in the order shown.
        differences: candidate minus each other system, by metric.
        draws: bootstrap resamples behind each interval.
        meddled: correct sentences that the candidate changed.
    """

    data: EvaluatedSet = Field(default_factory=EvaluatedSet)
    scorer: str = ""
    unchecked: str | None = None
    comparator: str | None = None
    stack: str = "model"
    rival: str = "base"
    systems: dict[str, SystemScores] = Field(default_factory=dict)
    differences: dict[str, dict[str, Interval]] = Field(default_factory=dict)
    draws: int = 1000
    types_of: dict[str, dict[str, TypeScores]] = Field(default_factory=dict)
    types: list[TypeDifference] = Field(default_factory=list)
    points: PointsSection | None = None
    better: list[ShownSentence] = Field(default_factory=list)
    worse: list[ShownSentence] = Field(default_factory=list)
    meddled: list[ShownSentence] = Field(default_factory=list)
    explanations: ExplanationCounts | None = None
    explanations_of: dict[str, ExplanationCounts] = Field(default_factory=dict)
    explained: list[ExplainedEdit] = Field(default_factory=list)
    judge: JudgeSection | None = None


class _Report(_Kept):
    """What both reports hold.

    Attributes:
        format: version of the fields.
        adapter: its ID.
        reasons: the gate's, one sentence each.
        provenance: what the adapter was built from, in words.
        seconds: what writing the report took, part by part.
    """

    format: int = 0
    adapter: str = ""
    verdict: Literal["promote", "refuse"] | None = None
    reasons: list[str] = Field(default_factory=list)
    provenance: dict[str, str] = Field(default_factory=dict)
    seconds: dict[str, float] | None = None

    def to_text(self) -> str:
        """The JSON file's text: the fields that were read or set, and no others."""
        return json.dumps(self.model_dump(mode="json", exclude_unset=True), indent=1, ensure_ascii=False) + "\n"


class AdapterReport(_Report, ReportSection):
    """An adapter's own report, on the frozen set.

    Attributes:
        measured: what the gate looked at, so that any later gate decides from the same.
    """

    measured: Measured | None = None

    @property
    def sections(self) -> Sequence[ReportSection]:
        """What it shows, set by set: itself alone."""
        return [self]


class FullReport(_Report):
    """Every system on every set, under the verdict of the adapter's own report."""

    sets: list[ReportSection] = Field(default_factory=list)

    @property
    def sections(self) -> Sequence[ReportSection]:
        """What it shows, set by set; the frozen set first."""
        return self.sets


Report = AdapterReport | FullReport
R = TypeVar("R", bound=_Report)


def read_report(directory: Path, kind: type[R] = AdapterReport, name: str = OWN) -> R:
    """Read and check the report ``NAME.json`` beside an adapter.

    Raises:
        ReportMissing: there is none.
        ReportError: it cannot be read, or holds a value that cannot be.
    """
    try:
        return kind.model_validate_json((directory / f"{name}.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ReportMissing(f"Adapter {directory.name} has no report: materialize eval_report first.") from error
    except (OSError, ValidationError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise ReportError(
            f"The report of adapter {directory.name} cannot be read ({why}): evaluate it again."
        ) from error


def find_report(directory: Path) -> AdapterReport | None:
    """An adapter's own report; None where there is none that can be read."""
    try:
        return read_report(directory)
    except ReportError:
        return None


def write_report_json(directory: Path, report: Report, name: str = OWN) -> str:
    """Write ``NAME.json`` beside an adapter in one step; returns its text.

    Raises:
        OSError: the disk is full or not writable; an older report stands.
    """
    text = report.to_text()
    write_text_atomically(directory / f"{name}.json", text)
    return text
