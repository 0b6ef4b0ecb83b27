"""`load`: a model from a folder or by a published name. What a source is, its name or its own config says."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from multimodal.checkpoint import AnyModel, is_model_folder, load_folder, rebuilt
from multimodal.checkpoint.fit import assign
from multimodal.errors import ArgumentError, nearest
from multimodal.hub.files import PICKLES, PREFIXES, lone_pickle, read_json, whisper_on_hub
from multimodal.hub.parts import Source, assemble, is_part_folder
from multimodal.hub.placing import find_device, find_dtype
from multimodal.models.vision_language import VisionLanguageModel


def load(
    source: str | Path,
    *,
    pretrained: bool = True,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
) -> AnyModel:
    """The model that `source` names, in eval mode.

    Args:
        source: a model folder of ours, or a part of a model, which is put onto its base (see `load_part`); a folder
            that timm's or open_clip's `save_for_hf` or transformers' `save_pretrained` wrote; "timm:NAME", with or
            without the tag of its weights ("timm:vit_small_patch16_224.augreg_in21k"); "open_clip:ARCH" or
            "open_clip:ARCH/TAG" ("open_clip:ViT-B-32/laion2b_s34b_b79k"), without a tag OpenAI's weights or else the
            first that open_clip lists; or "hf:ORG/NAME", with or without a revision ("hf:openai-community/gpt2@main"):
            a text model, a CLIP, a SigLIP, a LLaVA, a Whisper or an AST on the Hugging Face hub.
        pretrained: False gives the architecture with fresh weights; of "timm:" nothing is downloaded, of "open_clip:"
            the tokenizer, of "hf:" the config and the tokenizer.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1" or "mps".
        dtype: "auto" (bfloat16 where the device computes it fast, else float32), "float32", "bfloat16" or "float16".

    Raises:
        ArgumentError: an unknown prefix, name, tag, device or dtype; the nearest right one is named.
        DataError: a folder that is missing, damaged or of another kind, weights that cannot be downloaded, or a part
            whose base is not found or has other weights.
    """
    where = find_device(device)
    kind = find_dtype(dtype, where)
    prefix, name = _prefix(source)
    if prefix is None:
        return _from_folder(Path(source), pretrained, where, kind)
    if prefix == "hf":
        from multimodal.hub.transformers_hub import hub_folder
        from multimodal.hub.transformers_source import from_transformers

        folder = hub_folder(name, weights=pretrained)
        return from_transformers(folder, source=f"hf:{name}", pretrained=pretrained, device=where, dtype=kind)
    if prefix == "open_clip":
        from multimodal.hub.open_clip_source import open_clip_by_name

        return open_clip_by_name(name, pretrained=pretrained, device=where, dtype=kind)
    from multimodal.hub.timm_convert import from_timm
    from multimodal.hub.timm_source import timm_by_name

    model, full = timm_by_name(name, pretrained=pretrained)
    return from_timm(model, full, {}, trained=pretrained, device=where, dtype=kind)


def load_part(
    folder: str | Path,
    *,
    encoder: Source | None = None,
    language: Source | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
) -> VisionLanguageModel:
    """The whole model of a projector or of adapters that `save_part` wrote, put onto bases that lie somewhere else.

    Args:
        folder: of the part.
        encoder: what `load` takes, or a model, whose encoder it was trained on; None: where `load` would look.
        language: likewise, of the language model.
        device: as for `load`.
        dtype: as for `load`.

    Raises:
        ArgumentError: a source, device or dtype that does not exist.
        DataError: not a part, a damaged one, or a base with other weights than it was trained on.
    """
    where = find_device(device)
    given = {"encoder": encoder, "language": language}
    bases = {name: base for name, base in given.items() if base is not None}
    return _whole(folder, True, where, find_dtype(dtype, where), bases)


def _prefix(source: str | Path) -> tuple[str | None, str]:
    """The prefix of a published name, and the rest; None and the whole where `source` is a folder."""
    found = re.fullmatch(r"([A-Za-z][\w-]+):(.*)", str(source)) if isinstance(source, str) else None
    if found is None or Path(source).exists():
        return None, str(source)
    if found[1] not in PREFIXES:
        raise ArgumentError(
            f"source is {source!r}: models are given as 'timm:NAME', 'open_clip:ARCH/TAG', 'hf:ORG/NAME' or as "
            f"the path of a model folder, and '{found[1]}:' is none of these.{nearest(found[1], PREFIXES)}"
        )
    return found[1], found[2]


def _from_folder(folder: Path, pretrained: bool, device: torch.device, dtype: torch.dtype) -> AnyModel:
    if is_model_folder(folder):
        model = load_folder(folder, device=device, dtype=dtype)
        return model if pretrained else _fresh(model, device, dtype)
    if is_part_folder(folder):
        return _whole(folder, pretrained, device, dtype, {})
    if not folder.exists():
        raise ArgumentError(_no_folder(folder))
    if folder.is_file() and folder.suffix in PICKLES:
        raise lone_pickle(folder)
    if (folder / "open_clip_config.json").exists() and not _by_transformers_alone(folder):
        from multimodal.hub.open_clip_source import open_clip_folder

        return open_clip_folder(folder, pretrained=pretrained, device=device, dtype=dtype)
    if folder.is_dir() and (folder / "config.json").exists():
        config = read_json(folder / "config.json")
        if "architecture" in config:
            return _from_timm_folder(folder, pretrained, device, dtype)
        if "model_type" in config or "architectures" in config:
            from multimodal.hub.transformers_source import from_transformers

            return from_transformers(folder, source="transformers", pretrained=pretrained, device=device, dtype=dtype)
    return load_folder(folder, device=device, dtype=dtype)  # says what is wrong with it


def _whole(
    folder: str | Path, pretrained: bool, device: torch.device, dtype: torch.dtype, bases: dict[str, Source]
) -> VisionLanguageModel:
    """The model of a part; bases are hashed as bfloat16, so they are not read as float16, which would round before."""

    def base(source: str | Path) -> AnyModel:
        return load(source, device="cpu", dtype=torch.float32 if dtype == torch.float16 else dtype)

    return assemble(folder, base, bases=bases, pretrained=pretrained, device=device, dtype=dtype)


def _by_transformers_alone(folder: Path) -> bool:
    """Whether of both libraries' files only transformers' weights are there, as in a part of a repository."""
    return (folder / "config.json").exists() and not any(folder.glob("open_clip_*model.*"))


def _from_timm_folder(folder: Path, pretrained: bool, device: torch.device, dtype: torch.dtype) -> AnyModel:
    from multimodal.hub.timm_convert import from_timm
    from multimodal.hub.timm_source import timm_folder

    model, name, arguments = timm_folder(folder, pretrained=pretrained)
    return from_timm(model, name, arguments, trained=pretrained, device=device, dtype=dtype)


def _fresh(model: AnyModel, device: torch.device, dtype: torch.dtype) -> AnyModel:
    found = rebuilt(model)
    assign(found, found.state_dict(), device, dtype)
    return found.eval()


def _no_folder(folder: Path) -> str:
    import open_clip
    import timm

    name = str(folder)
    architecture = name.partition(".")[0]
    if timm.is_model(architecture):
        return f"There is no folder {name!r}. Did you mean 'timm:{name}'?"
    if re.split("/(?![0-9])", name)[0].replace("/", "-") in open_clip.list_models():
        return f"There is no folder {name!r}. Did you mean 'open_clip:{name}'?"
    if whisper := whisper_on_hub(name):
        return f"There is no folder {name!r}. Did you mean {whisper!r}?"
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return f"There is no folder {name!r}. Did you mean 'hf:{name}', a model on the Hugging Face hub?"
    return (
        f"There is no folder {name!r}; give the path of a model folder, or 'timm:NAME', 'open_clip:ARCH/TAG' or "
        "'hf:ORG/NAME' for a published model."
    )
