"""Perceiver and Perceiver IO against transformers' `PerceiverModel`, with its weights copied by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import PerceiverConfig as TheirConfig
from transformers import PerceiverForImageClassificationFourier, PerceiverModel
from transformers.models.perceiver.modeling_perceiver import PerceiverBasicDecoder

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.block import Block, BlockConfig
from multimodal.backbone.cross_block import CrossBlock, CrossBlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.models.classifier import Classifier, ClassifierConfig
from multimodal.models.perceiver import Perceiver, PerceiverConfig
from multimodal.models.perceiver_encoder import PerceiverEncoderConfig
from multimodal.models.perceiver_io import OutputQueries, OutputQueriesConfig
from multimodal.tokenizers.fourier import FourierTokenizerConfig

L, D = 7, 12  # latents and their width
FOURIER = {"num_labels": 3, "d_model": 261, "num_cross_attention_heads": 3}


def their_config(**parts) -> TheirConfig:
    sizes = {"num_latents": L, "d_latents": D, "num_blocks": 3, "num_self_attends_per_block": 2}
    heads = {"num_self_attention_heads": 4, "num_cross_attention_heads": 2}
    wide = {"cross_attention_widening_factor": 2, "self_attention_widening_factor": 3}
    return TheirConfig(**{**sizes, **heads, **wide, "attention_probs_dropout_prob": 0.0, **parts})


def our_config(*, heads: int, inside: int, residual: bool = True) -> PerceiverConfig:
    """What `their_config` says; `heads` of `inside` channels in all read the input."""
    reading = AttentionConfig(heads=heads, head_dim=inside // heads)
    return PerceiverConfig(
        latents=L,
        dim=D,
        depth=2,
        block=BlockConfig(attention=AttentionConfig(heads=4), mlp=MlpConfig(hidden=3 * D)),
        reading=CrossBlockConfig(attention=reading, mlp=MlpConfig(hidden=2 * D), residual=residual),
        rounds=3,
    )


def copy(layer: nn.Module, ours: CrossBlock | Block) -> None:
    """The weights of their layer, of either kind, into ours."""
    theirs, inner = layer.attention, layer.attention.self
    cross = isinstance(ours, CrossBlock)
    pairs = [
        (inner.layernorm1, ours.norm if cross else ours.attention_branch.norm),
        (inner.query, ours.attention.q),
        (inner.key, ours.attention.k),
        (inner.value, ours.attention.v),
        (theirs.output.dense, ours.attention.out),
        (layer.layernorm, ours.mlp_norm if cross else ours.mlp_branch.norm),
        (layer.mlp.dense1, ours.mlp.up),
        (layer.mlp.dense2, ours.mlp.down),
        *([(inner.layernorm2, ours.context_norm)] if cross else []),
    ]
    for source, target in pairs:
        target.load_state_dict(source.state_dict())


def copy_body(theirs: PerceiverModel, ours: Perceiver) -> None:
    ours.latents.data.copy_(theirs.embeddings.latents)
    copy(theirs.encoder.cross_attention, ours.readings[0])
    for layer, block in zip(theirs.encoder.self_attends, ours.backbone.blocks, strict=True):
        copy(layer, block)


def randomized(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.mark.parametrize("shape", ["kv", "q"])
@pytest.mark.parametrize("residual", [True, False])
@torch.no_grad()
def test_the_latents_are_the_same(shape, residual):
    config = their_config(d_model=10, cross_attention_shape_for_attention=shape, use_query_residual=residual)
    theirs = randomized(PerceiverModel(config))
    ours = our_config(heads=2, inside=10 if shape == "kv" else D, residual=residual).build(10).eval()
    copy_body(theirs, ours)
    x, keep = torch.randn(2, 9, 10), torch.ones(2, 9, dtype=torch.bool)
    keep[1, 5:] = False
    torch.testing.assert_close(ours(x), theirs(x).last_hidden_state, rtol=1e-5, atol=2e-5)
    expected = theirs(x, attention_mask=keep.long()).last_hidden_state
    torch.testing.assert_close(ours(x, keep=keep), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("residual", [True, False])
@torch.no_grad()
def test_output_queries_find_the_same(residual):
    options = {"output_num_channels": 5, "position_encoding_type": "none", "num_channels": 8, "num_heads": 2}
    decoder = PerceiverBasicDecoder(their_config(), **options, use_query_residual=residual, widening_factor=3)
    decoder = randomized(decoder)
    attention = AttentionConfig(heads=2, head_dim=D // 2)
    reading = CrossBlockConfig(attention=attention, mlp=MlpConfig(hidden=24), residual=residual)
    ours: OutputQueries = OutputQueriesConfig(reading=reading, dim=8, queries=0).build(D)
    copy(decoder.decoding_cross_attention, ours.reading)
    latents, queries = torch.randn(2, L, D), torch.randn(2, 6, 8)
    found = decoder.final_layer(ours.eval()(latents, queries))
    torch.testing.assert_close(found, decoder(queries, latents).logits, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("size", [(8, 8), (6, 11)])
@torch.no_grad()
def test_a_classifier_of_images_gives_the_same_logits(size):
    """DeepMind's vision-perceiver-fourier at a tiny size: pixels, Fourier features, latents, one query, one layer."""
    theirs = randomized(PerceiverForImageClassificationFourier(their_config(**FOURIER)))
    tokens = FourierTokenizerConfig()
    assert tokens.width == 261
    last = CrossBlockConfig(attention=AttentionConfig(heads=1), mlp=MlpConfig(hidden=D))
    encoder = PerceiverEncoderConfig(
        tokenizer=tokens,
        perceiver=our_config(heads=3, inside=261),
        pool=OutputQueriesConfig(reading=last, dim=D),
    )
    ours: Classifier = ClassifierConfig(encoder=encoder, classes=3).build().eval()
    copy_body(theirs.perceiver, ours.encoder.perceiver)
    decoder = theirs.perceiver.decoder.decoder
    copy(decoder.decoding_cross_attention, ours.encoder.pool.reading)
    ours.encoder.pool.queries.data.copy_(decoder.output_position_encodings.position_embeddings)
    ours.head[1].load_state_dict(decoder.final_layer.state_dict())
    pixels = torch.randn(2, 3, *size)
    torch.testing.assert_close(ours(pixels), theirs(inputs=pixels).logits, rtol=1e-5, atol=2e-5)
