"""The model folder of text models: weights, labels and tokenizer come back equal; what does not fit is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from tiny_text_models import KINDS, LABELS, bert, bert_config, bytelevel, gpt, llama, wordpiece

from multimodal.backbone.lora import LoraConfig, attach
from multimodal.checkpoint import load_folder, rebuilt, save
from multimodal.errors import ArgumentError, DataError

PLAIN = {"config.json", "model.safetensors", "README.md"}
FILES = PLAIN | {"tokenizer.json", "tokenizer_config.json"}


def outputs(model):
    ids = torch.tensor([[5, 9, 11, 4], [7, 8, 5, 6]])
    name = type(model).__name__
    with torch.no_grad():
        if name == "EncoderDecoder":
            return model(ids, ids[:, :3])
        if name == "TextEncoder":
            return model.mask_logits(model(ids))
        return model(ids[None] if name == "MultipleChoice" else ids)


def edit(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back_equal(kind, tmp_path):
    model = KINDS[kind]()
    model.card = {"metrics": {"loss": 1.5}}
    if hasattr(model, "temperature"):
        model.temperature = 1.7
    folder = save(model.train(), tmp_path / "model")
    assert {path.name for path in folder.iterdir()} == (FILES if model.tokenizer is not None else PLAIN)
    loaded = load_folder(folder)
    assert type(loaded) is type(model) and loaded.config == model.config and not loaded.training
    assert loaded.card == model.card and getattr(loaded, "temperature", None) == getattr(model, "temperature", None)
    assert getattr(loaded, "labels", None) == getattr(model, "labels", None)
    assert torch.equal(outputs(loaded), outputs(model.eval()))
    assert not any(t.is_meta for t in [*loaded.parameters(), *loaded.buffers()])
    if model.tokenizer is not None:
        assert loaded.tokenizer.encode("a cat <|endoftext|> [MASK]") == model.tokenizer.encode(
            "a cat <|endoftext|> [MASK]"
        )
        assert loaded.tokenizer.settings == model.tokenizer.settings
    again = rebuilt(loaded)
    assert again.config == model.config and again.tokenizer is loaded.tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_readme_says_how_to_use_it(kind, tmp_path):
    model = KINDS[kind]()
    folder = save(model, tmp_path / "m")
    text = (folder / "README.md").read_text()
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in text and "pipeline_tag: " in text
    assert "image" not in text and "{" not in text.replace('{"role"', "")
    lines = [
        line[4:] for line in text.splitlines() if line.startswith("    ") and not line.startswith("    multimodal ")
    ]
    if model.tokenizer is not None:  # what it says runs as it stands
        code = (
            "\n".join(lines)
            .replace("PATH/TO/THIS/FOLDER", str(folder))
            .replace("max_new_tokens=50", "max_new_tokens=2")
        )
        exec(code.replace("mm.load(", "mm.load(device='cpu', dtype='float32', source="), {})
    for label in getattr(model, "labels", ()):
        assert label.replace("-", "") in text.replace("-", "")


def test_tied_weights_are_written_once(tmp_path):
    folder = save(gpt(), tmp_path / "m")
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
    assert "embedding.words.weight" in names and not any(name.startswith("head") for name in names)
    assert (folder / "model.safetensors").stat().st_size < 4.1 * sum(p.numel() for p in gpt().parameters()) + 4096


def test_another_dtype(tmp_path):
    loaded = load_folder(save(gpt(), tmp_path / "m"), dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert torch.equal(outputs(loaded), outputs(gpt().bfloat16()))


def test_adapters_are_folded_in(tmp_path):
    model = KINDS["text classifier"]()
    attach(model, LoraConfig(rank=2, targets=("q", "v")))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".b.weight"):
                parameter.normal_()
    torch.testing.assert_close(outputs(load_folder(save(model, tmp_path / "m"))), outputs(model))


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    model = llama()
    model.tokenizer = bytelevel()
    with pytest.raises(DataError, match=r"ids up to 256 and the model 50 embeddings"):
        save(model, tmp_path / "m")
    folder, other = save(gpt(), tmp_path / "m"), save(bert(), tmp_path / "other")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (other / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(DataError, match=r"tokenizer\.json is damaged or was changed"):
        load_folder(other)
    checksums = {name: hashlib.sha256((other / name).read_bytes()).hexdigest() for name in FILES - PLAIN}
    edit(other, tokenizer=checksums)
    with pytest.raises(
        DataError, match=rf"other: The tokenizer has ids up to 256 and the model {wordpiece().vocabulary} "
    ):
        load_folder(other)
    (other / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"tokenizer\.json is missing"):
        load_folder(other)
    (other / "tokenizer.json").write_text("{}")
    edit(other, tokenizer={**checksums, "tokenizer.json": hashlib.sha256(b"{}").hexdigest()})
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        load_folder(other)
    edit(other, tokenizer=3)
    with pytest.raises(DataError, match="tokenizer is 3; it must be of type dict"):
        load_folder(other)


def test_weights_that_are_not_numbers(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save(gpt(), tmp_path / "m")
    weights = folder / "model.safetensors"
    for bad in (float("nan"), float("inf")):
        state = load_file(weights)
        state["backbone.blocks.1.mlp.up.weight"][3, 2] = bad
        save_file(state, weights)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        edit(folder, weights={"sha256": digest, "bytes": weights.stat().st_size})
        with pytest.raises(DataError, match=r"the tensor 'backbone\.blocks\.1\.mlp\.up\.weight' holds NaN or infinity"):
            load_folder(folder)
    model = gpt()
    with torch.no_grad():
        model.backbone.norm.bias[2] = float("nan")
    with pytest.raises(ArgumentError, match=r"'backbone\.norm\.bias' holds NaN or infinity.*lower learning rate"):
        save(model, tmp_path / "n")
    large = gpt().half()
    with torch.no_grad():
        large.backbone.blocks[0].mlp.up.weight.fill_(60000)  # their sum is infinite, they are not
    save(large, tmp_path / "n")


def test_labels_belong_to_those_who_have_them(tmp_path):
    folder = save(KINDS["text classifier"](), tmp_path / "m")
    edit(folder, labels=list(LABELS[:2]))
    with pytest.raises(DataError, match=r"labels has 2 entries and config\.classes is 3"):
        load_folder(folder)
    folder = save(gpt(), tmp_path / "m")
    edit(folder, labels=["a"])
    with pytest.raises(DataError, match="labels is not a field of a model folder"):
        load_folder(folder)
    edit(folder, **{"class": "LanguageModal"})
    with pytest.raises(DataError, match=r"class is 'LanguageModal'.*Did you mean 'LanguageModel'"):
        load_folder(folder)


def test_a_changed_model_is_refused(tmp_path):
    model = bert_config().build(wordpiece())
    model.embedding.words = torch.nn.Embedding(10, 16)
    with pytest.raises(ArgumentError, match=r"'embedding\.words\.weight' has shape 10 x 16"):
        save(model, tmp_path / "m")


def test_loading_waits_for_no_compiler(tmp_path):
    """torch imports its compiler, 1.5 seconds, where random numbers are drawn for tensors without memory."""
    folder = save(gpt(), tmp_path / "m")
    code = f"import sys; from multimodal.hub import load; load({str(folder)!r}); print('torch._dynamo' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
