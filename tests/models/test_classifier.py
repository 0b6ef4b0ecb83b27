"""Predictions: in order, whatever the source and the batch; the same in another process; modes left alone."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import KINDS, LABELS, vit, wrapped

from multimodal.checkpoint import save
from multimodal.errors import ArgumentError
from multimodal.media import MediaError
from multimodal.models.classifier import DistilledHead, Prediction
from multimodal.tokenizers.image_transform import ImageTransformConfig


def photo(seed=0, width=48, height=40):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def files(tmp_path):
    """Ten pictures; numbers 3 and 7 are not."""
    for i in range(10):
        photo(i).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "7.png").write_text("no picture")
    return [tmp_path / f"{i}.png" for i in range(10)]


def by_hand(model, image):
    with torch.no_grad():
        x = model.transform.normalize(model.transform(image))[None]
        return (model(x)[0] / model.temperature).softmax(-1)


def test_prediction_is_the_softmax_of_the_logits_in_falling_order():
    model = vit()
    model.temperature = 0.5
    found = model.predict(photo())
    expected = by_hand(model, photo()).sort(descending=True)
    assert len(found) == 1 and isinstance(found[0], Prediction)
    assert found[0].labels == tuple(LABELS[i] for i in expected.indices)
    assert found[0].probabilities == pytest.approx(expected.values.tolist(), abs=1e-6)
    assert (found[0].label, found[0].probability) == (found[0].labels[0], found[0].probabilities[0])
    assert sum(found[0].probabilities) == pytest.approx(1, abs=1e-6)


def test_multi_label_probabilities_are_independent():
    model = KINDS["mean, sinusoidal"]()
    found = model.predict(photo())[0]
    with torch.no_grad():
        logits = model(model.transform(photo())[None])[0]
    assert sorted(found.probabilities) == pytest.approx(sorted(logits.sigmoid().tolist()), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS.keys())
@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_order_is_kept_whatever_the_batch(kind, batch_size, files):
    model, errors = KINDS[kind](), []
    found = model.predict(files, batch_size=batch_size, errors=errors)
    good = [path for i, path in enumerate(files) if i not in (3, 7)]
    assert [prediction.source for prediction in found] == good
    assert [source for source, _ in errors] == [files[3], files[7]]
    assert "3.png is empty" in errors[0][1] and "7.png is a text file" in errors[1][1]
    for prediction in (found[0], found[-1]):
        alone = model.predict(prediction.source)[0]
        assert alone.labels == prediction.labels
        assert alone.probabilities == pytest.approx(prediction.probabilities, abs=1e-5)


def test_an_unreadable_image_without_a_list_of_errors(files):
    with pytest.raises(MediaError, match=r"3\.png is empty"):
        vit().predict(files)
    assert vit().predict([files[3]], errors=[]) == []


def test_every_kind_of_source(tmp_path):
    model, image = vit(), photo()
    image.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    array = np.asarray(image)
    sources = [tmp_path / "a.png", str(tmp_path / "a.png"), data, io.BytesIO(data), image, array, array / 255]
    alone = [model.predict(source) for source in sources]
    assert all(len(found) == 1 for found in alone), "one image is one image"
    together = model.predict(sources)
    assert len(together) == len(sources) and together[0].source is sources[0]
    for found in [*together, *(predictions[0] for predictions in alone)]:
        assert found.probabilities == pytest.approx(together[0].probabilities, abs=1e-6)
    assert len(model.predict(np.stack([array, array]))) == 2, "an array of several images"
    assert len(model.predict(iter(sources))) == len(sources), "a stream"
    grey = model.predict(array[..., 0])
    assert grey[0].probabilities == pytest.approx(model.predict(Image.fromarray(array[..., 0]))[0].probabilities)
    assert model.predict([]) == []
    with pytest.raises(MediaError, match="int is not an image"):
        model.predict(3)


def test_a_stream_of_any_length_is_not_read_ahead_far():
    taken = []

    def endless():
        i = 0
        while True:
            taken.append(i)
            yield photo(i)
            i += 1

    stream = vit().stream(endless(), batch_size=4)
    found = [next(stream) for _ in range(6)]
    stream.close()
    assert len(found) == 6 and len(taken) <= 6 + 4 * 4


def test_top_and_batch_size():
    model = vit()
    assert [len(model.predict(photo(), top=top)[0].labels) for top in (1, 2, 3, 9)] == [1, 2, 3, 3]
    with pytest.raises(ArgumentError, match="top is 0"):
        model.predict(photo(), top=0)
    with pytest.raises(ArgumentError, match="batch_size is 0"):
        model.predict(photo(), batch_size=0)


def test_training_is_left_as_it_was():
    model = wrapped()
    evaluated = model.predict(photo())[0].probabilities
    model.train()
    model.encoder.eval()  # a linear probe: its batch norms must neither learn nor be woken
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert model.predict(photo())[0].probabilities == pytest.approx(evaluated, abs=1e-6)
    assert model.training and model.head.training and not any(m.training for m in model.encoder.modules())
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in model.named_buffers())
    with pytest.raises(MediaError):
        model.predict(b"")
    assert model.head.training, "after an error too"


def test_predictions_in_another_process_are_the_same(files, tmp_path):
    model = vit(transform=ImageTransformConfig(size=(32, 32), resize="pad", interpolation="bilinear"))
    model.temperature = 1.3
    good = [str(path) for i, path in enumerate(files) if i not in (3, 7)]
    script = (
        "import json, sys; from multimodal.checkpoint import load_folder\n"
        "found = load_folder(sys.argv[1]).predict(sys.argv[2:])\n"
        "print(json.dumps([[p.labels, p.probabilities] for p in found]))"
    )
    words = [sys.executable, "-c", script, str(save(model, tmp_path / "m")), *good]
    run = subprocess.run(words, capture_output=True, text=True, check=True)
    here = [[list(p.labels), pytest.approx(p.probabilities, abs=1e-6)] for p in model.predict(good)]
    assert json.loads(run.stdout) == here


def test_bytes_are_normalised_by_the_model():
    model = vit()
    pixels = model.transform(photo())[None]
    with torch.no_grad():
        torch.testing.assert_close(model(pixels), model(model.transform.normalize(pixels)))
        half = deepcopy(model).to(torch.bfloat16)
        assert half(pixels).dtype == torch.bfloat16
        torch.testing.assert_close(half(pixels).float(), model(pixels), atol=0.05, rtol=0.05)
    assert half.predict(photo())[0].probabilities == pytest.approx(model.predict(photo())[0].probabilities, abs=0.05)


def test_labels_must_be_as_many_as_classes():
    config = vit().config
    assert config.build().labels == ("0", "1", "2")
    with pytest.raises(ArgumentError, match="2 labels were given for 3 classes"):
        config.build(["a", "b"])


def test_the_distilled_head_is_the_mean_of_two():
    head, x = DistilledHead(8, 3), torch.randn(2, 8)
    first = x[:, :4] @ head.token.weight.T + head.token.bias
    second = x[:, 4:] @ head.distillation.weight.T + head.distillation.bias
    torch.testing.assert_close(head(x), (first + second) / 2)
