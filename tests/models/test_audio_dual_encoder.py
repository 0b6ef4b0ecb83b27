"""Dual encoders of sound: what those of images do, on recordings, and refusals that say what to call instead."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from tiny_dual_encoders import built
from tiny_sounds import RATE, dual_encoder, tone

from multimodal.checkpoint import load_folder, save
from multimodal.errors import ArgumentError
from multimodal.hub import export_transformers
from multimodal.media import MediaError
from multimodal.models.similarity import SoftmaxSimilarityConfig
from multimodal.search.embedder import describe


@pytest.fixture
def clips(tmp_path):
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", tone(250 * (i + 1)), RATE, subtype="FLOAT")
    return [tmp_path / f"{i}.wav" for i in range(4)]


def test_unit_vectors_in_order_whatever_the_batch_and_the_source(clips):
    model = dual_encoder()
    found = model.embed_audio(clips, batch_size=3)
    assert found.shape == (4, 8) and found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(4))
    arrays = [tone(250 * (i + 1)) for i in range(4)]
    torch.testing.assert_close(model.embed_audio(arrays), found, atol=1e-5, rtol=0)
    with torch.no_grad():
        by_hand = model.image(model.transform.read(clips[2])[None])[0]
    torch.testing.assert_close(found[2], by_hand / by_hand.norm(), atol=1e-5, rtol=0)
    assert model.embed_audio([]).shape == (0, 8)


def test_unreadable_clips_are_named(clips):
    clips[1].write_text("no sound")
    errors = []
    assert len(dual_encoder().embed_audio(clips, errors=errors)) == 3
    assert errors[0][0] == clips[1] and "1.wav" in errors[0][1]
    with pytest.raises(MediaError, match=r"1\.wav"):
        dual_encoder().embed_audio(clips)


def test_each_kind_says_what_to_call_instead():
    with pytest.raises(ArgumentError, match=r"sound, not images: use embed_audio\(clips\)"):
        dual_encoder().embed_images(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ArgumentError, match=r"images, not sound: use embed_images\(images\)"):
        built().embed_audio(tone(300))
    assert dual_encoder().hears and not built().hears


def test_zero_shot_puts_names_into_sentences_about_sound(clips):
    model = dual_encoder()
    assert isinstance(model.config.similarity, SoftmaxSimilarityConfig)
    found = model.classify(clips, ["dog", "cat"])
    again = model.classify(clips, ["dog", "cat"], templates=["This is a sound of {}."])
    other = model.classify(clips, ["dog", "cat"], templates=["a photo of a {}."])
    assert [one.probabilities for one in found] == [one.probabilities for one in again]
    assert [one.probabilities for one in found] != [one.probabilities for one in other]
    vectors = model.embed_texts(["This is a sound of dog.", "This is a sound of cat."])
    with torch.no_grad():
        chances = model.similarity.probabilities(model.similarity(model.embed_audio(clips), vectors))
    assert found[0].source == clips[0]
    assert sorted(found[0].probabilities) == pytest.approx(sorted(chances[0].tolist()), abs=1e-5)


def test_a_folder_holds_it(tmp_path):
    model = dual_encoder()
    save(model, tmp_path / "model")
    again = load_folder(tmp_path / "model", device=torch.device("cpu"), dtype=None)
    assert again.config == model.config and torch.equal(again.embed_audio(tone(300)), model.embed_audio(tone(300)))
    card = (tmp_path / "model" / "README.md").read_text()
    assert "zero-shot-audio-classification" in card and "embed_audio" in card and "24 mel channels" in card
    assert "embed_images" not in card and "photo" not in card and "multimodal index" not in card


def test_what_is_for_images_refuses_it():
    with pytest.raises(ArgumentError, match="An index of images takes models of images"):
        describe(dual_encoder())
    with pytest.raises(ArgumentError, match="transformers has no model like this DualEncoder"):
        export_transformers(dual_encoder())
