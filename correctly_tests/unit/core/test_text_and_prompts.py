"""Edits, splits, leaks, prompts and content addresses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from correctly_assets.artifacts.directory import write_artefact
from correctly_assets.artifacts.manifests import Manifest, TrainSetManifest
from correctly_assets.core.edits import accept_edits, apply_edits, reason_for
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.prompts import fill, load_prompts
from correctly_assets.core.text import leaks, split_of
from correctly_assets.core.types import Edit, Reason
from correctly_assets.settings import PROJECT_ROOT

BEFORE = "He go to home."
EDITS = (Edit(3, 5, "go", "goes", "R:VERB:SVA"), Edit(6, 9, "to ", "", "U:PREP"))


def test_edits_apply_in_any_order_and_one_by_one():
    assert apply_edits(BEFORE, reversed(EDITS)) == "He goes home."
    assert accept_edits(BEFORE, EDITS, [1]) == "He go home."


@pytest.mark.parametrize(
    "edits",
    [
        [Edit(3, 5, "went", "goes", "R:VERB")],
        [Edit(3, 5, "go", "goes", "R:VERB"), Edit(4, 6, "o ", "x", "R:OTHER")],
        [Edit(12, 20, "me.", "x", "R:OTHER")],
    ],
)
def test_an_edit_that_does_not_fit_is_refused(edits):
    with pytest.raises(ValueError, match="edit at"):
        apply_edits(BEFORE, edits)


def test_a_landed_reason_finds_its_edit_by_words():
    reasons = [Reason("go", "goes", "third person"), Reason("to", "", "no preposition")]
    assert reason_for(EDITS[0], reasons) == "third person"
    assert reason_for(EDITS[1], reasons) == "no preposition"
    assert reason_for(Edit(0, 2, "He", "She", "R:PRON"), reasons) is None


@given(st.text())
def test_a_rows_split_depends_on_its_normal_form_alone(text):
    assert split_of(text) == split_of(f"  {text} ")


def test_leaks_are_found_by_equal_text_and_by_shared_eight_words():
    evaluation = ["The quick brown fox jumps over the lazy dog today.", "Short one."]
    training = ["short ONE", "I saw that the quick brown fox jumps over the lazy cat.", "Nothing alike here."]
    assert leaks(training, evaluation) == {training[0]: evaluation[1], training[1]: evaluation[0]}


def test_braces_in_a_users_text_are_left_alone():
    assert fill("Say {a}: {b}", a="{b}", b="x {a}") == "Say {b}: x {a}"


def test_every_chat_family_ends_where_the_answer_begins():
    for family, opening in (("gemma3", "model\n"), ("chatml", "assistant\n"), ("llama3", "\n\n")):
        prompts = load_prompts(PROJECT_ROOT / "prompts", family)
        rendered = prompts.correct_prompt("He go home.")
        assert rendered.count("He go home.") == 1
        assert rendered.endswith(opening)


def test_an_unknown_family_or_a_missing_file_says_what_to_do(tmp_path: Path):
    with pytest.raises(PermanentError, match="choose one of"):
        load_prompts(PROJECT_ROOT / "prompts", "alpaca")
    with pytest.raises(PermanentError, match="restore prompts/"):
        load_prompts(tmp_path)


def test_an_equal_artefact_keeps_its_files_and_takes_newer_provenance(tmp_path: Path):
    def fill_it(directory: Path) -> None:
        (directory / "a").write_text("one")

    def manifest() -> dict[str, object]:
        return json.loads((path / "manifest.json").read_text())

    _, path = write_artefact(tmp_path, fill_it, content=["a"], manifest=TrainSetManifest(rows=1, seed=1))
    (path / "report.json").write_text("{}")
    write_artefact(tmp_path, fill_it, content=["a"], manifest=TrainSetManifest(rows=2))
    assert manifest()["rows"] == 1
    write_artefact(tmp_path, fill_it, content=["a"], manifest=TrainSetManifest(rows=2), renew=True)
    assert (manifest()["rows"], manifest()["seed"], manifest()["id"]) == (2, 1, path.name)
    assert (path / "report.json").exists() and (path / "manifest.json").stat().st_mode & 0o044


def test_an_artefact_is_named_by_content_and_a_failed_write_leaves_none(tmp_path: Path):
    def fill_it(directory: Path) -> None:
        (directory / "a").write_text("one")

    first, path = write_artefact(tmp_path, fill_it, content=["a"], manifest=TrainSetManifest(seed=1))
    second, _ = write_artefact(tmp_path, fill_it, content=["a"], manifest=TrainSetManifest(seed=2))
    assert first == second
    assert (path / "manifest.json").exists()

    def break_it(directory: Path) -> None:
        (directory / "a").write_text("two")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_artefact(tmp_path, break_it, content=["a"], manifest=Manifest())
    assert [p.name for p in tmp_path.iterdir()] == [first]
