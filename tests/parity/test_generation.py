"""Greedy and beam search of transformers: the same tokens, and in beam search the same scores.

The models are tiny and random, with end tokens that really come, and the prompts of a batch differ in length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import multimodal as mm
from multimodal.generation.config import BeamConfig, GenerationConfig, RulesConfig
from multimodal.generation.decoding import generate
from multimodal.generation.rows import Generated
from multimodal.models.continuations import begin_targets, begin_texts

transformers = pytest.importorskip("transformers")

V, PAD, END = 24, 1, 2
PROMPTS = [[5, 9, 3, 11, 4], [7], [3, 4, 3, 8, 3, 4, 20, 6, 13]]
SIZES = {"vocab_size": V, "pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": END}
STACKS = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
}


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(**SIZES, n_positions=64, n_embd=16, n_layer=2, n_head=2)
    return transformers.GPT2LMHeadModel(config)


def llama() -> nn.Module:
    config = transformers.LlamaConfig(
        **SIZES,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    return transformers.LlamaForCausalLM(config)


def t5() -> nn.Module:
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2}
    config = transformers.T5Config(**SIZES, **sizes, decoder_start_token_id=PAD)
    return transformers.T5ForConditionalGeneration(config)


def bart() -> nn.Module:
    config = transformers.BartConfig(**SIZES, **STACKS, decoder_start_token_id=END, forced_eos_token_id=None)
    return transformers.BartForConditionalGeneration(config)


def marian() -> nn.Module:
    config = transformers.MarianConfig(
        **SIZES, **STACKS, decoder_start_token_id=PAD, forced_eos_token_id=None, scale_embedding=True
    )
    return transformers.MarianMTModel(config)


MODELS: dict[str, Callable[[], nn.Module]] = {"gpt2": gpt2, "llama": llama, "t5": t5, "bart": bart, "marian": marian}
TARGETS = ("t5", "bart", "marian")  # families with an encoder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], tuple[Any, Any]]:
    """Their model with random weights large enough that tokens vary, and ours from the folder that it was saved in."""

    @cache
    def pair(family: str, seed: int) -> tuple[Any, Any]:
        torch.manual_seed(seed)
        theirs = MODELS[family]().eval()
        with torch.no_grad():
            for name, parameter in theirs.named_parameters():
                if parameter.ndim > 1 and "embed_positions" not in name:
                    parameter.normal_(std=0.5)
            theirs.get_output_embeddings().weight[END] *= 3  # so that texts end
        folder = tmp_path_factory.mktemp(family)
        theirs.save_pretrained(folder)
        return theirs, mm.load(str(folder), device="cpu", dtype="float32")

    return pair


def padded(rows: list[list[int]], side: str) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    blanks = [[PAD] * (longest - len(row)) for row in rows]
    real = [[1] * len(row) for row in rows]
    nothing = [[0] * len(blank) for blank in blanks]
    both = ((rows, blanks), (real, nothing))
    right = [[a + b for a, b in zip(*pair, strict=True)] for pair in both]
    left = [[b + a for a, b in zip(*pair, strict=True)] for pair in both]
    ids, mask = left if side == "left" else right
    return torch.tensor(ids), torch.tensor(mask)


def ours(model: Any, family: str, prompts: list[list[int]], config: GenerationConfig) -> list[list[Generated]]:
    if family in TARGETS:
        ids, mask = padded(prompts, "right")
        begun = begin_targets(model, ids, max_new_tokens=config.max_new_tokens, keep=mask.bool())
    else:
        begun = begin_texts(model, prompts, max_new_tokens=config.max_new_tokens)
    return generate(*begun, config)


def expected(
    model: Any, family: str, prompts: list[list[int]], config: GenerationConfig, **more: Any
) -> tuple[list[list[int]], list[float]]:
    """New ids of each row, without the padding behind its end, and in beam search the scores."""
    ids, mask = padded(prompts, "right" if family in TARGETS else "left")
    rules, beams = config.rules, config.beams
    if beams is not None:
        more |= {"num_beams": beams.width, "length_penalty": beams.length_penalty}
        more |= {"early_stopping": beams.early_stopping, "num_return_sequences": beams.n_best}
    found = model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=config.max_new_tokens,
        eos_token_id=list(config.end) or None,
        pad_token_id=PAD,
        do_sample=False,
        repetition_penalty=rules.repetition_penalty,
        no_repeat_ngram_size=rules.no_repeat_ngram,
        min_new_tokens=rules.min_new_tokens,
        suppress_tokens=list(rules.suppress) or None,
        begin_suppress_tokens=list(rules.suppress_first) or None,
        forced_bos_token_id=rules.forced_first,
        forced_eos_token_id=rules.forced_last,
        output_scores=True,
        return_dict_in_generate=True,
        **more,
    )
    start = 1 if family in TARGETS else ids.shape[1]
    rows = [cut(row, config.end) for row in found.sequences[:, start:].tolist()]
    return rows, [] if beams is None else found.sequences_scores.tolist()


def cut(row: list[int], ends: tuple[int, ...]) -> list[int]:
    for place, id in enumerate(row):
        if id in ends:
            return row[: place + 1]
    return row


def compare(models: Any, family: str, seed: int, config: GenerationConfig, prompts: list[list[int]] = PROMPTS) -> set:
    """Asserts equality; returns how rows ended."""
    theirs, model = models(family, seed)
    rows, scores = expected(theirs, family, prompts, config)
    found = [one for several in ours(model, family, prompts, config) for one in several]
    assert [list(one.ids) for one in found] == rows
    if scores:
        assert [one.score for one in found] == pytest.approx(scores, rel=1e-5, abs=1e-4)
    return {one.finish for one in found}


GREEDY = GenerationConfig(max_new_tokens=12, end=(END,))


@pytest.mark.parametrize("family", MODELS)
def test_greedy(models, family: str):
    ends = set().union(*(compare(models, family, seed, GREEDY) for seed in range(3)))
    assert ends == {"end", "length"}, "the test is to see both"


RULES = {
    "repetition": RulesConfig(repetition_penalty=1.7),
    "n-grams": RulesConfig(no_repeat_ngram=2),
    "single tokens": RulesConfig(no_repeat_ngram=1),
    "minimum": RulesConfig(min_new_tokens=6),
    "suppressed": RulesConfig(suppress=(3, 4, 7), suppress_first=(END, 5)),
    "forced": RulesConfig(forced_last=END, no_repeat_ngram=3),
}


@pytest.mark.parametrize("beams", [None, BeamConfig(width=3)], ids=["greedy", "beams"])
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("family", ["llama", "bart"])
def test_rules(models, family: str, rules: RulesConfig, beams: BeamConfig | None):
    """Prompts one by one where transformers would take their padding for repeated text."""
    config = replace(GREEDY, rules=rules, beams=beams)
    if family in TARGETS:
        compare(models, family, 0, config)
        return
    for prompt in PROMPTS:
        compare(models, family, 0, config, [prompt])


def test_first_token_forced(models):
    config = replace(GREEDY, rules=RulesConfig(forced_first=0, forced_last=END, suppress_first=(6, 9)))
    for beams in (None, BeamConfig(width=4, n_best=4)):
        for family in TARGETS:
            compare(models, family, 1, replace(config, beams=beams))


BEAMS = {
    "plain": BeamConfig(width=4),
    "n best, short": BeamConfig(width=3, n_best=3, length_penalty=0.6),
    "long": BeamConfig(width=3, n_best=2, length_penalty=2.0),
    "against length": BeamConfig(width=3, length_penalty=-1.0),
    "early": BeamConfig(width=4, n_best=4, early_stopping=True),
    "never early": BeamConfig(width=3, n_best=3, early_stopping="never"),
}


@pytest.mark.parametrize("beams", BEAMS.values(), ids=BEAMS)
@pytest.mark.parametrize("family", MODELS)
def test_beams(models, family: str, beams: BeamConfig):
    ends = set()
    for seed in (0, 2):
        ends |= compare(models, family, seed, replace(GREEDY, beams=beams, max_new_tokens=8))
    assert "end" in ends, "the test is to see finished hypotheses"


def test_beams_as_published_settings_have_them(models):
    """BART's summaries: forced ends, no repeated trigram, a minimum, early stopping."""
    rules = RulesConfig(no_repeat_ngram=3, min_new_tokens=4, forced_first=0, forced_last=END)
    beams = BeamConfig(width=4, length_penalty=2.0, early_stopping=True, n_best=2)
    for seed in range(4):
        compare(models, "bart", seed, replace(GREEDY, rules=rules, beams=beams, max_new_tokens=10))


def test_beams_with_several_ends(models):
    for family in ("gpt2", "marian"):
        for beams in (BeamConfig(width=2, n_best=2), BeamConfig(width=3, early_stopping=True)):
            compare(models, family, 2, replace(GREEDY, beams=beams, end=(END, 5, 9)))


@pytest.mark.parametrize("beams", [None, BeamConfig(width=3, n_best=2)], ids=["greedy", "beams"])
@pytest.mark.parametrize("family", MODELS)
def test_a_batch_gives_what_its_rows_give(models, family: str, beams: BeamConfig | None):
    _, model = models(family, 1)
    config = replace(GREEDY, beams=beams)
    alone = [ours(model, family, [prompt], config)[0] for prompt in PROMPTS]
    for found, expected in zip(ours(model, family, PROMPTS, config), alone, strict=True):
        assert [one.ids for one in found] == [one.ids for one in expected]
        assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-4)
