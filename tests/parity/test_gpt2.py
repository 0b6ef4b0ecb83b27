"""GPT-2 of transformers: causal, pre-norm, learned positions, tanh-GELU, weights stored transposed and fused."""

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

BLOCK, THEIRS = "backbone.blocks.{i}", "h.{i}"
TABLE = Table(
    Row("wte.weight", "tokens.weight"),
    Row("wpe.weight", "positions.weight"),
    *layer(f"{THEIRS}.ln_1", f"{BLOCK}.attention_branch.norm"),
    *layer(f"{THEIRS}.attn.c_attn", f"{BLOCK}.attention.{{q,k,v}}", transpose=True),
    *layer(f"{THEIRS}.attn.c_proj", f"{BLOCK}.attention.out", transpose=True),
    *layer(f"{THEIRS}.ln_2", f"{BLOCK}.mlp_branch.norm"),
    *layer(f"{THEIRS}.mlp.c_fc", f"{BLOCK}.mlp.up", transpose=True),
    *layer(f"{THEIRS}.mlp.c_proj", f"{BLOCK}.mlp.down", transpose=True),
    *layer("ln_f", "backbone.norm"),
)


@pytest.fixture
def models(shaken, fill):
    config = transformers.GPT2Config(
        vocab_size=50, n_positions=24, n_embd=32, n_layer=3, n_head=4, bos_token_id=0, eos_token_id=0
    )
    theirs = shaken(transformers.GPT2Model(config))
    block = BlockConfig(
        attention=AttentionConfig(heads=4),
        mlp=MlpConfig(hidden=128, activation="gelu_tanh"),
        norm=LayerNormConfig(eps=1e-5),
    )
    backbone = BackboneConfig(dim=32, depth=3, block=block).build()
    ours = nn.ModuleDict({"tokens": nn.Embedding(50, 32), "positions": nn.Embedding(24, 32), "backbone": backbone})
    fill(ours, theirs, TABLE)
    return ours, theirs


@torch.no_grad()
def test_hidden_states(models, equal):
    ours, theirs = models
    ids = torch.randint(50, (3, 17))
    x = ours["tokens"](ids) + ours["positions"](torch.arange(17))
    equal(ours["backbone"](x, mask=Mask(causal=True)), theirs(ids).last_hidden_state)


@torch.no_grad()
def test_padded_rows(models, equal):
    ours, theirs = models
    ids, keep = torch.randint(50, (3, 17)), torch.arange(17) < torch.tensor([17, 5, 11])[:, None]
    x = ours["tokens"](ids) + ours["positions"](torch.arange(17))
    expected = theirs(ids, attention_mask=keep.long()).last_hidden_state
    equal(ours["backbone"](x, mask=Mask(causal=True, keep=keep))[keep], expected[keep])


@torch.no_grad()
def test_decoding_with_both_caches(models, equal):
    ours, theirs = models
    ids, cache, past = torch.randint(50, (2, 9)), models[0]["backbone"].new_cache(2, 9), None
    for start, stop in ((0, 5), (5, 6), (6, 9)):
        x = ours["tokens"](ids[:, start:stop]) + ours["positions"](torch.arange(start, stop))
        output = theirs(ids[:, start:stop], past_key_values=past, use_cache=True)
        past = output.past_key_values
        equal(ours["backbone"](x, mask=Mask(causal=True), cache=cache), output.last_hidden_state)
