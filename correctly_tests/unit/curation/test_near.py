"""Near-duplicates: all of them are found, none is made up, and the split they inherit holds over time."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.text import normalise, split_of
from correctly_assets.curation import near
from correctly_assets.curation.near import NearIndex
from correctly_assets.settings import PROJECT_ROOT
from correctly_tests.fault_table import Row

pytestmark = pytest.mark.slow

STARTER = PROJECT_ROOT / "correctly_assets" / "starter" / "sentences.jsonl"


def grams(text: str) -> set[bytes]:
    data = b"\x01" + normalise(text).encode() + b"\x02" * 4
    return {data[place : place + 5] for place in range(len(data) - 4)}


def sentences() -> list[str]:
    return [json.loads(line)["before"] for line in STARTER.read_text().splitlines()]


def altered(text: str, chance: random.Random) -> str:
    words = text.split()
    words[chance.randrange(len(words))] = chance.choice(["the", "quite", "", "x"])
    return " ".join(words)


@pytest.mark.slow
def test_nearly_every_pair_that_brute_force_finds_is_found_and_no_other() -> None:
    chance = random.Random(1)
    texts = sentences()[:500]
    texts += [altered(text, chance) for text in texts for _ in range(2)]
    chance.shuffle(texts)
    sets = [grams(text) for text in texts]
    alike = {
        (one, two)
        for one, two in combinations(range(len(texts)), 2)
        if len(sets[one] & sets[two]) >= 0.8 * len(sets[one] | sets[two])
    }
    assert len(alike) > 200
    late = {two for _, two in alike}
    placed = list(NearIndex().place((str(number), text) for number, text in enumerate(texts)))
    found = {int(place.id) for place in placed if place.near}
    assert len(found & late) >= 0.95 * len(late)
    assert found <= late
    for place in placed:
        if place.near:
            one, two = sets[int(place.id)], sets[int(place.near.id)]
            assert place.near.similarity == pytest.approx(len(one & two) / len(one | two))


def opposite(text: str) -> str:
    """The text with a word behind it so that its own split is the other one."""
    for number in range(1000):
        other = f"{text} {number}"
        if split_of(other) != split_of(text):
            return other
    raise AssertionError


LONG = "The committee has not yet decided whether the new bridge over the river will be paid for by the town"


def test_a_near_duplicate_inherits_the_split_of_the_earlier_text() -> None:
    first, second = NearIndex().place([("a", LONG), ("b", opposite(LONG))])
    assert (first.split, first.near) == (split_of(LONG), None)
    assert second.split == first.split != split_of(opposite(LONG))
    assert second.near is not None
    assert second.near.id == "a"


def test_equal_texts_in_other_spelling_are_near() -> None:
    _, second = NearIndex().place([("a", "He goes home."), ("b", "he  goes HOME")])
    assert second.near is not None
    assert second.near.similarity == 1.0


def test_a_text_near_to_both_splits_straddles_and_is_not_remembered() -> None:
    # Far enough from each other, and the third one half-way between the two.
    for number in range(200):
        one = f"{LONG} {'alpha beta gamma delta'} {number}"
        two = f"{LONG} {'kappa sigma omega theta'} {number}"
        if split_of(one) != split_of(two):
            break
    index = NearIndex(threshold=0.75)
    first, second, third = index.place([("a", one), ("b", two), ("c", f"{LONG} alpha beta omega theta {number}")])
    assert (first.near, second.near) == (None, None)
    assert third.split is None
    assert third.near is not None
    assert len(index) == 2


def test_what_was_placed_keeps_its_split_in_later_calls_and_processes(tmp_path: Path) -> None:
    texts = [(f"id{number}", text) for number, text in enumerate(sentences()[:300])]
    first = list(NearIndex(tmp_path / "near").place(texts, batch=100))
    index = NearIndex(tmp_path / "near")
    assert len(index) == 300
    assert [place.split for place in index.place(reversed(texts))] == [place.split for place in reversed(first)]
    assert len(index) == 300
    [again] = index.place([("new", texts[7][1])])
    assert again.near is not None
    assert (again.near.id, again.split) == ("id7", first[7].split)


def test_segments_are_merged_without_losing_a_text(tmp_path: Path) -> None:
    texts = [(f"id{number}", text) for number, text in enumerate(sentences()[:200])]
    index = NearIndex(tmp_path / "near")
    first = list(index.place(texts, batch=5))
    assert len(list((tmp_path / "near").iterdir())) <= near._MERGE
    for reopened in (index, NearIndex(tmp_path / "near")):
        assert len(reopened) == 200
        assert [place.split for place in reopened.place(texts)] == [place.split for place in first]
        found = list(reopened.place([(f"copy{id}", text) for id, text in texts], batch=200))
        assert all(place.near and place.near.similarity == 1.0 for place in found)
        break


def test_a_removed_text_is_in_no_file_and_the_others_keep_splits_and_order(tmp_path: Path) -> None:
    index = NearIndex(tmp_path)
    for number in range(3):
        list(
            index.place(
                (f"{number}-{n}", f"A sentence about {word} of {number}.") for n, word in enumerate(("ferrets", "owls"))
            )
        )
    splits = {placed.id: placed.split for placed in NearIndex(tmp_path).place((id, "") for id in ("0-0", "1-1", "2-0"))}
    assert index.remove(["1-0", "nowhere"]) == 1 and index.remove(["1-0"]) == 0
    for opened in (index, NearIndex(tmp_path)):
        assert len(opened) == 5
        assert opened.earliest_first(["2-0", "never", "1-1", "0-0"]) == ["0-0", "1-1", "2-0", "never"]
        assert {p.id: p.split for p in opened.place([("0-0", ""), ("1-1", ""), ("2-0", "")])} == splits
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"ferrets of 1" not in kept and b"owls of 1" in kept and b"1-0" not in kept


def test_the_last_text_may_be_removed_and_others_placed_after_it(tmp_path: Path) -> None:
    index = NearIndex(tmp_path)
    list(index.place([("one", "A single sentence about ferrets.")]))
    assert index.remove(["one"]) == 1
    again = NearIndex(tmp_path)
    assert len(again) == 0 and len(list(again.place([("two", "A single sentence about owls.")]))) == 1


def test_a_merge_killed_half_way_is_finished_when_the_index_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "near"
    texts = [(f"id{number}", text) for number, text in enumerate(sentences()[:100])]
    list(NearIndex(folder).place(texts, batch=50))
    names = sorted(path.name for path in folder.iterdir())
    about = folder / names[-1] / "about.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "replaces": names[:1]}))
    assert len(NearIndex(folder)) == 50
    assert sorted(path.name for path in folder.iterdir()) == names[1:]


@pytest.mark.fault(
    fault="kill -9 while the index of near-duplicates is built",
    stage="train_set",
    expected="whole segments are kept and can be read",
)
def test_a_killed_build_leaves_whole_segments(tmp_path: Path, observed: Row) -> None:
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from correctly_assets.curation.near import NearIndex\n"
        "for place in NearIndex(Path(sys.argv[1])).place(((str(n), f'text number {n * n} is {n}') for n in range(10**7)),"
        " batch=200):\n"
        "    if int(place.id) % 200 == 0: print(place.id, flush=True)\n"
    )
    folder = tmp_path / "near"
    child = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, cwd=PROJECT_ROOT)
    assert child.stdout is not None
    for _ in range(4):
        child.stdout.readline()
    child.kill()
    child.wait()
    child.stdout.close()
    kept = len(NearIndex(folder))
    observed(f"{kept} texts in segments of 200 are there", rows_lost=kept % 200)
    assert kept >= 600


def test_a_folder_that_is_no_index_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "00000001").mkdir()
    with pytest.raises(PermanentError, match="to build it again"):
        NearIndex(tmp_path)


def test_nothing_and_texts_without_a_word_are_placed_too() -> None:
    assert list(NearIndex().place([])) == []
    placed = list(NearIndex().place([("a", ""), ("b", "?!"), ("c", "x")]))
    assert [place.split is not None for place in placed] == [True, True, True]
