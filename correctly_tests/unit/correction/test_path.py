"""The correction path with an engine that says what it is told: guards, reasons, layout, order."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from correctly_assets.core.correction import Piece
from correctly_assets.core.edits import apply_edits
from correctly_assets.core.errors import RefusedError, UnreachableError
from correctly_assets.core.ports import Completer, Completion
from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.serving import EngineCorruptedError
from correctly_assets.core.types import Correction, Edit
from correctly_assets.correction.alignment import flatten, to_layout
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.answer_guards import answer_limit, refuse
from correctly_assets.correction.bounds import Bounds, ModeBounds
from correctly_assets.correction.edit_judge import FEATURES, Judge
from correctly_assets.correction.path import Corrector
from correctly_assets.correction.points.choose_point import Explanation
from correctly_assets.correction.render import changes_table, chat_answer

PROMPTS = load_prompts(Path(__file__).resolve().parents[3] / "prompts")


@pytest.fixture(scope="module")
def annotator() -> ErrantAnnotator:
    return ErrantAnnotator(cache_size=256)


class Engine:
    """A completer that looks answers up by the sentence in the prompt and echoes what it does not know."""

    def __init__(
        self,
        answers: dict[str, str | Completion] | None = None,
        reason: str = "",
        delays: dict[str, float] | None = None,
    ):
        self.answers, self.reason, self.delays = answers or {}, reason, delays or {}
        self.asked: list[tuple[str, int]] = []
        self.running = self.most = 0
        self.reason_ends = "stop"

    async def complete(
        self,
        prompt: str,
        *,
        model: str,
        max_tokens: int,
        stop: Sequence[str] = (),
        priority: int = 0,
        logprobs: bool = False,
    ) -> Completion:
        assert stop == ("<eos>", "\n")
        explain = "Say in " in prompt
        sentence = prompt.split("\n", 2)[2].split("<end_of_turn>")[0]
        self.asked.append(("explain" if explain else sentence, priority))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.delays.get(sentence, 0))
        finally:
            self.running -= 1
        if explain:
            return Completion(self.reason, self.reason_ends, 10, 5)
        answer = self.answers.get(sentence, sentence)
        return answer if isinstance(answer, Completion) else Completion(answer, "stop", 10, 5)


class Swears:
    def added(self, before: str, after: str) -> bool:
        return "damn" in after and "damn" not in before


def corrector(engine: Completer, annotator: ErrantAnnotator) -> Corrector:
    return Corrector(engine, annotator, PROMPTS, profanity=Swears(), concurrency=4, model_reasons=True)


def correct(engine: Engine, annotator: ErrantAnnotator, text: str, **options) -> Correction:
    path = corrector(engine, annotator)
    return asyncio.run(path.correct(text, model="m", release="r7", adapter="abc", **options))


def test_a_changed_sentence_comes_with_exact_edits_and_a_reason_each(annotator):
    engine = Engine({"He go to school.": "He goes to school."}, reason="The verb must agree with its subject.")
    answer = correct(engine, annotator, "He go to school.")
    (edit,) = answer.edits
    assert (edit.start, edit.end, edit.was, edit.now, edit.type) == (3, 5, "go", "goes", "R:VERB:SVA")
    assert (edit.reason, edit.reason_origin) == ("The verb must agree with its subject.", "model")
    assert (answer.after, answer.release, answer.adapter, answer.fallback) == ("He goes to school.", "r7", "abc", None)
    assert answer.id.startswith("c_")
    assert answer.to_json()["changed"] is True


def test_a_model_reason_that_fails_its_check_gives_way_to_the_rule(annotator):
    engine = Engine({"He go home.": "He goes home."}, reason="Bananas are yellow and so is this one.")
    (edit,) = correct(engine, annotator, "He go home.").edits
    assert edit.reason_origin == "rule"
    assert edit.reason is not None and "agree with its subject" in edit.reason
    (korean,) = correct(engine, annotator, "He go home.", reason_language="ko").edits
    assert korean.reason is not None and "주어의 수" in korean.reason


def test_nothing_to_change_asks_for_no_reasons_and_says_so_in_one_line(annotator):
    engine = Engine()
    answer = correct(engine, annotator, "It is fine. We know it.")
    assert [what for what, _ in engine.asked] == ["It is fine.", "We know it."]
    assert (answer.changed, answer.edits, answer.fallback) == (False, (), None)
    assert "\n" not in chat_answer(answer)


def test_reasons_can_be_left_out(annotator):
    engine = Engine({"He go home.": "He goes home."})
    (edit,) = correct(engine, annotator, "He go home.", reasons=False).edits
    assert (edit.reason, edit.reason_origin) == (None, None)
    assert len(engine.asked) == 1


SENTENCE = "I have went to the office yesterday with my colleague."


@pytest.mark.parametrize(
    ("answer", "fallback"),
    [
        (Completion("I went to the office yesterday with my colleague", "length"), "loop"),
        ("I went went went went to the office yesterday with my colleague.", "loop"),
        ("I went to the office to the office to the office to the office.", "loop"),
        ("I went.", "length"),
        (SENTENCE + " It was a sunny day and we talked about many things there.", "length"),
        ("", "empty"),
        (" ... ", "empty"),
        ("<start_of_turn>I went to the office yesterday with my colleague.", "format"),
        ("Corrected sentence: I went to the office with my colleague.", "format"),
        ("Correct this English: I went to the office yesterday.", "format"),
        ("The weather is nice and the birds sing in spring.", "format"),
        ('The word "went" to the office yesterday with my colleague.', "format"),
        ("I went to the (office yesterday with my colleague.", "format"),
        ("I went to the 사무실 yesterday with my colleague.", "format"),
        ("I went to the damn office yesterday with my colleague.", "profanity"),
    ],
)
def test_the_users_own_sentence_stands_where_a_guard_refuses(annotator, answer, fallback):
    engine = Engine({SENTENCE: answer})
    result = correct(engine, annotator, SENTENCE)
    assert (result.after, result.fallback, result.edits) == (SENTENCE, fallback, ())
    assert "\n" not in chat_answer(result)


def test_one_refused_sentence_does_not_take_the_others_with_it(annotator):
    text = "He go home. " + SENTENCE
    engine = Engine({"He go home.": "He goes home.", SENTENCE: ""})
    answer = correct(engine, annotator, text)
    assert answer.after == "He goes home. " + SENTENCE
    assert answer.fallback == "empty"


@pytest.mark.parametrize("text", ["ok", "He tall", "Me too!", "I'm agree.", "Thx", "The soup was bery bery good good."])
def test_small_honest_corrections_pass_every_guard(text):
    better = {"ok": "Ok.", "He tall": "He is tall.", "Me too!": "Me too!", "I'm agree.": "I agree.", "Thx": "Thanks."}
    answer = better.get(text, "The soup was very, very good.")
    assert refuse(text, Completion(answer, "stop")) is None


def test_the_token_limit_leaves_room_for_a_correction_but_not_for_a_run():
    assert answer_limit("He go home.") < 25
    assert answer_limit("안녕하세요 반갑습니다") >= 20
    assert answer_limit(SENTENCE) > 20


DOCUMENT = """Subject: x
From: y

He go to
the office, because the boss have called him  and he were late for the very first time,
he say so.

- She have it
```
he go
```
See `he go` at https://x.org/he-go and he go.
"""


def test_layout_code_and_links_come_back_byte_for_byte_and_offsets_hold(annotator):
    long = "the office, because the boss have called him and he were late for the very first time, he say so."
    engine = Engine(
        {
            "He go to": "He goes to",
            long: long.replace("boss have", "boss has").replace("he were", "he was").replace("he say", "he says"),
            "She have it": "She has it.",
            "See `he go` at https://x.org/he-go and he go.": "See `he goes` at https://x.org/he-goes and he goes.",
        }
    )
    answer = correct(engine, annotator, DOCUMENT)
    expected = DOCUMENT.replace("He go to", "He goes to").replace("boss have", "boss has").replace("he were", "he was")
    expected = (
        expected.replace("he say", "he says").replace("She have", "She has").replace("and he go.", "and he goes.")
    )
    assert answer.after == expected
    assert apply_edits(DOCUMENT, answer.edits) == answer.after
    assert all(DOCUMENT[edit.start : edit.end] == edit.was and edit.reason for edit in answer.edits)


@settings(max_examples=120, deadline=None)
@given(
    text=st.lists(
        st.sampled_from(
            ["He go.", "she have  it", "\n", "  ", "\n\n- ", "`a b`", "😀", "日本。", "> q\n", "\t", "Tom", "x@y.org "]
        ),
        max_size=10,
    ).map("".join),
    noise=st.sampled_from(["goes", "has", "", "the", "😀", "e\u0301"]),
)
def test_whatever_the_model_says_the_edits_rebuild_the_answer(annotator, text, noise):
    class Meddler(Engine):
        async def complete(self, prompt, *, model, max_tokens, stop=(), priority=0, logprobs=False):
            answer = await super().complete(prompt, model=model, max_tokens=max_tokens, stop=stop, priority=priority)
            return Completion(answer.text.replace("go", noise).replace("have", noise + " a"), "stop")

    answer = correct(Meddler(), annotator, text)
    assert apply_edits(text, answer.edits) == answer.after
    assert all(edit.reason for edit in answer.edits)


async def collect(path: Corrector, text: str) -> list[Piece | Correction]:
    return [item async for item in path.stream(text, model="m", release="r", adapter=None)]


def test_pieces_stream_in_order_and_join_to_the_corrected_text(annotator):
    engine = Engine({"He go.": "He goes."}, delays={"He go.": 0.05})
    items = asyncio.run(collect(corrector(engine, annotator), "He go. It is ok. We see."))
    *pieces, last = items
    assert isinstance(last, Correction)
    assert (
        "".join(piece.text for piece in pieces if isinstance(piece, Piece))
        == last.after
        == "He goes. It is ok. We see."
    )
    assert items[0] == Piece("He goes.", changed=True)
    assert [priority for what, priority in engine.asked if what == "explain"] == [1]


def test_sentences_are_asked_for_together_but_never_more_than_the_bound(annotator):
    sentences = [f"It is number {number} of them." for number in range(30)]
    engine = Engine(delays=dict.fromkeys(sentences, 0.002))
    answer = correct(engine, annotator, " ".join(sentences))
    assert answer.changed is False
    assert engine.most == 4


def test_closing_the_stream_cancels_what_is_still_asked_for(annotator):
    engine = Engine(delays={"We see it.": 5.0})

    async def leave_early() -> int:
        stream = corrector(engine, annotator).stream("It is ok. We see it.", model="m", release="r", adapter=None)
        async for _ in stream:
            break
        await stream.aclose()
        return engine.running

    assert asyncio.run(asyncio.wait_for(leave_early(), 2)) == 0


def test_an_engine_that_is_away_is_an_error_and_no_answer(annotator):
    class Away(Engine):
        async def complete(self, prompt, *, model, max_tokens, stop=(), priority=0, logprobs=False):
            raise UnreachableError("The engine is away; try again in a moment.")

    with pytest.raises(UnreachableError):
        correct(Away(), annotator, "He go home. She go too.")


@pytest.mark.parametrize("error", [UnreachableError("The engine is away."), EngineCorruptedError("It computed NaN.")])
def test_an_engine_that_fails_while_reasons_are_written_is_that_error_too(annotator, error):
    class FailsAtTheSecondCall(Engine):
        async def complete(self, prompt, *, model, max_tokens, stop=(), priority=0, logprobs=False):
            if self.asked:
                raise error
            return await super().complete(prompt, model=model, max_tokens=max_tokens, stop=stop, priority=priority)

    before, after = "He go home and she like it.", "He goes home and she likes it."
    with pytest.raises(type(error), match=str(error)):
        correct(FailsAtTheSecondCall({before: after}), annotator, before)


class Refuses(Engine):
    """Refuses each prompt that holds a word."""

    def __init__(self, word: str, code: str, answers: dict[str, str | Completion]):
        super().__init__(answers, reason="The verb must agree with its subject.")
        self.word, self.code = word, code

    async def complete(self, prompt, *, model, max_tokens, stop=(), priority=0, logprobs=False):
        if self.word in prompt:
            raise RefusedError("The engine refused the request.", code=self.code)
        return await super().complete(prompt, model=model, max_tokens=max_tokens, stop=stop, priority=priority)


def test_a_sentence_beyond_the_context_stays_and_others_are_corrected(annotator):
    engine = Refuses("12, 34", "engine_refused", {"He go home.": "He goes home."})
    answer = correct(engine, annotator, "The numbers was 12, 34 and 56. He go home.")
    assert (answer.after, answer.fallback) == ("The numbers was 12, 34 and 56. He goes home.", "length")
    assert [edit.reason_origin for edit in answer.edits] == ["model"]


def test_a_reason_whose_question_is_beyond_the_context_is_the_rules(annotator):
    answer = correct(Refuses("Say in ", "engine_refused", {"He go home.": "He goes home."}), annotator, "He go home.")
    assert [edit.reason_origin for edit in answer.edits] == ["rule"]


def test_an_engine_that_fails_at_a_sentence_is_not_called_a_long_sentence(annotator):
    with pytest.raises(RefusedError):
        correct(Refuses("He go", "engine_failed", {}), annotator, "He go home.")


def test_the_table_escapes_its_cells_and_shows_insertions_with_a_neighbour(annotator):
    engine = Engine({"I went to a|b in morning now <b>": "I went to a|c in the morning now <b>"})
    answer = correct(engine, annotator, "I went to a|b in morning *now* <b>")
    table = changes_table(answer)
    header, rule, *rows = table.splitlines()
    assert (header, rule) == ("| Was | Now | Why |", "| --- | --- | --- |")
    assert any(row.startswith("| morning | the morning | ") for row in rows)
    assert all(row.replace("\\|", "").count("|") == 4 for row in rows)
    assert chat_answer(answer) == f"{answer.after}\n\n{table}"


def test_a_reason_that_ran_to_the_limit_gives_way_to_the_rule(annotator):
    engine = Engine({"He go home.": "He goes home."}, reason="The verb must agree with its subject.")
    engine.reason_ends = "length"
    (edit,) = correct(engine, annotator, "He go home.").edits
    assert edit.reason_origin == "rule"


@pytest.mark.parametrize(
    ("before", "answer", "after"),
    [
        ("We met in Llanfairfechan and he go home.", "We met in Llanfairfean and he goes home.", "We met in Llanfairfechan and he goes home."),
        ("In 2019 he go there with 3 cats.", "In 2018 he goes there with cats.", "In 2019 he goes there with 3 cats."),
        ("I recieve 2 letters in Wensday.", "I receive two letters on Wednesday.", "I receive two letters on Wednesday."),
        ("I like the color and colour of it.", "I like the color and colour of it.", "I like the color and colour of it."),
        ("He go to the big house!", "He goes to the big house", "He goes to the big house!"),
    ],
)  # fmt: skip
def test_single_edits_that_spoil_names_numbers_or_ends_are_not_taken_over(annotator, before, answer, after):
    assert correct(Engine({before: answer}), annotator, before).after == after


def test_the_line_ends_inside_an_edit_are_kept():
    text = "I am interested about this\n  in the kind."
    flat, origin = flatten(text)
    start = flat.index("about this in")
    moved = to_layout(text, origin, [Edit(start, start + 13, "about this in", "in that of", "R:OTHER")])
    assert apply_edits(text, moved) == "I am interested in that\n  of the kind."
    # With another number of words the blanks cannot be matched, and the model's stand.
    moved = to_layout(text, origin, [Edit(start, start + 13, "about this in", "in", "R:OTHER")])
    assert apply_edits(text, moved) == "I am interested in the kind."


class ScoringEngine(Engine):
    """An engine to which every sentence is equally probable."""

    async def text_logprobs(self, model: str, texts: Sequence[str], *, priority: int = 0) -> list[float]:
        return [0.0] * len(texts)


@pytest.mark.parametrize(("point", "after"), [("agreement_verb", "He goes home."), (None, "He go home.")])
def test_an_unsure_edit_that_no_point_explains_is_left_out(annotator, point: str | None, after: str):
    tokens = (("He", 0.0), (" goes", math.log(0.7)), (" home", 0.0), (".", 0.0))
    engine = ScoringEngine({"He go home.": Completion("He goes home.", "stop", 10, 5, tokens=tokens)})
    weights = [float(name in ("confidence", "gain")) for name in FEATURES]
    careful = Bounds(edit=0.6, word=0.6, without_point=0.75)
    path = Corrector(
        engine, annotator, PROMPTS, ranker=engine, base_model="base",
        bounds=lambda adapter: ModeBounds(careful=careful, fluent=careful, judge=Judge(weights=weights)),
        explain=lambda before, now, edits, language: [Explanation((0,), point, "A verb after 'he' ends in -s.")],
    )  # fmt: skip
    found = asyncio.run(path.correct("He go home.", model="a", release=None, adapter="a"))
    assert found.after == after
