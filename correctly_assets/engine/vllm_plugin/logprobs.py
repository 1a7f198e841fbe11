"""Log-probabilities of the tokens that vLLM wrote or read on a CPU, without a table of every word for every token.

Belongs here: those two computations. Does not belong here: when they are used (plugin.py). Only vLLM imports this
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
from vllm.v1.worker.gpu_model_runner import GPUModelRunner

ROWS = 8
"""Rows of the vocabulary's width at a time: 8 MB in float32, which the processor's cache holds."""

REJECTED = -1
"""`PLACEHOLDER_TOKEN_ID` of vLLM's rejection sampler, as a plain number."""

_whole = RejectionSampler._get_logprobs_tensors
_whole_prompts = GPUModelRunner._get_prompt_logprobs_dict


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
        at = accepted[which]
        logprobs[at] = of_tokens(of, places[at] - offset, tokens[at])
    return LogprobsTensors(tokens[:, None].to(torch.int32), logprobs[:, None], torch.ones_like(tokens))


def prompt_logprobs(
    self: GPUModelRunner, hidden_states: torch.Tensor, num_scheduled_tokens: dict[str, int]
) -> dict[str, LogprobsTensors | None]:
    """As `GPUModelRunner._get_prompt_logprobs_dict`, where only the prompts' own tokens are asked for: for all prompts of a step at
    once, since the vocabulary's matrix is read from memory for each call, however few rows it multiplies.

    Ranks are given as 1: nobody here asks for them.

    Args:
        hidden_states: (tokens of the step, width).
        num_scheduled_tokens: of each request, by its ID.
    """
    asked = self.num_prompt_logprobs
    if any(asked.values()) or self.model_config.logprobs_mode in ("raw_logits", "processed_logits"):
        return _whole_prompts(self, hidden_states, num_scheduled_tokens)
    ended: dict[str, LogprobsTensors | None] = {}
    parts: list[torch.Tensor] = []
    tokens: list[int] = []
    slots: list[torch.Tensor] = []
    for request_id in asked:
        count, request = num_scheduled_tokens.get(request_id), self.requests[request_id]
        if count is None or request.prompt_token_ids is None:
            continue
        prompt, done = request.prompt_token_ids, request.num_computed_tokens
        found = request.in_progress_prompt_logprobs_cpu
        if found is None:
            found = request.in_progress_prompt_logprobs_cpu = LogprobsTensors.empty_cpu(len(prompt) - 1, 1)
            found.logprob_token_ids[:, 0] = torch.tensor(prompt[1:], dtype=torch.int32)
            found.selected_token_ranks.fill_(1)
        if done + count >= len(prompt):
            ended[request_id] = found
            count = len(prompt) - 1 - done
        if count > 0:
            start = int(self.query_start_loc.np[self.input_batch.req_id_to_index[request_id]])
            parts.append(hidden_states[start : start + count])
            tokens += prompt[done + 1 : done + 1 + count]
            slots.append(found.logprobs[done : done + count, 0])
    if parts:
        model: Any = self.model
        logits = model.compute_logits(torch.cat(parts))
        found = of_tokens(logits, torch.arange(len(tokens)), torch.tensor(tokens))
        for slot, values in zip(slots, found.split([len(slot) for slot in slots]), strict=True):
            slot.copy_(values)
    for request_id in ended:
        del asked[request_id]
        self.requests[request_id].in_progress_prompt_logprobs_cpu = None
    return ended


def of_tokens(logits: torch.Tensor, rows: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The log-probability of a token for each of some rows of logits, in nats.

    Args:
        logits: (any number, vocabulary); rows: places in it; tokens: as many as ``rows``.
    """
    values = torch.empty(len(rows), dtype=torch.float32)
    for at in torch.arange(len(rows)).split(ROWS):
        scores = logits[rows[at]].to(torch.float32)
        values[at] = scores.gather(1, tokens[at, None]).squeeze(1) - scores.logsumexp(-1)
    return values
