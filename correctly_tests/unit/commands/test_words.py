"""`correctly words`: what a team adds holds from the next answer on, for everybody or for one key."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from correctly_assets.core.errors import PermanentError
from correctly_assets.settings import Settings
from correctly_assets.workflows.house_file import HouseFile, changed_house_styles
from correctly_tests.commands import Run


def test_words_are_added_listed_and_removed(run: Run, settings: Settings) -> None:
    assert run("words", "add", "kubectl", "Data Vault", "--variety", "en-GB", "--leave", "comma")[0] == 0
    assert run("words", "add", "sign in", "--instead-of", "log in")[0] == 0
    assert run("words", "add", "gonna", "--variety", "en-US", "--key", "ann")[0] == 0
    code, out, _ = run("words", "list", "--json")
    assert code == 0 and json.loads(out) == {
        "variety": "en-GB", "keep": ["kubectl", "Data Vault"], "terms": {"log in": "sign in"}, "leave": ["COMMA"],
        "keys": {"ann": {"variety": "en-US", "keep": ["gonna"], "terms": {}, "leave": []}},
    }  # fmt: skip
    mine = json.loads(run("words", "list", "--key", "ann", "--json")[1])
    assert mine["variety"] == "en-US" and mine["keep"] == ["kubectl", "Data Vault", "gonna"]
    shown = run("words", "list")[1]
    assert "“sign in”, not “log in”" in shown and "For ann:" in shown
    assert settings.platform.house_style_path.stat().st_mode & 0o077 == 0
    assert run("words", "remove", "kubectl", "log in", "--variety", "--leave", "comma")[0] == 0
    left = json.loads(run("words", "list", "--json")[1])
    assert (left["variety"], left["keep"], left["terms"], left["leave"]) == (None, ["Data Vault"], {}, [])


def test_a_file_of_words_is_added(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# ours\nkubectl\nData Vault  # a product\nlog in -> sign in\n\n", encoding="utf-8")
    found = json.loads(run("words", "add", "--file", str(path), "--json")[1])
    assert (found["keep"], found["terms"]) == (["kubectl", "Data Vault"], {"log in": "sign in"})


@pytest.mark.parametrize(
    "words",
    [
        ["add"], ["remove"], ["remove", "never added"], ["add", "--variety", "en-AU"], ["add", "--leave", "x"],
        ["add", "a", "b", "--instead-of", "c"], ["add", "--file", "/nowhere/words.txt"],
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_writes_no_word(run: Run, settings: Settings, words: list[str]) -> None:
    code, _, err = run("words", *words)
    assert code == 2 and err.strip()
    assert "keep" not in (
        settings.platform.house_style_path.read_text() if settings.platform.house_style_path.exists() else ""
    )


def test_of_words_added_at_once_none_is_lost(settings: Settings) -> None:
    path = settings.platform.house_style_path

    def one(number: int) -> None:
        from correctly_assets.core.house_style import HouseStyle

        with changed_house_styles(path) as styles:
            styles.all = styles.all.with_(HouseStyle(keep=(f"w{number}",)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(40)))
    assert len(HouseFile(path).styles().all.keep) == 40


def test_a_file_written_by_hand_is_read_again_and_a_broken_one_named(settings: Settings) -> None:
    path = settings.platform.house_style_path
    path.parent.mkdir(parents=True, exist_ok=True)
    house = HouseFile(path)
    assert not house.styles().all
    path.write_text("keep: [kubectl]\nterms: {log in: sign in}\nkeys: {ann: {variety: en-US}}\n")
    assert house.styles().all.keep == ("kubectl",) and house.styles().of("ann").variety == "en-US"
    path.write_text("keep: kubectl\n")
    with pytest.raises(PermanentError, match="cannot be read"):
        house.styles()
