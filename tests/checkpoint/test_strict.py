"""What does not fit is refused at loading, with one sentence that names the file, the field and the cure."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import vit, wrapped

from multimodal.checkpoint import load_folder, save
from multimodal.errors import DataError


def edit(folder: Path, change) -> None:
    path = folder / "config.json"
    header = json.loads(path.read_text())
    path.write_text(json.dumps(change(header) or header))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return save(vit(), tmp_path_factory.mktemp("sound") / "m")


@pytest.fixture
def folder(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "m"))


def put(*path, value):
    def change(header):
        place = header
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def drop(*path):
    def change(header):
        place = header
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


ENCODER = ("config", "encoder")
EDITS = {
    "unknown field": (put("config", "clases", value=3), r"config\.clases is not a field.*'classes'"),
    "unknown field inside": (
        put(*ENCODER, "backbone", "dept", value=3),
        r"config\.encoder\.backbone\.dept is not a field of BackboneConfig\. Did you mean 'depth'",
    ),
    "unknown field outside": (put("temprature", value=1.0), r"temprature is not a field.*'temperature'"),
    "wrong type": (
        put(*ENCODER, "backbone", "depth", value="two"),
        r"backbone\.depth is 'two'; it must be of type int",
    ),
    "wrong choice": (
        put("config", "output", value="softmx"),
        r"config\.output is 'softmx'; it must be one of 'softmax'",
    ),
    "wrong kind": (put(*ENCODER, "type", value="AudioEncoderConfig"), r"config\.encoder has type 'AudioEncoderConfig'"),
    "missing field": (drop("config", "classes"), r"config\.classes is missing"),
    "missing outside": (drop("temperature"), r"temperature is missing"),
    "width": (put(*ENCODER, "backbone", "dim", value=32), r"model\.safetensors: the tensor '.*' has shape .* needs"),
    "depth": (
        put(*ENCODER, "backbone", "depth", value=3),
        r"the tensor 'encoder\.backbone\.blocks\.2\.\S+' is missing",
    ),
    "less depth": (
        put(*ENCODER, "backbone", "depth", value=1),
        r"the tensor 'encoder\.backbone\.blocks\.1\.\S+' has no",
    ),
    "heads": (put(*ENCODER, "backbone", "block", "attention", "heads", value=3), r"not divisible by heads=3"),
    "no heads": (put(*ENCODER, "backbone", "block", "attention", "heads", value=0), r"model that cannot be built"),
    "value out of range": (
        put("config", "transform", "crop_fraction", value=2.0),
        r"crop_fraction is 2\.0; it must be",
    ),
    "fewer labels": (put("labels", value=["a", "b"]), r"labels has 2 entries and config\.classes is 3"),
    "more classes": (put("config", "classes", value=4), r"labels has 3 entries and config\.classes is 4"),
    "a number as label": (put("labels", value=["a", 2, "c"]), r"labels\[1\] is 2; it must be a string"),
    "labels as text": (put("labels", value="abc"), r"labels is 'abc'; it must be of type list"),
    "temperature": (put("temperature", value=0), r"temperature is 0; it must be above 0"),
    "class": (put("class", value="Clasifier"), r"class is 'Clasifier'.*Did you mean 'Classifier'"),
    "newer format": (put("format", value=2), r"format is 2, which a newer version.*Upgrade multimodal"),
    "format as text": (put("format", value="1"), r"format is '1'; it must be of type int"),
    "format zero": (put("format", value=0), r"format is 0"),
    "checksum": (put("weights", "sha256", value="0" * 64), r"model\.safetensors is damaged: its checksum"),
    "size": (put("weights", "bytes", value=7), r"model\.safetensors is damaged: it has .* bytes and should have 7"),
    "no checksum": (drop("weights", "sha256"), r"weights\.sha256 is None; it must be of type str"),
    "another program's": (lambda header: {"architecture": "vit"}, r"is not the config of a model folder"),
    "a list": (lambda header: [1], r"is not the config of a model folder"),
    "huge": (put(*ENCODER, "backbone", "dim", value=10**9), r"has shape|cannot be built"),
}


@pytest.mark.parametrize("case", EDITS.keys())
def test_an_edited_config_is_refused_with_a_sentence(case, folder):
    change, message = EDITS[case]
    edit(folder, change)
    with pytest.raises(DataError, match=message) as caught:
        load_folder(folder)
    text = str(caught.value)
    assert str(folder) in text and "\n" not in text and text.endswith((".", "?"))


def test_damaged_files(folder):
    weights, config = folder / "model.safetensors", folder / "config.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(DataError, match=r"is damaged: it has [\d,]+ bytes and should have"):
        load_folder(folder)
    weights.write_bytes(whole[:-100] + bytes(100))
    with pytest.raises(DataError, match="is damaged: its checksum"):
        load_folder(folder)
    weights.unlink()
    with pytest.raises(DataError, match=r"model\.safetensors is missing\. Restore"):
        load_folder(folder)
    weights.mkdir()
    with pytest.raises(DataError, match=r"model\.safetensors"):
        load_folder(folder)
    config.write_text('{"format": 1, ')
    with pytest.raises(DataError, match=r"config\.json is not JSON"):
        load_folder(folder)
    config.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"config\.json is not JSON"):
        load_folder(folder)


def test_other_weights_under_the_right_checksum(folder):
    weights = folder / "model.safetensors"
    for content in (b"not safetensors at all", None):
        if content is None:
            save_file({"x": torch.ones(1)}, weights)
        else:
            weights.write_bytes(content)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        edit(folder, put("weights", value={"sha256": digest, "bytes": weights.stat().st_size}))
        with pytest.raises(
            DataError, match=r"cannot be read|does not fit model\.safetensors: the tensor '.*' is missing"
        ):
            load_folder(folder)


def test_what_is_not_a_model_folder(tmp_path, sound):
    with pytest.raises(DataError, match="does not exist"):
        load_folder(tmp_path / "nothing")
    with pytest.raises(DataError, match="is a file; give the model folder"):
        load_folder(sound / "config.json")
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError, match=r"is not a model folder\. It is missing config\.json"):
        load_folder(tmp_path / "run")
    save(vit(), tmp_path / "run" / "model")
    with pytest.raises(DataError, match=r"Did you mean .*run/model\?"):
        load_folder(tmp_path / "run")


@pytest.mark.parametrize("arguments", [[["checkpoint_path", "evil.pth"]], [["pretrained", True]], [["cache_dir", "/"]]])
def test_a_config_cannot_make_timm_read_other_files(arguments, tmp_path):
    folder = save(wrapped(), tmp_path / "m")
    edit(folder, put(*ENCODER, "arguments", value=arguments))
    with pytest.raises(DataError, match=rf"{arguments[0][0]}"):
        load_folder(folder)
    for name in ("hf-hub:someone/model", "local-dir:/tmp/x", "test_resnt"):
        edit(folder, put(*ENCODER, "name", value=name))
        edit(folder, put(*ENCODER, "arguments", value=[]))
        with pytest.raises(DataError, match=re.escape(repr(name))):
            load_folder(folder)
