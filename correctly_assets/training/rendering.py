"""From pairs to token ids and labels: the one rendering of a turn.

Belongs here: which tokens a turn consists of and which of them are learned. The text comes from core.prompts, which
evaluation, vLLM and the canary use too. Does not belong here: batching, or any prompt wording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.prompts import Prompts
from correctly_assets.core.taxonomy import family
from correctly_assets.core.types import Task, TrainPair


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt and its answer as token ids.

    Attributes:
        ids: prompt (with BOS), completion and the end token.
        prompt_length: how many leading ids are the prompt; everything after is learned.
        slices: what else its held-out loss is reported by (``type:VERB``, ``form:email``).
    """

    pair_id: str
    origin: str
    task: Task
    ids: tuple[int, ...]
    prompt_length: int
    slices: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """Tokens of prompt and completion together."""
        return len(self.ids)

    @property
    def learned(self) -> int:
        """Completion tokens, the end token included."""
        return len(self.ids) - self.prompt_length

    def labels(self) -> list[int]:
        """Per position the id to be predicted there in transformers' convention (it shifts itself); -100: none."""
        return [-100] * self.prompt_length + list(self.ids[self.prompt_length :])


class Renderer:
    """Renders turns with one tokenizer and one set of prompts.

    Args:
        tokenizer: a transformers tokenizer of the base model.
        prompts: the family's prompts.

    Raises:
        PermanentError: the chat family's end of answer is no single token of this tokenizer, so that an adapter could
            never learn to stop.
    """

    def __init__(self, tokenizer: Any, prompts: Prompts) -> None:
        self.tokenizer = tokenizer
        self.prompts = prompts
        end = tokenizer(prompts.end_of_answer, add_special_tokens=False)["input_ids"]
        if len(end) != 1:
            raise PermanentError(
                f"{prompts.end_of_answer!r} is not one token of this base model; set the chat family that fits it."
            )
        self.end_id: int = end[0]
        self._prompt_ids = lru_cache(maxsize=4096)(self._encode_prompt)

    def _encode_prompt(self, text: str) -> tuple[int, ...]:
        # add_special_tokens=True is vLLM's default for a text prompt at /v1/completions.
        return tuple(self.tokenizer(text, add_special_tokens=True)["input_ids"])

    def prompt_ids(self, text: str) -> tuple[int, ...]:
        """A rendered prompt's ids, exactly as vLLM tokenises the same text."""
        return self._prompt_ids(text)

    def completion_ids(self, text: str) -> tuple[int, ...]:
        """A completion's ids. They are tokenised apart from the prompt, for so they meet in generation."""
        return (*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.end_id)

    def turn(
        self, prompt: str, completion: str, *, pair_id: str, origin: str, task: Task, slices: tuple[str, ...] = ()
    ) -> Turn:
        """A prompt with its answer as tokens.

        Args:
            prompt: rendered as a chat; its tokens are not learned.
            completion: the answer's text; its end token is added and learned.
            slices: names under which held-out losses are reported.
        """
        start = self.prompt_ids(prompt)
        return Turn(pair_id, origin, task, start + self.completion_ids(completion), len(start), slices)

    def correct_turn(self, pair: TrainPair) -> Turn:
        """The turn that teaches to correct ``pair.before``."""
        prompt = self.prompts.correct_prompt(pair.before)
        return self.turn(
            prompt, pair.after, pair_id=pair.id, origin=pair.origin, task="correct", slices=slices_of(pair)
        )

    def explain_turns(self, pair: TrainPair, limit: int) -> list[Turn]:
        """Up to ``limit`` turns that teach to explain the pair's edits, in order; only edits with a reason."""
        explained = [edit for edit in pair.edits if edit.reason][:limit]
        return [
            self.turn(
                self.prompts.explain_prompt(pair.before, edit.was, edit.now, pair.language),
                edit.reason or "",
                pair_id=pair.id,
                origin=pair.origin,
                task="explain",
                slices=slices_of(pair),
            )
            for edit in explained
        ]


def slices_of(pair: TrainPair) -> tuple[str, ...]:
    """The slices that a pair counts in beside its origin: the kinds of error it holds, and the form and tone of its text."""
    kinds = sorted({f"type:{family(edit.type)}" for edit in pair.edits})
    return (*kinds, *(f"{name}:{pair.attributes[name]}" for name in ("form", "tone") if pair.attributes.get(name)))


def load_tokenizer(base_model: str) -> Any:
    """The base model's tokenizer; nothing is downloaded when ``base_model`` is a directory.

    Raises:
        PermanentError: there is no such model.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(base_model)
    except (OSError, ValueError) as error:
        raise PermanentError(
            f"The base model {base_model} cannot be read. Run `make install`, or set CORRECTLY_BASE_MODEL."
        ) from error


def total_tokens(turns: Sequence[Turn]) -> int:
    """Tokens of all turns together, prompts included."""
    return sum(turn.length for turn in turns)


def exported_template(renderer: Renderer) -> str:
    """The chat template with ``bos_token`` in front where the tokenizer puts one before a text.

    Our own prompts leave it to the tokenizer. Engines that render a chat add no special tokens of their own, and Gemma
    answers far worse without it.

    Raises:
        PermanentError: a rendered chat would not be the prompt that was trained on.
    """
    tokenizer, chat = renderer.tokenizer, renderer.prompts.chat
    ids = tokenizer("a", add_special_tokens=True)["input_ids"]
    begins = tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id
    template = "{{- bos_token -}}\n" + chat if begins else chat
    question = "He go to school."
    meant = list(renderer.prompt_ids(renderer.prompts.correct_prompt(question)))
    message = renderer.prompts.correct.replace("{text}", question)
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": message}],
        chat_template=template,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    if list(rendered) != meant:
        raise PermanentError("The chat template renders another prompt than the one that was trained on.")
    return template
