"""Speculative decoding: a draft guesses some tokens, and one pass of the model checks them all.

Greedy output is what the model alone gives, token for token, as far as its arithmetic gives the same logits for
several tokens at once as for one by one (in bfloat16, near-ties may fall the other way). With sampling, the output has
the distribution that the model alone has: a guess x drawn from q is accepted with probability min(1, p(x) / q(x)), and
one that is refused is replaced by a draw from the positive part of p - q.

Axes: b batch, of the rows that are not finished · g tokens guessed · t = g + 1 · n random numbers · v vocabulary
Refs: arXiv:2211.17192 · arXiv:2302.01318
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.errors import DataError
from multimodal.generation.choosing import NOTHING, Noise, distribution, draw
from multimodal.generation.config import GenerationConfig, SamplingConfig
from multimodal.generation.continuation import Continuation, padded
from multimodal.generation.drafts import Draft, Guess
from multimodal.generation.rows import GrowingRow, Step
from multimodal.generation.rules import Rules


class Checked(NamedTuple):
    """What the model makes of a guess, for each row."""

    accepted: list[int]  # how many guesses are right, from the left
    ids: list[list[int]]  # those, and the model's own token after them
    logprobs: list[list[float]]


def speculate(
    continuation: Continuation,
    logits: Float[Tensor, "b v"],
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    *,
    rows: Sequence[GrowingRow],
    noise: Noise,
    rules: Rules,
    draft: Draft,
) -> Iterator[Step]:
    """Like the plain loop, several tokens at a time; every row goes on at its own pace."""
    read = list(continuation.cache.counts)  # how many each row's cache holds of the prompt
    starts = [len(prompt) for prompt in prompts]
    checking, numbers = logits[:, None], noise.draw(2 * draft.tokens + 1).to(logits.device)
    guess = Guess(torch.zeros(len(rows), 0, dtype=torch.long, device=logits.device), [0] * len(rows))
    while True:
        with torch.inference_mode():  # which must not be on while this generator rests
            rules.rewind([start + len(row.ids) for start, row in zip(starts, rows, strict=True)])
            checked = _check(checking, guess, rules, config.sampling, numbers[:, draft.tokens :], rows)
        draft.tally.passes += 1
        for row, count, accepted, ids, logprobs in zip(rows, guess.counts, *checked, strict=True):
            draft.tally.proposed += count
            draft.tally.accepted += accepted
            for id, logprob in zip(ids, logprobs, strict=True):
                draft.tally.tokens += 1
                yield row.take(id, logprob)
                if row.finish is not None:
                    break
        going = [i for i, row in enumerate(rows) if row.finish is None]
        if not going:
            return
        with torch.inference_mode():
            if len(going) < len(rows):
                rows, read, starts = [rows[i] for i in going], [read[i] for i in going], [starts[i] for i in going]
                for part in (noise, rules, draft):
                    part.reorder(going)
                continuation.reorder(going, going)
            # The last token of each row is the model's own: not read yet, and in the place of a guess that was wrong.
            last = torch.tensor([[row.ids[-1]] for row in rows], device=logits.device)
            continuation.cache.rewind([before + len(row.ids) - 1 for before, row in zip(read, rows, strict=True)])
            rules.rewind([start + len(row.ids) - 1 for start, row in zip(starts, rows, strict=True)])
            rules.append(last[:, 0])
            numbers = noise.draw(2 * draft.tokens + 1).to(logits.device)
            most = [min(draft.tokens, row.room - len(row.ids) - 1) for row in rows]
            guess = draft.guess(rows, most, rules, config.sampling, numbers[:, : draft.tokens])
            even = min(guess.counts) == max(guess.counts)
            keep = None if even else padded([[0] * (1 + n) for n in guess.counts], logits.device)[1]
            checking = continuation.logits(torch.cat([last, guess.ids], dim=1), keep=keep)


def _check(
    logits: Float[Tensor, "b t v"],
    guess: Guess,
    rules: Rules,
    sampling: SamplingConfig | None,
    numbers: Float[Tensor, "b n"],
    rows: Sequence[GrowingRow],
) -> Checked:
    """How far the guesses are right, and the token after; the device is waited for once."""
    g = guess.ids.shape[1]
    parts = []
    for place in range(g + 1):
        new, room = [len(row.ids) + place for row in rows], [row.room for row in rows]
        parts.append(rules(logits[:, place].float(), new, room))
        if place < g:
            rules.append(guess.ids[:, place])
    scores = torch.stack(parts, dim=1)  # b t v
    meant = torch.arange(g, device=logits.device) < torch.tensor(guess.counts, device=logits.device)[:, None]
    if sampling is None:
        best = scores.argmax(-1)  # b t
        accepted = ((best[:, :g] == guess.ids) & meant).long().cumprod(1).sum(1)
        own = best.gather(1, accepted[:, None])
    else:
        p = distribution(scores.flatten(0, 1), sampling).view_as(scores)
        accepted = _accepted(p[:, :g], guess, meant, numbers[:, :g])
        left = _left(p, guess, accepted, meant)
        own = draw(left, numbers[:, -1])[:, None]
    ids = torch.cat([guess.ids, own], dim=1).scatter(1, accepted[:, None], own)
    logprobs = scores.gather(2, ids[..., None])[..., 0] - scores.logsumexp(-1)
    # Ids below 2^24 are exact in float32.
    found = torch.cat([accepted[:, None].float(), ids.float(), logprobs], dim=1).tolist()
    counts = [int(row[0]) for row in found]
    checked = Checked(
        accepted=counts,
        ids=[[int(id) for id in row[1 : n + 2]] for row, n in zip(found, counts, strict=True)],
        logprobs=[row[g + 2 : g + n + 3] for row, n in zip(found, counts, strict=True)],
    )
    if any(logprob != logprob for row in checked.logprobs for logprob in row):
        raise DataError(NOTHING)
    return checked


def _accepted(p: Tensor, guess: Guess, meant: Tensor, numbers: Tensor) -> Tensor:
    """How many guesses are accepted, with probability p / q each as long as all before it are."""
    ids = guess.ids[..., None]
    likely = p.gather(2, ids)[..., 0]
    q = guess.p.gather(2, ids)[..., 0] if guess.p is not None else torch.ones_like(likely)
    return ((numbers.to(likely) * q < likely) & meant).long().cumprod(1).sum(1)


def _left(p: Tensor, guess: Guess, accepted: Tensor, meant: Tensor) -> Tensor:
    """What the model's own token is drawn from: p, less q where a guess was refused."""
    b, t, v = p.shape
    here = p.gather(1, accepted[:, None, None].expand(b, 1, v))[:, 0]
    if t == 1:
        return here
    place = accepted.clamp(max=t - 2)[:, None]
    if guess.p is not None:
        q = guess.p.gather(1, place[..., None].expand(b, 1, v))[:, 0]
    else:
        q = torch.zeros_like(here).scatter(1, guess.ids.gather(1, place), 1.0)
    refused = (accepted < t - 1) & meant.gather(1, place)[:, 0]
    rest = (here - q).clamp(min=0)
    usable = refused & (rest.sum(1) > 0)  # nothing is left where p = q up to rounding
    return torch.where(usable[:, None], rest, here)
