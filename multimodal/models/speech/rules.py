"""Which tokens may come next in a text with times: Whisper's rules, put on the logits of all rows at once.

Tokens that are no speech never come. With timestamps, the text begins with one; they come in pairs, the end of a
segment and the beginning of the next, except in front of the end; they do not go back; and where they are together
likelier than any single token of the text, one of them comes. Nothing here waits for the device.

Axes: b batch · v vocabulary · n timestamps
Ref: arXiv:2212.04356 §2.3, §4.5
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multimodal.models.speech.tokens import SpeechTokens

NEVER = float("-inf")


class TextRules:
    """Tokens that never come, and those that do not come first."""

    def __init__(self, suppress: Sequence[int], first: Sequence[int], *, vocabulary: int, device: torch.device) -> None:
        # Added, as on a CPU that takes a fifth of the time of filling in some places.
        self.always, self.at_first = torch.zeros(2, vocabulary, device=device)
        self.always[[id for id in suppress if 0 <= id < vocabulary]] = NEVER
        self.at_first[[id for id in (*suppress, *first) if 0 <= id < vocabulary]] = NEVER
        self.new = 0  # tokens of each text so far

    def __call__(self, logits: Float[Tensor, "b v"]) -> Float[Tensor, "b v"]:
        """The logits under the rules, which are changed in place."""
        return logits.add_(self.always if self.new else self.at_first)

    def append(self, ids: Int[Tensor, " b"]) -> None:
        """One more token in each row."""
        self.new += 1

    def reorder(self, rows: Sequence[int]) -> None:
        """Row i goes on from where row `rows[i]` was."""


class TimestampRules:
    """The rules of `text`, and those of timestamps.

    Args:
        text: comes first.
        tokens: which ids are timestamps.
        rows: texts at the beginning.
        latest: the last timestamp that a text may begin with, counted from 0; None: any.
        device: of the logits.
    """

    def __init__(
        self, text: TextRules, tokens: SpeechTokens, *, rows: int, latest: int | None, device: torch.device
    ) -> None:
        self.text, self.tokens, self.latest = text, tokens, latest
        self.last = torch.zeros(rows, dtype=torch.bool, device=device)  # whether the last token is a timestamp
        self.before = torch.ones(rows, dtype=torch.bool, device=device)  # the one before it; so too before the text
        self.lowest = torch.full((rows,), tokens.timestamp_begin - 1, device=device)  # the last timestamp

    def __call__(self, logits: Float[Tensor, "b v"]) -> Float[Tensor, "b v"]:
        """The logits under the rules, which are changed in place."""
        begin, end = self.tokens.timestamp_begin, self.tokens.eot
        self.text(logits)[:, self.tokens.no_timestamps] = NEVER
        words, times = logits[:, :begin], logits[:, begin:]
        if self.text.new == 0:
            words.fill_(NEVER)
            if self.latest is not None:
                times[:, self.latest + 1 :] = NEVER
            return logits
        half = self.last & ~self.before  # the first of a pair: the second, the same or a later one, or the end follows
        whole = self.last & self.before
        lowest = self.lowest - begin + (~half).long()
        later = torch.arange(times.shape[1], device=logits.device) >= lowest[:, None]  # b n
        times.masked_fill_(~later | whole[:, None], NEVER)
        words[:, :end].add_(_closed(half))
        words.add_(_closed(times.logsumexp(1) > words.amax(1)))
        return logits

    def append(self, ids: Int[Tensor, " b"]) -> None:
        """One more token in each row."""
        if self.text.new:
            self.before = self.last
        self.text.append(ids)
        self.last = ids >= self.tokens.timestamp_begin
        self.lowest = torch.where(self.last, ids, self.lowest)

    def reorder(self, rows: Sequence[int]) -> None:
        """Row i goes on from where row `rows[i]` was."""
        index = self.lowest.new_tensor(rows)
        self.last, self.before, self.lowest = (state[index] for state in (self.last, self.before, self.lowest))


def _closed(rows: Bool[Tensor, " b"]) -> Float[Tensor, "b 1"]:
    """What is added to the logits of these rows so that they never come, and of the others so that nothing changes."""
    return torch.zeros(len(rows), 1, device=rows.device).masked_fill_(rows[:, None], NEVER)
