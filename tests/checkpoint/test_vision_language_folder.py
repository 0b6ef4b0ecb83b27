"""The model folder of models that see or hear and talk: answers come back equal; what was edited is refused."""

from __future__ import annotations

import json

import pytest
import tiny_models
import tiny_sounds
import torch
from tiny_vision_language import hearing, picture, seeing

import multimodal as mm
from multimodal.checkpoint import load_folder, rebuilt, save
from multimodal.errors import DataError
from multimodal.models.chat.tiles import TilesConfig
from multimodal.models.perceiver import ResamplerConfig
from multimodal.models.projector import LinearProjectorConfig, PixelShuffleProjectorConfig

KINDS = {
    "seeing": seeing,
    "rotary, prefix": lambda: seeing(text="llama", attention="prefix"),
    "tiles, linear": lambda: seeing(tiles=TilesConfig(canvases=((32, 64),)), projector=LinearProjectorConfig()),
    "wrapped, folded": lambda: seeing(
        encoder=tiny_models.wrapped(), layers=(-1,), projector=PixelShuffleProjectorConfig()
    ),
    "resampler": lambda: seeing(projector=ResamplerConfig(latents=3, depth=1, heads=2), layers=()),
    "hearing": hearing,
}


def question(model):
    return (tiny_sounds.tone(300, 0.8) if model.reader.hears else picture(), "What is it?")


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back_with_equal_answers(kind, tmp_path):
    model = KINDS[kind]()
    model.card = {"metrics": {"exact": 0.5}}
    folder = save(model, tmp_path / "model")
    for loaded in (load_folder(folder), mm.load(folder, device="cpu", dtype="float32")):
        assert loaded.config == model.config and loaded.card == model.card and not loaded.training
        state = loaded.state_dict()
        assert state.keys() == model.state_dict().keys()
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
        expected = model.complete([question(model)], max_new_tokens=5)[0][0]
        assert loaded.complete([question(model)], max_new_tokens=5)[0][0] == expected
    again = rebuilt(loaded)
    assert again.config == model.config and again.tokenizer is loaded.tokenizer


@pytest.mark.parametrize("kind", ["seeing", "tiles, linear", "hearing"])
def test_the_card_says_how_to_ask(kind, tmp_path):
    model = KINDS[kind]()
    card = (save(model, tmp_path / "model") / "README.md").read_text()
    hears = kind == "hearing"
    assert ("pipeline_tag: audio-text-to-text" if hears else "pipeline_tag: image-text-to-text") in card
    assert f'model.chat(("{"clip.wav" if hears else "photo.jpg"}", "' in card and "multimodal chat PATH" in card
    assert f"takes {model.reader.length} of them" in card and "id 257" in card
    assert ("view of 32 x 32 pixels" in card) != hears and ("window of 0.5 s" in card) == hears
    assert ("cut into several views" in card) == (kind == "tiles, linear")
    assert "a projector (mlp)" in card or "a projector (linear)" in card


def test_the_card_says_what_is_missing(tmp_path):
    model = seeing()
    bare = model.config.build()
    card = (save(bare, tmp_path / "bare") / "README.md").read_text()
    assert "There is no tokenizer in this folder" in card


def edit(folder, change):
    path = folder / "config.json"
    header = json.loads(path.read_text())
    change(header["config"])
    path.write_text(json.dumps(header))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["projector"].update(hidden=24), "projector.up.* has shape 16 x 16 .* needs 24 x 16"),
        (lambda c: c["features"].update(layers=[1, 2]), "projector.up.* has shape 16 x 16 .* needs 16 x 32"),
        (lambda c: c["language"]["backbone"].update(dim=32), "has shape .* where the config needs"),
        (lambda c: c["features"].update(layers=[7]), "layers has 7; the encoder has 2 blocks"),
        (lambda c: c["features"]["encoder"]["backbone"].update(dim=24), "has shape .* where the config needs"),
        (lambda c: c.update(placeholder=-200), "tokenizer has ids up to 257 and the model 257 embeddings"),
        (lambda c: c.update(attention="two-way"), "attention"),
        (lambda c: c.update(tiles={"canvases": [[48, 48]]}), "cannot be cut into tiles of 32 x 32"),
        (lambda c: c["projector"].update(type="Projector"), "MlpProjectorConfig"),
    ],
)
def test_parts_that_were_edited_and_do_not_fit(change, message, tmp_path):
    folder = save(seeing(), tmp_path / "model")
    edit(folder, change)
    with pytest.raises(DataError, match=f"(?s){message}"):
        load_folder(folder)
