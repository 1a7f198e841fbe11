"""`correctly points`: the catalogue as people and programs read it."""

from __future__ import annotations

import json

from correctly_assets.language.points import areas, load_points
from correctly_tests.commands import Run


def test_every_point_is_listed_with_its_level_and_name(run: Run) -> None:
    code, out, _ = run("points")
    lines = [line.split(maxsplit=2) for line in out.splitlines() if line.startswith("  ")]
    assert code == 0
    assert [tuple(line) for line in lines] == [(p.id, p.level, p.name) for p in load_points().values()]


def test_an_area_lists_its_own_points_and_their_count(run: Run) -> None:
    first, *lines = run("points", "--area", "tense")[1].splitlines()
    assert first == f"tense: {len(lines)}"
    assert [line.split()[0] for line in lines] == list(areas()["tense"])


def test_a_program_gets_the_texts_and_the_example_of_each_point(run: Run) -> None:
    listed = json.loads(run("points", "--area", "tense", "--json")[1])
    assert [each["id"] for each in listed] == list(areas()["tense"])
    [since] = [each for each in listed if each["id"] == "perfect_since"]
    point = load_points()["perfect_since"]
    assert (since["area"], since["name"], since["level"]) == ("tense", point.name, point.level)
    assert since["en"]["short"] == point.en.short and since["ko"]["long"] == point.ko.long
    assert since["example"] == {"wrong": point.example.wrong, "right": point.example.right}
    assert len(json.loads(run("points", "--json")[1])) == len(load_points())


def test_an_unknown_area_is_refused_with_the_areas_there_are(run: Run) -> None:
    code, out, err = run("points", "--area", "tenses")
    assert code == 2 and out == ""
    assert "'tenses'" in err and "articles" in err and "general" not in err
