"""The model folder: it comes back equal, in any process, dtype and place."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
from tiny_models import KINDS, LABELS, vit, wrapped

from multimodal.backbone.lora import LoraConfig, attach
from multimodal.checkpoint import is_model_folder, load_folder, save
from multimodal.checkpoint.fit import skeleton
from multimodal.errors import ArgumentError

FILES = {"config.json", "model.safetensors", "README.md"}


def pixels(model, batch=2):
    return torch.randn(batch, 3, *model.config.transform.size, generator=torch.Generator().manual_seed(1))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("kind", KINDS.keys())
def test_a_model_comes_back_equal(kind, tmp_path):
    model = KINDS[kind]()
    model.temperature, model.card = 1.7, {"metrics": {"accuracy": 0.9}, "shape": (1, 2)}
    folder = save(model.train(), tmp_path / "deep" / "model")
    assert names(folder) == FILES and names(folder.parent) == {"model"}
    loaded = load_folder(folder)
    assert not any(module.training for module in loaded.modules())
    assert loaded.config == model.config and loaded.labels == LABELS and loaded.temperature == 1.7
    assert loaded.card == {"metrics": {"accuracy": 0.9}, "shape": [1, 2]}
    assert all(p.requires_grad for p in loaded.parameters())
    assert not any(t.is_meta for t in [*loaded.parameters(), *loaded.buffers()])
    x = pixels(model)
    with torch.no_grad():
        assert torch.equal(loaded(x), model.eval()(x))


def test_weights_are_not_made_twice():
    model = skeleton(vit().config, LABELS)
    assert all(p.is_meta for p in model.parameters())
    plain = KINDS["mean, sinusoidal"]()
    empty = skeleton(plain.config, LABELS)
    for (name, expected), found in zip(plain.named_buffers(), empty.buffers(), strict=True):
        assert torch.equal(found, expected), name


def test_another_dtype(tmp_path):
    model = KINDS["mean, sinusoidal"]()
    loaded = load_folder(save(model, tmp_path / "m"), dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    position = loaded.encoder.tokenizer.position
    assert torch.equal(position.table, model.encoder.tokenizer.position.table), "computed tables are not rounded"
    with torch.no_grad():
        torch.testing.assert_close(loaded(pixels(model)).float(), model(pixels(model)), atol=0.05, rtol=0.05)
    again = load_folder(save(loaded, tmp_path / "half"))
    assert {p.dtype for p in again.parameters()} == {torch.bfloat16}, "saved as it is"
    foreign = load_folder(save(wrapped("test_vit_relpos", size=160), tmp_path / "w"), dtype=torch.bfloat16)
    assert torch.isfinite(foreign(pixels(foreign, 1)).float()).all()


def test_adapters_are_folded_in(tmp_path):
    model = vit()
    attach(model, LoraConfig(rank=2, targets=("q", "v")))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("a.weight", "b.weight")):
                parameter.normal_()
    loaded = load_folder(save(model, tmp_path / "m"))
    with torch.no_grad():
        torch.testing.assert_close(loaded(pixels(model)), model(pixels(model)))


def test_a_compiled_model(tmp_path):
    compiled = torch.nn.Module()  # as torch.compile wraps a model, without the seconds that its import takes
    compiled._orig_mod = model = vit()
    assert torch.equal(load_folder(save(compiled, tmp_path / "m")).head[1].weight, model.head[1].weight)


def test_a_loaded_model_does_not_depend_on_the_file(tmp_path):
    model = vit()
    loaded = load_folder(save(model, tmp_path / "m"))
    weights = tmp_path / "m" / "model.safetensors"
    with weights.open("r+b") as file:  # in place, as `cp` over it would
        file.write(bytes(weights.stat().st_size))
    assert torch.equal(loaded.encoder.backbone.blocks[0].mlp.up.weight, model.encoder.backbone.blocks[0].mlp.up.weight)


def test_it_can_be_moved(tmp_path):
    save(vit(), tmp_path / "a")
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "a").rename(tmp_path / "elsewhere" / "Modell für Käfer")
    assert load_folder(moved).labels == LABELS and is_model_folder(moved) and not is_model_folder(tmp_path)


def test_readme_is_a_model_card(tmp_path):
    model = vit()
    model.labels = ("<script>alert(1)</script>", "a|b*c", "日本\nsecond line")
    model.card = {
        "metrics": {"accuracy": 0.98765432, "loss": float("nan")},
        "data_fingerprint": "abc",
        "settings": {"type": "X", "loop": {"type": "Y", "epochs": 3}},
    }
    text = (save(model, tmp_path / "m") / "README.md").read_text()
    for part in (
        "mm.load(",
        "multimodal classify",
        "32 x 32",
        "8 x 8",
        "0.987654",
        "## Data fingerprint",
        "日本 second",
    ):
        assert part in text
    assert "| loop.epochs | 3 |" in text and "| type |" not in text
    assert "<script>" not in text and "a\\|b\\*c" in text
    assert not re.search(r"/(home|root|tmp|work)/", text), "no path of this machine"


def test_labels_that_are_not_unicode(tmp_path):
    model = vit()
    model.labels = (os.fsdecode(b"caf\xe9"), "b", "c")  # a folder name in Latin-1
    assert load_folder(save(model, tmp_path / "m")).labels == model.labels


def test_a_card_is_plain_data(tmp_path):
    model = vit()
    model.card = {"loss": float("inf"), "nested": [{"x": float("nan")}]}
    loaded = load_folder(save(model, tmp_path / "m"))
    assert loaded.card == {"loss": None, "nested": [{"x": None}]}
    model.card = {"metrics": {"accuracy": torch.tensor(1.0)}}
    with pytest.raises(ArgumentError, match=r"card\.metrics\.accuracy is tensor"):
        save(model, tmp_path / "m")
    model.card = {"counts": {3: 1}}
    with pytest.raises(ArgumentError, match=r"card\.counts has the key 3"):
        save(model, tmp_path / "m")


def test_other_models_and_changed_ones_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match="A Linear cannot be saved"):
        save(torch.nn.Linear(2, 2), tmp_path / "m")
    model = vit()
    model.head = torch.nn.Linear(16, 5)
    with pytest.raises(ArgumentError, match=r"could not be loaded again: the tensor 'head\.1\.weight' is missing"):
        save(model, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
