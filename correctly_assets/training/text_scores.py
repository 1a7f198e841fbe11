"""How likely a base model finds texts, without an engine.

Belongs here: scoring many texts with a model on disk. Does not belong here: what follows from a score (workflows/starter_text.py),
or scoring through an engine that serves (engine/).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from correctly_assets.training.models.load_model import load_base
from correctly_assets.training.rendering import load_tokenizer

_BATCH = 16


@torch.no_grad()
def score_texts(base_model: str, texts: Sequence[str], *, batch: int = _BATCH) -> list[tuple[float, int]]:
    """The surprise of each text after the beginning-of-text token, in nats, and its number of tokens.

    Args:
        base_model: the model's directory. batch: texts that are scored at once, alike lengths together.

    Raises:
        PermanentError: the base model cannot be read.
    """
    model, tokenizer = load_base(base_model, torch.device("cpu")), load_tokenizer(base_model)
    ids = [[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]] for text in texts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    scores = [(0.0, 0)] * len(ids)
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        length = max(len(ids[i]) for i in part)
        # Padding stands behind a text, where a causal model's earlier positions do not see it.
        rows = torch.tensor([ids[i] + [tokenizer.pad_token_id] * (length - len(ids[i])) for i in part])
        logits = model(input_ids=rows).logits[:, :-1].float()
        nats = torch.nn.functional.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none")
        for row, i in enumerate(part):
            tokens = len(ids[i]) - 1
            scores[i] = (float(nats[row, :tokens].sum()), tokens)
    return scores
