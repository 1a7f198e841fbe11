"""Prompts: the one rendering that training, evaluation, vLLM and the canary share.

Belongs here: turning a task into chat messages and messages into the model's text. Does not belong here: tokenizers
(training/), HTTP (engine/). Prompt files are read once, by `load_prompts`; their hash is part of what they built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment

from correctly_assets.core.errors import PermanentError

Message = Mapping[str, str]
CHAT_FAMILIES = ("gemma3", "chatml", "llama3")


@lru_cache(maxsize=16)
def _template(source: str):
    # The flags are those transformers and vLLM compile chat templates with; other flags give other blanks.
    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(source)


def render_chat(template: str, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
    """Render messages by a chat template (Jinja source) to the text that is tokenised, without special tokens added."""
    return _template(template).render(
        messages=list(messages), add_generation_prompt=add_generation_prompt, bos_token="", eos_token=""
    )


def fill(template: str, **values: str) -> str:
    """Replace ``{name}`` placeholders. Braces in the values, or others in the template, are left alone."""
    pieces = template
    marks = {name: f"\x00{name}\x00" for name in values}
    for name, mark in marks.items():
        pieces = pieces.replace("{" + name + "}", mark)
    for name, mark in marks.items():
        pieces = pieces.replace(mark, values[name])
    return pieces


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompt files of one model family, ready to render.

    Attributes:
        chat: the chat template's Jinja source.
        end_of_answer: the text that ends a completion in training and stops it in serving. Gemma 3 270M, pretrained,
            never learned to emit its turn token, so the Gemma 3 template ends on ``<eos>``.
        sha256: hash over the files, part of the recipe.
    """

    chat: str
    correct: str
    explain: str
    end_of_answer: str
    sha256: str

    def correct_prompt(self, text: str) -> str:
        """The rendered prompt that asks for the corrected sentence."""
        return self._ask(fill(self.correct, text=text))

    def around_sentence(self) -> tuple[str, str]:
        """What stands before and behind the sentence in `correct_prompt`."""
        head, _, tail = self.correct_prompt("\x00").partition("\x00")
        return head, tail

    def explain_prompt(self, before: str, was: str, now: str, language: str = "en") -> str:
        """The rendered prompt that asks why ``was`` became ``now`` in ``before``. A missing side is named in words, and the
        blank that goes with a word put in or left out is none of the question."""
        name = {"en": "English", "ko": "Korean"}[language]
        return self._ask(
            fill(
                self.explain,
                before=before,
                was=was.strip() or "(nothing)",
                now=now.strip() or "(nothing)",
                language=name,
            )
        )

    def _ask(self, content: str) -> str:
        return render_chat(self.chat, [{"role": "user", "content": content}], add_generation_prompt=True)


_ENDS = {"gemma3": "<eos>", "chatml": "<|im_end|>", "llama3": "<|eot_id|>"}


def load_prompts(directory: Path, family: str = "gemma3") -> Prompts:
    """Read the prompt files of a chat family.

    Raises:
        PermanentError: a file is missing or the family is unknown.
    """
    if family not in CHAT_FAMILIES:
        raise PermanentError(f"No chat template named {family!r}: choose one of {', '.join(CHAT_FAMILIES)}.")
    names = (f"chat/{family}.jinja", "correct.txt", "explain.txt")
    try:
        chat, correct, explain = ((directory / name).read_text(encoding="utf-8") for name in names)
    except FileNotFoundError as error:
        raise PermanentError(
            f"The prompt file {error.filename} is missing; restore prompts/ from the repository."
        ) from error
    digest = hashlib.sha256("\x00".join((family, chat, correct, explain)).encode()).hexdigest()
    return Prompts(chat, correct.strip("\n"), explain.strip("\n"), _ENDS[family], digest)


def family_of(base_model: str) -> str:
    """The chat family a base model's name tells; Gemma 3 when it tells none.

    The last part of a path goes before the rest: a model may lie below a folder that is named for something else.
    """
    whole = base_model.rstrip("/").lower()
    for name in (whole.rsplit("/", 1)[-1], whole):
        if "gemma" in name:
            return "gemma3"
        if "llama" in name:
            return "llama3"
        if any(word in name for word in ("smollm", "qwen", "chatml")):
            return "chatml"
    return "gemma3"
