"""One token from the scores of all: the likeliest, or one drawn by its probability.

A draw depends on the seed, the text and how many tokens were drawn before it, and on nothing else in the batch: a
prompt is continued in a batch as it is alone. Where the same prompt is given several times, each has draws of its own.

Axes: b batch · v vocabulary · n numbers
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multimodal.errors import DataError
from multimodal.generation.config import SamplingConfig

NOTHING = (
    "No token can be chosen: the model's logits are not numbers (its weights may be damaged), or the rules "
    "(no_repeat_ngram, suppress) forbid every token."
)

FEW = 1024  # tokens: what is looked at first where only the likeliest count


class Noise:
    """Random numbers for each row, from a generator of its own.

    Args:
        seed: None: another one each time, from torch's global generator.
        repeats: for each row, how many before it are the same; they are told apart by it, and by nothing else.
    """

    def __init__(self, seed: int | None, repeats: Sequence[int]) -> None:
        first = int(torch.randint(2**62, ())) if seed is None else seed
        self.generators = []
        for repeat in repeats:
            # Hashed, so that the second row of seed 0 is not the first row of seed 1.
            digest = hashlib.blake2b(f"{first} {repeat}".encode(), digest_size=8).digest()
            self.generators.append(torch.Generator().manual_seed(int.from_bytes(digest) >> 1))

    def draw(self, n: int) -> Float[Tensor, "b n"]:
        """The next `n` numbers of each row, float64, from 0 to below 1."""
        return torch.stack([torch.rand(n, dtype=torch.float64, generator=each) for each in self.generators])

    def reorder(self, rows: Sequence[int]) -> None:
        """Keep these rows only."""
        self.generators = [self.generators[row] for row in rows]


def distribution(scores: Float[Tensor, "b v"], config: SamplingConfig) -> Float[Tensor, "b v"]:
    """The probabilities that tokens are drawn with: those of the scores after the temperature and the cuts."""
    p, ids = _cut(scores, config)
    return p if ids is None else torch.zeros_like(scores).scatter_(-1, ids, p)


def draw(p: Float[Tensor, "b v"], number: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Tokens drawn with probabilities proportional to `p`, by one number from 0 to below 1 for each row."""
    # In float32 the sum over a large vocabulary would be off by more than a rare token's probability.
    heights = p.cumsum(-1, dtype=torch.float64 if p.device.type != "mps" else torch.float32)
    total = heights[:, -1]
    marks = torch.minimum(number.to(heights) * total, torch.nextafter(total, torch.zeros_like(total)))
    found = torch.searchsorted(heights, marks[:, None], right=True)[:, 0]
    return found.clamp(max=p.shape[-1] - 1)  # of NaN, which whoever reads the choice refuses


class Choice(NamedTuple):
    """A token for each row."""

    ids: Int[Tensor, " b"]
    logprobs: Float[Tensor, " b"]  # under the rules, before the temperature and the cuts

    def read(self) -> tuple[list[int], list[float]]:
        """Both as lists, waiting for the device once.

        Raises:
            DataError: there is none, because logits are NaN or the rules forbid every token.
        """
        ids, logprobs = torch.stack([self.ids.float(), self.logprobs]).tolist()  # ids below 2^24 are exact in float32
        if any(map(math.isnan, logprobs)):
            raise DataError(NOTHING)
        return list(map(int, ids)), logprobs


def choose(scores: Float[Tensor, "b v"], config: SamplingConfig | None, noise: Noise) -> Choice:
    """The likeliest token of each row, or with `config` one that is drawn."""
    if config is None:
        ids = scores.argmax(-1)
    else:
        p, kept = _cut(scores, config)
        ids = draw(p, noise.draw(1)[:, 0])
        ids = ids if kept is None else kept.gather(1, ids[:, None])[:, 0]
    return Choice(ids, logprobs_of(scores, ids))


def logprobs_of(scores: Float[Tensor, "b v"], ids: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The log-probability of one token of each row."""
    return scores.gather(1, ids[:, None])[:, 0] - scores.logsumexp(-1)


def _cut(scores: Tensor, config: SamplingConfig) -> tuple[Tensor, Tensor | None]:
    """The probabilities of the tokens that may be drawn, and which these are; None: all, in their order."""
    if config.temperature != 1.0:
        scores = scores / config.temperature
    ids = None
    if config.top_k is not None and config.top_k < scores.shape[-1]:
        scores, ids = scores.topk(config.top_k)  # in falling order
    p = scores.softmax(-1)
    if config.top_p is not None and config.top_p < 1.0:
        if ids is None:
            p, ids = _likeliest(p, config.top_p)
        p = torch.where(p.cumsum(-1) - p >= config.top_p, 0.0, p)
        p = p / p.sum(-1, keepdim=True)
    if config.min_p is not None:
        p = torch.where(p < config.min_p * p.amax(-1, keepdim=True), 0.0, p)
        p = p / p.sum(-1, keepdim=True)
    return p, ids


def _likeliest(p: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """The likeliest tokens in falling order, enough of them to reach that probability together."""
    if p.device.type == "cpu" and p.shape[-1] > FEW:  # where sorting a large vocabulary takes as long as a small model
        best, ids = p.topk(FEW)
        if bool((best.sum(-1) >= reach).all()):
            return best, ids
    return p.sort(descending=True)
