"""Beam search against every sequence that there is, and what it does at its edges; see also `parity/`."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from chains import begun, chain
from tiny_text_models import bytelevel, gpt, t5

from multimodal.generation.config import BeamConfig, GenerationConfig, RulesConfig
from multimodal.generation.decoding import generate
from multimodal.models.continuations import begin_targets, begin_texts

V, LONGEST, END = 4, 4, 0


def every(table: torch.Tensor, first: int, penalty: float) -> list[tuple[tuple[int, ...], float]]:
    """All continuations up to the end token or the longest length with their scores, the best first."""
    logp, found = table.log_softmax(-1), {}
    for sequence in product(range(V), repeat=LONGEST):
        ids = sequence[: sequence.index(END) + 1] if END in sequence else sequence
        total = sum(float(logp[a, b]) for a, b in zip((first, *ids), ids, strict=False))
        found[ids] = total / len(ids) ** penalty
    return sorted(found.items(), key=lambda pair: -pair[1])


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
def test_with_room_for_all_it_finds_the_best(penalty: float):
    table = chain(V, spread=1.0)
    beams = BeamConfig(width=V**LONGEST, n_best=20, length_penalty=penalty)
    config = GenerationConfig(max_new_tokens=LONGEST, end=(END,), beams=beams)
    for several, first in zip(generate(*begun(table, [[2], [1]]), config), (2, 1), strict=True):
        expected = every(table, first, penalty)[:20]
        assert [one.score for one in several] == pytest.approx([score for _, score in expected], abs=1e-5)
        assert several[0].ids == expected[0][0]
        assert {one.ids for one in several} <= {ids for ids, _ in every(table, first, penalty)[:24]}  # ties
        for one in several:
            assert sum(one.logprobs) / len(one.ids) ** penalty == pytest.approx(one.score, abs=1e-5)
            assert one.finish == ("end" if one.ids[-1] == END else "length")


def test_one_beam_is_greedy():
    model = gpt()
    prompts = [[5, 9, 3], [7], [3, 8, 2, 6]]
    start = {"max_new_tokens": 9}
    greedy = generate(*begin_texts(model, prompts, **start), GenerationConfig(max_new_tokens=9))
    config = GenerationConfig(max_new_tokens=9, beams=BeamConfig(width=1, length_penalty=0.0))
    for (one,), (other,) in zip(generate(*begin_texts(model, prompts, **start), config), greedy, strict=True):
        assert one.ids == other.ids and one.score == pytest.approx(other.score, abs=1e-4)


def test_a_wider_search_finds_a_likelier_text():
    model, scores = gpt(), []
    for width in (1, 64):
        config = GenerationConfig(max_new_tokens=3, beams=BeamConfig(width=width))
        scores.append(generate(*begin_texts(model, [[5], [77]], max_new_tokens=3), config))
    for (narrow,), (wide,) in zip(*scores, strict=True):
        assert wide.score >= narrow.score - 1e-6
    assert sum(wide[0].score for wide in scores[1]) > sum(narrow[0].score for narrow in scores[0])


def test_source_keys_are_projected_once_and_shared_by_the_beams():
    model, calls = t5(), []
    for block in model.decoder.blocks:
        block.cross.k.register_forward_hook(lambda _, inputs, output: calls.append(tuple(output.shape[:2])))
    ids = torch.tensor([[5, 9, 3], [7, 8, 1]])
    begun = begin_targets(model, ids, max_new_tokens=6)
    generate(*begun, GenerationConfig(max_new_tokens=6, beams=BeamConfig(width=3)))
    assert calls == [(2, 3)] * 2, "two sources, two layers, whatever the number of beams and tokens"


def test_stop_strings_end_hypotheses():
    tokenizer = bytelevel()
    a = tokenizer.id_of("a")
    table = torch.full((257, 257), -9.0)
    table[torch.arange(256), torch.arange(1, 257)] = 9.0
    config = GenerationConfig(max_new_tokens=9, stop=("de",), beams=BeamConfig(width=2, early_stopping=True))
    found = generate(*begun(table, [[a]]), config, tokenizer=tokenizer)[0][0]
    assert (found.text, found.finish, found.ids) == ("bc", "stop", (a + 1, a + 2, a + 3, a + 4))


def test_fewer_ways_on_than_beams():
    """Forced and forbidden tokens leave fewer hypotheses than places; the rest stays empty and wins nothing."""
    config = GenerationConfig(
        max_new_tokens=3,
        end=(END,),
        rules=RulesConfig(forced_first=3, suppress=(1, 2)),
        beams=BeamConfig(width=4, n_best=4),
    )
    table = chain(V)
    (found,) = generate(*begun(table, [[1]]), config)
    logp = table.log_softmax(-1)
    scores = {  # after the forced token, which costs nothing: end, or 3 again
        (3, 0): float(logp[3, 0]) / 2,
        (3, 3, 0): float(logp[3, 3] + logp[3, 0]) / 3,
        (3, 3, 3): float(logp[3, 3] * 2) / 3,
    }
    assert {one.ids: one.score for one in found} == pytest.approx(scores, abs=1e-5)


def test_the_context_ends_a_prompt_and_not_the_others():
    model = gpt(max_length=10)
    prompts = [[5, 9, 3, 8, 8, 8, 1], [7]]
    config = GenerationConfig(max_new_tokens=6, beams=BeamConfig(width=3))
    together = generate(*begin_texts(model, prompts, max_new_tokens=6), config)
    assert [(len(one.ids), one.finish) for (one,) in together] == [(3, "context"), (6, "length")]
    for prompt, expected in zip(prompts, together, strict=True):
        (alone,) = generate(*begin_texts(model, [prompt], max_new_tokens=6), config)
        assert alone[0].ids == expected[0].ids
