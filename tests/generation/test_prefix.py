"""A prefix read once gives what reading it with every prompt gives; one of another model is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_text_models import gpt, llama

from multimodal.errors import ArgumentError, DataError
from multimodal.generation.config import BeamConfig, GenerationConfig, SamplingConfig
from multimodal.generation.decoding import generate
from multimodal.generation.drafts import ModelDraft
from multimodal.generation.prefix import Prefix, fingerprint
from multimodal.models.continuations import begin_texts

FRONT, PROMPTS = [4, 8, 15, 16, 23], [[42, 7], [], [3, 1, 4, 1, 5, 9]]
WHOLE = [FRONT + prompt for prompt in PROMPTS]
TEN = GenerationConfig(max_new_tokens=10)


@pytest.mark.parametrize("make", [gpt, llama])
@pytest.mark.parametrize("ids", [FRONT, FRONT[:1]], ids=["five tokens", "one token"])
def test_the_same_text(make, ids: list[int], tmp_path: Path):
    """Also where nothing follows the prefix, for uneven prompts, sampling, beams and a draft."""
    model, path = make(), tmp_path / "made" / "system.safetensors"
    Prefix.read(model, ids).save(path)
    prefix = Prefix.load(path)
    assert prefix.ids == tuple(ids) and [p.name for p in path.parent.iterdir()] == [path.name]
    for config in (TEN, replace(TEN, sampling=SamplingConfig(seed=3)), replace(TEN, beams=BeamConfig(width=3))):
        with_it = begin_texts(model, PROMPTS, max_new_tokens=10, prefix=prefix)
        without = begin_texts(model, [ids + prompt for prompt in PROMPTS], max_new_tokens=10)
        assert with_it.prompts == without.prompts
        torch.testing.assert_close(with_it.logits, without.logits, atol=1e-5, rtol=1e-5)
        for (one,), (other,) in zip(generate(*with_it, config), generate(*without, config), strict=True):
            assert one.ids == other.ids and one.score == pytest.approx(other.score, abs=1e-4)
    drafted = ModelDraft(begin_texts(model, PROMPTS, max_new_tokens=10, prefix=prefix).continuation)
    found = generate(*begin_texts(model, PROMPTS, max_new_tokens=10, prefix=prefix), TEN, draft=drafted)
    plain = begin_texts(model, [ids + prompt for prompt in PROMPTS], max_new_tokens=10)
    assert [one.ids for (one,) in found] == [one.ids for (one,) in generate(*plain, TEN)]


def test_bfloat16_is_kept(tmp_path: Path):
    model, path = llama().to(torch.bfloat16), tmp_path / "p.safetensors"
    Prefix.read(model, FRONT).save(path)
    prefix = Prefix.load(path)
    assert {tensor.dtype for tensor in prefix.state.values()} == {torch.bfloat16}
    begin_texts(model, PROMPTS, max_new_tokens=4, prefix=prefix)
    with pytest.raises(ArgumentError, match="another dtype"):
        begin_texts(model.float(), PROMPTS, max_new_tokens=4, prefix=prefix)


def test_what_a_model_is_told_by():
    model = gpt()
    mark = fingerprint(model)
    assert fingerprint(model) == mark
    model.config = replace(model.config, generation=TEN)
    assert fingerprint(model) == mark, "how to decode is not what the model computes"
    model.config = replace(model.config, window=4)
    assert fingerprint(model) != mark
    other = gpt()
    with torch.no_grad():
        other.backbone.blocks[1].mlp.up.weight[3, 2] += 1e-3
    assert fingerprint(other) != fingerprint(gpt())


def test_a_prefix_shows_itself_in_a_line():
    model = gpt()
    shown = repr(Prefix.read(model, FRONT))
    assert shown == f"Prefix({len(FRONT)} tokens, 0.0 MB, of the model {fingerprint(model)[:8]})"


def test_another_model_is_refused():
    model = llama()
    prefix = Prefix.read(model, FRONT)
    with torch.no_grad():
        model.backbone.norm.weight.mul_(1.01)
    with pytest.raises(ArgumentError, match="read by another model"):
        begin_texts(model, PROMPTS, max_new_tokens=4, prefix=prefix)


def test_room_and_truncation():
    model = gpt(max_length=12)
    prefix = Prefix.read(model, FRONT)
    with pytest.raises(ArgumentError, match="15 tokens"):
        begin_texts(model, [[1] * 10], max_new_tokens=4, prefix=prefix)
    begun = begin_texts(model, [list(range(30, 40))], max_new_tokens=4, prefix=prefix, truncate=True)
    assert begun.prompts == [[*FRONT, 37, 38, 39]], "the prefix stays"
    with pytest.raises(ArgumentError, match="at least one token"):
        Prefix.read(model, [])


def test_damaged_files(tmp_path: Path):
    path = tmp_path / "p.safetensors"
    with pytest.raises(DataError, match=r"p\.safetensors cannot be read"):
        Prefix.load(path)
    path.write_bytes(b"no safetensors at all")
    with pytest.raises(DataError, match="cannot be read"):
        Prefix.load(path)
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(DataError, match="is not a prefix"):
        Prefix.load(path)
    header = {"format": "multimodal prefix 1", "ids": json.dumps([1, 2])}
    save_file({"x": torch.zeros(2)}, path, header)
    with pytest.raises(DataError, match="cannot be read"):
        Prefix.load(path)
    Prefix.read(gpt(), FRONT).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
    with pytest.raises(DataError, match="is damaged \\(wrong checksum\\)"):
        Prefix.load(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be written"):
        Prefix.read(gpt(), FRONT).save(tmp_path / "file" / "p")


def test_a_write_that_is_cut_short_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, path = gpt(), tmp_path / "p.safetensors"
    Prefix.read(model, FRONT).save(path)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DataError, match="No space left"):
        Prefix.read(model, [1, 2]).save(path)
    assert Prefix.load(path).ids == tuple(FRONT) and [p.name for p in tmp_path.iterdir()] == [path.name]
