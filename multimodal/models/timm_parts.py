"""Reads the parts of timm's vision transformers (norms, activations, attention, MLPs, blocks) as configs of ours.

Everything is read off the modules (their classes and attributes). What the shared backbone does not have is refused
with `NotExpressible`. Whole models are read in `timm_vit.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from timm import layers
from timm.models.eva import EvaAttention, EvaBlock
from timm.models.vision_transformer import Block
from torch import nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import Activation, GatedMlpConfig, MlpConfig
from multimodal.backbone.norm import LayerNormConfig, NormConfig, RMSNormConfig

Value = TypeVar("Value")
MlpLayout = Literal["plain", "gate first", "gate last", "gate apart"]  # as in `weights.timm_vit.Layout`


class NotExpressible(Exception):
    """The shared backbone does not have what this timm model does; the message names it."""


def need(holds: bool, lacking: str) -> None:
    """Refuse the model for `lacking` unless the condition `holds`."""
    if not holds:
        raise NotExpressible(lacking)


def same(values: Sequence[Value], what: str) -> Value:
    """The one value of all `values`; `what` names the model that has several."""
    need(all(value == values[0] for value in values), what)
    return values[0]


def read_norm(module: nn.Module) -> NormConfig | None:
    """The config of a norm, or None where timm put an `Identity` in its place."""
    if isinstance(module, nn.Identity):
        return None
    n: Any = module
    known = (nn.LayerNorm, layers.LayerNorm, layers.LayerNormFp32, layers.RmsNorm, layers.RmsNormFp32)
    need(type(n) in known and n.weight is not None, f"the norm {type(n).__name__}")
    eps = float(n.eps)
    return LayerNormConfig(eps=eps, bias=n.bias is not None) if isinstance(n, nn.LayerNorm) else RMSNormConfig(eps=eps)


def read_activation(module: nn.Module) -> Activation:
    """The name of an activation."""
    if type(module) is nn.GELU:
        return "gelu_tanh" if module.approximate == "tanh" else "gelu"
    known: dict[type, Activation] = {
        layers.GELU: "gelu",
        layers.GELUTanh: "gelu_tanh",
        layers.QuickGELU: "quick_gelu",
        nn.SiLU: "silu",
        nn.ReLU: "relu",
    }
    need(type(module) in known, f"the activation {type(module).__name__}")
    return known[type(module)]


def read_block(module: nn.Module) -> tuple[BlockConfig, MlpLayout]:
    """The config of a block, and how its MLP is stored."""
    need(type(module) in (Block, EvaBlock), f"the block {type(module).__name__}")
    b: Any = module
    norm = same([read_norm(b.norm1), read_norm(b.norm2)], "two norms in a block that differ")
    if norm is None:
        raise NotExpressible("a block without norms")
    if isinstance(b, EvaBlock):
        scales = [b.init_values if gamma is not None else None for gamma in (b.gamma_1, b.gamma_2)]
    else:
        need(all(type(s) in (nn.Identity, layers.LayerScale) for s in (b.ls1, b.ls2)), "another kind of layer scale")
        scales = [s.init_values if isinstance(s, layers.LayerScale) else None for s in (b.ls1, b.ls2)]
    mlp, layout = read_mlp(b.mlp)
    dropout = same([b.attn.proj_drop.p, b.mlp.drop2.p], "two dropout rates in a block")
    scale = same(scales, "layer scale on one branch alone")
    config = BlockConfig(
        attention=read_attention(b.attn),
        mlp=mlp,
        norm=norm,
        layer_scale=float(scale) if scale is not None else None,
        dropout=dropout,
    )
    return config, layout


def read_attention(module: nn.Module) -> AttentionConfig:
    """The config of the attention of a block."""
    kinds = (layers.Attention, layers.AttentionRope, EvaAttention)
    need(type(module) in kinds, f"the attention {type(module).__name__}")
    a: Any = module
    need(getattr(a, "gate", None) is None, "gated attention")
    if getattr(a, "qkv", None) is None:
        biased = {name: getattr(a, f"{name}_proj").bias is not None for name in "qkv"}
    elif isinstance(a, EvaAttention):
        biased = {"q": a.q_bias is not None, "k": False, "v": a.v_bias is not None}
    else:
        biased = dict.fromkeys("qkv", a.qkv.bias is not None)
    dim, width = a.proj.out_features, a.head_dim
    kv_heads = getattr(a, "num_kv_heads", a.num_heads)
    return AttentionConfig(
        heads=a.num_heads,
        kv_heads=kv_heads if kv_heads != a.num_heads else None,
        head_dim=width if width * a.num_heads != dim else None,
        bias=name_biases({**biased, "o": a.proj.bias is not None}),
        qk_norm=same([read_norm(a.q_norm), read_norm(a.k_norm)], "norms of queries and keys that differ"),
        out_norm=read_norm(getattr(a, "norm", nn.Identity())),
        dropout=a.attn_drop.p,
    )


def name_biases(biased: dict[str, bool]) -> Any:
    """The letters of the projections that have a bias, as `AttentionConfig.bias` wants them."""
    return "".join(name for name, has in biased.items() if has)


def read_mlp(module: nn.Module) -> tuple[MlpConfig | GatedMlpConfig, MlpLayout]:
    """The config of an MLP, and how it is stored."""
    need(type(module) in (layers.Mlp, layers.GluMlp, layers.SwiGLU), f"the MLP {type(module).__name__}")
    m: Any = module
    need(isinstance(m.fc2, nn.Linear), "a convolution as an MLP")
    first = m.fc1_g if isinstance(m, layers.SwiGLU) else m.fc1
    bias = same([first.bias is not None, m.fc2.bias is not None], "an MLP with one bias")
    shared: dict[str, Any] = {
        "hidden": m.fc2.in_features,
        "activation": read_activation(m.act),
        "bias": bias,
        "dropout": m.drop1.p,
        "norm": read_norm(m.norm),
    }
    if isinstance(m, layers.Mlp):
        return MlpConfig(**shared), "plain"
    if isinstance(m, layers.SwiGLU):
        return GatedMlpConfig(**shared), "gate apart"
    return GatedMlpConfig(**shared), "gate last" if m.gate_last else "gate first"
