"""`generate` and `stream`: from the logits after the prompts to finished texts.

Greedy decoding and sampling are the one loop here; beam search is in `beams.py`, drafts are in `speculation.py`. A row
that is finished leaves the batch. What is chosen for a row depends on that row alone, so a batch of prompts of
different length gives what each gives by itself.

Axes: b batch, of the rows that are not finished · v vocabulary
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.generation.beams import beam_search
from multimodal.generation.choosing import Noise, choose
from multimodal.generation.config import GenerationConfig
from multimodal.generation.continuation import Continuation
from multimodal.generation.drafts import Draft
from multimodal.generation.rows import Generated, Step, growing_rows
from multimodal.generation.rules import Rules
from multimodal.generation.speculation import speculate
from multimodal.tokenizers.text import TextTokenizer

Prompts = Sequence[Sequence[int]]


def generate(
    continuation: Continuation,
    logits: Float[Tensor, "b v"],
    prompts: Prompts,
    config: GenerationConfig = GenerationConfig(),
    *,
    tokenizer: TextTokenizer | None = None,
    draft: Draft | None = None,
) -> list[list[Generated]]:
    """Continuations of the prompts that `continuation` has read: one for each, in beam search the `n_best` best.

    Args:
        continuation: has read every prompt to its end; is used up.
        logits: of the token after each prompt.
        prompts: the ids of each prompt, which repetition rules and drafts look back at; may lack what is no text.
        config: how tokens are chosen and when to stop.
        tokenizer: gives `Generated.text`, and is needed for stop strings.
        draft: guesses tokens that the model then checks, several in one pass; not together with beams.

    Raises:
        ArgumentError: options that exclude each other, or a prompt that leaves no room.
        DataError: the logits are not numbers, or the rules forbid every token.
    """
    if config.beams is not None:
        if draft is not None:
            raise ArgumentError("A draft speeds up greedy decoding and sampling; beam search takes none. Drop one.")
        return beam_search(continuation, logits, prompts, config, tokenizer=tokenizer)
    rows: list[list[Step]] = [[] for _ in prompts]
    for step in stream(continuation, logits, prompts, config, tokenizer=tokenizer, draft=draft):
        rows[step.row].append(step)
    return [[_gathered(steps, tokenizer is not None)] for steps in rows]


def stream(
    continuation: Continuation,
    logits: Float[Tensor, "b v"],
    prompts: Prompts,
    config: GenerationConfig = GenerationConfig(),
    *,
    tokenizer: TextTokenizer | None = None,
    draft: Draft | None = None,
) -> Iterator[Step]:
    """The same, token by token as they come: the rows in turn until each has had a step with a `finish`.

    Raises:
        ArgumentError: beams, which know their text only at the end; and as for `generate`.
        DataError: as for `generate`.
    """
    if config.beams is not None:
        raise ArgumentError("Beam search knows its text only at the end and cannot be streamed; leave beams out.")
    if not len(prompts) == len(logits) == len(continuation.cache.counts):
        raise ArgumentError(
            f"There are {len(prompts)} prompts, logits for {len(logits)} and a cache of "
            f"{len(continuation.cache.counts)} rows; they must be as many."
        )
    frees = [continuation.cache.capacity - count for count in continuation.cache.counts]
    rows = growing_rows(config, frees, tokenizer)
    noise = Noise(config.sampling.seed if config.sampling else None, continuation.repeats)
    ahead = draft.tokens if draft is not None else 0
    rules = Rules(config, prompts, logits.shape[1], logits.device, ahead=ahead)
    if draft is not None:
        return speculate(continuation, logits, prompts, config, rows=rows, noise=noise, rules=rules, draft=draft)
    return _decode(continuation, logits, config, rows=rows, noise=noise, rules=rules)


def _decode(
    continuation: Continuation, logits: Tensor, config: GenerationConfig, *, rows: list, noise: Noise, rules: Rules
) -> Iterator[Step]:
    """One token for each row, read by the model, and so on; the device is waited for once a token."""
    new = 0
    while True:
        with torch.inference_mode():  # which must not be on while this generator rests
            scores = rules(logits.float(), [new] * len(rows), [row.room for row in rows])
            choice = choose(scores, config.sampling, noise)
            rules.append(choice.ids)
            ids, logprobs = choice.read()
        new += 1
        for row, id, logprob in zip(rows, ids, logprobs, strict=True):
            yield row.take(id, logprob)
        going = [i for i, row in enumerate(rows) if row.finish is None]
        if not going:
            return
        with torch.inference_mode():
            last = choice.ids
            if len(going) < len(rows):
                rows, last = [rows[i] for i in going], last[going]
                continuation.reorder(going, going)
                noise.reorder(going)
                rules.reorder(going)
            logits = continuation.next_logits(last[:, None])


def _gathered(steps: Sequence[Step], text: bool) -> Generated:
    finish = steps[-1].finish
    assert finish is not None
    logprobs = tuple(step.logprob for step in steps)
    return Generated(
        ids=tuple(step.id for step in steps),
        logprobs=logprobs,
        score=sum(logprobs),
        finish=finish,
        text="".join(step.text for step in steps) if text else None,
    )
