"""Two models to one: weights copied and not shared, the token added once, a template; and what cannot be joined."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny_dual_encoders
import tiny_models
import tiny_sounds
import tiny_text_models
import torch
from clip_folders import register
from tiny_speech import shaken, whisper_config
from tiny_vision_language import picture
from tokenizers import AddedToken, Tokenizer

from multimodal.errors import ArgumentError
from multimodal.models.chat.tiles import TilesConfig
from multimodal.models.joining import join
from multimodal.models.open_clip_towers import OpenClipImageConfig
from multimodal.models.projector import LinearProjectorConfig, PixelShuffleProjectorConfig
from multimodal.presets.conformer import conformer as conformer_config
from multimodal.tokenizers.chat import VICUNA
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_settings import SpecialTokens, TextSettings


def language(template=None, **settings):
    model = tiny_text_models.gpt(max_length=128)
    model.tokenizer = tiny_text_models.bytelevel(chat_template=template, **settings)
    return model


def whisper(positions=32):
    return shaken(whisper_config(60, positions=positions).build())


def conformer(**settings):
    return shaken(conformer_config(20, dim=16, depth=2, heads=2, kernel=3, mels=8, channels=4, **settings).build())


ENCODERS = {
    "classifier": (tiny_models.vit, lambda model: model.encoder),
    "wrapped classifier": (tiny_models.wrapped, lambda model: model.encoder),
    "classifier of sound": (tiny_sounds.classifier, lambda model: model.encoder),
    "dual encoder": (tiny_dual_encoders.built, lambda model: model.image.encoder),
    "dual encoder of sound": (tiny_sounds.dual_encoder, lambda model: model.image.encoder),
    "speech recognizer": (whisper, lambda model: model.encoder),
    "ctc recognizer": (conformer, lambda model: model.encoder),
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_weights_are_equal_and_not_shared(kind):
    make, part = ENCODERS[kind]
    encoder, text = make(), language()
    before = [tensor.clone() for tensor in (*encoder.state_dict().values(), *text.state_dict().values())]
    model = join(encoder, text)
    for copied, own in ((model.features.encoder, part(encoder)), (model.language, text)):
        state = own.state_dict()
        assert copied.state_dict().keys() == state.keys()
        assert all(torch.equal(tensor, state[name]) for name, tensor in copied.state_dict().items())
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.zero_()
    after = (*encoder.state_dict().values(), *text.state_dict().values())
    assert all(map(torch.equal, after, before)), "neither has changed"
    assert not model.training
    assert "recognizer" in kind or model.config.transform == encoder.config.transform


def test_a_wrapped_tower_of_open_clip(monkeypatch):
    vision = {"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "linear", "image_size": 32}
    register(monkeypatch, "tiny", {"embed_dim": 8, "vision_cfg": vision, "text_cfg": {}})
    config = tiny_dual_encoders.clip_config()
    parts = {"image": OpenClipImageConfig(architecture="tiny"), "transform": replace(config.transform, size=(32, 32))}
    encoder = replace(config, **parts).build(tiny_text_models.wordpiece())
    model = join(encoder, language(), layers=(-1,))
    state = encoder.image.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.features.encoder.state_dict().items())
    assert isinstance(model.chat((picture(), "What?"), max_new_tokens=2), str)


@pytest.mark.parametrize(("kind", "token"), [("classifier", "<image>"), ("speech recognizer", "<audio>")])
def test_the_token_is_added_once_to_a_copy(kind, token):
    encoder, text = ENCODERS[kind][0](), language()
    model = join(encoder, text)
    assert text.tokenizer.tokenizer.token_to_id(token) is None and text.tokenizer.vocabulary == 257
    assert model.config.placeholder == 257 == model.tokenizer.id_of(token)
    assert model.config.vocabulary == model.tokenizer.vocabulary == 258
    assert token in model.tokenizer.special.extra and model.tokenizer.decode([257, 41]) == model.tokenizer.decode([41])
    assert model.tokenizer.encode(f"a{token}b").ids[1:-1] == (257,)
    text.tokenizer = model.tokenizer
    again = join(encoder, text)
    assert again.config.placeholder == 257 and again.tokenizer.vocabulary == 258
    assert again.tokenizer.special.extra.count(token) == 1


def test_a_tokenizer_that_has_the_token_keeps_its_id():
    base = Tokenizer.from_str(tiny_text_models.bytelevel().plain())
    base.add_special_tokens([AddedToken("<image>", special=True, normalized=False), AddedToken("<pad>", special=True)])
    special = SpecialTokens(bos="<|endoftext|>", eos="<|endoftext|>")
    text = language()
    text.tokenizer = TextTokenizer(base, TextSettings(special=special))
    model = join(tiny_models.vit(), text)
    assert model.config.placeholder == 257 and model.tokenizer.vocabulary == 259
    assert isinstance(model.chat((picture(), "What?"), max_new_tokens=2), str)


def test_templates():
    assert join(tiny_models.vit(), language()).tokenizer.chat_template == VICUNA
    own = tiny_text_models.CHAT
    assert join(tiny_models.vit(), language(own)).tokenizer.chat_template == own
    given = own.replace("<assistant>", "|")
    assert join(tiny_models.vit(), language(own), template=given).tokenizer.chat_template == given
    with pytest.raises(ArgumentError, match="the chat template left 0 places"):
        join(tiny_models.vit(), language(), template="{% for m in messages %}{{ m.role }}{% endfor %}")
    with pytest.raises(ArgumentError, match=r"template is 'vicuna.jinja', which is no Jinja source"):
        join(tiny_models.vit(), language(), template="vicuna.jinja")


def test_where_the_parts_came_from_is_kept():
    encoder, text = tiny_models.vit(), language()
    encoder.card["source"], text.card["metrics"] = "timm:x", {"loss": 1}
    assert join(encoder, text).card == {"encoder": "timm:x"}


def test_whispers_window():
    model = join(whisper(), language())
    assert model.config.transform.seconds == 0.64 and model.reader.length == 32 and model.features.grid == (1, 32)
    shorter = join(whisper(), language(), seconds=0.32, layers=(), projector=PixelShuffleProjectorConfig(fold=(1, 4)))
    assert shorter.reader.length == 4
    assert len(shorter.reader.read(tiny_sounds.tone(300, 1.0)).x) == 4
    mel = model.reader.read(tiny_sounds.tone(300, 0.6)).x[:, 0]
    torch.testing.assert_close(mel[0], model.reader.transform.spectrogram(tiny_sounds.tone(300, 0.6))[:, :64])
    with pytest.raises(ArgumentError, match=r"seconds is 0\.65; this encoder hears up to 0\.64 at a time"):
        join(whisper(), language(), seconds=0.65)
    with pytest.raises(ArgumentError, match="seconds is for the encoder of a SpeechRecognizer or CtcRecognizer"):
        join(tiny_models.vit(), language(), seconds=1.0)


def test_a_ctc_recognizers_window():
    model = join(conformer(), language(), seconds=0.64, layers=())
    assert model.config.features.standardized and not join(whisper(), language()).config.features.standardized
    assert model.features.grid == (1, 16) and len(model.reader.read(tiny_sounds.tone(300, 1.0)).x) == 2
    assert join(conformer(), language()).config.transform.seconds == 15
    for seconds in (0.0, 31.0):
        with pytest.raises(ArgumentError, match=f"seconds is {seconds:g}; this encoder hears up to 30 at a time"):
            join(conformer(), language(), seconds=seconds)
    with pytest.raises(ArgumentError, match="hears its own answers between its blocks"):
        join(conformer(between=True), language())


def test_what_cannot_be_joined():
    image, text = tiny_models.vit(), language()
    with pytest.raises(
        ArgumentError, match="encoder is a LanguageModel; it must be a Classifier, a DualEncoder, a Speech"
    ):
        join(text, text)
    with pytest.raises(ArgumentError, match="language is a Classifier; it must be a LanguageModel"):
        join(image, image)
    with pytest.raises(ArgumentError, match="tokenizer"):
        join(image, tiny_text_models.llama())
    with pytest.raises(ArgumentError, match="no token that ends a text"):
        join(image, language(special=SpecialTokens(bos="<|endoftext|>")))
    with pytest.raises(ArgumentError, match="layers has -4; the encoder has 2 blocks"):
        join(image, text, layers=(-4,))
    with pytest.raises(ArgumentError, match=r"fold is \(3, 3\), which does not divide the encoder's 4 rows of 4"):
        join(image, text, projector=PixelShuffleProjectorConfig(fold=(3, 3)))
    with pytest.raises(ArgumentError, match="tiles are of images"):
        join(whisper(), text, tiles=TilesConfig())
    with pytest.raises(ArgumentError, match="class_token is True"):
        join(whisper(), text, class_token=True, projector=LinearProjectorConfig())
