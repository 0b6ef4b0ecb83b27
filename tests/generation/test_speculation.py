"""Guesses change nothing: greedy text stays the same token for token, and sampled text keeps its distribution."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest
import torch
from chains import begun, chain
from scipy.stats import chisquare
from tiny_text_models import gpt, llama, marian, t5
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.generation.choosing import distribution
from multimodal.generation.config import BeamConfig, GenerationConfig, RulesConfig, SamplingConfig
from multimodal.generation.decoding import generate, stream
from multimodal.generation.drafts import Draft, LookupDraft, ModelDraft
from multimodal.models.continuations import Begun, begin_targets, begin_texts

PROMPTS = [[5, 9, 3, 40, 4, 9, 3], [7], [30, 14, 3, 8, 2, 45, 20, 6, 13, 30, 14]]
MODELS = {"gpt": gpt, "llama": llama, "t5": t5, "marian": marian}
NEW = 24


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    return MODELS[request.param]()


def near(model: Any) -> Any:
    """A draft that is often right: the model with a little noise on its weights."""
    other = model.config.build()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    return other.eval()


def begin(model: Any, prompts: list[list[int]]) -> Begun:
    if not hasattr(model, "decoder"):
        return begin_texts(model, prompts, max_new_tokens=NEW)
    longest = max(map(len, prompts))
    ids = torch.tensor([prompt + [0] * (longest - len(prompt)) for prompt in prompts])
    keep = torch.arange(longest) < torch.tensor([len(prompt) for prompt in prompts])[:, None]
    return begin_targets(model, ids, max_new_tokens=NEW, keep=keep)


def drafts(model: Any, prompts: list[list[int]]) -> dict[str, Draft]:
    texts = begin(model, prompts).prompts
    return {
        "near": ModelDraft(begin(near(model), prompts).continuation, tokens=4),
        "itself": ModelDraft(begin(model, prompts).continuation, tokens=3),
        "lookup": LookupDraft(texts, tokens=5, ngram=2),
    }


RULES = RulesConfig(repetition_penalty=1.2, no_repeat_ngram=4, min_new_tokens=3, suppress=(11,), suppress_first=(9,))


@pytest.mark.parametrize("rules", [RulesConfig(), RULES], ids=["plain", "rules"])
def test_greedy_text_is_the_same(model, rules: RulesConfig):
    """Rows of different length, guessed right to a different extent, that end at different times."""
    config = GenerationConfig(max_new_tokens=NEW, end=tuple(range(0, 257, 11)), rules=rules)
    expected = generate(*begin(model, PROMPTS), config)
    for name, draft in drafts(model, PROMPTS).items():
        found = generate(*begin(model, PROMPTS), config, draft=draft)
        assert [one.ids for (one,) in found] == [one.ids for (one,) in expected], name
        assert [one.finish for (one,) in found] == [one.finish for (one,) in expected]
        for (one,), (other,) in zip(found, expected, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        tally = draft.tally
        assert tally.tokens == sum(len(one.ids) for (one,) in found)
        if name == "itself":
            assert tally.acceptance == 1.0 and tally.passes < max(len(one.ids) for (one,) in found)
        assert 0 <= tally.accepted <= tally.proposed


def test_no_end_token_and_the_end_of_the_context():
    model = gpt(max_length=20)
    config = GenerationConfig(max_new_tokens=15)
    expected = generate(*begin(model, PROMPTS), config)
    assert [one.finish for (one,) in expected] == ["context", "length", "context"]
    for draft in drafts(model, PROMPTS).values():
        found = generate(*begin(model, PROMPTS), config, draft=draft)
        assert [(one.ids, one.finish) for (one,) in found] == [(one.ids, one.finish) for (one,) in expected]


def test_a_draft_that_reads_less_than_the_model():
    """The draft's context ends first: the model goes on alone."""
    model, small = gpt(max_length=40), gpt(max_length=14)
    config = GenerationConfig(max_new_tokens=20)
    draft = ModelDraft(begin_texts(small, PROMPTS, max_new_tokens=20).continuation)
    expected = [one.ids for (one,) in generate(*begin(model, PROMPTS), config)]
    assert [one.ids for (one,) in generate(*begin(model, PROMPTS), config, draft=draft)] == expected


def exact(table: Tensor, first: int, length: int, sampling: SamplingConfig) -> dict[tuple[int, ...], float]:
    """The probability of every continuation of that length."""
    p = distribution(table, sampling)
    found = {}
    for ids in product(range(len(table)), repeat=length):
        value = 1.0
        for a, b in zip((first, *ids), ids, strict=False):
            value *= float(p[a, b])
        found[ids] = value
    return found


ROWS, LENGTH, V = 2000, 4, 4


def drafted(kind: str, prompts: list[list[int]]) -> Draft:
    if kind == "lookup":
        return LookupDraft(prompts, tokens=3, ngram=2)
    return ModelDraft(begun(chain(V, seed=5), prompts)[0], tokens=2)


@pytest.mark.parametrize("kind", ["model", "lookup"])
@pytest.mark.parametrize(
    "sampling", [SamplingConfig(seed=0), SamplingConfig(seed=1, temperature=1.4, top_k=3)], ids=["plain", "cut"]
)
def test_sampled_text_keeps_its_distribution(kind: str, sampling: SamplingConfig):
    """Thousands of rows of four tokens against the exact probabilities of all 256 outcomes."""
    table, prompts = chain(V), [[2, 0, 1, 2, 0, 1]] * ROWS
    draft = drafted(kind, prompts)
    found = generate(*begun(table, prompts), GenerationConfig(max_new_tokens=LENGTH, sampling=sampling), draft=draft)
    counts = Counter(one.ids for (one,) in found)
    expected = exact(table, 1, LENGTH, sampling)
    assert all(expected[ids] > 0 for ids in counts)
    likely = [ids for ids, p in expected.items() if p * ROWS >= 5]
    rest = ROWS - sum(counts[ids] for ids in likely), ROWS * (1 - sum(expected[ids] for ids in likely))
    seen = [counts[ids] for ids in likely] + [rest[0]]
    meant = [expected[ids] * ROWS for ids in likely] + [rest[1]]
    assert chisquare(seen, meant).pvalue > 0.01
    assert 0.1 < draft.tally.acceptance < 0.9, "the test is to see guesses accepted and refused"
    # The test would notice: a draft whose guesses are all taken has another distribution.
    if kind == "model":
        wrong = exact(chain(V, seed=5), 1, LENGTH, sampling)
        distance = sum(abs(expected[ids] - wrong[ids]) for ids in expected) / 2
        assert distance > 0.2


def test_sampled_rows_are_what_they_are_alone():
    model = llama()
    small = near(model)
    config = GenerationConfig(max_new_tokens=NEW, end=(3, 9, 20, 41), sampling=SamplingConfig(seed=4, top_p=0.9))

    def run(prompts: list[list[int]]) -> list[tuple[int, ...]]:
        draft = ModelDraft(begin(small, prompts).continuation, tokens=3)
        return [one.ids for (one,) in generate(*begin(model, prompts), config, draft=draft)]

    assert run(PROMPTS) == [run([prompt])[0] for prompt in PROMPTS]


def test_the_best_draft_is_the_model_itself():
    """With p = q every guess is accepted, also when drawn."""
    model = llama()
    draft = ModelDraft(begin(model, PROMPTS).continuation, tokens=4)
    config = GenerationConfig(max_new_tokens=NEW, sampling=SamplingConfig(seed=0))
    generate(*begin(model, PROMPTS), config, draft=draft)
    assert draft.tally.acceptance > 0.95


def test_what_a_lookup_finds():
    """A text that goes round in circles is guessed almost wholly."""
    table = torch.full((6, 6), -5.0)
    table[torch.arange(6), (torch.arange(6) + 1) % 6] = 5.0
    prompts = [[0, 1, 2, 3, 4, 5, 0]]
    draft = LookupDraft(prompts, tokens=4)
    (found,) = generate(*begun(table, prompts), GenerationConfig(max_new_tokens=20), draft=draft)[0]
    assert found.ids == tuple((i + 1) % 6 for i in range(20))
    assert draft.tally.acceptance == 1.0 and draft.tally.passes == 5  # 1, then 5 a pass, of which the last has 4


def test_tokens_stream_in_order():
    model = llama()
    config = GenerationConfig(max_new_tokens=10)
    expected = [one.ids for (one,) in generate(*begin(model, PROMPTS), config)]
    rows: list[list[int]] = [[] for _ in PROMPTS]
    draft = drafts(model, PROMPTS)["near"]
    for step in stream(*begin(model, PROMPTS), config, draft=draft):
        assert not torch.is_inference_mode_enabled()
        rows[step.row].append(step.id)
    assert [tuple(row) for row in rows] == expected


def test_what_does_not_go_together():
    model = llama()
    with pytest.raises(ArgumentError, match="beam search takes none"):
        config = GenerationConfig(beams=BeamConfig())
        generate(*begin(model, PROMPTS), config, draft=LookupDraft(PROMPTS))
    with pytest.raises(ArgumentError, match="257 tokens and the model's 50"):
        generate(*begin(model, PROMPTS), draft=ModelDraft(begin(gpt(), PROMPTS).continuation))
    with pytest.raises(ArgumentError, match="tokens is 0"):
        LookupDraft(PROMPTS, tokens=0)
