"""Beam search: the likeliest sequences that can be found by keeping several hypotheses of each prompt at a time.

Each step takes the best continuations of a prompt's hypotheses, (1 + end tokens) x width of them so that enough stay
unfinished. One that ends is finished if it is among the best `width`, and scored by its length; the best `width`
unfinished ones go on. These are the rules of transformers, so checkpoints that come with beam settings give the same
tokens and scores. A prompt whose search is over leaves the batch.

Axes: b prompts that are searched · w beams · v vocabulary · c candidates
Refs: length penalty arXiv:1609.08144 §7 · when to stop https://github.com/huggingface/transformers/pull/20901
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.errors import DataError
from multimodal.generation.choosing import NOTHING
from multimodal.generation.config import BeamConfig, GenerationConfig
from multimodal.generation.continuation import Continuation
from multimodal.generation.rows import Finish, Generated, GrowingRow, first_stop, growing_rows
from multimodal.generation.rules import Rules
from multimodal.tokenizers.text import TextTokenizer

DEAD = float("-inf")  # the score of a beam that only fills its place


@dataclass(frozen=True)
class Hypothesis:
    """A continuation that is being searched on."""

    score: float  # log-probability, not yet divided by a length
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    place: int = 0  # which of the prompt's beams it continues

    def grown(self, score: float, id: int, logprob: float, place: int) -> Hypothesis:
        """With one more token."""
        return Hypothesis(score, (*self.ids, id), (*self.logprobs, logprob), place)


@dataclass
class Search:
    """The search for one prompt's continuations."""

    row: GrowingRow  # room, and why it ends where that is used up
    config: GenerationConfig
    beams: BeamConfig
    tokenizer: TextTokenizer | None
    running: list[Hypothesis] = field(default_factory=lambda: [Hypothesis(0.0)])
    finished: list[Generated] = field(default_factory=list)  # best first
    done: bool = False

    def advance(self, candidates: Sequence[Sequence[float]]) -> None:
        """Go on by a token; `candidates`: (score, log-probability of the token, beam, token), best first."""
        running, width = [], self.beams.width
        for rank, (score, logprob, beam, id) in enumerate(candidates):
            if score == DEAD:
                break
            grown = self.running[int(beam)].grown(score, int(id), logprob, int(beam))
            finish = self._finish(grown)
            if finish is None:
                running.append(grown)
            elif rank < width:
                self._keep(grown, finish)
        self.running = running[:width]
        self.done = self._over()

    def _finish(self, grown: Hypothesis) -> Finish | None:
        if grown.ids[-1] in self.config.end:
            return "end"
        if self.config.stop and first_stop(self._text(grown), self.config.stop) is not None:
            return "stop"
        return self.row.limit if len(grown.ids) >= self.row.room else None

    def _keep(self, grown: Hypothesis, finish: Finish) -> None:
        score = grown.score / len(grown.ids) ** self.beams.length_penalty
        text = None
        if self.tokenizer is not None:
            text = self._text(grown)
            text = text[: first_stop(text, self.config.stop)]
        found = Generated(ids=grown.ids, logprobs=grown.logprobs, score=score, finish=finish, text=text)
        self.finished = sorted([*self.finished, found], key=lambda one: -one.score)[: self.beams.width]

    def _over(self) -> bool:
        """Whether nothing is left that could be searched, or that is worth it."""
        if not self.running or (self.beams.early_stopping is True and len(self.finished) == self.beams.width):
            return True
        if len(self.finished) < self.beams.width:
            return False
        penalty = self.beams.length_penalty
        far = self.beams.early_stopping == "never" and penalty > 0
        length = self.row.room if far else len(self.running[0].ids)
        return self.running[0].score / length**penalty <= self.finished[-1].score

    def _text(self, grown: Hypothesis) -> str:
        assert self.tokenizer is not None
        ends = grown.ids[-1] in self.config.end
        return self.tokenizer.decode(grown.ids[:-1] if ends else grown.ids)


@torch.inference_mode()
def beam_search(
    continuation: Continuation,
    logits: Float[Tensor, "b v"],
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    *,
    tokenizer: TextTokenizer | None = None,
) -> list[list[Generated]]:
    """The `n_best` best continuations of each prompt, best first; arguments and errors as in `generate`."""
    assert config.beams is not None
    width, v = config.beams.width, logits.shape[1]
    frees = [continuation.cache.capacity - count for count in continuation.cache.counts]
    rows = growing_rows(config, frees, tokenizer)
    searches = [Search(row, config, config.beams, tokenizer) for row in rows]
    rules = Rules(config, prompts, v, logits.device)
    going, beams, new = searches, 1, 0  # at first there is one row a prompt
    while True:
        rooms = [search.row.room for search in going for _ in range(beams)]
        scores = rules(logits.float().log_softmax(-1), [new] * len(rooms), rooms)
        for search, candidates in zip(going, _candidates(scores, going, beams, config), strict=True):
            search.advance(candidates)
        new += 1
        remaining = [i for i, search in enumerate(going) if not search.done]
        if not remaining:
            return [search.finished[: config.beams.n_best] for search in searches]
        chosen = [going[i] for i in remaining]
        # A place without a hypothesis is filled by a copy of the first, with a score that never wins.
        for search in chosen:
            search.running += [replace(search.running[0], score=DEAD)] * (width - len(search.running))
        parents = [i * beams + one.place for i, search in zip(remaining, chosen, strict=True) for one in search.running]
        continuation.reorder(parents, remaining if len(remaining) < len(going) else None)
        rules.reorder(parents)
        ids = torch.tensor([one.ids[-1] for search in chosen for one in search.running], device=logits.device)
        rules.append(ids)
        logits, going, beams = continuation.next_logits(ids[:, None]), chosen, width


def _candidates(
    scores: Float[Tensor, "bw v"], going: Sequence[Search], beams: int, config: GenerationConfig
) -> list[list[list[float]]]:
    """The best continuations of each prompt as `Search.advance` takes them; the device is waited for once."""
    assert config.beams is not None
    b, v = len(going), scores.shape[1]
    earlier = torch.tensor([one.score for search in going for one in search.running], device=scores.device)
    total = (scores + earlier[:, None]).view(b, beams * v)
    count = max(2, 1 + len(config.end)) * config.beams.width
    best, places = total.topk(min(count, total.shape[1]))  # b c
    own = scores.view(b, beams * v).gather(1, places)
    found = torch.stack([best, own, (places // v).float(), (places % v).float()], dim=-1).tolist()
    if any(not candidates[0][0] > DEAD for candidates in found):  # -inf, or NaN
        raise DataError(NOTHING)
    return found
