"""CLIP and SigLIP of the hub, as transformers publishes them: what is downloaded, and vocabularies with spare ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from clip_folders import LETTERS, write_tokenizer
from stand_ins import CPU, Hub

from multimodal.errors import DataError
from multimodal.hub import load, save_transformers
from multimodal.hub.transformers_source import without_spares
from multimodal.models.dual_encoder import DualEncoder
from multimodal.presets import Stack, ViT, siglip
from multimodal.tokenizers.text_files import load_tokenizer

NAME = "someone/siglip"
SIZES: dict[str, Any] = {
    "image": ViT(dim=16, depth=1, heads=1, patch=8),
    "text": Stack(dim=16, depth=1, heads=1),
    "length": 8,
    "size": 16,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "words").mkdir()
    write_tokenizer(tmp_path / "words", bert=False)
    torch.manual_seed(0)
    model = siglip(len(LETTERS) + 4, pad=len(LETTERS) + 3, **SIZES).build(load_tokenizer(tmp_path / "words"))
    return save_transformers(model, tmp_path / "theirs")


def publish(hub: Hub, folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        hub.files[f"/{NAME}/resolve/main/{name}"] = (folder / name).read_bytes()
    info = {"id": NAME, "sha": "0" * 40, "siblings": [{"rfilename": name} for name in (*names, "flax_model.msgpack")]}
    hub.files[f"/api/models/{NAME}"] = json.dumps(info).encode()


def test_the_preprocessing_comes_along(hub: Hub, folder: Path) -> None:
    pixels = json.loads((folder / "preprocessor_config.json").read_text()) | {"image_mean": [0.1, 0.2, 0.3]}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    publish(hub, folder)
    model = load(f"hf:{NAME}", **CPU)
    assert isinstance(model, DualEncoder) and model.transform.config.mean == (0.1, 0.2, 0.3)
    assert torch.equal(model.embed_texts("a cat"), load(folder, **CPU).embed_texts("a cat"))
    assert "GET flax_model.msgpack" not in hub.asked
    hub.asked.clear()
    load(f"hf:{NAME}", **CPU)
    assert hub.asked == []
    assert load(f"hf:{NAME}", pretrained=False, **CPU).config == model.config


def test_any_resolution_is_refused_before_anything_large_is_downloaded(hub: Hub, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "siglip2"}
    (folder / "config.json").write_text(json.dumps(config))
    publish(hub, folder)
    with pytest.raises(DataError, match=r"for pictures of any size \(NaFlex\), which cannot be read; take one of a"):
        load(f"hf:{NAME}", **CPU)
    assert "GET model.safetensors" not in hub.asked


def test_a_repository_of_open_clip_is_named(hub: Hub, folder: Path) -> None:
    (folder / "config.json").rename(folder / "open_clip_config.json")
    publish(hub, folder)
    with pytest.raises(DataError, match=r"holds a model of open_clip: load it by its name there, as 'open_clip:ARCH"):
        load(f"hf:{NAME}", **CPU)


def test_spare_ids_are_read_as_unknown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = load_tokenizer(folder)
    count = tokenizer.vocabulary
    assert without_spares(tokenizer, count) is tokenizer and without_spares(tokenizer, count + 9) is tokenizer
    assert without_spares(tokenizer, count - 1) is tokenizer  # too large a part to be spare
    monkeypatch.setattr("multimodal.hub.transformers_source._SPARE", 0.1)
    fewer = without_spares(tokenizer, count - 1)
    assert fewer.vocabulary == count - 1
    fewer.fits(count - 1)
    assert fewer.encode("a").ids == (tokenizer.encode("a").ids[0], tokenizer.unk_id)  # the end token was the last
