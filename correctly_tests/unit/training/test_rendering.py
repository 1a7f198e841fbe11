"""Which tokens a turn has and which of them are learned, for every chat template that ships."""

from __future__ import annotations

import pytest

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.prompts import CHAT_FAMILIES, load_prompts
from correctly_assets.core.types import Edit, TrainPair
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.training.rendering import Renderer
from correctly_tests.training_tiny import BOS, tokenizer

PAIR = TrainPair(
    id="p",
    example_id="e",
    origin="human",
    before="He go to <eos> school: “yes”, 학교.",
    after="He goes to school: “yes”, 학교.",
    edits=(
        Edit(3, 5, "go", "goes", "R:VERB:SVA", "A singular subject takes -s.", "model"),
        Edit(6, 8, "to", "to", "R:OTHER"),
        Edit(9, 14, "<eos>", "", "U:OTHER", "It is no word.", "model"),
    ),
)


def renderer(family: str) -> Renderer:
    return Renderer(tokenizer(family), load_prompts(PROJECT_ROOT / "prompts", family))


@pytest.mark.parametrize("family", CHAT_FAMILIES)
def test_only_the_answer_and_its_end_token_are_learned(family: str) -> None:
    made = renderer(family)
    words = made.tokenizer
    for turn, answer in [
        (made.correct_turn(PAIR), PAIR.after),
        *zip(made.explain_turns(PAIR, 9), ["A singular subject takes -s.", "It is no word."], strict=True),
    ]:
        learned = [token for token in turn.labels() if token != -100]
        assert words.decode(learned) == answer + made.prompts.end_of_answer
        masked = [token for token, label in zip(turn.ids, turn.labels(), strict=True) if label == -100]
        assert len(masked) == turn.prompt_length
        assert turn.learned == len(learned)
        assert turn.labels()[turn.prompt_length :] == list(turn.ids[turn.prompt_length :])


@pytest.mark.parametrize("family", CHAT_FAMILIES)
def test_the_prompts_ids_are_those_of_the_text_that_serving_sends(family: str) -> None:
    made = renderer(family)
    text = made.prompts.correct_prompt(PAIR.before)
    turn = made.correct_turn(PAIR)
    assert list(turn.ids[: turn.prompt_length]) == made.tokenizer(text)["input_ids"]
    starts = [made.tokenizer.convert_tokens_to_ids(BOS[family])] if BOS[family] else []
    assert list(turn.ids[: len(starts)]) == starts
    if starts:
        assert list(turn.ids).count(starts[0]) == 1


@pytest.mark.parametrize("family", CHAT_FAMILIES)
def test_prompt_and_answer_tokenised_apart_are_the_whole_texts_tokens(family: str) -> None:
    made = renderer(family)
    whole = made.prompts.correct_prompt(PAIR.before) + PAIR.after + made.prompts.end_of_answer
    assert list(made.correct_turn(PAIR).ids) == made.tokenizer(whole)["input_ids"]


def test_edits_without_a_reason_make_no_turn_and_the_limit_holds() -> None:
    made = renderer("gemma3")
    assert len(made.explain_turns(PAIR, 9)) == 2
    assert [turn.task for turn in made.explain_turns(PAIR, 1)] == ["explain"]
    assert made.explain_turns(PAIR, 0) == []


def test_a_chat_family_whose_end_is_no_token_of_the_base_model_is_refused() -> None:
    with pytest.raises(PermanentError, match="not one token"):
        Renderer(tokenizer("gemma3"), load_prompts(PROJECT_ROOT / "prompts", "chatml"))
