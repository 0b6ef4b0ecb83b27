"""Presets are the published designs: their defaults have the published numbers of parameters."""

import pytest
import torch

from multimodal.checkpoint.fit import EmptyParameters
from multimodal.presets import bert, gpt2, llama, t5, transformer


def count(config):
    with EmptyParameters():
        model = config.build()
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        (lambda: gpt2(50257), 124.44),  # openai-community/gpt2
        (lambda: llama(32000), 6738.42),  # Llama 7B: 11008 hidden units, which 8/3 of the width gives rounded up
        (lambda: bert(30522, next_sentence=True), 110.11),  # with pooler and both heads
        (lambda: t5(32128, start=0), 76.96),  # google/t5-v1_1-small
    ],
)
def test_published_sizes(config, millions):
    assert count(config()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_the_original_transformer_has_65_million_parameters():
    """Table 3's base model with its 37,000 tokens; the sinusoids have none."""
    by_hand = 37_000 * 512 + 6 * (4 * 512 * 512 + 2 * 512 * 2048) + 6 * (8 * 512 * 512 + 2 * 512 * 2048)
    biases_and_norms = count(transformer(37_000, start=0)) - by_hand
    assert 0 < biases_and_norms < 0.1e6 and round(by_hand / 1e6) == 63


def test_without_biases_there_are_only_matrices_and_scales():
    model = gpt2(20, length=8, dim=16, depth=2, heads=2, bias=False).build()
    assert not [name for name, _ in model.named_parameters() if name.endswith("bias")]


@pytest.mark.parametrize("make", [gpt2, llama])
def test_language_models_run(make):
    model = make(20, length=8, dim=24, depth=2, heads=2).build().eval()
    assert model(torch.randint(20, (2, 8))).shape == (2, 8, 20)


def test_a_conformer_is_what_its_arguments_say():
    from multimodal.presets.conformer import conformer

    config = conformer(100, dim=64, depth=4, between=True, decoder_depth=2)
    stack = config.encoder.backbone
    assert (stack.dim, stack.depth, config.between, config.decoder.backbone.depth) == (64, 4, (2,), 2)
    assert stack.block.convolution.kernel == 31 and stack.block.first_mlp == stack.block.mlp
    small = conformer(256)
    with torch.device("meta"):
        parameters = sum(p.numel() for p in small.build().encoder.parameters())
    assert 7.5e6 < parameters < 10.3e6  # the paper's 10.3 million count an LSTM decoder too
