"""BERT of transformers: bidirectional, post-norm, no norm behind the last layer, padding masks."""

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

BLOCK, THEIRS = "backbone.blocks.{i}", "encoder.layer.{i}"
TABLE = Table(
    Row("embeddings.word_embeddings.weight", "tokens.weight"),
    Row("embeddings.position_embeddings.weight", "positions.weight"),
    Row("embeddings.token_type_embeddings.weight", "types.weight"),
    *layer("embeddings.LayerNorm", "norm"),
    *layer(f"{THEIRS}.attention.self.query", f"{BLOCK}.attention.q"),
    *layer(f"{THEIRS}.attention.self.key", f"{BLOCK}.attention.k"),
    *layer(f"{THEIRS}.attention.self.value", f"{BLOCK}.attention.v"),
    *layer(f"{THEIRS}.attention.output.dense", f"{BLOCK}.attention.out"),
    *layer(f"{THEIRS}.attention.output.LayerNorm", f"{BLOCK}.attention_branch.norm"),
    *layer(f"{THEIRS}.intermediate.dense", f"{BLOCK}.mlp.up"),
    *layer(f"{THEIRS}.output.dense", f"{BLOCK}.mlp.down"),
    *layer(f"{THEIRS}.output.LayerNorm", f"{BLOCK}.mlp_branch.norm"),
)


@pytest.fixture
def models(shaken, fill):
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=24,
    )
    theirs = shaken(transformers.BertModel(config, add_pooling_layer=False))
    norm = LayerNormConfig(eps=1e-12)
    block = BlockConfig(attention=AttentionConfig(heads=4), mlp=MlpConfig(hidden=64), norm=norm, placement="post")
    ours = nn.ModuleDict(
        {
            "tokens": nn.Embedding(50, 32),
            "positions": nn.Embedding(24, 32),
            "types": nn.Embedding(2, 32),
            "norm": norm.build(32),
            "backbone": BackboneConfig(dim=32, depth=3, block=block, final_norm=False).build(),
        }
    )
    fill(ours, theirs, TABLE)
    return ours, theirs


@pytest.mark.parametrize("lengths", [[17, 17, 17], [17, 5, 1]], ids=["full", "padded"])
@torch.no_grad()
def test_hidden_states(models, equal, lengths):
    ours, theirs = models
    ids, types = torch.randint(50, (3, 17)), torch.randint(2, (3, 17))
    keep = torch.arange(17) < torch.tensor(lengths)[:, None]
    x = ours["norm"](ours["tokens"](ids) + ours["positions"](torch.arange(17)) + ours["types"](types))
    found = ours["backbone"](x, mask=Mask(keep=keep))
    expected = theirs(ids, attention_mask=keep.long(), token_type_ids=types).last_hidden_state
    equal(found[keep], expected[keep])
    if keep.all():
        equal(ours["backbone"](x), expected)
