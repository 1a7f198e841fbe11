"""Greedy answers of a base model with an adapter, without an engine.

Belongs here: asking a model on disk for corrections of many texts. Does not belong here: the correction path and its
guards (those stand behind an engine), or scoring.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from correctly_assets.training.models.load_model import load_base
from correctly_assets.training.rendering import Renderer, load_tokenizer

_BATCH = 32
_ROOM = 1.5
"""An answer may be this much longer than its text; what runs on longer is cut, and scored as it then stands."""


@torch.no_grad()
def greedy_answers(
    base: Any, renderer: Renderer, texts: Sequence[str], *, adapter: Path | None = None, batch: int = _BATCH
) -> list[str]:
    """Each text as the model corrects it, one line each, in order.

    Args:
        base: the loaded base model (`model.load_base`), or one with an adapter on it.
        adapter: a directory to put on ``base`` first.
    """
    model: Any = base
    if adapter is not None:
        model = PeftModel.from_pretrained(base, str(adapter)).eval()
    device = next(model.parameters()).device
    asked = [list(renderer.prompt_ids(renderer.prompts.correct_prompt(text))) for text in texts]
    limits = [round(_ROOM * len(renderer.completion_ids(text))) + 8 for text in texts]
    answers = [""] * len(texts)
    # Alike lengths together: a batch runs as long as its longest answer.
    order = sorted(range(len(texts)), key=lambda i: (limits[i], len(asked[i])))
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        length = max(len(asked[i]) for i in part)
        ids = torch.full((len(part), length), renderer.end_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(part):
            ids[row, length - len(asked[i]) :] = torch.tensor(asked[i])
            mask[row, length - len(asked[i]) :] = 1
        made = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=max(limits[i] for i in part),
            do_sample=False,
            num_beams=1,
            eos_token_id=renderer.end_id,
            pad_token_id=renderer.end_id,
        )
        for i, tokens in zip(part, made[:, length:].tolist(), strict=True):
            # Each by its own limit: a short text's neighbours must not decide how long it may run on.
            tokens = tokens[: limits[i]]
            ended = tokens[: tokens.index(renderer.end_id)] if renderer.end_id in tokens else tokens
            answers[i] = " ".join(renderer.tokenizer.decode(ended, skip_special_tokens=True).split())
    return answers


def answer_texts(
    base_model: str, adapter: Path | None, prompts: Any, texts: Sequence[str], *, device: torch.device | None = None
) -> list[str]:
    """`greedy_answers` of a model that is loaded for it.

    Raises:
        PermanentError: the base model cannot be read, or the prompts' chat family does not fit it.
    """
    base = load_base(base_model, device or torch.device("cpu"))
    return greedy_answers(base, Renderer(load_tokenizer(base_model), prompts), texts, adapter=adapter)
