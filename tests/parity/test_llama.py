"""Llama of transformers: grouped queries, rotary positions, RMSNorm, SwiGLU, no biases."""

import pytest
import torch
from torch import nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mask import Mask
from multimodal.backbone.mlp import GatedMlpConfig
from multimodal.backbone.norm import RMSNormConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.weights.keymap import Row, Table, layer

transformers = pytest.importorskip("transformers")

BLOCK, THEIRS = "backbone.blocks.{i}", "layers.{i}"
TABLE = Table(
    Row("embed_tokens.weight", "tokens.weight"),
    *layer(f"{THEIRS}.input_layernorm", f"{BLOCK}.attention_branch.norm"),
    *layer(f"{THEIRS}.self_attn.q_proj", f"{BLOCK}.attention.q"),
    *layer(f"{THEIRS}.self_attn.k_proj", f"{BLOCK}.attention.k"),
    *layer(f"{THEIRS}.self_attn.v_proj", f"{BLOCK}.attention.v"),
    *layer(f"{THEIRS}.self_attn.o_proj", f"{BLOCK}.attention.out"),
    *layer(f"{THEIRS}.post_attention_layernorm", f"{BLOCK}.mlp_branch.norm"),
    *layer(f"{THEIRS}.mlp.gate_proj", f"{BLOCK}.mlp.gate"),
    *layer(f"{THEIRS}.mlp.up_proj", f"{BLOCK}.mlp.up"),
    *layer(f"{THEIRS}.mlp.down_proj", f"{BLOCK}.mlp.down"),
    *layer("norm", "backbone.norm"),
)


@pytest.fixture(
    params=[(2, None, False), (1, 12, False), (6, None, True)], ids=["grouped", "one group, wide", "biases"]
)
def models(request, shaken, fill):
    groups, width, bias = request.param
    config = transformers.LlamaConfig(
        vocab_size=50,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=groups,
        head_dim=width or 8,
        rms_norm_eps=1e-6,
        attention_bias=bias,
    )
    theirs = shaken(transformers.LlamaModel(config))
    block = BlockConfig(
        attention=AttentionConfig(heads=6, kv_heads=groups, head_dim=width, bias="qkvo" if bias else ""),
        mlp=GatedMlpConfig(hidden=80),
        norm=RMSNormConfig(eps=1e-6),
    )
    backbone = BackboneConfig(dim=48, depth=3, block=block, position=RotaryConfig()).build()
    ours = nn.ModuleDict({"tokens": nn.Embedding(50, 48), "backbone": backbone})
    fill(ours, theirs, TABLE)
    return ours, theirs


@torch.no_grad()
def test_hidden_states(models, equal):
    ours, theirs = models
    ids = torch.randint(50, (3, 17))
    equal(ours["backbone"](ours["tokens"](ids), mask=Mask(causal=True)), theirs(ids).last_hidden_state)


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padded_rows(models, equal, side):
    ours, theirs = models
    ids, keep = torch.randint(50, (3, 17)), torch.arange(17) < torch.tensor([17, 5, 11])[:, None]
    keep = keep.flip(1) if side == "left" else keep
    found = ours["backbone"](ours["tokens"](ids), mask=Mask(causal=True, keep=keep))
    equal(found[keep], theirs(ids, attention_mask=keep.long()).last_hidden_state[keep])


@torch.no_grad()
def test_given_positions(models, equal):
    ours, theirs = models
    ids, positions = torch.randint(50, (2, 9)), torch.stack([torch.arange(9) * 2, torch.arange(9) + 300])
    found = ours["backbone"](ours["tokens"](ids), mask=Mask(causal=True), positions=positions[..., None])
    equal(found, theirs(ids, position_ids=positions).last_hidden_state)


@torch.no_grad()
def test_decoding_with_both_caches(models, equal):
    ours, theirs = models
    ids, cache, past = torch.randint(50, (2, 9)), models[0]["backbone"].new_cache(2, 9), None
    for part in ids.split([5, 1, 3], dim=1):
        output = theirs(part, past_key_values=past, use_cache=True)
        past = output.past_key_values
        equal(ours["backbone"](ours["tokens"](part), mask=Mask(causal=True), cache=cache), output.last_hidden_state)
