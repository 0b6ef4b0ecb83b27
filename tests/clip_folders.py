"""Tiny models of open_clip, as folders that it wrote, beside what `mm.load` makes of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

import multimodal as mm
from multimodal.models.dual_encoder import DualEncoder

VISION: dict[str, Any] = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.!&;_é "
TEXT: dict[str, Any] = {
    "context_length": 12,
    "vocab_size": len(LETTERS) + 4,
    "width": 16,
    "heads": 2,
    "layers": 2,
    "hf_tokenizer_name": "somewhere/else",  # the folders bring it; with open_clip's own a test takes seconds
}
OWN = {"hf_tokenizer_name": None, "vocab_size": 49408}  # open_clip's own
TINY_TIMM: dict[str, dict[str, Any]] = {  # names by which tests register small models in timm
    "tiny_siglip": {"name": "vit_base_patch16_siglip_224"},
    "tiny_so400m": {"name": "vit_so400m_patch14_siglip_224", "img_size": 30},
    "tiny_eva": {"name": "eva_giant_patch14_224"},
    "tiny_eva02": {"name": "eva02_large_patch14_clip_224"},
    "tiny_clip": {"name": "vit_base_patch32_clip_224"},
    "tiny_gap": {"name": "vit_medium_patch16_gap_256"},
}
TEXTS = (
    "a cat",
    "two dogs, on a red sofa!",
    "Caf\u00e9 &amp; Z\u00fcrich_x",
    "many " * 40,
    "",
    "5",
    "<end_of_text> odd",
)


def config(vision: Mapping[str, Any] = {}, text: Mapping[str, Any] = {}, **top: Any) -> dict[str, Any]:
    """A `model_cfg`: the tiny one with these changes; a vision tower of timm takes nothing of it but the image size."""
    base = {"image_size": 32} if "timm_model_name" in vision else VISION
    return {"embed_dim": 24, "vision_cfg": {**base, **vision}, "text_cfg": {**TEXT, **text}, **top}


def use_tiny_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the models of `TINY_TIMM`."""
    for name, made in TINY_TIMM.items():
        sizes = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 32, "patch_size": 8}

        def make(made: Any = made, sizes: Any = sizes, **given: Any) -> Any:
            arguments = {**sizes, **made, **given}
            return timm.create_model(arguments.pop("name"), **arguments)

        monkeypatch.setitem(timm.models._registry._model_entrypoints, name, make)


def register(monkeypatch: pytest.MonkeyPatch, name: str, model_cfg: Mapping[str, Any]) -> None:
    """Make `name` an architecture of open_clip."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, copy.deepcopy(dict(model_cfg)))


def random_model(model_cfg: Mapping[str, Any]) -> Any:
    """open_clip's model with every weight random."""
    settings = copy.deepcopy(dict(model_cfg))
    custom = settings.pop("custom_text", False)
    kind: Any = CoCa if "multimodal_cfg" in settings else CustomTextCLIP if custom else CLIP
    torch.manual_seed(0)
    model, draw = kind(**settings).eval(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            noise = torch.randn(tensor.shape, generator=draw)
            if name.endswith("running_var"):
                tensor.copy_(1 + 0.5 * noise.abs())
            elif tensor.is_floating_point():
                tensor.add_(0.2 * noise)
        model.logit_scale.fill_(1.2)
    return model


def write(model: Any, model_cfg: Mapping[str, Any], folder: Path, **preprocess: Any) -> Path:
    """The folder that open_clip writes of `model`."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess}))
    if model_cfg["text_cfg"].get("hf_tokenizer_name"):
        write_tokenizer(folder, bert=bool(model_cfg["text_cfg"].get("tokenizer_kwargs", {}).get("strip_sep_token")))
    return folder


def write_tokenizer(folder: Path, *, bert: bool) -> None:
    """A tokenizer over letters: BERT's way, or T5's, whose end token also pads."""
    tokens = ["[PAD]", "[CLS]", "[SEP]", *LETTERS, "[UNK]"] if bert else ["<pad>", "<s>", *LETTERS, "<unk>", "</s>"]
    ids = {token: number for number, token in enumerate(tokens)}
    tokenizer: Any = Tokenizer(models.WordLevel(ids, unk_token="[UNK]" if bert else "<unk>"))  # pyright: ignore
    tokenizer.normalizer = normalizers.Lowercase()  # pyright: ignore
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")  # pyright: ignore
    template = ("[CLS] $A [SEP]", ["[CLS]", "[SEP]"]) if bert else ("$A </s>", ["</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore
        single=template[0], special_tokens=[(token, ids[token]) for token in template[1]]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]"} if bert else {}
    roles = roles or {"pad": "</s>", "eos": "</s>", "unk": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **{f"{role}_token": name for role, name in roles.items()}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def theirs_of(folder: Path) -> tuple[Any, Any, Any]:
    """What open_clip makes of a folder: the model, its preprocessing, its tokenizer."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return model.eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{folder}")


def load(folder: Path) -> DualEncoder:
    model = mm.load(folder, device="cpu", dtype="float32")
    assert isinstance(model, DualEncoder)
    return model
