"""`Tokens`: what every tokenizer gives and the backbone takes.

Vectors, and what is needed to know who may look at whom: which runs of tokens are causal, which positions are padding,
which packed document each belongs to. Placing image tokens in front of text tokens with `concat` is all that a
LLaVA-style model does to its input.

Axes: b batch · t length · a position axes · d model width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from multimodal.backbone.mask import Mask
from multimodal.errors import ArgumentError


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """A batch of token vectors and the description of its attention mask.

    Attributes:
        x: the vectors.
        runs: (length, causal) for each run of tokens, from the left; a run sees all runs before it. Static.
        positions: where each token stands, for rotary embeddings; None: counted from the left.
        keep: False at padding; None: there is none.
        document: number of the packed document of each token; None: one document a row.
        prefix: how many tokens at the front are class and register tokens.
    """

    x: Float[Tensor, "b t d"]
    runs: tuple[tuple[int, bool], ...]
    positions: Shaped[Tensor, "#b t a"] | None = None
    keep: Bool[Tensor, "b t"] | None = None
    document: Int[Tensor, "b t"] | None = None
    prefix: int = 0

    def __post_init__(self) -> None:
        if sum(length for length, _ in self.runs) != self.x.shape[1]:
            raise ArgumentError(f"runs {self.runs} do not add up to {self.x.shape[1]} tokens.")

    @property
    def mask(self) -> Mask:
        """The mask that `runs`, `keep` and `document` describe."""
        return Mask.runs(self.runs, keep=self.keep, document=self.document)


def concat(parts: Sequence[Tokens]) -> Tokens:
    """The tokens of `parts` in one row each, the first part leftmost.

    Raises:
        ArgumentError: only some of the parts have positions.
    """
    positioned = [part.positions for part in parts if part.positions is not None]
    if len(positioned) not in (0, len(parts)):
        raise ArgumentError("Either all parts have positions or none has; give the missing ones or drop the others.")
    return Tokens(
        x=torch.cat([part.x for part in parts], dim=1),
        runs=tuple(run for part in parts for run in part.runs),
        positions=_join(positioned, parts) if positioned else None,
        keep=_fill(parts, [part.keep for part in parts], True),
        document=_fill(parts, [part.document for part in parts], 0),
        prefix=parts[0].prefix,
    )


def _join(positions: Sequence[Tensor], parts: Sequence[Tokens]) -> Tensor:
    return torch.cat([p.expand(part.x.shape[0], -1, -1) for p, part in zip(positions, parts, strict=True)], dim=1)


def _fill(parts: Sequence[Tokens], values: Sequence[Tensor | None], default: bool | int) -> Tensor | None:
    """One row of `values`, with `default` for the parts that have none; None where no part has any."""
    if all(value is None for value in values):
        return None
    kind = torch.bool if isinstance(default, bool) else torch.long
    filled = [
        torch.full(part.x.shape[:2], default, dtype=kind, device=part.x.device) if value is None else value
        for part, value in zip(parts, values, strict=True)
    ]
    return torch.cat(filled, dim=1)
