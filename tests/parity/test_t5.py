"""T5 of transformers, encoder and decoder: relative buckets, RMSNorm, unscaled scores, cross-attention.

Version 1.0 has a plain ReLU MLP, 1.1 a gated one with tanh-GELU.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.bias import RelativeBiasConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mask import Mask
from multimodal.backbone.mlp import GatedMlpConfig, MlpConfig
from multimodal.backbone.norm import RMSNormConfig
from multimodal.weights.keymap import Row, Table, layer

transformers = pytest.importorskip("transformers")


def attention(theirs: str, ours: str) -> list[Row]:
    names = {"q": "q", "k": "k", "v": "v", "o": "out"}
    return [row for their, our in names.items() for row in layer(f"{theirs}.{their}", f"{ours}.{our}")]


def stack(name: str, mlp: int, gated: bool) -> list[Row]:
    """The rows of the encoder or the decoder, whose MLP is its `mlp`-th sublayer."""
    theirs, ours = f"{name}.block.{{i}}.layer", f"{name}.blocks.{{i}}"
    dense = f"{theirs}.{mlp}.DenseReluDense"
    names = {"wi_0": "gate", "wi_1": "up", "wo": "down"} if gated else {"wi": "up", "wo": "down"}
    return [
        Row(f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight", f"{name}.position.table.weight"),
        *layer(f"{theirs}.0.layer_norm", f"{ours}.attention_branch.norm"),
        *attention(f"{theirs}.0.SelfAttention", f"{ours}.attention"),
        *layer(f"{theirs}.{mlp}.layer_norm", f"{ours}.mlp_branch.norm"),
        *(row for their, our in names.items() for row in layer(f"{dense}.{their}", f"{ours}.mlp.{our}")),
        *layer(f"{name}.final_layer_norm", f"{name}.norm"),
    ]


def table(gated: bool) -> Table:
    return Table(
        Row("{shared,encoder.embed_tokens,decoder.embed_tokens}.weight", "tokens.weight"),
        *stack("encoder", 1, gated),
        *stack("decoder", 2, gated),
        *layer("decoder.block.{i}.layer.1.layer_norm", "decoder.blocks.{i}.cross_branch.norm"),
        *attention("decoder.block.{i}.layer.1.EncDecAttention", "decoder.blocks.{i}.cross"),
    )


HEADS, WIDTH = 4, 6  # not the 32 / 4 that other models have
LENGTHS, T = [14, 3, 8], 11


@pytest.fixture(params=["relu", "gated-gelu"], ids=["1.0", "1.1"])
def models(request, shaken, fill):
    config = transformers.T5Config(
        vocab_size=50,
        d_model=32,
        d_kv=WIDTH,
        d_ff=64,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=HEADS,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=10,
        feed_forward_proj=request.param,
    )
    theirs = shaken(transformers.T5Model(config))
    gated = request.param != "relu"
    attention = AttentionConfig(heads=HEADS, head_dim=WIDTH, bias="", scale=1.0)
    block = BlockConfig(
        attention=attention,
        mlp=GatedMlpConfig(hidden=64, activation="gelu_tanh")
        if gated
        else MlpConfig(hidden=64, activation="relu", bias=False),
        norm=RMSNormConfig(eps=1e-6),
    )
    buckets = RelativeBiasConfig(buckets=8, max_distance=10)
    encoder = BackboneConfig(dim=32, depth=2, block=block, position=buckets)
    decoder = BackboneConfig(
        dim=32, depth=3, block=replace(block, cross_attention=attention), position=replace(buckets, bidirectional=False)
    )
    ours = nn.ModuleDict({"tokens": nn.Embedding(50, 32), "encoder": encoder.build(), "decoder": decoder.build()})
    fill(ours, theirs, table(gated))
    return ours, theirs


@torch.no_grad()
def test_encoder(models, equal):
    ours, theirs = models
    ids, keep = torch.randint(50, (3, 14)), torch.arange(14) < torch.tensor(LENGTHS)[:, None]
    equal(ours["encoder"](ours["tokens"](ids)), theirs.encoder(ids).last_hidden_state)
    expected = theirs.encoder(ids, attention_mask=keep.long()).last_hidden_state
    equal(ours["encoder"](ours["tokens"](ids), mask=Mask(keep=keep))[keep], expected[keep])


@torch.no_grad()
def test_encoder_and_decoder(models, equal):
    ours, theirs = models
    ids, keep = torch.randint(50, (3, 14)), torch.arange(14) < torch.tensor(LENGTHS)[:, None]
    decoder_ids, decoder_keep = torch.randint(50, (3, T)), torch.arange(T) < torch.tensor([4, 11, 7])[:, None]
    context = ours["encoder"](ours["tokens"](ids), mask=Mask(keep=keep))
    mask = Mask(causal=True, keep=decoder_keep)
    found = ours["decoder"](ours["tokens"](decoder_ids), mask=mask, context=context, context_keep=keep)
    expected = theirs(
        ids, attention_mask=keep.long(), decoder_input_ids=decoder_ids, decoder_attention_mask=decoder_keep.long()
    ).last_hidden_state
    equal(found[decoder_keep], expected[decoder_keep])


@torch.no_grad()
def test_decoding_with_a_cache(models, equal):
    ours, theirs = models
    ids, decoder_ids = torch.randint(50, (3, 14)), torch.randint(50, (3, T))
    context, cache = ours["encoder"](ours["tokens"](ids)), ours["decoder"].new_cache(3, T)
    parts = ours["tokens"](decoder_ids).split([6, 1, 1, 3], dim=1)
    found = [ours["decoder"](part, mask=Mask(causal=True), context=context, cache=cache) for part in parts]
    equal(torch.cat(found, dim=1), theirs(ids, decoder_input_ids=decoder_ids).last_hidden_state)
