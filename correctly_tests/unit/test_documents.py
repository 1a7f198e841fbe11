"""The pages for contributors: every file that they name exists, and the glossary stays short."""

from __future__ import annotations

import re

import pytest

from correctly_assets.settings import PROJECT_ROOT

ROOTS = ("correctly_assets", "correctly_tests", "sql", "prompts", "benchmarks", "deploy", "docs")
PATH = re.compile(rf"\b(?:{'|'.join(ROOTS)})/[\w./-]*\w/?")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


PAGES = [
    "CONTRIBUTING.md", "GLOSSARY.md", "docs/architecture.md", "docs/capacity.md", "docs/languages.md", "docs/questions.md",
    "deploy/examples/compose/README.md", "deploy/examples/kubernetes/README.md",
    "deploy/examples/ray/README.md",
]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    path = PROJECT_ROOT / page
    text = path.read_text(encoding="utf-8")
    missing = [name for name in PATH.findall(text) if not (PROJECT_ROOT / name).exists()]
    missing += [link for link in LINK.findall(text) if not (path.parent / link).exists()]
    assert not missing


def test_the_picture_names_a_file_for_each_of_its_stops() -> None:
    text = (PROJECT_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture, tables = re.findall(r"\"(\d+) ", text), re.findall(r"(?m)^\| (\d+) \|.*`correctly_assets/.+\.py`", text)
    assert set(picture) == set(tables) != set()


def test_every_room_has_a_line_in_the_house() -> None:
    text = (PROJECT_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (PROJECT_ROOT / "correctly_assets").glob("*/__init__.py")}
    assert {room for room in rooms if f"`{room}/`" not in text} == set()


def test_the_glossary_has_at_most_25_words() -> None:
    text = (PROJECT_ROOT / "GLOSSARY.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert 0 < len(rows) <= 25
