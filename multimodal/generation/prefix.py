"""A beginning that many prompts share, such as a system prompt: read once, kept on disk, and never read again.

What is kept is the cache of every token but the last. That one is read again with each prompt, so that there are
logits also where nothing follows the prefix.

Axes: g key/value heads · s tokens · k head width
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from multimodal.backbone.cache import Cache
from multimodal.config import to_plain
from multimodal.errors import ArgumentError, DataError

FORMAT = "multimodal prefix 1"
SAMPLES = 256  # numbers of each tensor that the fingerprint looks at


@dataclass(frozen=True, eq=False)
class Prefix:
    """The first tokens of a text, as one model has read them."""

    ids: tuple[int, ...]
    state: Mapping[str, Shaped[Tensor, "g s k"]]  # "{layer}.k" and "{layer}.v", of all tokens but the last
    model: str  # the fingerprint of the one that read them

    @classmethod
    @torch.inference_mode()
    def read(cls, model: Any, ids: Sequence[int]) -> Prefix:
        """The prefix `ids` as the language model `model` reads it.

        Raises:
            ArgumentError: no ids, or more than the model reads.
        """
        if not ids:
            raise ArgumentError("A prefix needs at least one token.")
        cache = model.backbone.new_cache(1, len(ids))
        if len(ids) > 1:
            model.hidden(torch.tensor([ids[:-1]], device=cache.lengths.device), cache=cache)
        return cls(tuple(ids), cache.state(), fingerprint(model))

    def __repr__(self) -> str:
        size = sum(tensor.nbytes for tensor in self.state.values())
        return f"Prefix({len(self.ids)} tokens, {size / 1e6:.1f} MB, of the model {self.model[:8]})"

    def fill(self, cache: Cache, model: nn.Module) -> None:
        """Begin every row of an empty cache of `model` with all tokens of the prefix but the last.

        Raises:
            ArgumentError: another model read it, or there is no room.
        """
        if self.model != fingerprint(model):
            raise ArgumentError(
                "The prefix was read by another model: other weights, another dtype or other settings. Read it with "
                "this one (`Prefix.read`)."
            )
        cache.fill(self.state)

    def save(self, path: str | Path) -> None:
        """Write it as safetensors, at once or not at all.

        Raises:
            DataError: it cannot be written.
        """
        target = Path(path)
        state = {name: tensor.cpu().contiguous() for name, tensor in self.state.items()}
        header = {"format": FORMAT, "ids": json.dumps(self.ids), "model": self.model, "checksum": _checksum(state)}
        content = save(state, header)
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
            partial.replace(target)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise DataError(f"The prefix could not be written to {target}: {error.strerror or error}.") from error

    @classmethod
    def load(cls, path: str | Path) -> Prefix:
        """What `save` wrote, on the CPU.

        Raises:
            DataError: there is no such file, or it is something else or damaged.
        """
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                if header.get("format") != FORMAT:
                    raise DataError(f"{path} is not a prefix; `Prefix.save` writes them.")
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
                if header["checksum"] != _checksum(state):
                    raise DataError(f"The prefix {path} is damaged (wrong checksum); read and save it again.")
                return cls(tuple(json.loads(header["ids"])), state, header["model"])
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise DataError(f"The prefix {path} cannot be read: {error}.") from error


def fingerprint(model: nn.Module) -> str:
    """A name for what `model` computes: its config, and of each weight the shape, the dtype and numbers all over it.

    Numbers are sampled, evenly, as reading a whole model would take longer than most prefixes; training changes
    nearly all of them.
    """
    config = to_plain(getattr(model, "config", None))
    if isinstance(config, dict):
        config.pop("generation", None)  # says how to decode, not what the model computes
    tensors = model.state_dict()
    shapes = {name: [*tensor.shape, str(tensor.dtype)] for name, tensor in tensors.items()}
    parts = [_sample(tensor.detach()) for tensor in tensors.values() if tensor.numel()]
    numbers = torch.cat(parts).cpu().numpy().tobytes() if parts else b""
    return hashlib.blake2b(json.dumps([config, shapes]).encode() + numbers, digest_size=16).hexdigest()


def _checksum(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sample(tensor: Tensor) -> Tensor:
    places = torch.linspace(0, tensor.numel() - 1, min(SAMPLES, tensor.numel()), dtype=torch.float64).long()
    return tensor.reshape(-1)[places.to(tensor.device)].float()
