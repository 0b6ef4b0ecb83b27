"""A block whose tokens look only at a context: cross-attention and an MLP, each on a residual branch.

Unlike `Block` with cross-attention it has no attention among the tokens themselves, and it normalises the context. It
is how a Perceiver's latents read their input, and how output queries read the latents.

Axes: b batch · t length · s context length · c context width · d model width
Refs: Perceiver arXiv:2103.03206 §3.1 · Perceiver IO arXiv:2107.14795 §E.1
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.mask import Scores
from multimodal.backbone.mlp import GatedMlpConfig, MlpConfig
from multimodal.backbone.norm import LayerNormConfig, NormConfig


@dataclass(frozen=True, kw_only=True)
class CrossBlockConfig:
    """Hyper-parameters of `CrossBlock`; the widths come from the parent, in `build`."""

    attention: AttentionConfig
    mlp: MlpConfig | GatedMlpConfig
    norm: NormConfig = LayerNormConfig()  # of the tokens, the context, and the MLP's input
    residual: bool = True  # whether what is found is added to the tokens; False where these only say what is asked for

    def build(self, dim: int, context_dim: int) -> CrossBlock:
        """A `CrossBlock` for tokens of width `dim` over a context of width `context_dim`."""
        return CrossBlock(self, dim, context_dim)


class CrossBlock(nn.Module):
    """x + attention(norm(x), norm(context)), then + mlp(norm(x))."""

    def __init__(self, config: CrossBlockConfig, dim: int, context_dim: int) -> None:
        super().__init__()
        self.config = config
        self.norm = config.norm.build(dim)
        self.context_norm = config.norm.build(context_dim)
        self.attention = config.attention.build(dim, context_dim)
        self.mlp_norm = config.norm.build(dim)
        self.mlp = config.mlp.build(dim)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        context: Float[Tensor, "b s c"],
        *,
        keep: Bool[Tensor, "b s"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The tokens once they have read the context; `keep` is False at the context's padding."""
        scores = Scores(keep[:, None, None]) if keep is not None else Scores()
        found = self.attention(self.norm(x), scores=scores, context=self.context_norm(context))
        x = x + found if self.config.residual else found
        return x + self.mlp(self.mlp_norm(x))
