"""Whisper's decoder in transformers: causal and cross-attention, keys without a bias, learned positions."""

import pytest
import torch
from torch import nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mask import Mask
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.weights.keymap import Row, Table, layer

transformers = pytest.importorskip("transformers")

BLOCK, THEIRS = "backbone.blocks.{i}", "layers.{i}"


def attention(theirs: str, ours: str) -> list[Row]:
    names = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "out_proj": "out"}
    return [row for their, our in names.items() for row in layer(f"{theirs}.{their}", f"{ours}.{our}")]


TABLE = Table(
    Row("embed_tokens.weight", "tokens.weight"),
    Row("embed_positions.weight", "positions.weight"),
    *attention(f"{THEIRS}.self_attn", f"{BLOCK}.attention"),
    *layer(f"{THEIRS}.self_attn_layer_norm", f"{BLOCK}.attention_branch.norm"),
    *attention(f"{THEIRS}.encoder_attn", f"{BLOCK}.cross"),
    *layer(f"{THEIRS}.encoder_attn_layer_norm", f"{BLOCK}.cross_branch.norm"),
    *layer(f"{THEIRS}.fc1", f"{BLOCK}.mlp.up"),
    *layer(f"{THEIRS}.fc2", f"{BLOCK}.mlp.down"),
    *layer(f"{THEIRS}.final_layer_norm", f"{BLOCK}.mlp_branch.norm"),
    *layer("layer_norm", "backbone.norm"),
)
B, T, S = 3, 13, 9


@pytest.fixture
def models(shaken, fill):
    config = transformers.WhisperConfig(
        vocab_size=50,
        d_model=32,
        encoder_layers=1,
        encoder_attention_heads=4,
        encoder_ffn_dim=8,
        decoder_layers=3,
        decoder_attention_heads=4,
        decoder_ffn_dim=64,
        max_target_positions=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    theirs = shaken(transformers.WhisperModel(config).decoder)
    heads = AttentionConfig(heads=4, bias="qvo")
    block = BlockConfig(
        attention=heads, cross_attention=heads, mlp=MlpConfig(hidden=64), norm=LayerNormConfig(eps=1e-5)
    )
    backbone = BackboneConfig(dim=32, depth=3, block=block).build()
    ours = nn.ModuleDict({"tokens": nn.Embedding(50, 32), "positions": nn.Embedding(16, 32), "backbone": backbone})
    fill(ours, theirs, TABLE)
    return ours, theirs


@torch.no_grad()
def test_hidden_states(models, equal):
    ours, theirs = models
    ids, context = torch.randint(50, (B, T)), torch.randn(B, S, 32)
    x = ours["tokens"](ids) + ours["positions"](torch.arange(T))
    found = ours["backbone"](x, mask=Mask(causal=True), context=context)
    equal(found, theirs(ids, encoder_hidden_states=context).last_hidden_state)


@torch.no_grad()
def test_padded_rows(models, equal):
    ours, theirs = models
    ids, context = torch.randint(50, (B, T)), torch.randn(B, S, 32)
    keep = torch.arange(T) < torch.tensor([13, 4, 9])[:, None]
    x = ours["tokens"](ids) + ours["positions"](torch.arange(T))
    found = ours["backbone"](x, mask=Mask(causal=True, keep=keep), context=context)
    expected = theirs(ids, attention_mask=keep.long(), encoder_hidden_states=context).last_hidden_state
    equal(found[keep], expected[keep])


@torch.no_grad()
def test_decoding_with_both_caches(models, equal):
    ours, theirs = models
    ids, context, past = torch.randint(50, (B, T)), torch.randn(B, S, 32), None
    cache, start = ours["backbone"].new_cache(B, T), 0
    for part in ids.split([4, 1, 1, 7], dim=1):
        x = ours["tokens"](part) + ours["positions"](torch.arange(start, start + part.shape[1]))
        output = theirs(part, encoder_hidden_states=context, past_key_values=past, use_cache=True)
        past, start = output.past_key_values, start + part.shape[1]
        equal(ours["backbone"](x, mask=Mask(causal=True), context=context, cache=cache), output.last_hidden_state)
