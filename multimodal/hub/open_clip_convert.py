"""Weights of open_clip to a `DualEncoder` with equal embeddings; what its config means is in `open_clip_config.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from multimodal.checkpoint import build
from multimodal.checkpoint.fit import assign, not_finite, skeleton
from multimodal.errors import DataError
from multimodal.hub.files import first_line
from multimodal.hub.open_clip_config import Reading
from multimodal.models.dual_encoder import DualEncoder
from multimodal.tokenizers.text import TextTokenizer
from multimodal.weights.keymap import Table
from multimodal.weights.open_clip import open_clip

_SCALARS = ("logit_scale", "logit_bias")


def from_open_clip(
    reading: Reading,
    state: Mapping[str, Tensor] | None,
    tokenizer: TextTokenizer | None,
    *,
    card: dict[str, Any],
    device: torch.device,
    dtype: torch.dtype | None,
) -> DualEncoder:
    """The model, in eval mode.

    Args:
        reading: of its config.
        state: its weights under open_clip's names; None: fresh ones.
        tokenizer: of its texts; None: they are ids.
        card: what the model's card says of where it came from.
        device: where to put the weights.
        dtype: their number format; None: as they are.

    Raises:
        DataError: the config describes no model, the weights or the tokenizer do not fit it, or they are not finite.
    """
    if tokenizer is not None:
        tokenizer.fits(reading.config.embedding.vocabulary)
    try:
        model = (skeleton if state is not None else build)(reading.config, tokenizer=tokenizer)
    except Exception as error:  # numbers that are no sizes fail in as many ways as there are layers
        raise DataError(f"model_cfg describes a model that cannot be built: {first_line(error)}") from error
    assert isinstance(model, DualEncoder)
    ours = model.state_dict() if state is None else _converted(reading, state, model.state_dict())
    if broken := not_finite(ours):
        raise DataError(f"The tensor {broken!r} holds NaN or infinity: a damaged file, or a training that failed.")
    assign(model, {name: tensor.contiguous() for name, tensor in ours.items()}, device, dtype)
    model.card = card
    return model.eval()


def table_of(reading: Reading, *, custom: bool) -> Table:
    """The table of the whole model; `custom`: the names of the text tower begin with "text."."""
    return open_clip(reading.image, reading.text, custom=custom)


def _converted(reading: Reading, state: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` under our names, after what open_clip itself does with files of other versions."""
    theirs = {name: tensor for name, tensor in state.items() if not name.startswith("text_decoder.")}  # CoCa's captions
    for name in _SCALARS:  # numbers in some files, vectors of one in others
        if name in theirs and theirs[name].numel() == 1:
            theirs[name] = theirs[name].reshape(())
    if "similarity.bias" in needed and "logit_scale" in theirs:  # a softmax's weights for a sigmoid to begin with
        theirs.setdefault("logit_bias", torch.zeros_like(theirs["logit_scale"]))
    custom = any(name.startswith("text.") for name in theirs)
    return table_of(reading, custom=custom).convert(theirs, needed)
