"""LoRA: fine-tune a large linear layer through two small ones, y = W x + s · B A x, with W frozen.

`attach` adapts any linear layers of any model and `merge` folds the product into the weights for speed. Inside an
adapted model `q.weight` is called `q.base.weight`; `merged_state_dict` gives the names of the plain model back, with
the adapters folded in, and `detach` the plain model itself. Adapter files are in `lora_file.py`. Adapters of other
layers (convolutions, embeddings) and other mathematics (DoRA) are not here.

Axes: i input width · o output width · r rank · ... any leading axes
Refs: LoRA arXiv:2106.09685 · rank-stabilised scale arXiv:2312.03732
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.errors import ArgumentError, nearest


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Hyper-parameters of the adapters of a model.

    Raises:
        ArgumentError: a value out of range.
    """

    rank: int = 8  # r
    alpha: float = 16.0  # the update is scaled by alpha / r, so that another rank needs no other learning rate
    dropout: float = 0.0  # probability of zeroing an input of A while training
    targets: tuple[str, ...] = ("q", "v")  # last parts of the names of linear layers: "q", "attention.q", "mlp.up"
    rank_stabilized: bool = False  # scale by alpha / sqrt(r) instead, for ranks above about 32

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ArgumentError(f"rank is {self.rank}; it must be at least 1.")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ArgumentError(f"alpha is {self.alpha}; it must be a number above 0.")
        if not 0 <= self.dropout < 1:
            raise ArgumentError(f"dropout is {self.dropout}; it must be at least 0 and below 1.")
        if isinstance(self.targets, str) or not self.targets or not all(self.targets):
            raise ArgumentError(f"targets is {self.targets!r}; it must be a tuple of layer names, such as ('q', 'v').")

    @property
    def scale(self) -> float:
        """s, the factor of the update B A x."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilized else self.rank)

    def build(self, base: nn.Linear) -> LoraLinear:
        """A `LoraLinear` around `base`, on its device."""
        return LoraLinear(self, base)


class LoraLinear(nn.Module):
    """A frozen linear layer and its low-rank update. B starts at zero, so that at first the update is too.

    A and B are float32 (or wider) even beside a bfloat16 `base`, whose precision would swallow their small steps.
    Merging caches W + s · B A beside W, which is never written to: undoing is exact, and `state_dict()` is the same in
    both states. The price is one more copy of the weight until `detach`. Whatever changes the factors drops the
    cache: `train()`, since training follows, and `load_state_dict`.

    There is deliberately no `weight`: code that multiplies by it would silently miss the update.
    """

    merged: Tensor | None

    def __init__(self, config: LoraConfig, base: nn.Linear) -> None:
        super().__init__()
        self.config = config
        self.base = base.requires_grad_(False)  # first of the children: a model's first parameter tells its dtype
        wide = torch.promote_types(base.weight.dtype, torch.float32)
        self.a = nn.Linear(base.in_features, config.rank, bias=False, device=base.weight.device, dtype=wide)
        self.b = nn.Linear(config.rank, base.out_features, bias=False, device=base.weight.device, dtype=wide)
        nn.init.zeros_(self.b.weight)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("merged", None, persistent=False)
        self.train(base.training)

    def forward(self, x: Float[Tensor, "... i"]) -> Float[Tensor, "... o"]:
        """W x + bias + s · B A x, in the dtype of the base layer's output."""
        if self.merged is not None:
            return F.linear(x, self.merged, self.base.bias)
        y = self.base(x)
        update = self.b(self.a(self.dropout(x.to(self.a.weight.dtype))))
        return y + (self.config.scale * update).to(y.dtype)

    def merged_weight(self) -> Float[Tensor, "o i"]:
        """W + s · B A, summed in float32 or wider and rounded to the dtype of W."""
        weight = self.base.weight
        wide = torch.promote_types(weight.dtype, torch.float32)
        with torch.no_grad(), torch.autocast(weight.device.type, enabled=False):
            update = self.config.scale * (self.b.weight.to(wide) @ self.a.weight.to(wide))
            return (weight.to(wide) + update).to(weight.dtype)

    def train(self, mode: bool = True) -> LoraLinear:
        """As in any module; training also unmerges, since the factors are about to change."""
        if mode:
            self.merged = None
        return super().train(mode)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.merged = None
        super()._load_from_state_dict(*args, **kwargs)


def adapters(model: nn.Module) -> dict[str, LoraLinear]:
    """The adapted layers of `model` by the names that the linear layers have in the plain model."""
    return {name: module for name, module in _plain(model).named_modules() if isinstance(module, LoraLinear)}


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers inside `model` by name."""
    return {n: m for n, m in _plain(model).named_modules() if n and isinstance(m, nn.Linear)}


def is_named(name: str, targets: Iterable[str]) -> bool:
    """Whether one of `targets` is `name`, or its last part or parts."""
    return any(f".{name}".endswith(f".{target}") for target in targets)


def attach(model: nn.Module, config: LoraConfig) -> list[str]:
    """Adapt in place each linear layer that a target of `config` names; the outputs stay the same until training.

    Afterwards the parameters of the adapters, and no others, are trainable: everything else is frozen, a head that
    shall train along has to be unfrozen by the caller.

    Returns:
        The names of the adapted layers.

    Raises:
        ArgumentError: a target without a linear layer, a layer that cannot be adapted, or a model that is adapted
            already. The model is then unchanged.
    """
    model = _plain(model)
    if adapters(model):
        raise ArgumentError("The model has adapters already; fold them in with merge and detach, or just detach them.")
    linears = linear_layers(model)
    for target in config.targets:
        if not any(is_named(name, [target]) for name in linears):
            parts = target.count(".") + 1
            ends = {".".join(name.split(".")[-parts:]) for name in linears}
            known = ", ".join(sorted(ends)[:20]) or "there is none"
            raise ArgumentError(f"target {target!r} names no linear layer ({known}).{nearest(target, ends)}")
    chosen = {name: linear for name, linear in linears.items() if is_named(name, config.targets)}
    _check_adaptable(model, chosen)
    model.requires_grad_(False)
    for name, linear in chosen.items():
        _put(model, name, config.build(linear))
    return list(chosen)


def detach(model: nn.Module) -> None:
    """Put the plain linear layers back, in place. A merged layer keeps its update, another one loses it.

    The parameters stay frozen, as `attach` left them; `model.requires_grad_(True)` makes all trainable.
    """
    for name, layer in adapters(model).items():
        if layer.merged is not None:
            with torch.no_grad():
                layer.base.weight.copy_(layer.merged)
        _put(_plain(model), name, layer.base)


def merge(model: nn.Module) -> None:
    """Make the adapted layers as fast as plain ones, by caching the sum of each weight and its update.

    For inference: a merged layer learns nothing, and `model.train()` unmerges it.
    """
    for layer in adapters(model).values():
        layer.merged = layer.merged_weight()


def unmerge(model: nn.Module) -> None:
    """Undo `merge`, exactly: the original weights were kept."""
    for layer in adapters(model).values():
        layer.merged = None


def merged_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """What `state_dict()` of the plain model would be with the adapters folded in. The model is not changed."""
    model = _plain(model)
    layers = {n: m for n, m in model.named_modules(remove_duplicate=False) if isinstance(m, LoraLinear)}
    state = {}
    for key, value in model.state_dict().items():
        name, _, rest = key.rpartition(".")
        name, _, part = name.rpartition(".")
        if name not in layers:
            state[key] = value
        elif part == "base":
            state[f"{name}.{rest}"] = layers[name].merged_weight() if rest == "weight" else value
    return state


def _plain(model: nn.Module) -> nn.Module:
    """The model inside `torch.compile(model)`, whose wrapper would add `_orig_mod.` to every name."""
    return getattr(model, "_orig_mod", model)


def _check_adaptable(model: nn.Module, chosen: dict[str, nn.Linear]) -> None:
    """Refuse layers whose weight is used by somebody who would not see the adapter."""
    parts = (part for m in model.modules() for part in (*m._modules.values(), *m._parameters.values()))
    owners = Counter(id(part) for part in parts)
    for name, linear in chosen.items():
        if type(linear) is not nn.Linear:
            raise ArgumentError(
                f"{name!r} is a {type(linear).__name__}, not a plain Linear; its parent may use its weight directly, "
                "past the adapter. Leave it out of targets."
            )
        if owners[id(linear)] > 1 or owners[id(linear.weight)] > 1:
            raise ArgumentError(
                f"{name!r} shares its weight with another layer, which an adapter would change or miss. "
                "Leave it out of targets."
            )


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
