"""What the embedded teacher worked out is kept: only new texts reach the parser and the annotator."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.landing import identified
from correctly_assets.core.types import Example
from correctly_assets.settings import PROJECT_ROOT, get_settings
from correctly_assets.teachers.embedded.analysis_cache import AnalysisCache
from correctly_assets.teachers.embedded.embedded_teacher import EmbeddedTeacher
from correctly_assets.teachers.embedded.sentence import Slip
from correctly_assets.workflows.forget_example import forget_example
from correctly_assets.workflows.make_teacher import make_analysis_cache
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.unit.teachers.test_embedded import CountingAnnotator, CountingParser

PROMPTS = PROJECT_ROOT / "prompts"
EXAMPLES = [
    Example("e1", "She go to the market every day.", "She goes to the market every day."),
    Example("e2", "I am looking forward to see you on monday.", "I am looking forward to seeing you on Monday."),
    Example("s1", "The bus was late because it snowed.", "The bus was late because it snowed."),
    Example("s2", "He has lived in this town since 1998.", "He has lived in this town since 1998."),
]


def teacher(path: Path, by: str = "v1") -> tuple[EmbeddedTeacher, CountingAnnotator, CountingParser]:
    annotator, parser = CountingAnnotator(), CountingParser()
    made = EmbeddedTeacher(
        prompts_dir=PROMPTS, annotator=annotator, parser=parser, analysis_cache=AnalysisCache(path, by)
    )
    return made, annotator, parser


def test_what_was_read_once_is_not_read_again_and_gives_the_same_pairs(tmp_path: Path) -> None:
    first, annotator, parser = teacher(tmp_path / "kept.sqlite")
    plain = EmbeddedTeacher(prompts_dir=PROMPTS, annotator=CountingAnnotator())
    written = first.write_pairs(EXAMPLES, count=12, seed=1)
    assert annotator.texts and parser.texts
    assert written == plain.write_pairs(EXAMPLES, count=12, seed=1)
    second, annotator, parser = teacher(tmp_path / "kept.sqlite")
    assert second.write_pairs(EXAMPLES, count=12, seed=1) == written
    assert annotator.texts == parser.texts == 0


def test_one_example_more_is_all_that_is_read(tmp_path: Path) -> None:
    teacher(tmp_path / "kept.sqlite")[0].write_pairs(EXAMPLES, count=12, seed=1)
    new = Example("e3", "We was tired after the long walk.", "We were tired after the long walk.")
    again, annotator, parser = teacher(tmp_path / "kept.sqlite")
    again.write_pairs([*EXAMPLES, new], count=15, seed=1)
    assert (annotator.texts, parser.texts) == (2, 1)


def test_another_version_of_what_reads_them_finds_nothing(tmp_path: Path) -> None:
    teacher(tmp_path / "kept.sqlite")[0].write_pairs(EXAMPLES, count=12, seed=1)
    again, annotator, parser = teacher(tmp_path / "kept.sqlite", "v2")
    again.write_pairs(EXAMPLES, count=12, seed=1)
    assert annotator.texts and parser.texts


def test_a_slip_comes_back_as_it_was() -> None:
    slip = Slip("since_for", "PREP", "R", 3, 8, ("for",), frozenset({4, 2}), frozenset({7}), (("right", "since"),), 0.5)
    assert Slip.from_json(slip.to_json()) == slip


def test_a_value_is_found_by_its_kind_and_whole_source_alone(tmp_path: Path) -> None:
    kept = AnalysisCache(tmp_path / "kept.sqlite", "v1")
    kept.keep("edits", {("a", "b"): [1], ("a", "c"): [2]})
    assert kept.find("edits", [("a", "c"), ("a", "d")]) == {("a", "c"): [2]}
    assert kept.find("slips", [("a", "c")]) == {}


def test_the_longest_kept_go_first(tmp_path: Path) -> None:
    kept = AnalysisCache(tmp_path / "kept.sqlite", "v1", kept=3)
    for n in range(5):
        kept.keep("slips", {(str(n),): n})
    assert kept.find("slips", [(str(n),) for n in range(5)]) == {("2",): 2, ("3",): 3, ("4",): 4}


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "kept.sqlite"
    path.write_bytes(b"no database at all" * 100)
    kept = AnalysisCache(path, "v1")
    kept.keep("slips", {("a",): 1})
    assert kept.find("slips", [("a",)]) == {("a",): 1}


def test_a_file_that_goes_while_it_is_in_use_is_begun_anew(tmp_path: Path) -> None:
    kept = AnalysisCache(tmp_path / "kept.sqlite", "v1")
    (tmp_path / "kept.sqlite").unlink()
    assert kept.find("slips", [("a",)]) == {}
    kept.keep("slips", {("a",): 1})
    assert kept.find("slips", [("a",)]) == {("a",): 1}


def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(PermanentError, match="remove the file: it holds nothing that cannot be made again"):
        AnalysisCache(tmp_path / "file" / "kept.sqlite", "v1")


def test_what_was_worked_out_of_an_example_that_is_forgotten_goes_with_it() -> None:
    settings = get_settings()
    example = identified(replace(EXAMPLES[0], id=""))
    with open_platform_store(settings.platform) as store:
        store.land([example])
        make_analysis_cache(settings.platform).keep("slips", {(example.before,): ["market"]})
        with closing(sqlite3.connect(settings.platform.worked_out_path)) as connection:
            assert connection.execute("SELECT count(*) FROM worked_out").fetchone() == (1,)
        forget_example(settings, store, example.id)
    assert not settings.platform.worked_out_path.exists()
