"""The embedded teacher: what it puts in, that its edits take it out again, and how it is spread."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.ports import Completions
from correctly_assets.core.taxonomy import ERRANT_TYPES, family
from correctly_assets.core.types import Edit, Example, Reason, TokenEdit, TrainPair
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.points.choose_point import explain
from correctly_assets.language.points import load_points
from correctly_assets.settings import Settings
from correctly_assets.teachers.embedded import rules
from correctly_assets.teachers.embedded.embedded_teacher import EmbeddedTeacher, temptations
from correctly_assets.teachers.embedded.injection import Mix, put_in
from correctly_assets.teachers.embedded.rules import slips_in
from correctly_assets.teachers.embedded.sentence import Parser, Sentence, Slip, load_data
from correctly_assets.teachers.embedded.spelling_words import misspellings
from correctly_assets.teachers.landed_edits import diff_edits
from correctly_assets.workflows.make_teacher import make_platform_teacher
from correctly_assets.workflows.retrain_state import recipe

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
PROMPTS = ROOT / "prompts"
POINTS = load_points(PROMPTS / "grammar")
STARTER = ROOT / "correctly_assets" / "starter"


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    found = []
    for line in (STARTER / "examples.jsonl").read_text(encoding="utf-8").splitlines()[:120]:
        row = json.loads(line)
        reasons = tuple(Reason(**r) for r in row["reasons"])
        found.append(
            Example(f"x{len(found)}", row["before"], row["after"], reasons, form=row["form"], verified=len(found) < 5)
        )
    for line in (STARTER / "sentences.jsonl").read_text(encoding="utf-8").splitlines()[:300]:
        row = json.loads(line)
        text = row.get("text") or row["before"]
        found.append(Example(f"s{len(found)}", text, text))
    return found


@pytest.fixture(scope="module")
def teacher() -> EmbeddedTeacher:
    return EmbeddedTeacher(prompts_dir=PROMPTS)


@pytest.fixture(scope="module")
def pairs(teacher: EmbeddedTeacher, examples: list[Example]) -> list[TrainPair]:
    return [written.pair for written in teacher.write_pairs(examples, count=1500, seed=7).pairs]


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser()


def slips(parser: Parser, text: str) -> list[tuple[str, str, str]]:
    """(rule, right, wrong) of every slip in a text."""
    sentence = next(iter(parser.parse([text])))
    return [(s.rule, text[s.start : s.end], wrong) for s in slips_in(sentence) for wrong in s.wrongs]


def test_an_example_more_moves_none_of_the_others(teacher: EmbeddedTeacher, examples: list[Example]) -> None:
    def order(some: list[Example]) -> list[str]:
        pairs = [written.pair for written in teacher.write_pairs(some, count=200, seed=7).pairs]
        return list(dict.fromkeys(pair.example_id for pair in pairs if pair.origin == "injected"))

    few, more = order(examples[100:130]), order(examples[99:130])
    assert len(few) > 20 and [id for id in more if id != examples[99].id] == few


def test_the_edits_of_every_pair_turn_it_into_its_correction(pairs: list[TrainPair]) -> None:
    assert len(pairs) == 1500
    for pair in pairs:
        assert apply_edits(pair.before, pair.edits) == pair.after
        assert (pair.before == pair.after) is (pair.origin == "bait")
        assert all(pair.before[e.start : e.end] == e.was for e in pair.edits)


def test_every_pair_knows_the_example_that_it_comes_from(pairs: list[TrainPair], examples: list[Example]) -> None:
    known = {e.id: e for e in examples}
    assert all(pair.after == known[pair.example_id].after for pair in pairs)
    splits: dict[str, set[str]] = {}
    for pair in pairs:
        splits.setdefault(pair.example_id, set()).add(pair.split)
    assert all(len(split) == 1 for split in splits.values())


def test_every_injected_edit_has_a_filled_reason_and_a_type_of_errant(
    pairs: list[TrainPair],
) -> None:
    for pair in pairs:
        for edit in pair.edits if pair.origin == "injected" else ():
            assert edit.reason and "{" not in edit.reason and edit.reason[-1] == "."
            assert edit.type[:2] in {"R:", "M:", "U:"} and family(edit.type) in ERRANT_TYPES


def test_the_same_seed_writes_the_same_pairs_and_another_seed_others(
    teacher: EmbeddedTeacher, examples: list[Example], pairs: list[TrainPair]
) -> None:
    again = EmbeddedTeacher(prompts_dir=PROMPTS).write_pairs(list(reversed(examples)), count=1500, seed=7)
    assert [w.pair for w in again.pairs] == pairs
    other = teacher.write_pairs(examples, count=1500, seed=8)
    assert len({w.pair.before for w in other.pairs} & {p.before for p in pairs if p.origin == "injected"}) < 150


def test_three_in_ten_pairs_are_bait_and_landed_corrections_stay(
    pairs: list[TrainPair], examples: list[Example]
) -> None:
    origins = Counter(pair.origin for pair in pairs)
    assert origins["bait"] == pytest.approx(0.3 * len(pairs), rel=0.12)
    corrections = [e for e in examples if e.before != e.after]
    kept = {(p.before, p.after) for p in pairs if p.origin in {"example", "human"}}
    assert len(kept) >= 0.95 * len(corrections)
    assert {p.example_id for p in pairs if p.origin == "human"} == {e.id for e in corrections if e.verified}


def test_pairs_are_spread_evenly_and_a_text_is_never_corrupted_twice_alike(pairs: list[TrainPair]) -> None:
    injected = Counter(p.example_id for p in pairs if p.origin == "injected")
    assert max(injected.values()) - min(injected.values()) <= 2
    assert len({(p.before, p.after) for p in pairs}) == len(pairs)


def test_the_number_of_edits_follows_learners_writing(pairs: list[TrainPair]) -> None:
    counts = Counter(min(5, len(p.edits)) for p in pairs if p.origin == "injected")
    total = sum(counts.values())
    for edits, share in {1: 39, 2: 23, 3: 16, 4: 8}.items():
        assert 100 * counts[edits] / total == pytest.approx(share, abs=8)


def test_the_mix_keeps_close_to_its_table_for_the_common_kinds(
    pairs: list[TrainPair], teacher: EmbeddedTeacher
) -> None:
    written = Counter(family(e.type) for p in pairs if p.origin == "injected" for e in p.edits)
    total, target = sum(written.values()), sum(teacher.mix.kinds.values())
    for kind in ("DET", "PREP", "SPELL", "PUNCT", "NOUN:NUM", "VERB:FORM", "VERB:SVA", "ORTH"):
        assert 100 * written[kind] / total == pytest.approx(100 * teacher.mix.kinds[kind] / target, abs=6), kind
    assert len([kind for kind, n in written.items() if n >= 3]) >= 18


def test_reasons_are_written_in_korean_when_asked(examples: list[Example]) -> None:
    korean = EmbeddedTeacher(prompts_dir=PROMPTS, reason_language="ko").write_pairs(examples, count=300, seed=7)
    reasons = [e.reason or "" for w in korean.pairs if w.pair.origin == "injected" for e in w.pair.edits]
    assert reasons and all(re.search("[가-힣]", reason) for reason in reasons)


def test_every_injected_edit_names_its_point_and_is_told_it_in_full(pairs: list[TrainPair]) -> None:
    edits = [edit for pair in pairs if pair.origin == "injected" for edit in pair.edits]
    assert len(edits) > 500
    for edit in edits:
        assert edit.point in POINTS
        assert edit.reason and '""' not in edit.reason and "{" not in edit.reason


def test_every_rule_is_named_by_a_grammar_point() -> None:
    """Rules are named in calls of `swap`, `drop` and `add`, in phrases.yaml and in mix.yaml."""
    place = {"swap": 4, "drop": 2, "add": 3}
    named = {entry.get("why", "phrase") for entry in load_data("phrases.yaml")}
    mix = load_data("mix.yaml")
    named |= {*mix["caps"], *(rule for pack in mix["packs"].values() for rule in pack.get("rules", {}))}
    for path in Path(rules.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in place:
                for part in node.args[place[node.func.attr] : place[node.func.attr] + 1]:
                    named |= {n.value for n in ast.walk(part) if isinstance(n, ast.Constant) and type(n.value) is str}
    assert len(named) > 100
    assert named <= POINTS.keys(), named - POINTS.keys()


def test_every_rule_that_fires_fills_the_slots_of_its_point(parser: Parser, examples: list[Example]) -> None:
    for sentence in parser.parse(e.after or "" for e in examples):
        for slip in slips_in(sentence):
            assert POINTS[slip.rule].slots <= {"was", "now", *(name for name, _ in slip.values)}, slip.rule


def test_one_edit_alone_is_never_another_spelling_of_the_same_text(parser: Parser, examples: list[Example]) -> None:
    for sentence in parser.parse(e.after or "" for e in examples):
        for slip in slips_in(sentence):
            assert 0 <= slip.start <= slip.end <= len(sentence.text)
            assert all(wrong != sentence.text[slip.start : slip.end] for wrong in slip.wrongs), slip


PLACES = [
    ("She depends on her sister.", "preposition", "on", "of"),
    ("We discussed the plan.", "preposition_extra", "", "about "),
    ("He bought a new car yesterday.", "article_missing_a", "a ", ""),
    ("Many students work at night.", "plural_marker", "students", "student"),
    ("The students work at night.", "agreement_plural", "work", "works"),
    ("I enjoy reading novels.", "gerund", "reading", "to read"),
    ("I want to buy a bike.", "to_missing", "to ", ""),
    ("You should see a doctor.", "modal_to", "", "to "),
    ("He has broken the window.", "participle", "broken", "broke"),
    ("If it rains, we will stay inside.", "if_will", "rains", "will rain"),
    ("If I had more time, I would learn the cello.", "if_would", "had", "would have"),
    ("She has lived here since 2015.", "perfect_since", "has lived", "lives"),
    ("We have known each other for ten years.", "since_for", "for", "since"),
    ("I agree with you.", "be_extra", "", "am "),
    ("This is the best soup in town.", "double_superlative", "best", "most best"),
    ("The train is faster than the bus.", "comparative_than", "faster", "fast"),
    ("He speaks English very well.", "well_good", "well", "good"),
    ("Could you tell me where the station is?", "embedded_question", "the station is", "is the station"),
    ("I always drink tea in the morning.", "adverb_before_verb", "always drink", "drink always"),
    ("Although it was late, we kept working.", "doubled_conjunction", "", "but "),
    ("When the bell rang, all the children left.", "comma_clause", ",", ""),
    ("We received a lot of information.", "uncountable", "information", "informations"),
    ("My sister's room is small.", "possession", "sister's", "sister"),
    ("We grow fruit, for example pears.", "phrase", "for example", "by example"),
    ("They lost their keys.", "confused_word", "their", "there"),
    ("I met him in August.", "capital_name", "August", "august"),
]


@pytest.mark.parametrize(("text", "rule", "right", "wrong"), PLACES)
def test_a_rule_finds_its_place(parser: Parser, text: str, rule: str, right: str, wrong: str) -> None:
    assert (rule, right, wrong) in slips(parser, text)


@pytest.fixture(scope="module")
def annotator() -> ErrantAnnotator:
    return ErrantAnnotator(cache_size=256)


@pytest.mark.parametrize(("text", "rule", "right", "wrong"), PLACES)
def test_the_point_of_a_rule_holds_for_what_the_rule_puts_in(
    parser: Parser, annotator: ErrantAnnotator, text: str, rule: str, right: str, wrong: str
) -> None:
    found = slips_in(next(iter(parser.parse([text]))))
    slip = next(s for s in found if (s.rule, text[s.start : s.end]) == (rule, right) and wrong in s.wrongs)
    before, edits = put_in(text, [(slip, wrong)], POINTS, "en")
    [told] = explain(*annotator.docs(before, text), edits)
    assert rule in (told.point, *told.others)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("I went to the store.", "past_marker"),  # "I go to the store" is good English
        ("I went to the store.", "tense_shift"),
        ("He likes the water.", "article_missing_the"),  # so is "He likes water"
        ("We meet in the summer.", "article_missing_the"),
        ("The team is winning.", "agreement_singular"),  # British English says "the team are"
        ("If I were you, I would go.", "agreement_pronoun"),
        ("The students passed.", "plural_general"),  # "The student passed" may be meant
        ("He read it in the garden.", "past_marker"),
        ("They met on Monday and left.", "comma_clause"),
        ("I think that he left.", "that_missing"),
        ("We swim and they run.", "comma_and"),
    ],
)
def test_a_rule_keeps_off_what_would_still_be_right(parser: Parser, text: str, rule: str) -> None:
    assert rule not in {name for name, _, _ in slips(parser, text)}


def test_the_oxford_comma_is_left_alone(parser: Parser) -> None:
    text = "We sold apples, pears, and plums."
    oxford = text.index(", and")
    sentence = next(iter(parser.parse([text])))
    assert not [s for s in slips_in(sentence) if s.kind == "PUNCT" and s.start == oxford]


def test_a_verb_and_its_subject_never_change_together(pairs: list[TrainPair], parser: Parser) -> None:
    text = "Robots have taken over the work."
    sentence = next(iter(parser.parse([text])))
    found = {s.rule: s for s in slips_in(sentence)}
    noun, verb = found["plural_verb"], found["agreement_plural"]
    assert noun.conflicts(verb) and verb.conflicts(noun)


def test_misspellings_are_no_words_and_look_like_the_word() -> None:
    for word in ("because", "restaurant", "believe", "successful", "tomorrow", "government"):
        known, heard, typed = misspellings(word)
        assert known and heard and typed
        assert word not in {*known, *heard, *typed}
    assert "beleive" in misspellings("believe")[0]
    assert all(w not in {"form", "from"} for group in misspellings("form") for w in group)


def test_names_are_not_misspelt(parser: Parser) -> None:
    assert not [
        right
        for rule, right, _ in slips(parser, "We met Katarzyna in Wroclaw.")
        if rule == "misspelling" and right.istitle() and right != "We"
    ]


@pytest.mark.slow
def test_first_languages_shift_the_mix(examples: list[Example]) -> None:
    def share(pack: str, kind: str) -> float:
        made = EmbeddedTeacher(prompts_dir=PROMPTS, first_languages=(pack,)).write_pairs(examples, count=900, seed=3)
        kinds = Counter(family(e.type) for w in made.pairs if w.pair.origin == "injected" for e in w.pair.edits)
        assert {w.pair.attributes["first_language"] for w in made.pairs if w.pair.origin == "injected"} == {pack}
        return kinds[kind] / sum(kinds.values())

    assert share("ru", "DET") > 1.2 * share("de", "DET")
    assert share("de", "WO") > share("ru", "WO")


def test_the_learners_of_the_setting_make_the_errors(examples: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    shares: dict[str, dict[str, float]] = {}
    for learners in ("mixed", "ko", "de"):
        monkeypatch.setenv("CORRECTLY_LEARNERS", learners)
        made = make_platform_teacher(Settings()).write_pairs(examples, count=900, seed=3)
        injected = [w.pair for w in made.pairs if w.pair.origin == "injected"]
        kinds = Counter(family(edit.type) for pair in injected for edit in pair.edits)
        shares[learners] = {kind: count / sum(kinds.values()) for kind, count in kinds.items()}
        if learners != "mixed":
            assert {pair.attributes["first_language"] for pair in injected} == {learners}
    mixed, korean, german = shares["mixed"], shares["ko"], shares["de"]
    assert korean["DET"] > 1.15 * mixed["DET"] and korean["NOUN:NUM"] > 1.15 * mixed["NOUN:NUM"]
    assert german["WO"] > 1.3 * mixed["WO"] and german["PUNCT"] > 1.15 * mixed["PUNCT"]


def test_some_first_languages_want_their_kinds_more_and_all_want_the_table() -> None:
    table = load_data("mix.yaml")
    every = list(table["packs"])
    assert Mix.default(every).kinds == Mix.default().kinds == table["kinds"]
    korean, both = Mix.default(("ko",)), Mix.default(("ko", "de"))
    assert korean.kinds["DET"] > both.kinds["DET"] > Mix.default(("de",)).kinds["DET"]
    assert korean.kinds["CONTR"] == table["kinds"]["CONTR"]
    assert {pack.name: pack.share for pack in both.packs} == {"ko": 12, "de": 6}


def test_learners_are_part_of_the_recipe_and_named_in_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = recipe(Settings()).training
    assert mixed is not None and "learners" not in mixed.model_fields_set
    monkeypatch.setenv("CORRECTLY_LEARNERS", " ko, JA ,ko")
    some = recipe(Settings()).training
    assert Settings().teacher.first_languages == ("ja", "ko") and some is not None
    assert some.learners == ["ja", "ko"]
    monkeypatch.setenv("CORRECTLY_LEARNERS", "mixed,ko")
    with pytest.raises(ValueError, match="mixed is all first languages"):
        Settings()


def test_an_unknown_first_language_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="'xx'"):
        Mix.default(("xx",))


def test_a_missing_catalogue_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"No grammar points in .*restore prompts/grammar/"):
        EmbeddedTeacher(prompts_dir=tmp_path)


def test_landed_reasons_go_to_their_edits(teacher: EmbeddedTeacher) -> None:
    landed = Example(
        "e",
        "He go to the work by bus.",
        "He goes to work by bus.",
        (Reason("the", "", "No article before work."), Reason("go", "goes", "Third person.")),
    )
    pair = teacher.write_pairs([landed], count=2, seed=1).pairs[0].pair
    assert pair.origin == "example"
    assert [(e.was.strip(), e.now.strip(), e.reason) for e in pair.edits] == [
        ("go", "goes", "Third person."),
        ("the", "", "No article before work."),
    ]


def test_the_annotator_gives_landed_pairs_their_types() -> None:
    class Fixed:
        def prepare(self, texts: object) -> None:
            self.prepared = list(texts)  # type: ignore[call-overload]

        def tokens(self, text: str) -> list[str]:
            return text.split()

        def token_edits(self, before: str, after: str) -> tuple[()]:
            return ()

        def edits(self, before: str, after: str) -> tuple[Edit, ...]:
            return (Edit(3, 5, "go", "goes", "R:VERB:SVA"),)

    annotator = Fixed()
    made = EmbeddedTeacher(prompts_dir=PROMPTS, annotator=annotator)  # type: ignore[arg-type]
    pair = made.write_pairs([Example("e", "He go home.", "He goes home.")], count=1, seed=1).pairs[0].pair
    assert pair.edits[0].type == "R:VERB:SVA" and annotator.prepared == ["He go home.", "He goes home."]


def test_examples_that_wait_give_nothing_and_are_not_completed(teacher: EmbeddedTeacher) -> None:
    waiting = Example("w", "I has a question.", None)
    assert teacher.write_pairs([waiting], count=5, seed=1).pairs == ()
    assert teacher.complete_examples([waiting]) == Completions({})


def test_the_identity_changes_with_language_and_mix() -> None:
    table = load_data("mix.yaml")
    made = [
        EmbeddedTeacher(prompts_dir=PROMPTS),
        EmbeddedTeacher(prompts_dir=PROMPTS, reason_language="ko"),
        EmbeddedTeacher(prompts_dir=PROMPTS, first_languages=("ko",)),
        EmbeddedTeacher(prompts_dir=PROMPTS, mix=Mix.from_table({**table, "bait_percent": 10}, ())),
    ]
    assert len({t.identity() for t in made}) == 4
    assert EmbeddedTeacher(prompts_dir=PROMPTS).identity() == made[0].identity()


def test_slips_that_overlap_conflict() -> None:
    def slip(tokens: set[int], needs: set[int] = frozenset()) -> Slip:  # type: ignore[assignment]
        return Slip("r", "DET", "R", 0, 1, ("x",), frozenset(tokens), frozenset(needs))

    assert (
        slip({1}).conflicts(slip({1, 2}))
        and slip({1}, {3}).conflicts(slip({3}))
        and slip({3}).conflicts(slip({1}, {3}))
    )
    assert not slip({1}, {3}).conflicts(slip({2}, {3}))


def test_a_parsed_sentence_lowers_its_first_word_but_not_a_name(parser: Parser) -> None:
    plain, name = (next(iter(parser.parse([t]))) for t in ("The dog barked.", "Berlin is big."))
    assert isinstance(plain, Sentence)
    assert plain.lowered(0) == "the" and name.lowered(0) == "Berlin"


class CountingParser(Parser):
    """Counts the texts that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.texts = 0

    def parse(self, texts: Iterable[str]) -> Iterator[Sentence]:
        given = list(texts)
        self.texts += len(given)
        return super().parse(given)


class CountingAnnotator:
    """Counts the texts that it is asked to prepare, and aligns by words."""

    def __init__(self) -> None:
        self.texts = 0

    def prepare(self, texts: Iterable[str]) -> None:
        self.texts += sum(1 for _ in texts)

    def tokens(self, text: str) -> list[str]:
        return text.split()

    def token_edits(self, before: str, after: str) -> tuple[TokenEdit, ...]:
        return ()

    def edits(self, before: str, after: str) -> tuple[Edit, ...]:
        return diff_edits(before, after)


def test_no_more_texts_are_parsed_than_pairs_are_wanted(
    examples: list[Example],
) -> None:
    many = [
        replace(e, id=f"{n}-{e.id}", before=f"{e.before} {n}", after=f"{e.after} {n}", verified=False)
        for n in range(48)
        for e in examples
    ]
    annotator, parser = CountingAnnotator(), CountingParser()
    made = EmbeddedTeacher(prompts_dir=PROMPTS, annotator=annotator, parser=parser)
    written = made.write_pairs(many, count=100, seed=3)
    origins = Counter(written_pair.pair.origin for written_pair in written.pairs)
    assert len(many) > 20_000 and origins == {"example": 50, "bait": 30, "injected": 20}
    # Two texts a correction; a few fall from the ladder and are made up for.
    assert 100 <= annotator.texts <= 140 and 20 <= parser.texts <= 40


@pytest.mark.parametrize(
    "tempting",
    [
        "We met Anna there.",
        "We met 14 people there.",
        'We met the "friends" there.',
        "We met their colourful neighbours there.",
        "If I were you, we would meet there.",
        "They insist that she be there.",
        "Yeah, we met them there.",
    ],
)
def test_names_figures_quotes_spelling_subjunctives_and_slang_tempt(tempting: str) -> None:
    assert temptations(tempting) > temptations("We met the people there.") == 0


def test_bait_takes_tempting_texts_first_and_plain_ones_as_well() -> None:
    plain = [Example(f"p{n}", text, text) for n in range(40) if (text := f"We met the {'very ' * n}nice people there.")]
    text = "If I were you, I would ask Anna."
    written = EmbeddedTeacher(prompts_dir=PROMPTS).write_landed([*plain, Example("t", text, text)], count=20, seed=1)
    bait = [pair.pair.after for pair in written.pairs]
    assert bait[0] == text and len(bait) == 6
