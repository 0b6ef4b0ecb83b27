"""Whisper's beam search: several texts of each window at a time, until enough have ended.

Each step takes the best continuations of a window's texts. Going down the list until `beams` texts go on, those that
end are found; a window is done when it has found `beams` x patience. These are the rules of openai-whisper. Those of
transformers, in `generation/beams.py`, score what has ended by its length at once, and stop when nothing better can
come.

Axes: b rows: the same number for each window, side by side · w beams · c candidates · v vocabulary
Refs: patience arXiv:2204.05424 · first come, first served arXiv:2204.05424 §2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.errors import DataError
from multimodal.generation.beams import Hypothesis
from multimodal.generation.choosing import NOTHING
from multimodal.models.speech.prompts import STAYING, Begun
from multimodal.models.speech.rules import NEVER, TextRules, TimestampRules


@dataclass
class Search:
    """The search for one window's text."""

    width: int  # w
    enough: int  # texts that have ended
    room: int  # tokens
    eot: int
    running: list[Hypothesis] = field(default_factory=lambda: [Hypothesis(0.0)])
    finished: list[Hypothesis] = field(default_factory=list)  # in the order in which they were found
    done: bool = False

    def advance(self, candidates: Sequence[Sequence[float]]) -> None:
        """Go on by a token; `candidates`: (score, log-probability of the token, beam, token), best first."""
        running: list[Hypothesis] = []
        for score, logprob, beam, id in candidates:
            grown = self.running[int(beam)].grown(score, int(id), logprob, int(beam))
            if id != self.eot:
                running.append(grown)
                if len(running) == self.width:
                    break
            elif len(self.finished) < self.enough and score > NEVER:
                self.finished.append(grown)
        # A vocabulary of fewer tokens than beams leaves places, which copies fill that never win.
        filler = Hypothesis(NEVER, running[0].ids, running[0].logprobs, running[0].place)
        self.running = running + [filler] * (self.width - len(running))
        if len(self.finished) >= self.enough or len(running[0].ids) >= self.room:
            self.done = True
            likeliest = sorted(running, key=lambda one: one.score, reverse=True)
            self.finished += likeliest[: max(self.width - len(self.finished), 0)]


def search_texts(
    begun: Begun, rules: TextRules | TimestampRules, *, beams: int, patience: float, eot: int
) -> list[list[Hypothesis]]:
    """The texts that were found for each window; of some the last token is the end token.

    Raises:
        DataError: the logits are not numbers.
    """
    listener, logits = begun.listener, begun.logits
    searches = [Search(beams, round(beams * patience), room, eot) for room in begun.rooms]
    here, width = searches, 1  # at first there is one row a window
    while True:
        for search, candidates in zip(here, _candidates(rules(logits), here, width, beams), strict=True):
            if not search.done:
                search.advance(candidates)
        going = [place for place, search in enumerate(here) if not search.done]
        if not going:
            return [search.finished for search in searches]
        leaving = len(going) <= STAYING * len(here)
        places = going if leaving else list(range(len(here)))
        parents = [place * width + one.place for place in places for one in here[place].running]
        listener.reorder(parents, places if leaving else None)
        rules.reorder(parents)
        here, width = [here[place] for place in places], beams
        ids = torch.tensor([one.ids[-1] for search in here for one in search.running], device=logits.device)
        rules.append(ids)
        logits = listener.next_logits(ids)


def _candidates(
    logits: Float[Tensor, "b v"], here: Sequence[Search], width: int, beams: int
) -> list[list[list[float]]]:
    """The continuations of each window as `Search.advance` takes them; the device is waited for once."""
    best, ids = logits.topk(min(beams + 1, logits.shape[1]))  # b c: of each text so many that enough can go on
    own = best - logits.logsumexp(-1, keepdim=True)
    earlier = own.new_tensor([one.score for search in here for one in search.running])
    total, order = (own + earlier[:, None]).view(len(here), -1).sort(descending=True, stable=True)
    beam = torch.arange(width, device=ids.device)[:, None].expand(width, ids.shape[1]).flatten()
    parts = (total, *(part.reshape(len(here), -1).gather(1, order).float() for part in (own, ids)), beam[order].float())
    found = torch.stack([parts[0], parts[1], parts[3], parts[2]], dim=-1).tolist()
    if any(not row[0][0] > NEVER for row, search in zip(found, here, strict=True) if not search.done):  # -inf, or NaN
        raise DataError(NOTHING)
    return found
