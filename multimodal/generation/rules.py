"""What is forbidden or forced, put on the scores of the next token before one is chosen.

For greedy decoding and sampling the scores are logits, for beam search log-probabilities, as checkpoints with such
rules expect. Rules that look back at the text know each row's own ids alone, whatever else is in the batch.

Axes: b batch · t length of the longest text · n tokens of an n-gram · v vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.generation.config import GenerationConfig

NONE = -1  # in the place of an id: the row is shorter


class Rules:
    """The rules of `config`, and the texts so far, the prompts in front, as far as the rules look back at them.

    `ahead`: how many tokens are put behind a text to try them.
    """

    def __init__(
        self,
        config: GenerationConfig,
        prompts: Sequence[Sequence[int]],
        vocabulary: int,
        device: torch.device,
        *,
        ahead: int = 0,
    ) -> None:
        rules = config.rules
        for name, forced in (("forced_first", rules.forced_first), ("forced_last", rules.forced_last)):
            if forced is not None and not 0 <= forced < vocabulary:
                raise ArgumentError(f"{name} is {forced}; the model's vocabulary has {vocabulary:,} tokens.")
        self.config, self.vocabulary = rules, vocabulary
        self.end = _known(config.end, vocabulary, device)
        self.suppress = _known(rules.suppress, vocabulary, device)
        self.suppress_first = _known(rules.suppress_first, vocabulary, device)
        self.lengths = [len(prompt) for prompt in prompts]
        self.ids: Int[Tensor, "b t"] | None = None
        if rules.repetition_penalty != 1.0 or rules.no_repeat_ngram:
            room = max(self.lengths) + config.max_new_tokens + ahead
            rows = [[*prompt, *[NONE] * (room - len(prompt))] for prompt in prompts]
            self.ids = torch.tensor(rows, device=device)

    def append(self, ids: Int[Tensor, " b"]) -> None:
        """One more token in each row."""
        if self.ids is not None:
            self.ids[range(len(self.lengths)), self.lengths] = ids
            self.lengths = [length + 1 for length in self.lengths]

    def rewind(self, lengths: Sequence[int]) -> None:
        """Forget what each row has beyond its first `lengths[row]` tokens."""
        if self.ids is not None:
            self.lengths = list(lengths)
            later = torch.arange(self.ids.shape[1], device=self.ids.device) >= self.ids.new_tensor(lengths)[:, None]
            self.ids.masked_fill_(later, NONE)

    def reorder(self, rows: Sequence[int]) -> None:
        """Row i becomes a copy of what row `rows[i]` was."""
        if self.ids is not None:
            self.ids = self.ids[list(rows)]
            self.lengths = [self.lengths[row] for row in rows]

    def __call__(self, scores: Float[Tensor, "b v"], new: Sequence[int], room: Sequence[int]) -> Float[Tensor, "b v"]:
        """The scores under the rules; -inf is what must not come.

        Args:
            scores: float32 logits or log-probabilities; not changed in place.
            new: how many new tokens each row has.
            room: how many it may get in all.
        """
        rules = self.config
        if self.ids is not None:
            ids = self.ids[:, : max(self.lengths)]
            if rules.repetition_penalty != 1.0:
                scores = _penalize(scores, ids, rules.repetition_penalty)
            if rules.no_repeat_ngram:
                banned = repeated(ids, self.lengths, rules.no_repeat_ngram, scores.shape[1])
                scores = scores.masked_fill(banned, float("-inf"))
        if rules.min_new_tokens and len(self.end):
            scores = _some(scores, _without(scores, self.end), [n < rules.min_new_tokens for n in new])
        if rules.forced_first is not None:
            scores = _some(scores, _only(scores, rules.forced_first), [n == 0 for n in new])
        if rules.forced_last is not None:
            scores = _some(
                scores, _only(scores, rules.forced_last), [n == all - 1 for n, all in zip(new, room, strict=True)]
            )
        if len(self.suppress):
            scores = _without(scores, self.suppress)
        if len(self.suppress_first):
            first = 0 if rules.forced_first is None else 1  # the first one that the model chooses
            scores = _some(scores, _without(scores, self.suppress_first), [n == first for n in new])
        return scores


def repeated(ids: Int[Tensor, "b t"], lengths: Sequence[int], n: int, vocabulary: int) -> Bool[Tensor, "b v"]:
    """The tokens that would repeat a sequence of `n` tokens in their row; `ids` are `NONE` behind each row's end."""
    banned = ids.new_zeros((len(ids), vocabulary + 1), dtype=torch.bool)  # the last one is for what bans nothing
    if ids.shape[1] < n:
        return banned[:, :-1]
    ends = ids.new_tensor(lengths)[:, None]
    last = ids.gather(1, (ends - n + 1 + torch.arange(n - 1, device=ids.device)).clamp(min=0))  # b n-1
    windows = ids.unfold(1, n, 1)  # b t-n+1 n
    # A row with fewer than n - 1 tokens has no whole window, so what `last` holds for it does not matter.
    match = (windows[..., :-1] == last[:, None]).all(-1) & (windows[..., -1] != NONE)
    banned.scatter_(1, torch.where(match, windows[..., -1], vocabulary), True)
    return banned[:, :-1]


def _penalize(scores: Tensor, ids: Tensor, penalty: float) -> Tensor:
    vocabulary = scores.shape[1]
    there = scores.new_zeros((len(scores), vocabulary + 1), dtype=torch.bool)
    there.scatter_(1, torch.where(ids == NONE, vocabulary, ids), True)
    return torch.where(there[:, :-1], torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def _known(ids: Sequence[int], vocabulary: int, device: torch.device) -> Int[Tensor, " n"]:
    """What the vocabulary does not have never comes anyway."""
    return torch.tensor([id for id in ids if 0 <= id < vocabulary], dtype=torch.long, device=device)


def _without(scores: Tensor, ids: Tensor) -> Tensor:
    return scores.index_fill(1, ids, float("-inf"))


def _only(scores: Tensor, id: int) -> Tensor:
    only = torch.full_like(scores, float("-inf"))
    only[:, id] = 0.0
    return only


def _some(scores: Tensor, changed: Tensor, rows: Sequence[bool]) -> Tensor:
    """`changed` in those `rows`, else `scores`."""
    if all(rows):
        return changed
    return torch.where(torch.tensor(rows, device=scores.device)[:, None], changed, scores) if any(rows) else scores
