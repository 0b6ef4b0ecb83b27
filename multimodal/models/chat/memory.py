"""What a model reads of a conversation about images, and what it remembers of having read it.

Axes: g key/value heads · s tokens read · k head width
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from multimodal.models.chat.views import Seen


@dataclass(frozen=True, eq=False)
class ChatPrompt:
    """One conversation as a model reads it."""

    ids: tuple[int, ...]  # a placeholder for each token of an image
    seen: tuple[Seen, ...]
    placeholder: int

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Names of the images' contents."""
        return tuple(one.key for one in self.seen)

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Where in `ids` each image ends."""
        places = [i for i, id in enumerate(self.ids) if id == self.placeholder]
        found, last = [], 0
        for one in self.seen:
            last += one.tokens
            found.append(places[last - 1] + 1)
        return tuple(found)

    def shared(self, other: ChatPrompt) -> int:
        """How many tokens both begin with, whole images only, and at least one token less than `other` has."""
        same = next((i for i, (a, b) in enumerate(zip(self.ids, other.ids, strict=False)) if a != b), None)
        length = min(len(self.ids), len(other.ids) - 1) if same is None else min(same, len(other.ids) - 1)
        for mine, theirs, one, end in zip(self.keys, other.keys, self.seen, self.ends, strict=False):
            if mine != theirs or end > length:
                return min(length, end - one.tokens)
        return length


class ChatMemory:
    """The keys and values of what one conversation has read; give the same to each question of it."""

    def __init__(self) -> None:
        self._prompt: ChatPrompt | None = None
        self._state: dict[str, Tensor] = {}
        self._model: tuple[Any, ...] = ()

    def recall(self, model: nn.Module, prompt: ChatPrompt) -> tuple[int, dict[str, Float[Tensor, "g s k"]]]:
        """How many tokens of `prompt` were read before, and their keys and values."""
        if self._prompt is None or self._model != _identity(model):
            return 0, {}
        count = self._prompt.shared(prompt)
        return count, {name: tensor[:, :count] for name, tensor in self._state.items()}

    def keep(self, model: nn.Module, prompt: ChatPrompt, state: Mapping[str, Float[Tensor, "g s k"]]) -> None:
        """Remember what `model` has read of `prompt`: all of it, or its beginning."""
        count = next(iter(state.values())).shape[1]
        self._prompt = ChatPrompt(prompt.ids[:count], prompt.seen, prompt.placeholder)
        self._state, self._model = dict(state), _identity(model)


def _identity(model: nn.Module) -> tuple[Any, ...]:
    """What changes when the model does, or its weights."""
    tensors = chain(model.parameters(), model.buffers())
    # Inference tensors do not count their changes.
    return (id(model), *((id(one), None if one.is_inference() else one._version) for one in tensors))
