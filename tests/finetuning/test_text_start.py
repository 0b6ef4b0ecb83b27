"""Where text tasks start: a published body with its tokenizer, or a fresh encoder with one that was trained."""

import pytest
import torch
from tiny_text_models import KINDS, bert, gpt, t5

from multimodal.checkpoint import save
from multimodal.errors import ArgumentError
from multimodal.finetuning.text_start import FreshConfig, starting_body
from multimodal.models.language_model import LanguageModel
from multimodal.models.text.body import bare
from multimodal.models.text_encoder import TextEncoder
from multimodal.models.text_heads import TextClassifierConfig

TEXTS = ["The cat sat on the mat.", "A dog ran to Paris."] * 10


def test_fresh_weights_get_a_tokenizer_of_the_texts():
    fresh = FreshConfig(vocabulary=90, length=16, dim=16, heads=2)
    body = starting_body(None, TEXTS, fresh)
    assert isinstance(body, TextEncoder) and body.config == bare(body.config)
    assert body.tokenizer.vocabulary <= 90 and body.tokenizer.max_length == 16
    assert body.tokenizer.encode("CAT").ids == body.tokenizer.encode("cat").ids
    assert starting_body(None, TEXTS, FreshConfig(vocabulary=90, lowercase=False)).tokenizer.encode("CAT").ids != (
        body.tokenizer.encode("cat").ids
    )


@pytest.mark.parametrize(("make", "kind"), [(bert, TextEncoder), (gpt, LanguageModel)])
def test_a_published_body_keeps_weights_and_tokenizer(make, kind, tmp_path):
    model = make()
    folder = save(model, tmp_path / "model")
    body = starting_body(str(folder), [], FreshConfig())
    assert isinstance(body, kind) and body.tokenizer is not None
    task = TextClassifierConfig(encoder=bare(body.config), classes=2).build(("a", "b"), body.tokenizer)
    task.start_from(body)
    own = task.encoder.state_dict()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in own.items())


def test_the_body_of_a_model_with_a_task(tmp_path):
    folder = save(KINDS["text classifier"](), tmp_path / "model")
    assert isinstance(starting_body(str(folder), [], FreshConfig()), TextEncoder)


def test_a_model_of_another_kind_is_refused(tmp_path):
    folder = save(t5(), tmp_path / "model")
    with pytest.raises(ArgumentError, match="EncoderDecoder"):
        starting_body(str(folder), [], FreshConfig())
