"""The command line as tests call it.

Belongs here: running a command in this process. Does not belong here: what it is run on, or assertions on what it says.
"""

from __future__ import annotations

from typer.testing import CliRunner

from correctly_assets.cli import app


def invoke(*words: str) -> str:
    """What a command prints; its error is raised as itself."""
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout
