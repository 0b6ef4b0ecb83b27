"""What every variant of the backbone must do, whatever it is made of."""

import json
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import Backbone, BackboneConfig
from multimodal.backbone.bias import AlibiConfig, RelativeBiasConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mask import Mask
from multimodal.backbone.mlp import Activation, GatedMlpConfig, MlpConfig
from multimodal.backbone.norm import LayerNormConfig, RMSNormConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.config import from_plain, to_plain

B, T, S, D = 3, 8, 5, 16
HEADS, MLP = AttentionConfig(heads=4), MlpConfig(hidden=24)
X = torch.randn(B, T, D, generator=torch.Generator().manual_seed(0))
KEEP = torch.arange(T) < torch.tensor([5, 8, 2])[:, None]
CONTEXT_KEEP = torch.arange(S) < torch.tensor([5, 1, 3])[:, None]
GRID = torch.stack([torch.arange(T) // 3, torch.arange(T) % 3], dim=-1)[None]


def config(
    attention: AttentionConfig = HEADS,
    mlp: MlpConfig | GatedMlpConfig = MLP,
    position: RotaryConfig | AlibiConfig | RelativeBiasConfig | None = None,
    stack: dict | None = None,
    **block,
) -> BackboneConfig:
    blocks = BlockConfig(attention=attention, mlp=mlp, **block)
    return BackboneConfig(dim=D, depth=2, block=blocks, position=position, **(stack or {}))


BUCKETS = RelativeBiasConfig(buckets=8, max_distance=20)
VARIANTS = {
    "plain": config(),
    "rms norm": config(norm=RMSNormConfig()),
    "norm without bias": config(norm=LayerNormConfig(bias=False)),
    "post-norm": config(placement="post"),
    "no final norm": config(stack={"final_norm": False}),
    "post-norm, no final norm": config(placement="post", norm=LayerNormConfig(eps=1e-12), stack={"final_norm": False}),
    "layer scale": config(layer_scale=0.1),
    "drop path": config(replace(HEADS, dropout=0.1), replace(MLP, dropout=0.1), dropout=0.1, stack={"drop_path": 0.3}),
    "shared": config(stack={"shared": True}),
    "grouped-query": config(AttentionConfig(heads=4, kv_heads=2)),
    "multi-query": config(AttentionConfig(heads=4, kv_heads=1)),
    "free head width": config(AttentionConfig(heads=3, head_dim=10)),
    "scale": config(replace(HEADS, scale=1.0)),
    "qk layer norm": config(replace(HEADS, qk_norm=LayerNormConfig())),
    "qk rms norm, rotary": config(replace(HEADS, qk_norm=RMSNormConfig()), position=RotaryConfig()),
    "output and hidden norm": config(replace(HEADS, out_norm=LayerNormConfig()), replace(MLP, norm=LayerNormConfig())),
    "no biases": config(replace(HEADS, bias=""), replace(MLP, bias=False)),
    "biases qv": config(replace(HEADS, bias="qv")),
    "rotary": config(position=RotaryConfig()),
    "rotary interleaved, part": config(position=RotaryConfig(layout="interleaved", width=2)),
    "rotary 2-D": config(position=RotaryConfig(axes=2, base=100.0)),
    "rotary 2-D interleaved": config(position=RotaryConfig(axes=2, layout="interleaved")),
    "alibi": config(position=AlibiConfig()),
    "alibi, six heads": config(AttentionConfig(heads=6, head_dim=4, kv_heads=3), position=AlibiConfig()),
    "relative": config(position=BUCKETS),
    "relative, one way": config(position=replace(BUCKETS, bidirectional=False)),
    "cross-attention": config(cross_attention=replace(HEADS, bias="qvo")),
    "narrow context": config(cross_attention=replace(HEADS, kv_heads=1), position=BUCKETS, stack={"context_dim": 10}),
    "gated, no bias": config(mlp=GatedMlpConfig(hidden=24)),
    "gated with norm": config(mlp=GatedMlpConfig(hidden=24, bias=True, norm=LayerNormConfig())),
    "llama": config(
        AttentionConfig(heads=4, kv_heads=2, bias=""), GatedMlpConfig(hidden=24), RotaryConfig(), norm=RMSNormConfig()
    ),
    **{f"mlp {name}": config(mlp=MlpConfig(hidden=24, activation=name)) for name in get_args(Activation)},
    **{f"gated {name}": config(mlp=GatedMlpConfig(hidden=24, activation=name)) for name in get_args(Activation)},
}
each_variant = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)


def build(config: BackboneConfig) -> Backbone:
    """A backbone in eval mode whose every parameter, biases and norms too, matters."""
    torch.manual_seed(0)
    backbone = config.build().eval()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return backbone


def extras(config: BackboneConfig, rows: slice = slice(None)) -> dict[str, Tensor]:
    """What this variant needs besides tokens."""
    found: dict[str, Tensor] = {}
    if isinstance(config.position, RotaryConfig) and config.position.axes == 2:
        found["positions"] = GRID
    if config.block.cross_attention is not None:
        found["context"] = torch.randn(B, S, config.context_dim or D, generator=torch.Generator().manual_seed(1))[rows]
        found["context_keep"] = CONTEXT_KEEP[rows]
    return found


def same(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@each_variant
@torch.no_grad()
def test_shape_and_finite_values(config: BackboneConfig):
    backbone = build(config)
    for mask in (Mask(), Mask(causal=True), Mask(causal=True, keep=KEEP)):
        found = backbone(X, mask=mask, **extras(config))
        assert found.shape == X.shape
        assert found.isfinite().all()
    assert backbone.config == config


@each_variant
@torch.no_grad()
def test_rows_do_not_touch_each_other(config: BackboneConfig):
    backbone = build(config)
    whole = backbone(X, mask=Mask(causal=True, keep=KEEP), **extras(config))
    for row in (slice(0, 1), slice(2, 3)):
        alone = backbone(X[row], mask=Mask(causal=True, keep=KEEP[row]), **extras(config, row))
        same(alone, whole[row])


@each_variant
@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_padding_does_not_matter(config: BackboneConfig, causal: bool):
    """What padding holds changes nothing, on either side; a row padded on the right is the row alone."""
    backbone, parts = build(config), extras(config)
    for keep in (KEEP, KEEP.flip(1)):
        rubbish = torch.where(keep[..., None], X, torch.full_like(X, 30.0))
        mask = Mask(causal=causal, keep=keep)
        found, other = backbone(X, mask=mask, **parts), backbone(rubbish, mask=mask, **parts)
        same(other[keep], found[keep], 1e-6)
        if keep is KEEP and "positions" not in parts:
            row = slice(0, 1)
            same(found[row, :5], backbone(X[row, :5], mask=Mask(causal=causal), **extras(config, row)))


@pytest.mark.parametrize("config", [config for config in VARIANTS.values() if config.block.cross_attention])
@torch.no_grad()
def test_padding_of_the_context_does_not_matter(config: BackboneConfig):
    backbone, parts = build(config), extras(config)
    found = backbone(X, **parts)
    context = torch.where(CONTEXT_KEEP[..., None], parts["context"], torch.full_like(parts["context"], 30.0))
    same(backbone(X, **{**parts, "context": context}), found, 1e-6)
    assert not torch.allclose(backbone(X, **{**parts, "context": parts["context"] + 1}), found, atol=1e-3)


@each_variant
@torch.no_grad()
def test_causal_mask_is_obeyed(config: BackboneConfig):
    """A changed token changes itself and what comes later, and nothing before it."""
    backbone, parts = build(config), extras(config)
    changed = X.clone()
    changed[:, 4] = torch.randn(D)  # not merely shifted: a norm would take that away
    before, after = (backbone(x, mask=Mask(causal=True), **parts) for x in (X, changed))
    same(after[:, :4], before[:, :4], 1e-6)
    assert ((after - before)[:, 4:].abs().amax(-1) > 1e-4).all()


@each_variant
@torch.no_grad()
def test_one_token_of_each_row_is_what_it_is_among_all(config: BackboneConfig):
    """Also with a cache, in which all tokens are then as before, and after some of the blocks or none."""
    backbone, parts = build(config), extras(config)
    only, rows = torch.tensor([4, 7, 1]), torch.arange(B)
    for mask in (Mask(), Mask(causal=True), Mask(causal=True, keep=KEEP)):
        same(backbone(X, mask=mask, only=only, **parts), backbone(X, mask=mask, **parts)[rows, only][:, None])
    for depth in (0, 1):
        whole = backbone(X, depth=depth, **parts)
        same(backbone(X, depth=depth, only=only, **parts), whole[rows, only][:, None])
    caches = [backbone.new_cache(B, T) for _ in range(2)]
    mask = Mask(causal=True, keep=KEEP)
    whole = backbone(X, mask=mask, cache=caches[0], **parts)
    same(backbone(X, mask=mask, cache=caches[1], only=only, **parts), whole[rows, only][:, None])
    for ours, theirs in zip(caches[1].state().values(), caches[0].state().values(), strict=True):
        assert torch.equal(ours, theirs)


@each_variant
@torch.no_grad()
def test_graph_is_obeyed(config: BackboneConfig):
    """Two islands of tokens that do not see each other: a change reaches all of its own and none of the other."""
    backbone, parts = build(config), extras(config)
    island = torch.tensor([0, 1, 0, 0, 1, 1, 0, 1])
    mask = Mask(graph=(island[:, None] == island[None]))
    changed = X.clone()
    changed[:, 2] = torch.randn(D)
    before, after = (backbone(x, mask=mask, **parts) for x in (X, changed))
    same(after[:, island == 1], before[:, island == 1], 1e-6)
    assert ((after - before)[:, island == 0].abs().amax(-1) > 1e-4).all()


@each_variant
@torch.no_grad()
def test_packed_documents_are_documents_run_alone(config: BackboneConfig):
    """Only distances count inside attention, so a document may stand anywhere in a row."""
    backbone, parts = build(config), extras(config)
    if "positions" in parts:
        parts["positions"] = torch.arange(T)[None, :, None].expand(1, T, 2)  # along the diagonal
    document = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 2]]).expand(B, T)
    for causal in (False, True):
        packed = backbone(X, mask=Mask(causal=causal, document=document), **parts)
        for part in (slice(0, 3), slice(3, 7), slice(7, 8)):
            alone = {**parts, "positions": parts["positions"][:, part]} if "positions" in parts else parts
            same(packed[:, part], backbone(X[:, part], mask=Mask(causal=causal), **alone))


@each_variant
def test_gradients_reach_every_parameter(config: BackboneConfig):
    backbone = build(config).train()
    (backbone(X, mask=Mask(causal=True), **extras(config)) * torch.randn(B, T, D)).sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith("k.bias"):  # softmax ignores what all keys have in common
            assert parameter.grad.abs().max() > 1e-7, name


@each_variant
def test_checkpointing_changes_neither_outputs_nor_gradients(config: BackboneConfig):
    backbone, gradients, outputs = build(config).train(), [], []
    for checkpointing in (False, True):
        backbone.checkpointing = checkpointing
        backbone.zero_grad()
        torch.manual_seed(3)  # the same dropout
        x = X.clone().requires_grad_()
        found = backbone(x, mask=Mask(causal=True), **extras(config))
        (found**2 * torch.arange(D)).sum().backward()
        outputs.append(found.detach())
        gradients.append([x.grad, *(parameter.grad for parameter in backbone.parameters())])
    assert torch.equal(*outputs)
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, atol=1e-6, rtol=1e-5)


@each_variant
@torch.no_grad()
def test_bfloat16(config: BackboneConfig):
    backbone = build(config)
    parts, mask = extras(config), Mask(causal=True, keep=KEEP)
    expected = backbone(X, mask=mask, **parts)
    backbone.to(torch.bfloat16)
    if "context" in parts:
        parts["context"] = parts["context"].bfloat16()
    found = backbone(X.bfloat16(), mask=mask, **parts)
    assert found.dtype == torch.bfloat16
    same(found.float()[KEEP], expected[KEEP], 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = build(config)(X, mask=mask, **extras(config))
    same(found.float()[KEEP], expected[KEEP], 0.05)


@each_variant
def test_config_survives_json(config: BackboneConfig):
    read = from_plain(BackboneConfig, json.loads(json.dumps(to_plain(config))))
    assert (read, hash(read)) == (config, hash(config))


@each_variant
@torch.no_grad()
def test_weights_survive_a_state_dict(config: BackboneConfig):
    """Nothing that the outputs depend on lies outside the state dict."""
    backbone, other = build(config), config.build().eval()
    other.load_state_dict(backbone.state_dict())
    assert torch.equal(other(X, **extras(config)), backbone(X, **extras(config)))
