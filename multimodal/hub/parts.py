"""A part of a joined model, put onto the bases that it was trained on: what stage 1 and stage 2 of LLaVA leave behind.

    config.json                the kind, "projector" or "lora"; the whole model's config; name and hash of each base
    projector.safetensors      the projector, and the vector that ends rows of tiles
    adapter_config.json        of "lora": the adapters of the language model, as peft writes them
    adapter_model.safetensors
    tokenizer.json             with the token that stands for images
    tokenizer_config.json
    README.md                  for people

The bases are found by the names in config.json: those of folders are looked for as they lie from the part, then beside
it, then from where the program runs. A base whose weights have another hash is refused. The hash is of the tensors, so
the same weights in another kind of folder will do. `part_saving.py` writes parts, `loading.py` loads them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from multimodal.backbone import lora_file
from multimodal.backbone.lora import merged_state_dict
from multimodal.checkpoint import build
from multimodal.checkpoint.files import TOKENIZER, check_file, read_tokenizer, read_weights, sentence
from multimodal.checkpoint.fit import assign, difference, not_finite, skeleton
from multimodal.checkpoint.header import CONFIG, CURE, is_part, read_part
from multimodal.checkpoint.replacing import current
from multimodal.config import from_plain
from multimodal.errors import ArgumentError, DataError
from multimodal.hub.files import PREFIXES
from multimodal.models.fingerprint import weights_hash
from multimodal.models.vision_language import VisionLanguageConfig, VisionLanguageModel

PROJECTOR = "projector.safetensors"
ADAPTER = (lora_file.CONFIG_FILE, lora_file.WEIGHTS_FILE)
BASES = {"encoder": "features.encoder.", "language": "language."}  # where the tensors of each are in the whole model
WORDS = {"encoder": "encoder", "language": "language model"}

Source: TypeAlias = str | Path | nn.Module
Loader: TypeAlias = Callable[[str | Path], nn.Module]  # on the CPU, in the number format asked for


def is_part_folder(folder: str | Path) -> bool:
    """Whether `folder` holds a part of a model rather than a whole one; its config says so, not its name."""
    return is_part(current(folder) / CONFIG)


def assemble(
    folder: str | Path,
    load: Loader,
    *,
    bases: Mapping[str, Source] | None = None,
    pretrained: bool = True,
    device: torch.device,
    dtype: torch.dtype,
) -> VisionLanguageModel:
    """The whole model of the part in `folder`, in eval mode.

    Args:
        folder: of the part.
        load: gives a base by its name, in `dtype`, but float32 in place of float16.
        bases: "encoder" and "language" where another place than the recorded one is meant: a source, or the model.
        pretrained: False gives the architecture with fresh weights; no base is looked for.
        device: of the result.
        dtype: of its floating-point tensors, but for adapters, which stay float32.

    Raises:
        DataError: a part that is damaged, a base that is not found, or one with other weights.
    """
    root = current(folder)
    path = root / CONFIG
    header = read_part(path)
    config = _config(path, header["config"])
    files = header["files"]
    for name in (PROJECTOR, *(ADAPTER if header["kind"] == "lora" else ())):
        check_file(root / name, files.get(name))
    tokenizer = read_tokenizer(root, files, config.vocabulary) if TOKENIZER[0] in files else None
    try:
        model: Any = skeleton(config, None, tokenizer) if pretrained else build(config, tokenizer=tokenizer)
    except Exception as error:  # an edited config can fail in as many ways as there are layers
        raise DataError(f"{path} describes a model that cannot be built: {sentence(error)} {CURE}") from error
    needed = model.state_dict()
    if not pretrained:
        assign(model, needed, device, dtype)
        return model.eval()
    state = _projector(root, header)
    state |= _from_bases(root, header["bases"], bases or {}, load, needed)
    if unfit := difference(state, needed):
        raise DataError(f"{path} does not fit {PROJECTOR}: {unfit}. {CURE}")
    if broken := not_finite(state):
        raise DataError(f"{root / PROJECTOR}: the tensor {broken!r} holds NaN or infinity. {CURE}")
    assign(model, state, device, dtype)
    if header["kind"] == "lora":
        lora_file.load_adapter(model.language, root)
    model.card = header["card"]
    return model.eval()


def tensors_in(base: nn.Module, needed: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Wherever `base` has tensors of the names and shapes `needed`: those; adapters are folded in."""
    state, first = merged_state_dict(base), next(iter(needed))
    for key in state:
        if key == first or key.endswith(f".{first}"):
            inside = key.removesuffix(first)
            found = {name: state.get(inside + name) for name in needed}
            if all(one is not None and one.shape == needed[name].shape for name, one in found.items()):
                yield found  # pyright: ignore[reportReturnType]


def below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _config(path: Path, plain: Any) -> VisionLanguageConfig:
    try:
        return from_plain(VisionLanguageConfig, plain, where="config")
    except (ArgumentError, DataError) as error:
        raise DataError(f"{path}: {error} {CURE}") from error


def _projector(root: Path, header: Mapping[str, Any]) -> dict[str, Tensor]:
    path = root / PROJECTOR
    return read_weights(path, {"bytes": path.stat().st_size, "sha256": header["files"][PROJECTOR]})


def _from_bases(
    root: Path, recorded: Mapping[str, Any], given: Mapping[str, Source], load: Loader, needed: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors that are not the part's own, under their names in the whole model."""
    state: dict[str, Tensor] = {}
    models: dict[str, nn.Module] = {}  # one base may be both, as of a part that is trained on a whole model
    for which, prefix in BASES.items():
        record, base = recorded[which], given.get(which)
        if isinstance(base, nn.Module):
            name, model = f"the {type(base).__name__} given", base
        else:
            name = str(base) if base is not None else _place(root, which, record["source"])
            model = models[name] = models.get(name) or load(name)
        found = _matching(model, below(needed, prefix), record["sha256"])
        if found is None:
            raise DataError(
                f"{root} was trained on the {WORDS[which]} of {record['source']!r} with weights "
                f"{record['sha256'][:12]}, and {name} {_instead(model, below(needed, prefix))}: "
                "give the base that it was trained on."
            )
        state |= {prefix + key: tensor for key, tensor in found.items()}
    return state


def _matching(base: nn.Module, needed: Mapping[str, Tensor], checksum: str) -> dict[str, Tensor] | None:
    return next((found for found in tensors_in(base, needed) if weights_hash(found) == checksum), None)


def _instead(base: nn.Module, needed: Mapping[str, Tensor]) -> str:
    """What `base` has in place of the weights that are needed, as a clause."""
    if found := next(tensors_in(base, needed), None):
        return f"has other ones, {weights_hash(found)[:12]}"
    state, first = merged_state_dict(base), next(iter(needed))
    places = [key.removesuffix(first) for key in state if key == first or key.endswith(f".{first}")]
    for name, tensor in needed.items():
        for place in places:
            other = state.get(place + name)
            if other is not None and other.shape != tensor.shape:
                there, here = tuple(other.shape), tuple(tensor.shape)
                return f"has {name!r} of the shape {there}, where {here} belongs"
    return f"(a {type(base).__name__}) has none of their names and shapes"


def _place(root: Path, which: str, source: str) -> str:
    """Where the base that is recorded as `source` is."""
    if source.partition(":")[0] in PREFIXES:
        return source
    places = list(dict.fromkeys([root.resolve() / source, root.resolve().parent / Path(source).name, Path(source)]))
    for place in places:
        if current(place).exists():
            return str(place)
    raise DataError(
        f"The {WORDS[which]} that {root} was trained on, {source!r}, is not at {', nor at '.join(map(str, places))}: "
        f"put it there, or say where it is with load_part({str(root)!r}, {which}=...)."
    )
