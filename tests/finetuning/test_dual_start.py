"""Where contrastive training starts: fresh towers and vocabularies, a locked published tower, a published pair."""

from dataclasses import replace

import pytest
import torch
from tiny_dual_encoders import CAPTIONS, IMAGE, TEXT, built, pictures
from tiny_models import vit

from multimodal.checkpoint import save
from multimodal.errors import ArgumentError
from multimodal.finetuning.dual_start import (
    FreshTowersConfig,
    fresh_clip,
    fresh_siglip,
    locked_image,
)
from multimodal.finetuning.published import published
from multimodal.models.dual_encoder import DualEncoder, DualEncoderConfig
from multimodal.models.image_encoder import TimmEncoderConfig
from multimodal.models.open_clip_towers import OpenClipImageConfig
from multimodal.models.similarity import SigmoidSimilarityConfig, SoftmaxSimilarityConfig

FRESH = FreshTowersConfig(image=IMAGE, text=TEXT, dim=8, size=16, length=12, vocabulary=120)


@pytest.mark.parametrize(
    ("make", "kind"), [(fresh_clip, SoftmaxSimilarityConfig), (fresh_siglip, SigmoidSimilarityConfig)]
)
def test_fresh_towers_read_the_captions_that_their_vocabulary_is_trained_on(make, kind):
    torch.manual_seed(0)
    model = make(CAPTIONS, FRESH)
    assert isinstance(model.config.similarity, kind) and model.caption_length == 12
    assert model.tokenizer.decode(model.tokenizer.encode(CAPTIONS[0]).ids) == CAPTIONS[0]
    vectors = model.embed_texts(list(CAPTIONS))
    assert vectors.shape == (len(CAPTIONS), model.width)
    alike = (vectors @ vectors.T)[~torch.eye(len(CAPTIONS), dtype=torch.bool)]
    assert alike.mean() < 0.9, "different texts start with different vectors"


def test_the_image_tower_may_be_one_of_timm():
    fresh = replace(FRESH, timm="test_resnet", size=32)
    model = fresh_clip(CAPTIONS, fresh)
    assert model.config.image.encoder == TimmEncoderConfig(name="test_resnet")
    assert model(torch.randn(2, 3, 32, 32), torch.zeros(2, 5, dtype=torch.long))[0].shape == (2, 8)
    with pytest.raises(ArgumentError, match=r"'test_resnt' is no model of timm\. Did you mean 'test_resnet'"):
        fresh_clip(CAPTIONS, replace(fresh, timm="test_resnt"))
    with pytest.raises(ArgumentError, match="SigLIP pools by attention"):
        fresh_siglip(CAPTIONS, fresh)


def test_without_a_size_the_vocabulary_is_clips():
    small = FreshTowersConfig(image=IMAGE, text=TEXT, dim=8, size=16, length=12)
    model = fresh_clip([], small)
    assert model.tokenizer.vocabulary == model.config.embedding.vocabulary == 49_408
    assert model.tokenizer.encode("a photo of a cat").ids == (49406, 320, 1125, 539, 320, 2368, 49407)


def test_a_locked_tower_is_the_published_one(tmp_path):
    classifier = vit().eval()
    model = locked_image(save(classifier, tmp_path / "vit"), CAPTIONS, FRESH)
    side = model.transform.config.size
    pixels = torch.randint(0, 256, (2, 3, *side), dtype=torch.uint8)
    wanted = torch.nn.functional.normalize(classifier.features(pixels), dim=-1)
    torch.testing.assert_close(model.eval().encode_images(pixels), wanted)
    pair = built().eval()
    again = locked_image(save(pair, tmp_path / "clip"), CAPTIONS, FRESH).eval()
    torch.testing.assert_close(again.encode_images(pictures(2)), pair.encode_images(pictures(2)))


def test_the_image_tower_of_open_clips_own_can_be_locked(monkeypatch):
    text = built().config.text
    tower = OpenClipImageConfig(architecture="RN50")
    resnet = DualEncoderConfig(image=tower, text=text, dim=1024).build()
    monkeypatch.setattr("multimodal.finetuning.dual_start.load", lambda *source, **options: resnet.eval())
    model = locked_image("open_clip:RN50", CAPTIONS, FRESH)
    assert model.width == 1024
    for name, value in resnet.image.state_dict().items():
        assert torch.equal(model.image.state_dict()[name], value), name


def test_other_models_are_refused(tmp_path):
    folder = save(vit(), tmp_path / "vit")
    with pytest.raises(ArgumentError, match="Classifier; this recipe trains a DualEncoder, such as 'x'"):
        published(folder, DualEncoder, "'x'", name="source")
    assert published(save(built(), tmp_path / "clip"), DualEncoder, "", name="source").width == 8
