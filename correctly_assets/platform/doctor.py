"""`correctly doctor`: every check in turn, what can be put right, and the findings as lines.

Belongs here: running and printing the checks. Does not belong here: the checks (doctor_checks.py), the bundle
(doctor_bundle.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.platform.doctor_checks import CHECKS, FIXES, Check, Finding
from correctly_assets.settings import Settings


def examine(settings: Settings, *, fix: bool = False, checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """Run every check; one that cannot be made is a problem of its own and stops no other.

    Args:
        fix: put right what has a fix, and look again.
    """
    found: list[Finding] = []
    for check in checks:
        finding = _run(check, settings)
        if fix and finding.status != "ok" and check in FIXES:
            FIXES[check](settings)
            after = _run(check, settings)
            finding = replace(after, fixed=after.status == "ok")
        found.append(finding)
    return found


def _run(check: Check, settings: Settings) -> Finding:
    name = check.__name__.removeprefix("check_")
    try:
        return check(settings)
    except CorrectlyError as error:
        return Finding(name, "problem", str(error), "Do what the sentence says, and run `correctly doctor` again.")
    except (OSError, ValueError) as error:
        return Finding(
            name, "problem", f"This could not be checked ({type(error).__name__}).", "See `correctly logs up`."
        )


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """One line a check, and the remedy below it."""
    marks = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "problem": "[red]problem[/]"}
    for finding in findings:
        fixed = " (put right)" if finding.fixed else ""
        console.print(f"{marks[finding.status]}  {finding.name:<13}", end="", highlight=False)
        console.print(f"{finding.message}{fixed}", highlight=False, markup=False, soft_wrap=True)
        if finding.remedy:
            console.print(f"{'':24}{finding.remedy}", highlight=False, markup=False, soft_wrap=True)
