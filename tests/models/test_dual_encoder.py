"""Dual encoders: vectors in order whatever the source and the batch, zero-shot classes, modes left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_dual_encoders import CAPTIONS, KINDS, SIZE, built, clip_config, pictures
from torch.nn.functional import cosine_similarity, normalize

from multimodal.errors import ArgumentError
from multimodal.media import MediaError
from multimodal.models.dual_encoder import DualEncoder
from multimodal.models.prediction import Prediction
from multimodal.models.similarity import SigmoidSimilarityConfig
from multimodal.tokenizers.encoded import TextBatch


def photo(seed=0, width=24, height=20):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def files(tmp_path):
    """Ten pictures; numbers 3 and 7 are not."""
    for i in range(10):
        photo(i).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "7.png").write_text("no picture")
    return [tmp_path / f"{i}.png" for i in range(10)]


@torch.no_grad()
def by_hand(model: DualEncoder, image) -> torch.Tensor:
    x = model.transform.normalize(model.transform(image))[None]
    return normalize(model.image(x), dim=-1)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_of_images(kind, files):
    model = built(kind)
    good = [files[i] for i in (0, 1, 2, 4, 5)]
    found = model.embed_images(good, batch_size=2)
    assert found.shape == (5, model.width) and found.dtype == torch.float32
    expected = torch.stack([by_hand(model, Image.open(file)) for file in good])
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(found.norm(dim=1), torch.ones(5), atol=1e-6)
    sources = [
        good[0].read_bytes(),
        Image.open(good[1]),
        np.asarray(Image.open(good[2])),
        str(good[3]),
        good[4].open("rb"),
    ]
    assert torch.allclose(model.embed_images(sources), expected, atol=1e-6)
    assert torch.allclose(model.embed_images(good[0]), expected[:1], atol=1e-6)
    assert model.embed_images([]).shape == (0, model.width)


def test_bytes_are_normalised_on_the_device_and_floats_are_as_they_are():
    model, pixels = built().eval(), pictures(3)
    with torch.no_grad():
        expected = model.encode_images(model.transform.normalize(pixels))
        assert torch.equal(model.encode_images(pixels), expected)
    assert torch.equal(model.embed_pixels(pixels), expected)


def test_what_is_unreadable_is_named_and_has_no_row(files):
    model, errors = built(), []
    found = model.embed_images(files, batch_size=4, errors=errors)
    assert [source for source, _ in errors] == [files[3], files[7]] and all(reason for _, reason in errors)
    good = [file for i, file in enumerate(files) if i not in (3, 7)]
    assert torch.equal(found, model.embed_images(good, batch_size=4))
    with pytest.raises(MediaError):
        model.embed_images(files)
    with pytest.raises(ArgumentError, match="batch_size is 0"):
        model.embed_images(files, batch_size=0)
    assert model.embed_images([files[3]], errors=[]).shape == (0, model.width)


def test_a_stream_of_thousands_is_read_as_it_comes():
    model, errors, taken = built(), [], []
    arrays = pictures(8).permute(0, 2, 3, 1).numpy()

    def stream():
        for i in range(3000):
            taken.append(i)
            yield b"broken" if i % 1000 == 7 else arrays[i % 8]

    batches = model.stream_images(stream(), batch_size=50, errors=errors)
    sources, vectors = next(batches)
    assert len(sources) == 50 and len(taken) <= 200  # it runs ahead by a little, not to the end
    rows = [vectors, *(found for _, found in batches)]
    assert sum(map(len, rows)) == 2997 and len(errors) == 3
    expected = model.embed_images(list(arrays))
    assert torch.allclose(torch.cat(rows)[-8:], expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_of_texts(kind):
    model = built(kind)
    texts = [*CAPTIONS, "", "the " * 50]
    found = model.embed_texts(texts, batch_size=3)
    assert found.shape == (len(texts), model.width) and found.dtype == torch.float32
    assert torch.allclose(found.norm(dim=1), torch.ones(len(texts)), atol=1e-6)
    for row, text in zip(found, texts, strict=True):
        assert torch.allclose(model.embed_texts(text)[0], row, atol=1e-6)
    assert model.tokenizer is not None
    rows = model.tokenizer.rows(texts, max_length=12)
    assert len(rows[-1]) == 12 and rows[-1][-1] == model.tokenizer.sep_id  # cut, and closed all the same
    assert torch.allclose(model.embed_texts(rows), found, atol=1e-6)
    batch = TextBatch.of(rows, pad=model.tokenizer.pad_id or 0)
    with torch.no_grad():
        assert torch.allclose(model.encode_texts(batch.ids, keep=batch.keep), found, atol=1e-6)
    assert model.embed_texts([]).shape == (0, model.width)


def test_a_text_of_nothing_and_a_model_without_a_tokenizer():
    model = clip_config().build()
    assert model.tokenizer is None and model.caption_length == 12
    assert model.embed_texts([[2, 9, 3], [2, 3]]).shape == (2, 8)
    assert model.embed_texts([2, 9, 3]).shape == (1, 8)  # one text
    with pytest.raises(ArgumentError, match="Text 2 of 2 is empty"):
        model.embed_texts([[2, 3], []])
    with pytest.raises(ArgumentError, match="tokenizer"):
        model.embed_texts("a cat")
    with pytest.raises(ArgumentError, match="5000 is not a token id of this model"):
        model.embed_texts([[5000]])
    with pytest.raises(ArgumentError, match="batch_size is 0"):
        model.embed_texts([[2, 3]], batch_size=0)


def test_both_at_once():
    model = built("siglip").eval()
    ids = torch.tensor([[2, 9, 3, 0], [2, 8, 7, 3]])
    with torch.no_grad():
        image, text = model(pictures(3), ids, keep=ids != 0)
        assert torch.equal(image, model.encode_images(pictures(3)))
        assert torch.equal(text, model.encode_texts(ids, keep=ids != 0))
    assert model.similarity(image, text).shape == (3, 2)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_zero_shot_probabilities_are_of_the_models_own_kind(kind):
    model = built(kind)
    labels, templates, image = ["cat", "dog", "red house"], ["a {}", "the {} sat on a mat"], photo()
    found = model.classify([image, photo(1)], labels, templates=templates, batch_size=1)
    rows = []
    for label in labels:
        vectors = torch.stack([model.embed_texts(template.format(label))[0] for template in templates])
        rows.append(normalize(vectors.mean(0), dim=0))
    logits = model.similarity.scale.detach() * by_hand(model, image) @ torch.stack(rows).T
    if isinstance(model.config.similarity, SigmoidSimilarityConfig):
        expected = 1 / (1 + (-(logits - 10.0)).exp())
    else:
        expected = logits.softmax(-1)
        assert sum(found[0].probabilities) == pytest.approx(1, abs=1e-5)
    order = expected.argsort(descending=True).tolist()
    assert isinstance(found[0], Prediction) and found[0].source is image and len(found) == 2
    assert found[0].labels == tuple(labels[i] for i in order)
    assert found[0].probabilities == pytest.approx([expected[i].item() for i in order], rel=1e-4)
    best = model.classify(image, labels, templates=templates, top=1)[0]
    assert best.labels == found[0].labels[:1] and best.probabilities == pytest.approx(found[0].probabilities[:1])
    assert len(model.classify(image, labels, top=9)[0].labels) == 3


def test_zero_shot_with_errors(files):
    model, errors = built(), []
    found = model.classify(files, ["cat", "dog"], errors=errors, batch_size=3)
    assert [prediction.source for prediction in found] == [file for i, file in enumerate(files) if i not in (3, 7)]
    assert len(errors) == 2
    with pytest.raises(ArgumentError, match="top is 0; it must be at least 1, or None"):
        model.classify(files, ["cat"], top=0)
    with pytest.raises(ArgumentError, match="labels has 'cat' twice"):
        model.classify(files, ["cat", "cat"])


def test_modes_and_gradients_are_left_alone():
    model = built().train()
    model.embed_images(photo())
    model.embed_texts("a cat")
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    image, text = model(pictures(2), torch.tensor([[2, 9, 3], [2, 8, 3]]))
    model.similarity(image, text).logsumexp(1).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision(kind):
    model = built(kind)
    half = built(kind).to(torch.bfloat16)
    images, texts = [photo(i) for i in range(3)], list(CAPTIONS[:3])
    for whole, rough in (
        (model.embed_images(images), half.embed_images(images)),
        (model.embed_texts(texts), half.embed_texts(texts)),
    ):
        assert rough.dtype == torch.float32 and cosine_similarity(whole, rough).min() > 0.99
    found, again = model.classify(images, ["cat", "dog"]), half.classify(images, ["cat", "dog"])
    for one, other in zip(found, again, strict=True):
        given = dict(zip(other.labels, other.probabilities, strict=True))
        assert [given[label] for label in one.labels] == pytest.approx(one.probabilities, abs=0.05)
    assert half.image_dtype == torch.bfloat16


def test_other_sizes_of_pictures_than_the_positions_are_made_for():
    model = built().eval()
    with torch.no_grad():
        assert model.encode_images(torch.zeros(1, 3, SIZE * 2, SIZE * 2, dtype=torch.uint8)).shape == (1, 8)
