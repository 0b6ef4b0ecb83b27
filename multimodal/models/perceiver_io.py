"""Perceiver IO: output queries that read the latents, so that the output has any length and any width.

What a query is, is the task's: a learned vector for one answer (a class), a learned vector for each place of an output,
or vectors that the caller makes, such as the positions of the pixels to predict or the input itself. Queries do not see
each other, so that they can be asked in parts.

Axes: b batch · s tokens of the input · c their width · l latents · d their width · q queries · e query width ·
o output width
Refs: Perceiver IO arXiv:2107.14795 §3
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn

from multimodal.backbone.backbone import initialize
from multimodal.backbone.cross_block import CrossBlockConfig
from multimodal.errors import ArgumentError
from multimodal.models.perceiver import PerceiverConfig, fresh_latents, initialize_by_inputs


@dataclass(frozen=True, kw_only=True)
class OutputQueriesConfig:
    """Hyper-parameters of `OutputQueries`; the width of the latents comes from the parent, in `build`."""

    reading: CrossBlockConfig
    dim: int  # e, width of a query
    queries: int = 1  # q, learned ones; 0: the caller gives them

    def build(self, latent_dim: int) -> OutputQueries:
        """`OutputQueries` that read latents of width `latent_dim`.

        Raises:
            ArgumentError: fewer than no queries.
        """
        if self.queries < 0:
            raise ArgumentError(f"queries is {self.queries}; it must be at least 0.")
        return OutputQueries(self, latent_dim)


class OutputQueries(nn.Module):
    """What each query found in the latents."""

    def __init__(self, config: OutputQueriesConfig, latent_dim: int) -> None:
        super().__init__()
        self.config = config
        self.queries = fresh_latents(config.queries, config.dim) if config.queries else None
        self.reading = config.reading.build(config.dim, latent_dim)
        self.reading.apply(initialize_by_inputs)

    def forward(
        self, latents: Float[Tensor, "b l d"], queries: Float[Tensor, "#b q e"] | None = None
    ) -> Float[Tensor, "b q e"]:
        """Answers of the learned queries, or of those that are given.

        Raises:
            ArgumentError: no queries are given where none are learned, or the reverse.
        """
        if (queries is None) == (self.queries is None):
            raise ArgumentError(
                "This model has no queries of its own: give `queries` (b, q, e)."
                if queries is None
                else f"This model has learned {self.config.queries} queries of its own, and `queries` were given: "
                "build it with queries=0 to give them."
            )
        asked = self.queries if queries is None else queries
        assert asked is not None
        return self.reading(asked.to(latents.dtype).expand(latents.shape[0], -1, -1), latents)


@dataclass(frozen=True, kw_only=True)
class PerceiverIOConfig:
    """Hyper-parameters of `PerceiverIO`."""

    input: int  # c, width of the input
    perceiver: PerceiverConfig
    queries: OutputQueriesConfig
    output: int  # o, width of the output

    def build(self) -> PerceiverIO:
        """A `PerceiverIO` with fresh weights."""
        return PerceiverIO(self)


class PerceiverIO(nn.Module):
    """An array of vectors to another: one for each query."""

    def __init__(self, config: PerceiverIOConfig) -> None:
        super().__init__()
        self.config = config
        self.perceiver = config.perceiver.build(config.input)
        self.queries = config.queries.build(config.perceiver.dim)
        self.out = nn.Linear(config.queries.dim, config.output)
        initialize(self.out)

    def forward(
        self,
        x: Float[Tensor, "b s c"],
        queries: Float[Tensor, "#b q e"] | None = None,
        *,
        keep: Bool[Tensor, "b s"] | None = None,
    ) -> Float[Tensor, "b q o"]:
        """The output.

        Args:
            x: the input, a vector for each of its places that also says which place it is.
            queries: what is asked for; None where the model has learned them.
            keep: False at the input's padding.

        Raises:
            ArgumentError: an input of another width, or queries where they are learned, or none where they are not.
        """
        if x.shape[-1] != self.config.input:
            raise ArgumentError(f"The input has width {x.shape[-1]}; the model takes {self.config.input}.")
        return self.out(self.queries(self.perceiver(x, keep=keep), queries))
