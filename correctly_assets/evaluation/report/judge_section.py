"""How the judge's part of a report reads: verdicts, whether changes keep the meaning, whether reasons are true.

Belongs here: its sentences and rows. Does not belong here: asking (judge.py, questions.py), the page (pages.py).
"""

from __future__ import annotations

from correctly_assets.artifacts.reports import JudgeSection, ShareOfYes
from correctly_assets.evaluation.report.report_wording import cell, signed, span

NO_JUDGE = (
    "No judge is configured, so nobody was asked which answer reads better, whether a changed sentence still means the "
    "same, or whether a reason is true. Set CORRECTLY_JUDGE_MODEL and CORRECTLY_JUDGE_BASE_URL, and measure the judge "
    "against people with `correctly judge calibrate`. The gate does not need one."
)
Row = tuple[str, str, str, str]
"""Of whom, how many were asked about, the share of yes with its interval and n, how many stayed unanswered."""


def about_the_judge(judge: JudgeSection | None) -> str:
    """Who judged, what came of it, and how far people agree; or why there is nothing."""
    if judge is None:
        return NO_JUDGE
    if judge.says:
        return f"{judge.name} could not be asked, so its verdicts are left out. {judge.says}"
    calibration = judge.calibration
    agreement = (
        f"It agrees with people in {calibration.agreement:.0f} % of {calibration.n} labelled pairs "
        f"(kappa {calibration.kappa:.2f})."
        if calibration
        else "It has not been measured against people: run `correctly judge calibrate`."
    )
    verdicts = "; ".join(
        f"against {name}, {v.n} sentences: {v.win} won, {v.tie} tied, {v.loss} lost, "
        f"{signed(v.net)} points net{_unanswered(v.unanswered)}"
        for name, v in judge.against.items()
    )
    left_out = judge.questions_say
    questions = f" Whether meaning is kept and reasons are true could not be asked: {left_out}" if left_out else ""
    return f"{judge.name}, both orders, ties allowed. The candidate {verdicts}. {agreement}{questions}"


def _unanswered(count: int) -> str:
    return f" ({count} more got no verdict that could be read)" if count else ""


def questions_rows(judge: JudgeSection | None) -> list[Row]:
    """ "Same meaning?" by system; empty where nothing was asked."""
    return [_row(name, one) for name, one in judge.same_meaning.items()] if judge else []


def reasons_rows(judge: JudgeSection | None) -> list[Row]:
    """ "Is this reason true?" by who wrote the reason; empty where nothing was asked."""
    return [_row(name, one) for name, one in (judge.reasons_true or {}).items()] if judge else []


def questions_lines(judge: JudgeSection | None) -> list[str]:
    """Both as Markdown tables."""
    lines: list[str] = []
    for head, answer, rows in (
        ("Changed sentences of", "judged same meaning", questions_rows(judge)),
        ("Reasons written by", "judged true", reasons_rows(judge)),
    ):
        if rows:
            lines += [f"| {head} | asked about | {answer} | unanswered |", "| --- | --: | --: | --: |"]
            lines += [f"| {cell(name)} | {asked} | {share} | {left} |" for name, asked, share, left in rows] + [""]
    return lines


def _row(name: str, one: ShareOfYes) -> Row:
    share = "–" if one.share is None else f"{span(one.share)} %, n = {one.n}"
    return name, str(one.asked), share, str(one.unanswered)
