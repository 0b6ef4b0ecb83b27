"""A short name for exactly this model, so that vectors of different models are never compared with each other, and for
exactly these weights, so that what was trained on top of them is never put onto others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.config import to_plain
from multimodal.tokenizers.text import TextTokenizer


def fingerprint(model: nn.Module, config: Any, tokenizer: TextTokenizer | None) -> str:
    """32 hexadecimal digits, of the config, the vocabulary and the weights as bfloat16.

    Weights are rounded, because the same model gives nearly the same vectors in either number format.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps(to_plain(config), sort_keys=True).encode())
    if tokenizer is not None:
        settings = tokenizer.settings
        digest.update(f"{tokenizer.plain()} {settings.cleaning} {settings.max_length}".encode())
    _add(digest, model.state_dict())
    return digest.hexdigest()[:32]


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of tensors, in the order of their names, as bfloat16: also of a model that was loaded as that."""
    digest = hashlib.sha256()
    _add(digest, state)
    return digest.hexdigest()


def _add(digest: Any, state: Mapping[str, Tensor]) -> None:
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        plain = tensor.detach().cpu()
        plain = plain.to(torch.bfloat16) if plain.is_floating_point() else plain
        digest.update(plain.reshape(-1).contiguous().view(torch.uint8).numpy().data)
