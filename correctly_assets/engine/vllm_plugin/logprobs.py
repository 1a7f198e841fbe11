"""Log-probabilities of the tokens that vLLM wrote on a CPU, without a table of every word for every proposed token.

Belongs here: that one computation. Does not belong here: when it is used (engine_plugin.py). Only vLLM imports this
module: it needs torch and vLLM.

Under speculation vLLM 0.32 takes the log-softmax over the whole vocabulary of every proposed token, the rejected ones
included, after copying them all, and then counts each token's rank. With 262,144 words that was two thirds of a worker's
time, and gigabytes, for the one number a token that is asked for (benchmarks/serve_notes.md).
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.v1.outputs import LogprobsTensors
from vllm.v1.sample.rejection_sampler import RejectionSampler

ROWS = 8
"""Rows of the vocabulary's width at a time: 8 MB in float32, which the processor's cache holds."""

REJECTED = -1
"""`PLACEHOLDER_TOKEN_ID` of vLLM's rejection sampler, as a plain number."""

_whole = RejectionSampler._get_logprobs_tensors


def chosen_logprobs(
    self: RejectionSampler,
    max_num_logprobs: int,
    metadata: Any,
    logits: torch.Tensor,
    target_logits: torch.Tensor,
    bonus_logits: torch.Tensor,
    sampled_token_ids: torch.Tensor,
) -> LogprobsTensors:
    """As `RejectionSampler._get_logprobs_tensors`, where only the chosen tokens' own log-probabilities are asked for.

    Ranks are given as 1, which they are for greedy answers.

    Args:
        target_logits: (proposed tokens, vocabulary); bonus_logits: (requests, vocabulary).
        sampled_token_ids: (requests, longest proposal + 1), rejected places marked.
    """
    if max_num_logprobs != 0 or self.is_logits_logprobs_mode:
        return _whole(self, max_num_logprobs, metadata, logits, target_logits, bonus_logits, sampled_token_ids)
    proposed = target_logits.shape[0]
    # Where the logits of each row of the step stand: among the proposed tokens', or behind them among the bonus tokens'.
    place = torch.zeros(logits.shape[0], dtype=torch.int64)
    place[metadata.target_logits_indices] = torch.arange(proposed)
    place[metadata.bonus_logits_indices] = proposed + torch.arange(bonus_logits.shape[0])
    first = torch.zeros_like(metadata.cu_num_sampled_tokens, dtype=torch.int64)
    first[1:] = metadata.cu_num_sampled_tokens[:-1]
    rows = first[:, None] + torch.arange(sampled_token_ids.shape[-1])
    rejected = sampled_token_ids.flatten() == REJECTED
    accepted = rejected.logical_not().nonzero().squeeze(1)
    tokens = sampled_token_ids.flatten().to(torch.int64).masked_fill(rejected, 0)
    logprobs = torch.zeros(tokens.shape[0], dtype=torch.float32)
    places = place[rows.flatten().clamp(max=logits.shape[0] - 1)]
    for of, offset, which in (
        (target_logits, 0, places[accepted] < proposed),
        (bonus_logits, proposed, places[accepted] >= proposed),
    ):
        for at in accepted[which].split(ROWS):
            scores = of[places[at] - offset].to(torch.float32)
            logprobs[at] = scores.gather(1, tokens[at, None]).squeeze(1) - scores.logsumexp(-1)
    return LogprobsTensors(tokens[:, None].to(torch.int32), logprobs[:, None], torch.ones_like(tokens))
