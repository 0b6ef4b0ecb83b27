"""The text of windows token by token: the likeliest one each time, or one drawn by its probability.

Of a window several texts may be drawn (best of n). A window is written on until all of its texts have ended. Draws are
those of torch's `Categorical` with the same seed, and so those of openai-whisper.

Axes: b rows: `group` for each window, side by side · v vocabulary
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multimodal.errors import DataError
from multimodal.generation.choosing import NOTHING
from multimodal.models.speech.prompts import STAYING, Begun
from multimodal.models.speech.rules import NEVER, TextRules, TimestampRules


class Row:
    """One text as it grows; the end token is not part of `ids`, but its log-probability counts."""

    def __init__(self, room: int, eot: int) -> None:
        self.room, self.eot, self.done = room, eot, False
        self.ids: list[int] = []
        self.logprobs: list[float] = []

    @property
    def score(self) -> float:
        """The log-probability of all."""
        return sum(self.logprobs)

    def take(self, id: int, logprob: float) -> None:
        """The next token, which may be the last."""
        self.logprobs.append(logprob)
        if id != self.eot:
            self.ids.append(id)
        self.done = id == self.eot or len(self.ids) >= self.room


class Draws:
    """Chooses the next token of each row; at temperature 0 the likeliest.

    Args:
        temperature: logits are divided by it.
        group: rows of a window.
        seed: each window is drawn as if it were alone with it; None: all from torch's global generator.
        windows: how many.
        device: of the logits.
    """

    def __init__(self, temperature: float, group: int, seed: int | None, windows: int, device: torch.device) -> None:
        self.temperature, self.group = temperature, group
        self.generators: list[torch.Generator] = []
        if temperature > 0 and seed is not None:
            self.generators = [torch.Generator(device).manual_seed(seed) for _ in range(windows)]

    @property
    def alone(self) -> bool:
        """Whether what a window gets does not depend on others, so that these may leave."""
        return self.temperature == 0 or bool(self.generators)

    def __call__(self, logits: Float[Tensor, "b v"]) -> Int[Tensor, " b"]:
        """One id for each row."""
        if self.temperature == 0:
            return logits.argmax(-1)
        scaled = logits / self.temperature
        p = (scaled - scaled.logsumexp(-1, keepdim=True)).softmax(-1)  # as `Categorical` does, bit by bit
        if not self.generators:
            return torch.multinomial(p, 1)[:, 0]
        parts = zip(p.split(self.group), self.generators, strict=True)
        return torch.cat([torch.multinomial(part, 1, generator=generator)[:, 0] for part, generator in parts])

    def keep(self, windows: list[int]) -> None:
        """Only these remain."""
        self.generators = [self.generators[i] for i in windows] if self.generators else []


def draw_texts(
    begun: Begun, rules: TextRules | TimestampRules, *, temperature: float, group: int, seed: int | None, eot: int
) -> list[list[Row]]:
    """`group` texts of each window.

    Raises:
        DataError: the logits are not numbers.
    """
    listener, n = begun.listener, len(begun.rooms)
    rows = [Row(room, eot) for room in begun.rooms for _ in range(group)]
    texts = [rows[i : i + group] for i in range(0, len(rows), group)]
    draws = Draws(temperature, group, seed, n, begun.logits.device)
    logits = begun.logits
    if group > 1:
        several = [i for i in range(n) for _ in range(group)]
        logits = logits.repeat_interleave(group, dim=0)
        listener.reorder(several)
    here = list(range(n))  # the windows that are in the batch
    while True:
        logits = rules(logits)
        ids = draws(logits)
        logprobs = logits.gather(1, ids[:, None])[:, 0] - logits.logsumexp(-1)
        rules.append(ids)
        found = torch.stack([ids.float(), logprobs]).tolist()  # ids below 2^24 are exact in float32
        for row, id, logprob in zip((row for i in here for row in texts[i]), *found, strict=True):
            if row.done:
                continue
            if not logprob > NEVER:  # -inf, or NaN
                raise DataError(NOTHING)
            row.take(int(id), logprob)
        going = [place for place, i in enumerate(here) if not all(row.done for row in texts[i])]
        if not going:
            return texts
        if draws.alone and len(going) <= STAYING * len(here):
            kept = [place * group + i for place in going for i in range(group)]
            listener.reorder(kept, going)
            rules.reorder(kept)
            draws.keep(going)
            ids, here = ids[kept], [here[place] for place in going]
        logits = listener.next_logits(ids)
