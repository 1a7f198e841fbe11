"""Shell completion, as bash asks for it."""

from __future__ import annotations

import pytest

from correctly_tests.commands import Run


def complete(run: Run, monkeypatch: pytest.MonkeyPatch, words: str) -> list[str]:
    monkeypatch.setenv("_CORRECTLY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    return run()[1].split()


def test_a_shell_completes_commands_and_options(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(run, monkeypatch, "correctly bac") == ["backup"]
    assert "--bundle" in complete(run, monkeypatch, "correctly doctor --b")
