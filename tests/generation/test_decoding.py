"""Greedy decoding and sampling: against a plain loop without a cache, in batches of uneven prompts, to every end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from chains import begun, chain
from tiny_text_models import bytelevel, gpt, llama, marian, t5

from multimodal.errors import ArgumentError, DataError
from multimodal.generation.config import BeamConfig, GenerationConfig, RulesConfig, SamplingConfig
from multimodal.generation.decoding import generate, stream
from multimodal.generation.drafts import LookupDraft
from multimodal.generation.rows import Generated
from multimodal.models.continuations import begin_targets, begin_texts

PROMPTS = [[5, 9, 3, 40, 4], [7], [30, 14, 3, 8, 2, 45, 20, 6, 13]]
MODELS = {"gpt": gpt, "llama": llama, "t5": t5, "marian": marian}
TEN = GenerationConfig(max_new_tokens=10)
SAMPLING = SamplingConfig(temperature=1.3, top_k=20, top_p=0.9, seed=11)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    return MODELS[request.param]()


def run(model: Any, prompts: list[list[int]], config: GenerationConfig, **more: Any) -> list[Generated]:
    if hasattr(model, "decoder"):
        longest = max(map(len, prompts))
        ids = torch.tensor([prompt + [0] * (longest - len(prompt)) for prompt in prompts])
        keep = torch.arange(longest) < torch.tensor([len(prompt) for prompt in prompts])[:, None]
        start = begin_targets(model, ids, max_new_tokens=config.max_new_tokens, keep=keep)
    else:
        start = begin_texts(model, prompts, max_new_tokens=config.max_new_tokens)
    return [only for (only,) in generate(*start, config, tokenizer=model.tokenizer, **more)]


@torch.no_grad()
def plain(model: Any, prompt: list[int], n: int) -> tuple[list[int], list[float]]:
    """Greedy decoding with nothing but forward passes over the whole text."""
    text, logprobs = [model.config.start] if hasattr(model, "decoder") else list(prompt), []
    for _ in range(n):
        ids = torch.tensor([text])
        logits = (model(torch.tensor([prompt]), ids) if hasattr(model, "decoder") else model(ids))[0, -1]
        text.append(int(logits.argmax()))
        logprobs.append(float(logits.log_softmax(-1)[text[-1]]))
    return text[-n:], logprobs


def test_greedy_is_the_likeliest_token_each_time(model):
    for found, prompt in zip(run(model, PROMPTS, TEN), PROMPTS, strict=True):
        ids, logprobs = plain(model, prompt, 10)
        assert list(found.ids) == ids and found.finish == "length"
        assert found.logprobs == pytest.approx(logprobs, abs=1e-4)
        assert found.score == pytest.approx(sum(logprobs), abs=1e-3)


@pytest.mark.parametrize("rules", [RulesConfig(), RulesConfig(repetition_penalty=1.5, no_repeat_ngram=2)])
def test_sampled_rows_are_what_they_are_alone(model, rules: RulesConfig):
    """Rows end at different times (the end tokens are frequent), so the batch shrinks while others go on."""
    config = GenerationConfig(max_new_tokens=12, end=tuple(range(0, 257, 6)), sampling=SAMPLING, rules=rules)
    prompts = [*PROMPTS, [1, 2, 3], PROMPTS[0], [9]]
    together = run(model, prompts, config)
    assert len({len(one.ids) for one in together}) > 1, "the test is to see rows of different length"
    for row in (0, 1, 2, 3, 5):
        (alone,) = run(model, [prompts[row]], config)
        assert (alone.ids, alone.finish) == (together[row].ids, together[row].finish)
        assert alone.logprobs == pytest.approx(together[row].logprobs, abs=1e-4)


def test_a_prompt_given_twice_is_drawn_twice(model):
    config = GenerationConfig(max_new_tokens=8, sampling=SamplingConfig(seed=0))
    first, second = run(model, [PROMPTS[0]] * 2, config)
    assert first.ids != second.ids
    assert [one.ids for one in run(model, [PROMPTS[0]] * 2, config)] == [first.ids, second.ids]


def test_prompts_in_several_batches_can_be_told_apart():
    model, config = llama(), GenerationConfig(max_new_tokens=8, sampling=SamplingConfig(seed=0))
    together = run(model, [PROMPTS[0]] * 3, config)
    begun = begin_texts(model, [PROMPTS[0]] * 2, max_new_tokens=8, repeats=[1, 2])
    assert [one.ids for (one,) in generate(*begun, config)] == [one.ids for one in together[1:]]


def test_stream_gives_the_tokens_of_generate_as_they_come():
    model = gpt()
    config = GenerationConfig(max_new_tokens=9, sampling=SamplingConfig(seed=2), end=tuple(range(100, 140)))
    expected = run(model, PROMPTS, config)
    steps = list(stream(*begin_texts(model, PROMPTS, max_new_tokens=9), config, tokenizer=model.tokenizer))
    for row, one in enumerate(expected):
        mine = [step for step in steps if step.row == row]
        assert tuple(step.id for step in mine) == one.ids and "".join(step.text for step in mine) == one.text
        assert [step.finish for step in mine] == [None] * (len(mine) - 1) + [one.finish]
    assert [step.row for step in steps[:3]] == [0, 1, 2], "every row's first token before any row's second"


def test_nothing_is_switched_on_while_a_stream_rests():
    steps = stream(*begin_texts(llama(), PROMPTS, max_new_tokens=4), TEN)
    next(steps)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_text_stops_and_special_tokens():
    """A chain that walks through the alphabet, a token a byte."""
    tokenizer = bytelevel()
    a = tokenizer.id_of("a")
    table = torch.full((257, 257), -9.0)
    table[torch.arange(256), torch.arange(1, 257)] = 9.0
    found = generate(*begun(table, [[a]]), GenerationConfig(stop=("ef", "h")), tokenizer=tokenizer)[0][0]
    assert (found.text, found.finish, len(found.ids)) == ("bcd", "stop", 5)
    found = generate(*begun(table, [[a]]), GenerationConfig(end=(a + 3,)), tokenizer=tokenizer)[0][0]
    assert (found.text, found.finish, found.ids) == ("bc", "end", (a + 1, a + 2, a + 3))
    assert generate(*begun(table, [[a]]), GenerationConfig(end=(a + 3,)))[0][0].text is None


def test_prompts_that_are_no_text():
    """Rules and drafts look back at new tokens only where a prompt was images or sound."""
    table = chain(6)
    rules = RulesConfig(repetition_penalty=1.5, no_repeat_ngram=2)
    model, logits, _ = begun(table, [[1, 1, 3], [1, 1, 5]], capacity=13)
    for draft in (None, LookupDraft([[], []], tokens=2)):
        found = generate(model, logits, [[], []], GenerationConfig(max_new_tokens=12, rules=rules), draft=draft)
        for (one,) in found:
            assert len(one.ids) == 10 and one.finish == "context"
            assert len(set(zip(one.ids, one.ids[1:], strict=False))) == 9, "no pair comes twice"
        model, logits, _ = begun(table, [[1, 1, 3], [1, 1, 5]], capacity=13)


def test_the_context_ends_each_row_in_its_time():
    model = gpt(max_length=12)
    found = run(model, PROMPTS, TEN)
    assert [(len(one.ids), one.finish) for one in found] == [(7, "context"), (10, "length"), (3, "context")]
    for one, prompt in zip(found, PROMPTS, strict=True):
        assert list(one.ids) == plain(model, prompt, len(one.ids))[0]


def test_a_prompt_without_room():
    model = gpt(max_length=12)
    for length in (12, 40):
        with pytest.raises(ArgumentError, match=f"Prompt 2 of 2 has {length} tokens.*reads up to 12.*truncate"):
            begin_texts(model, [[1], [3] * length], max_new_tokens=4)
    with pytest.raises(ArgumentError, match="The prompt has no token to begin with"):
        begin_texts(model, [[]], max_new_tokens=4)


def test_a_prompt_cut_off_at_its_beginning():
    model = gpt(max_length=12)
    long = list(range(1, 41))
    for new, kept in ((4, 8), (9, 6)):
        cut = begin_texts(model, [[5, 6], long], max_new_tokens=new, truncate=True)
        assert cut.prompts == [[5, 6], long[-kept:]]
        config = GenerationConfig(max_new_tokens=new)
        alone = generate(*begin_texts(model, [long[-kept:]], max_new_tokens=new), config)[0][0]
        assert generate(*cut, config)[1][0].ids == alone.ids


def test_bfloat16():
    model = llama().to(torch.bfloat16)
    for sampling in (None, SamplingConfig(seed=1)):
        found = run(model, PROMPTS, replace(TEN, sampling=sampling))
        assert [len(one.ids) for one in found] == [10] * 3


def test_weights_that_are_not_numbers():
    model = gpt()
    with torch.no_grad():
        model.backbone.norm.weight[3] = float("nan")
    with pytest.raises(DataError, match="logits are not numbers"):
        run(model, PROMPTS, TEN)


def test_rules_that_leave_nothing():
    model, logits, prompts = begun(chain(5), [[1]])
    with pytest.raises(DataError, match="forbid every token"):
        generate(model, logits, prompts, GenerationConfig(rules=RulesConfig(no_repeat_ngram=1)))


def test_what_does_not_go_together():
    model, logits, prompts = begun(chain(5), [[1]])
    with pytest.raises(ArgumentError, match="exclude each other"):
        GenerationConfig(sampling=SamplingConfig(), beams=BeamConfig())
    with pytest.raises(ArgumentError, match="cannot be streamed"):
        stream(model, logits, prompts, GenerationConfig(beams=BeamConfig()))
    with pytest.raises(ArgumentError, match="2 prompts, logits for 1"):
        stream(model, logits, [*prompts, [2]], TEN)
