"""open_clip's published models: by name, with their own activation and tokenizer, downloaded once, never executed."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from clip_folders import OWN, config, random_model, register, theirs_of, write, write_tokenizer
from PIL import Image
from safetensors.torch import load_file, save_file
from stand_ins import CPU, Hub, use_hub

from multimodal.checkpoint import save
from multimodal.errors import ArgumentError, DataError
from multimodal.hub import load
from multimodal.hub.open_clip_export import export_open_clip, save_open_clip
from multimodal.models.dual_encoder import DualEncoder
from multimodal.models.towers import TextTowerConfig

REPOSITORY, WORDS = "someone/clip", "someone/words"
OPENAI = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4), "interpolation": "bicubic", "resize_mode": "squash"}
TINY = config(text=OWN)
PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Architectures of open_clip with weights on the hub that stands in."""
    at = f"{REPOSITORY}/"
    tags = {
        "first": {"hf_hub": f"{REPOSITORY}/other.bin", **OPENAI},
        "openai": {"hf_hub": at, "quick_gelu": True, **OPENAI},
    }
    register(monkeypatch, "Tiny-B-8", TINY)
    register(monkeypatch, "Tiny-words", config(text={"hf_tokenizer_name": WORDS}))
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "Tiny-B-8", tags)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "Tiny-words", {"first": {"hf_hub": at, **OPENAI}})


def publish(hub: Hub, file: Path, name: str) -> None:
    hub.files[f"/{REPOSITORY}/resolve/main/{name}"] = file.read_bytes()


def publish_words(hub: Hub, folder: Path) -> None:
    folder.mkdir()
    write_tokenizer(folder, bert=False)
    names = [path.name for path in folder.iterdir()]
    for name in names:
        hub.files[f"/{WORDS}/resolve/main/{name}"] = (folder / name).read_bytes()
    info = {"id": WORDS, "sha": "0" * 40, "siblings": [{"rfilename": name} for name in (*names, "README.md")]}
    hub.files[f"/api/models/{WORDS}"] = json.dumps(info).encode()


def weights_of(model: Any, path: Path) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    return path


def assert_equal(ours: DualEncoder, theirs: Any) -> None:
    with torch.no_grad():
        expected = theirs.encode_image(PIXELS, normalize=True)
        assert (ours.encode_images(PIXELS) - expected).abs().max() < 1e-6
        ids = torch.tensor([[49406, 320, 2368, 49407, *[0] * 8]])
        assert (ours.encode_texts(ids) - theirs.encode_text(ids, normalize=True)).abs().max() < 1e-6


def test_a_published_model_is_downloaded_once_and_computes_what_it_was_trained_with(hub: Hub, tmp_path: Path) -> None:
    theirs = random_model({**TINY, "quick_gelu": True})
    publish(hub, weights_of(theirs, tmp_path / "w.safetensors"), "open_clip_model.safetensors")
    ours = load("open_clip:Tiny-B-8/openai", **CPU)
    assert_equal(ours, theirs)  # the architecture says GELU, the tag QuickGELU
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        create: Any = open_clip.create_model
        found = create("Tiny-B-8", pretrained="openai", force_quick_gelu=True, load_weights=False)
    assert type(found.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    assert not any("QuickGELU mismatch" in str(warning.message) for warning in caught)
    transform = ours.config.transform
    assert (transform.resize, transform.mean, transform.size) == ("squash", (0.4, 0.5, 0.6), (32, 32))
    assert ours.card["source"] == "open_clip:Tiny-B-8/openai" and not ours.training
    assert ours.tokenizer is not None and ours.tokenizer.vocabulary == 49408
    hub.asked.clear()
    again = load("open_clip:Tiny-B/8", **CPU)  # a slash, as open_clip allows, and the tag that is taken without one
    assert hub.asked == []  # not even a question: it works on a plane
    assert again.fingerprint() == ours.fingerprint()
    save_open_clip(again, tmp_path / "back")
    assert json.loads((tmp_path / "back" / "open_clip_config.json").read_text())["model_cfg"]["quick_gelu"] is True
    assert_equal(ours, theirs_of(tmp_path / "back")[0])
    back = load(save(ours, tmp_path / "ours"), **CPU)
    assert back.config == ours.config and export_open_clip(back)[0] == export_open_clip(ours)[0]


def test_a_pickle_is_read_for_tensors_alone(hub: Hub, tmp_path: Path) -> None:
    theirs = random_model(TINY)
    wrapped = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in theirs.state_dict().items()}}
    torch.save(wrapped, tmp_path / "w.bin")
    publish(hub, tmp_path / "w.bin", "other.bin")
    assert_equal(load("open_clip:Tiny-B-8/first", **CPU), theirs)


class Trap:
    """Unpickling this makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (Path("sprung"),)


def test_a_pickle_that_runs_code_is_refused(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.bin").write_bytes(pickle.dumps({"state_dict": Trap()}))
    publish(hub, tmp_path / "w.bin", "other.bin")
    with pytest.raises(DataError, match=r"other\.bin cannot be read: "):
        load("open_clip:Tiny-B-8/first", **CPU)
    assert not (tmp_path / "sprung").exists()


def test_the_tokenizer_comes_from_its_own_repository(hub: Hub, tmp_path: Path) -> None:
    theirs = random_model(config(text={"hf_tokenizer_name": WORDS}))
    publish(hub, weights_of(theirs, tmp_path / "w.safetensors"), "open_clip_model.safetensors")
    publish_words(hub, tmp_path / "words")
    ours = load("open_clip:Tiny-words", **CPU)
    assert ours.tokenizer is not None and ours.tokenizer.pad_id == ours.tokenizer.eos_id == 47
    assert ours.tokenizer.settings.cleaning == "whitespace" and ours.caption_length == 12
    assert "GET README.md" not in hub.asked
    hub.asked.clear()
    load("open_clip:Tiny-words/first", **CPU)
    assert hub.asked == []


def test_fresh_weights_need_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
    fresh = load("open_clip:Tiny-B-8", pretrained=False, **CPU)
    assert fresh.embed_texts("a cat").shape == (1, 24) and fresh.card["source"] == "open_clip:Tiny-B-8"
    text = fresh.config.text
    assert isinstance(text, TextTowerConfig) and text.backbone is not None
    assert text.backbone.block.mlp.activation == "gelu"  # the architecture's own
    trained = load("open_clip:Tiny-B-8/openai", pretrained=False, **CPU).config.text
    assert isinstance(trained, TextTowerConfig) and trained.backbone is not None
    assert trained.backbone.block.mlp.activation == "quick_gelu"
    with pytest.warns(UserWarning, match=r"could not be downloaded .* made without a tokenizer: its texts are ids"):
        bare = load("open_clip:Tiny-words", pretrained=False, **CPU)
    assert bare.tokenizer is None and bare.embed_texts([[5, 6, 47]]).shape == (1, 24)


def test_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
    with pytest.raises(DataError, match=r"open_clip:Tiny-B-8/openai could not be downloaded .*pretrained=False"):
        load("open_clip:Tiny-B-8", **CPU)
    with pytest.raises(DataError, match=r"open_clip:Tiny-words/first could not be downloaded"):
        load("open_clip:Tiny-words", **CPU)


def test_a_repository_without_weights(hub: Hub) -> None:
    with pytest.raises(DataError, match=r"someone/clip holds none of open_clip_model\.safetensors, open_clip_pytorch"):
        load("open_clip:Tiny-B-8", **CPU)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("open_clip:ViT-B-23", r"open_clip has no architecture 'ViT-B-23'\. Did you mean 'ViT-B-32"),
        ("open_clip:xyzzy", r"no architecture 'xyzzy'\. `open_clip\.list_models\(\)` gives all names"),
        ("open_clip:Tiny-B-8/opnai", r"no weights 'opnai' of Tiny-B-8; it has first, openai\. Did you mean 'openai'"),
        ("open_clip:ViT-S-32", "open_clip publishes no weights of ViT-S-32; use pretrained=False for fresh ones"),
        ("open_clip:ViT-S-32/openai", "no weights 'openai' of ViT-S-32; it has none"),
        (
            "open_clip:roberta-ViT-B-32",
            r"cannot be loaded: its texts are read by roberta-base, a model of",
        ),
        ("openclip:ViT-B-32", r"'openclip:' is none of these\. Did you mean 'open_clip'"),
        ("ViT-B-32/openai", r"no folder 'ViT-B-32/openai'\. Did you mean 'open_clip:ViT-B-32/openai'"),
    ],
)
def test_wrong_names(source: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        load(source, **CPU)


def test_folders_of_other_versions(tmp_path: Path) -> None:
    model_cfg = config(custom_text=True, init_logit_bias=-5.0)
    theirs = random_model(model_cfg)
    folder = write(theirs, model_cfg, tmp_path / "theirs")
    ours = load(folder, **CPU)
    state = load_file(folder / "open_clip_model.safetensors")
    (folder / "open_clip_model.safetensors").unlink()
    # The text tower beside the other tensors, scale as a vector, no bias yet, another name of the file.
    older = {name.removeprefix("text."): value for name, value in state.items() if name != "logit_bias"}
    older["logit_scale"] = older["logit_scale"].reshape(1).clone()
    save_file(older, folder / "model.safetensors")
    found = load(folder, **CPU)
    assert found.similarity.bias.item() == 0.0 and found.similarity.log_scale.shape == ()
    assert torch.equal(found.embed_texts("a cat"), ours.embed_texts("a cat"))


def test_a_folder_and_its_fresh_twin(tmp_path: Path) -> None:
    folder = write(random_model(config()), config(), tmp_path / "theirs")
    ours, fresh = load(folder, **CPU), load(folder, pretrained=False, **CPU)
    assert fresh.config == ours.config and not fresh.training and fresh.tokenizer is not None
    assert not torch.equal(fresh.embed_texts("a cat"), ours.embed_texts("a cat"))
    half = load(folder, device="cpu", dtype="bfloat16")
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert torch.nn.functional.cosine_similarity(half.embed_texts("a cat"), ours.embed_texts("a cat")).item() > 0.99
    assert half.fingerprint() == ours.fingerprint()


def test_a_folder_of_both_libraries_is_read_by_the_weights_that_it_has(tmp_path: Path) -> None:
    folder = write(random_model(config()), config(), tmp_path / "both")
    (folder / "config.json").write_text('{"model_type": "clip", "text_config": {"vocab_size": "many"}}')
    assert load(folder, **CPU).card["source"] == "open_clip"
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(DataError, match="vocab_size is 'many'"):  # transformers' then
        load(folder, **CPU)


def test_damaged_folders(tmp_path: Path) -> None:
    folder = write(random_model(config()), config(), tmp_path / "theirs")
    weights = folder / "open_clip_model.safetensors"
    state = load_file(weights)
    save_file({**state, "visual.proj": state["visual.proj"] * float("nan")}, weights)
    with pytest.raises(DataError, match=r"theirs: The tensor 'image\.projection\.weight' holds NaN or infinity"):
        load(folder, **CPU)
    save_file({**state, "visual.projection": state["visual.proj"].clone()}, weights)
    with pytest.raises(DataError, match=r"'visual\.projection', which no row of the table covers\. Did you mean"):
        load(folder, **CPU)
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"open_clip_model\.safetensors cannot be read: "):
        load(folder, **CPU)
    weights.unlink()
    with pytest.raises(DataError, match=r"holds no open_clip_model\.safetensors"):
        load(folder, **CPU)
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    with pytest.raises(DataError, match=r"as a pickle \(open_clip_pytorch_model\.bin\), which can run code"):
        load(folder, **CPU)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"tokenizer_kwargs": {"clean": "loud"}}, "tokenizer_kwargs.clean is 'loud'; it must be one of lower"),
        ({"tokenizer_kwargs": {"language": "de"}}, "tokenizer_kwargs.language is set, and of settings of tokenizers"),
        ({"tokenizer_mode": "clips"}, "tokenizer_mode is set"),
        ({"tokenizer_kwargs": {"strip_sep_token": True}}, r"the tokenizer puts no \[CLS\] and \[SEP\] around a text"),
        ({"vocab_size": 40}, "ids up to 47 and the model 40 embeddings"),
    ],
)
def test_tokenizers_that_do_not_fit(text: dict[str, Any], message: str, tmp_path: Path) -> None:
    model_cfg = config()
    folder = write(random_model(model_cfg), model_cfg, tmp_path / "theirs")
    changed = {**model_cfg, "text_cfg": {**model_cfg["text_cfg"], **text}}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": changed}))
    with pytest.raises(DataError, match=message):
        load(folder, **CPU)


def test_pictures_that_open_clip_cannot_prepare(tmp_path: Path) -> None:
    ours = load(write(random_model(config()), config(), tmp_path / "theirs"), **CPU)
    for change in ({"resize": "pad"}, {"crop_fraction": 0.9}, {"interpolation": "nearest"}, {"size": (40, 40)}):
        for name, value in change.items():
            object.__setattr__(ours.transform, "config", type(ours.transform.config)(**{**TRANSFORM, name: value}))
        with pytest.raises(ArgumentError, match=r"open_clip (cannot prepare pictures|gives this model pictures)"):
            save_open_clip(ours, tmp_path / "no")


TRANSFORM: dict[str, Any] = {"size": (32, 32), "crop_fraction": 1.0}


def test_pictures_go_through(tmp_path: Path) -> None:
    folder = write(random_model(config()), config(), tmp_path / "theirs")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    assert load(folder, **CPU).embed_images([picture] * 3).shape == (3, 24)
