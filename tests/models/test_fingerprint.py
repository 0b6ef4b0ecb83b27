"""A fingerprint names a model's vectors: the same for the same ones, another for any other."""

from __future__ import annotations

from dataclasses import replace

import torch
from tiny_dual_encoders import built, clip_config
from tiny_text_models import wordpiece

from multimodal.checkpoint import load_folder, save
from multimodal.tokenizers.text import TextTokenizer


def test_the_same_model_keeps_its_name(tmp_path):
    model = built()
    name = model.fingerprint()
    assert len(name) == 32 and set(name) <= set("0123456789abcdef")
    model.embed_texts(["the cat sat on a mat"])  # nothing that was done before matters
    assert model.fingerprint() == name == built().fingerprint()
    folder = save(model, tmp_path / "model")
    assert load_folder(folder).fingerprint() == name
    assert load_folder(folder, dtype=torch.bfloat16).fingerprint() == name
    assert model.train().fingerprint() == name


def test_any_other_model_has_another_name():
    model, tokenizer = built(), wordpiece()
    settings = tokenizer.settings
    names = {model.fingerprint(), built(seed=1).fingerprint(), built("siglip").fingerprint()}
    for other in (
        TextTokenizer(tokenizer.tokenizer, replace(settings, cleaning="lower")),
        TextTokenizer(tokenizer.tokenizer, replace(settings, max_length=5)),
        None,
    ):
        model.tokenizer = other
        names.add(model.fingerprint())
    again = built()
    again.config = replace(again.config, transform=replace(clip_config().transform, resize="squash"))
    names.add(again.fingerprint())
    again = built()
    again.text.embedding.words.weight.data[3, 3] += 0.5
    names.add(again.fingerprint())
    assert len(names) == 8
