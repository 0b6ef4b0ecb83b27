"""Saving a part of a joined model, without the encoder and the language model that it was trained on.

What is in the folder, and how it is loaded, is in `parts.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.backbone.lora import adapters
from multimodal.backbone.lora_file import save_adapter
from multimodal.checkpoint.files import TOKENIZER, sha256_of, write_tokenizer, write_weights
from multimodal.checkpoint.fit import not_finite
from multimodal.checkpoint.header import CONFIG, JOINED, PART_KINDS, plain_card, write_header
from multimodal.checkpoint.replacing import replacing
from multimodal.config import to_plain
from multimodal.errors import ArgumentError, nearest
from multimodal.hub.files import PREFIXES
from multimodal.hub.loading import load
from multimodal.hub.parts import ADAPTER, BASES, PROJECTOR, WORDS, below, tensors_in
from multimodal.models.fingerprint import weights_hash
from multimodal.models.vision_language import VisionLanguageModel

CARD = "README.md"
_TEXT = """\
# {title} of a language model that {does}

What was trained of a model that is joined of an encoder and a language model; both are needed to use it:

- encoder: {encoder}
- language model: {language}

    import multimodal as mm
    model = mm.load("PATH/TO/THIS/FOLDER")

`mm.load` finds them by these names (folders from here, or beside this one) and refuses others. Everything here is
safetensors and JSON: loading executes no code from this folder.
"""


def save_part(
    model: nn.Module,
    folder: str | Path,
    kind: str,
    *,
    encoder: str | Path | None = None,
    language: str | Path | None = None,
) -> Path:
    """Write what was trained of `model` into `folder`, replacing the part that may be there; the folder's full path.

    The folder is there in full or not at all, even if the program is killed. Each base is loaded once and compared, so
    that what is saved can be loaded again.

    Args:
        model: a `VisionLanguageModel`.
        folder: is made, with the folders above it.
        kind: "projector" (the encoder and the language model are as they were), or "lora" (the language model has
            adapters, which are saved with the projector).
        encoder: what `mm.load` takes of the model whose encoder it is; None: as `join` noted it, of a published model.
        language: likewise, of the language model.

    Raises:
        ArgumentError: another kind of model, adapters that the kind does not have or needs, a base that is not named or
            has other weights, tensors that are not finite, or a `folder` that holds anything but a part.
        DataError: a base that cannot be loaded, a tokenizer that does not fit, or a folder that cannot be written to.
            What was there before is unchanged.
    """
    plain: Any = getattr(model, "_orig_mod", model)  # inside torch.compile(model)
    if not isinstance(plain, VisionLanguageModel):
        raise ArgumentError(f"A {type(plain).__name__} has no parts to be saved; give a {JOINED}, or use mm.save.")
    if kind not in PART_KINDS:
        raise ArgumentError(f"kind is {kind!r}; it must be one of {', '.join(PART_KINDS)}.{nearest(kind, PART_KINDS)}")
    _check_adapters(plain, kind)
    if plain.tokenizer is not None:
        plain.tokenizer.fits(plain.config.vocabulary)
    target = Path(os.path.realpath(folder))
    state = _without_adapters(plain)
    own = {name: tensor for name, tensor in state.items() if not name.startswith(tuple(BASES.values()))}
    if broken := not_finite(own):
        raise ArgumentError(
            f"The tensor {broken!r} holds NaN or infinity, so the part is useless and is not saved; if it was being "
            "trained, try a lower learning rate."
        )
    given = {"encoder": encoder, "language": language}
    sources = {which: _named(plain, which, source) for which, source in given.items()}
    bases = {
        which: {"source": _from_here(source, target), "sha256": _hash(source, which, below(state, BASES[which]))}
        for which, source in sources.items()
    }
    fields = {"class": JOINED, "kind": kind, "config": to_plain(plain.config), "card": plain_card(plain.card)}
    with replacing(target, files=(CONFIG, PROJECTOR, CARD, *ADAPTER, *TOKENIZER)) as fresh:
        write_weights({name: tensor.detach().cpu().contiguous() for name, tensor in own.items()}, fresh / PROJECTOR)
        write_tokenizer(plain.tokenizer, fresh)
        if kind == "lora":
            save_adapter(plain.language, fresh)
        files = {path.name: sha256_of(path) for path in sorted(fresh.iterdir())}
        write_header(fresh / CONFIG, **fields, bases=bases, files=files)
        (fresh / CARD).write_text(_readme(plain, kind, {name: base["source"] for name, base in bases.items()}), "utf-8")
    return target


def _check_adapters(model: VisionLanguageModel, kind: str) -> None:
    names = list(adapters(model))
    if elsewhere := [name for name in names if not name.startswith(BASES["language"])]:
        raise ArgumentError(
            f"{elsewhere[0]!r} has an adapter, and a part holds those of the language model alone: save the whole "
            "model with mm.save, which folds all in."
        )
    if names and kind == "projector":
        raise ArgumentError("The language model has adapters, which a projector leaves out: save it with kind='lora'.")
    if not names and kind == "lora":
        raise ArgumentError("The language model has no adapters; save it with kind='projector', or whole with mm.save.")


def _without_adapters(model: nn.Module) -> dict[str, Tensor]:
    """What `state_dict()` would be had the model never been adapted."""
    state = model.state_dict()
    for name in adapters(model):
        del state[f"{name}.a.weight"], state[f"{name}.b.weight"]
    inner = {f"{name}.base.{part}": f"{name}.{part}" for name in adapters(model) for part in ("weight", "bias")}
    return {inner.get(name, name): tensor for name, tensor in state.items()}


def _named(model: VisionLanguageModel, which: str, source: str | Path | None) -> str | Path:
    """The source of a base, or the one in the card where that is a published name."""
    found = model.card.get(which) if source is None else source
    if source is None and not (isinstance(found, str) and found.partition(":")[0] in PREFIXES):
        raise ArgumentError(
            f"It is not known where the {WORDS[which]} came from: give {which}=, the folder or the published name that "
            "mm.load takes, or save the whole model with mm.save."
        )
    return found  # pyright: ignore[reportReturnType] not None here


def _from_here(source: str | Path, target: Path) -> str:
    """`source` as config.json has it: a relative path is then one from the part's folder, and both can be moved."""
    if not Path(source).exists() or Path(source).is_absolute():
        return str(source)
    return Path(os.path.relpath(os.path.realpath(source), target)).as_posix()


def _hash(source: str | Path, which: str, state: dict[str, Tensor]) -> str:
    """The hash of a base's weights, which are those of `state`."""
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    base = load(source, device="cpu", dtype=torch.float32 if dtype == torch.float16 else dtype)
    own = weights_hash(state)
    for found in tensors_in(base, state):
        if weights_hash({name: tensor.to(state[name].dtype) for name, tensor in found.items()}) == own:
            return weights_hash(found)
    raise ArgumentError(
        f"The {WORDS[which]} has other weights than that of {source}, so a part could not be put onto it again: name "
        "the base that it had before the training, or save the whole model with mm.save if it was trained too."
    )


def _readme(model: VisionLanguageModel, kind: str, sources: dict[str, str]) -> str:
    title = {"projector": "Projector", "lora": "Projector and LoRA adapters"}[kind]
    does = "hears" if model.reader.hears else "sees"
    quoted = {name: f"`{source}`" for name, source in sources.items()}
    return _TEXT.format(title=title, does=does, **quoted)
