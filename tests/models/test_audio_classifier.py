"""Classifiers of sound: predictions, explanations, folders and cards, as for images."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from tiny_models import vit
from tiny_sounds import LABELS, RATE, classifier, tone

from multimodal.backbone.pool import ClassMeanPoolConfig, MeanPoolConfig
from multimodal.checkpoint import load_folder, save
from multimodal.errors import ArgumentError
from multimodal.finetuning.adapt import with_head
from multimodal.media import MediaError


@pytest.fixture
def clips(tmp_path):
    """Six tones; number 2 is a text."""
    for i in range(6):
        soundfile.write(tmp_path / f"{i}.wav", tone(200 * (i + 1)), RATE)
    (tmp_path / "2.wav").write_text("no sound")
    return [tmp_path / f"{i}.wav" for i in range(6)]


def test_files_arrays_and_batches_predict_alike(clips):
    model, errors = classifier(), []
    found = model.predict(clips, batch_size=2, top=3, errors=errors)
    assert [one.source for one in found] == [clip for clip in clips if clip.stem != "2"]
    assert [source for source, _ in errors] == [clips[2]] and "2.wav is a text file" in errors[0][1]
    for one in found:
        sound, rate = soundfile.read(one.source, dtype="float32")
        for again in (model.predict(sound)[0], model.predict((sound, rate))[0], model.predict(one.source)[0]):
            assert again.labels == one.labels and again.probabilities == pytest.approx(one.probabilities, abs=1e-4)
    with torch.no_grad():
        logits = model(model.transform.read(clips[0])[None])[0]
    assert found[0].label == LABELS[int(logits.argmax())]
    assert sum(found[0].probabilities) == pytest.approx(1, abs=1e-5)


def test_errors_speak_of_what_was_given(clips):
    with pytest.raises(MediaError, match=r"2\.wav"):
        classifier().predict(clips)
    with pytest.raises(MediaError, match="not a recording"):
        classifier().predict(7)
    with pytest.raises(ArgumentError, match="labelled data"):
        model = classifier()
        model.labels = ()
        model.predict(clips[0])


def test_pictures_are_refused_by_a_model_of_sound():
    with pytest.raises(ArgumentError, match="3 channels; the model takes 1"):
        classifier()(torch.zeros(1, 3, 24, 50, dtype=torch.uint8).float())


@pytest.mark.parametrize("stride", [(5, 6), None])
@pytest.mark.parametrize("pool", [ClassMeanPoolConfig(), MeanPoolConfig()])
@pytest.mark.parametrize("method", ["gradient", "rollout"])
def test_an_explanation_lies_over_the_spectrogram(stride, pool, method, tmp_path):
    model = classifier(stride=stride, pool=pool)
    found = model.explain(tone(440), label="hiss", method=method)
    assert found.photo.size == (50, 24) and found.relevance.shape == (24, 50)
    assert found.label == "hiss" and 0 < found.probability < 1
    assert float(found.grid.max()) == 1 and float(found.grid.min()) == 0
    assert found.save(tmp_path / "why.png").exists()


def test_relevance_of_overlapping_patches_is_the_mean_over_those_that_hold_a_place():
    from multimodal.models.explain import _cells

    model = classifier()
    tokens = model.encoder.tokenizer.config
    grid = torch.rand(tokens.grid)
    found, cells = _cells(model.encoder, grid, torch.zeros(1, 1, 24, 50), each=True)
    assert cells == (24.0, 50.0)
    for y, x in ((0, 0), (6, 7), (23, 49), (12, 30)):
        holding = [
            float(grid[i, j])
            for i in range(tokens.grid[0])
            for j in range(tokens.grid[1])
            if i * 5 <= y < i * 5 + 8 and j * 6 <= x < j * 6 + 10
        ]
        assert float(found[y, x]) == pytest.approx(np.mean(holding), abs=1e-6)


def test_relevance_is_where_the_sound_is():
    """A model that looks at low frequencies alone: its relevance is at the bottom of the picture."""
    model = classifier(stride=None, pool=MeanPoolConfig())
    h, w = model.encoder.tokenizer.config.grid
    with torch.no_grad():
        for block in model.encoder.backbone.blocks:
            block.mlp.down.weight.zero_()
        position = model.encoder.tokenizer.position.weight
        position.zero_()
        position.unflatten(0, (h, w))[0, :, 0] = 30.0
    low = model.explain(tone(300), method="rollout").relevance
    assert low[16:].mean() > low[:8].mean()


def test_a_folder_holds_it(tmp_path):
    model = classifier()
    save(model, tmp_path / "model")
    again = load_folder(tmp_path / "model", device=torch.device("cpu"), dtype=None)
    assert again.config == model.config and again.labels == LABELS
    assert again.predict(tone(300))[0].probabilities == model.predict(tone(300))[0].probabilities
    card = (tmp_path / "model" / "README.md").read_text()
    assert "pipeline_tag: audio-classification" in card and "24 mel channels (Kaldi's filterbanks)" in card
    assert "first 0.5 seconds" in card and "clip.wav" in card and "photo" not in card and "pixel" not in card


def test_an_image_classifier_is_called_one(tmp_path):
    save(vit(), tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "Image classifier" in card and "classes of images" in card and "pixels" in card and "clip" not in card


def test_fine_tuning_of_images_refuses_it():
    with pytest.raises(ArgumentError, match="takes models of images, and this one is a model of sound"):
        with_head(classifier(), ("a", "b"))
