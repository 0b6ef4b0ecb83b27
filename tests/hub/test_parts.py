"""Parts of joined models: a projector or adapters come back onto their bases, found by name, and onto no others."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import tiny_text_models
import torch
from tiny_dual_encoders import built
from tiny_vision_language import picture, seeing
from torch import nn

from multimodal.backbone.lora import LoraConfig, adapters, attach, merged_state_dict
from multimodal.backbone.mlp import MlpConfig
from multimodal.checkpoint import load_folder, save
from multimodal.errors import ArgumentError, DataError
from multimodal.hub.loading import load, load_part
from multimodal.hub.part_saving import save_part
from multimodal.hub.parts import is_part_folder
from multimodal.models.fingerprint import weights_hash
from multimodal.models.vision_language import VisionLanguageModel
from multimodal.tokenizers.image_transform import ImageTransformConfig

CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json"}
ADAPTER = {"adapter_config.json", "adapter_model.safetensors"}
FILES = {"config.json", "projector.safetensors", "README.md"} | TOKENIZER


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with an encoder and a language model, both also as others of the same shape."""
    torch.manual_seed(3)
    root = tmp_path_factory.mktemp("made")
    save(tiny_models.vit(), root / "vit")
    save(tiny_text_models.gpt(max_length=256), root / "gpt")
    save(tiny_models.vit(), root / "other vit")
    other = tiny_text_models.gpt(max_length=256)
    with torch.no_grad():
        next(other.parameters()).mul_(1.5)
    save(other, root / "other gpt")
    return root


@pytest.fixture
def bases(made, tmp_path) -> Path:
    """A copy of them."""
    return Path(shutil.copytree(made, tmp_path / "bases"))


def on_cpu(source: Path, **options: Any) -> Any:
    return load(source, device="cpu", dtype="float32", **options)


def joined(bases: Path) -> VisionLanguageModel:
    return seeing(encoder=on_cpu(bases / "vit"))


def adapted(bases: Path) -> VisionLanguageModel:
    model = joined(bases)
    attach(model.language, LoraConfig(rank=2))
    for layer in adapters(model).values():
        nn.init.normal_(layer.b.weight, std=0.3)
    return model.eval()


def saved(model: VisionLanguageModel, bases: Path, folder: Path, kind="projector") -> Path:
    return save_part(model, folder, kind, encoder=bases / "vit", language=bases / "gpt")


def answer(model: VisionLanguageModel) -> torch.Tensor:
    seen = model.reader.read(picture())
    ids = torch.tensor([[1, *[model.config.placeholder] * seen.tokens, 5, 9]])
    with torch.no_grad():
        return model(ids, seen.x)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def edit(folder: Path, change) -> None:
    path = folder / "config.json"
    header = json.loads(path.read_text())
    change(header)
    path.write_text(json.dumps(header))


def test_a_projector_comes_back_onto_its_bases(bases, tmp_path):
    model = joined(bases)
    model.card = {"metrics": {"accuracy": 0.5}}
    folder = saved(model.train(), bases, tmp_path / "runs" / "anything")
    assert names(folder) == FILES and is_part_folder(folder)
    header = json.loads((folder / "config.json").read_text())
    assert header["kind"] == "projector" and header["class"] == "VisionLanguageModel"
    language = on_cpu(bases / "gpt")
    assert header["bases"]["language"] == {
        "source": str(bases / "gpt"),
        "sha256": weights_hash(language.state_dict()),
    }
    found = on_cpu(folder)
    assert isinstance(found, VisionLanguageModel) and not any(module.training for module in found.modules())
    assert found.config == model.config and found.card == model.card
    assert {name: str(value) for name, value in found.state_dict().items()} == {
        name: str(value) for name, value in model.state_dict().items()
    }
    assert torch.equal(answer(found), answer(model.eval()))
    assert found.chat((picture(), "What?"), max_new_tokens=4) == model.chat((picture(), "What?"), max_new_tokens=4)
    assert not any(tensor.is_meta for tensor in [*found.parameters(), *found.buffers()])


def test_adapters_come_back_with_their_projector(bases, tmp_path):
    model = adapted(bases)
    folder = saved(model, bases, tmp_path / "part", kind="lora")
    assert names(folder) == FILES | ADAPTER
    assert json.loads((folder / "config.json").read_text())["kind"] == "lora"
    found = on_cpu(folder)
    assert list(adapters(found)) == list(adapters(model))
    assert torch.equal(answer(found), answer(model))
    base = on_cpu(saved(joined(bases), bases, tmp_path / "plain"))
    assert not torch.allclose(answer(base), answer(model), atol=1e-3), "the adapters do something"
    whole = save(found, tmp_path / "whole")
    assert torch.allclose(answer(on_cpu(whole)), answer(model), atol=1e-5)


def test_rows_of_tiles_end_with_the_saved_vector(bases, tmp_path):
    from multimodal.models.chat.tiles import TilesConfig

    model = seeing(encoder=on_cpu(bases / "vit"), tiles=TilesConfig(canvases=((32, 64), (64, 32))))
    assert model.newline is not None
    found = on_cpu(saved(model, bases, tmp_path / "part"))
    assert torch.equal(found.newline, model.newline)


def test_a_full_model_says_so_and_a_part_is_told_by_its_config_alone(bases, tmp_path):
    whole = save(joined(bases), tmp_path / "llava-lora-projector")
    assert json.loads((whole / "config.json").read_text())["kind"] == "full"
    assert isinstance(on_cpu(whole), VisionLanguageModel)
    edit(whole, lambda header: header.pop("kind"))  # as a folder from elsewhere may lack it
    assert isinstance(on_cpu(whole), VisionLanguageModel)
    edit(whole, lambda header: header.update(kind="half"))
    with pytest.raises(DataError, match="kind is 'half'; that of a whole model is 'full'"):
        on_cpu(whole)
    part = saved(joined(bases), bases, tmp_path / "full-model")
    with pytest.raises(DataError, match=r"of a part of a model \(projector\)"):
        load_folder(part)
    classifier = bases / "vit"
    edit(classifier, lambda header: header.update(kind="full"))
    with pytest.raises(DataError, match="kind is not a field"):
        on_cpu(classifier)


def test_bases_are_found_beside_the_part_after_a_move_and_from_any_place(bases, tmp_path, monkeypatch):
    model = joined(bases)
    monkeypatch.chdir(tmp_path)
    folder = save_part(model, "runs/part", "projector", encoder="bases/vit", language=Path("bases/gpt"))
    recorded = json.loads((folder / "config.json").read_text())["bases"]
    assert recorded["encoder"]["source"] == "../../bases/vit"
    shutil.copytree(tmp_path, moved := tmp_path.parent / f"{tmp_path.name}-moved")
    shutil.rmtree(bases)
    monkeypatch.chdir("/")
    assert torch.equal(answer(on_cpu(moved / "runs" / "part")), answer(model)), "all were moved together"
    for name in ("vit", "gpt"):
        shutil.move(moved / "bases" / name, moved / "runs" / name)
    assert torch.equal(answer(on_cpu(moved / "runs" / "part")), answer(model)), "they lie beside the part"
    shutil.move(moved / "runs" / "vit", moved / "elsewhere")
    with pytest.raises(
        DataError, match=r"encoder that .* was trained on, '../../bases/vit', is not at .*encoder=\.\.\."
    ):
        on_cpu(moved / "runs" / "part")
    found = load_part(moved / "runs" / "part", encoder=moved / "elsewhere", **CPU)
    assert torch.equal(answer(found), answer(model))


def test_another_base_is_refused_and_both_are_named(bases, tmp_path):
    model = joined(bases)
    folder = saved(model, bases, tmp_path / "part")
    right = json.loads((folder / "config.json").read_text())["bases"]["encoder"]["sha256"]
    with pytest.raises(DataError) as caught:
        load_part(folder, encoder=bases / "other vit", **CPU)
    said = str(caught.value)
    assert str(bases / "vit") in said and str(bases / "other vit") in said and right[:12] in said
    with pytest.raises(DataError, match=r"language model of .*gpt' with weights .*/other gpt has other ones"):
        load_part(folder, language=bases / "other gpt", **CPU)
    with pytest.raises(DataError, match=r"\(a Classifier\) has none of their names and shapes"):
        load_part(folder, language=bases / "vit", **CPU)
    save(tiny_models.vit(mlp=MlpConfig(hidden=24)), bases / "narrow")
    with pytest.raises(DataError, match=r"narrow has 'backbone.*' of the shape \(24, 16\), where \(32, 16\) belongs"):
        load_part(folder, encoder=bases / "narrow", **CPU)
    shutil.rmtree(bases / "gpt")
    shutil.copytree(bases / "other gpt", bases / "gpt")
    with pytest.raises(DataError, match="has other ones"):
        on_cpu(folder)


def test_bases_may_be_models_in_hand_and_a_whole_model_is_both(bases, tmp_path):
    model = adapted(bases)
    folder = saved(model, bases, tmp_path / "part", kind="lora")
    whole = joined(bases)
    for encoder, language in [(on_cpu(bases / "vit"), on_cpu(bases / "gpt")), (whole, whole)]:
        before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
        found = load_part(folder, encoder=encoder, language=language, **CPU)
        assert torch.equal(answer(found), answer(model))
        assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
        assert not adapters(language)
    save(whole, tmp_path / "whole")
    both = save_part(model, tmp_path / "both", "lora", encoder=tmp_path / "whole", language=tmp_path / "whole")
    assert torch.equal(answer(on_cpu(both)), answer(model))


def test_a_part_can_lie_on_a_part(bases, tmp_path):
    first = saved(joined(bases), bases, tmp_path / "first")
    model = on_cpu(first)
    attach(model.language, LoraConfig(rank=2))
    second = save_part(model, tmp_path / "second", "lora", encoder=first, language=first)
    assert torch.equal(answer(on_cpu(second)), answer(model.eval()))


def test_the_encoder_may_be_a_tower_of_a_dual_encoder(bases, tmp_path):
    torch.manual_seed(0)
    dual = built("one trunk")
    save(dual.eval(), bases / "clip")
    model = seeing(encoder=dual)
    folder = save_part(model, tmp_path / "part", "projector", encoder=bases / "clip", language=bases / "gpt")
    assert torch.equal(answer(on_cpu(folder)), answer(model))


def test_a_wrapped_encoder(bases, tmp_path):
    torch.manual_seed(0)
    save(tiny_models.wrapped("test_convnext", transform=ImageTransformConfig(size=(64, 64))), bases / "net")
    model = seeing(encoder=on_cpu(bases / "net"), layers=())
    folder = save_part(model, tmp_path / "part", "projector", encoder=bases / "net", language=bases / "gpt")
    assert torch.equal(answer(on_cpu(folder)), answer(model))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_any_number_format_the_bases_are_the_same(dtype, bases, tmp_path):
    folder = saved(joined(bases), bases, tmp_path / "part")
    half: Any = load(folder, device="cpu", dtype=dtype)
    assert {str(p.dtype) for p in half.parameters()} == {f"torch.{dtype}"}
    again = saved(half, bases, tmp_path / "again")
    assert on_cpu(again).projector.up.weight.dtype == torch.float32
    recorded = [json.loads((one / "config.json").read_text())["bases"] for one in (folder, again)]
    assert recorded[0] == recorded[1]


def test_without_weights_only_the_architecture_is_made(bases, tmp_path):
    folder = saved(joined(bases), bases, tmp_path / "part")
    shutil.rmtree(bases)
    fresh = on_cpu(folder, pretrained=False)
    assert fresh.tokenizer is not None and answer(fresh).shape[-1] == 257
    assert not any(tensor.is_meta for tensor in fresh.parameters())


def test_a_model_that_is_more_than_its_part_is_not_saved_as_one(bases, tmp_path):
    model = joined(bases)
    with torch.no_grad():
        next(model.language.parameters())[0, 0] += 1
    with pytest.raises(ArgumentError, match=r"language model has other weights than that of .*gpt"):
        saved(model, bases, tmp_path / "part")
    with pytest.raises(ArgumentError, match="not known where the encoder came from"):
        save_part(joined(bases), tmp_path / "part", "projector", language=bases / "gpt")
    with pytest.raises(ArgumentError, match="adapters, which a projector leaves out"):
        saved(adapted(bases), bases, tmp_path / "part")
    with pytest.raises(ArgumentError, match="has no adapters"):
        saved(joined(bases), bases, tmp_path / "part", kind="lora")
    with pytest.raises(ArgumentError, match="Did you mean 'lora'"):
        saved(joined(bases), bases, tmp_path / "part", kind="lorra")
    with pytest.raises(ArgumentError, match="A Classifier has no parts"):
        save_part(tiny_models.vit(), tmp_path / "part", "projector")
    whole = joined(bases)
    attach(whole, LoraConfig(rank=2))
    with pytest.raises(ArgumentError, match=r"'features\.encoder\..*' has an adapter"):
        saved(whole, bases, tmp_path / "part", kind="lora")
    broken: Any = joined(bases)
    with torch.no_grad():
        broken.projector.up.bias[0] = torch.nan
    with pytest.raises(ArgumentError, match=r"'projector\.up\.bias' holds NaN"):
        saved(broken, bases, tmp_path / "part")
    assert names(tmp_path) == {"bases"}


def test_a_published_base_is_known_from_the_card(bases, tmp_path, monkeypatch):
    from multimodal.hub import part_saving

    model = joined(bases)
    model.card = {"encoder": "timm:vit_x.in1k", "language": "hf:some/gpt"}
    asked = []

    def stand_in(source, **options):
        asked.append(source)
        return load(bases / ("vit" if source.startswith("timm") else "gpt"), **options)

    monkeypatch.setattr(part_saving, "load", stand_in)
    folder = save_part(model, tmp_path / "part", "projector")
    assert asked == ["timm:vit_x.in1k", "hf:some/gpt"]
    header = json.loads((folder / "config.json").read_text())
    assert [header["bases"][name]["source"] for name in ("encoder", "language")] == asked


DAMAGE = {
    "projector": (
        lambda folder: (folder / "projector.safetensors").write_bytes(b"x"),
        "projector.safetensors is damaged",
    ),
    "no projector": (lambda folder: (folder / "projector.safetensors").unlink(), "projector.safetensors is missing"),
    "adapter": (lambda folder: (folder / "adapter_config.json").write_text("{}"), "adapter_config.json is damaged"),
    "no adapter": (lambda folder: (folder / "adapter_model.safetensors").unlink(), "adapter_model.* is missing"),
    "tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer.json is damaged"),
    "kind": (lambda folder: edit(folder, lambda h: h.update(kind="adapter")), "kind is 'adapter'; it must be one of"),
    "bases": (lambda folder: edit(folder, lambda h: h["bases"].pop("encoder")), r"bases\.encoder is None"),
    "field": (lambda folder: edit(folder, lambda h: h.update(weight=3)), "weight is not a field"),
    "config": (lambda folder: edit(folder, lambda h: h["config"].update(placehold=3)), "placehold is not a field"),
    "fit": (
        lambda folder: edit(folder, lambda h: h["config"]["projector"].update(hidden=5)),
        r"does not fit projector.safetensors: the tensor 'projector.up.weight'",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_part_is_refused(damage, bases, tmp_path):
    folder = saved(adapted(bases), bases, tmp_path / "part", kind="lora")
    harm, message = DAMAGE[damage]
    harm(folder)
    with pytest.raises(DataError, match=message):
        on_cpu(folder)


def test_a_failed_save_leaves_the_earlier_part(bases, tmp_path, monkeypatch):
    model = joined(bases)
    folder = saved(model, bases, tmp_path / "part")
    assert names(saved(adapted(bases), bases, folder, kind="lora")) == FILES | ADAPTER, "another kind replaces it"
    saved(model, bases, folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(DataError, match=r"could not be written to .*part: No space"):
            saved(adapted(bases), bases, folder, kind="lora")
    assert names(folder) == FILES and names(tmp_path) == {"bases", "part"}
    assert torch.equal(answer(on_cpu(folder)), answer(model))
    folder.rename(tmp_path / ".part.previous")  # killed between two renames
    assert torch.equal(answer(on_cpu(folder)), answer(model))
    with pytest.raises(ArgumentError, match="holds more than a model"):
        saved(model, bases, bases)


def test_the_hash_is_of_names_and_numbers_rounded_to_bfloat16():
    state = {"b": torch.tensor([1.0, 2.0]), "a": torch.tensor([3])}
    assert weights_hash(state) == weights_hash(dict(reversed(state.items())))
    assert weights_hash(state) == weights_hash({**state, "b": state["b"].bfloat16()})
    assert weights_hash(state) != weights_hash({**state, "b": torch.tensor([2.0, 1.0])})
    assert weights_hash(state) != weights_hash({"c": state["b"], "a": state["a"]})
    assert len(weights_hash(state)) == 64


def test_adapters_of_a_base_are_folded_in_when_it_is_one(bases, tmp_path):
    tuned = adapted(bases)
    state = merged_state_dict(tuned.language)
    plain = on_cpu(bases / "gpt")
    plain.load_state_dict(state)
    save(plain, bases / "tuned")
    model = joined(bases)
    model.language.load_state_dict(state)
    folder = save_part(model, tmp_path / "part", "projector", encoder=bases / "vit", language=bases / "tuned")
    found = load_part(folder, language=tuned, **CPU)
    assert torch.equal(answer(found), answer(model))
