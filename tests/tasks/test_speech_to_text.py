"""Fine-tuning Whisper: what is given and learned, the loss written out, what stays as it was."""

import jiwer
import pytest
import torch
from torch.nn import functional as F

from multimodal.backbone.lora import LoraConfig, adapters
from multimodal.errors import ArgumentError, DataError
from multimodal.finetuning.speech_start import FreshWhisperConfig, fresh_whisper
from multimodal.losses import IGNORE
from multimodal.models.speech.decoding import decode_windows
from multimodal.models.speech.options import DecodingConfig
from multimodal.models.speech.tokens import SpeechTokens
from multimodal.tasks.speech_to_text import SpeechToTextConfig, SpeechToTextTask

TEXTS = ["low high low", "rise"]


def recognizer(**options):
    torch.manual_seed(0)
    sizes = {"dim": 32, "depth": 2, "decoder_depth": 2, "heads": 2, "mels": 20, "seconds": 1.0, "vocabulary": 270}
    return fresh_whisper(TEXTS * 2, FreshWhisperConfig(**{**sizes, **options}))


def task(**training):
    return SpeechToTextTask(recognizer(), training=SpeechToTextConfig(**training)).eval()


def batch(seconds=1.0):
    wave = 0.1 * torch.randn(2, round(16_000 * seconds), generator=torch.Generator().manual_seed(0))
    return {"wave": wave, "texts": TEXTS, "keep": torch.ones(2, 3, dtype=torch.bool), "failed": []}


def test_the_vocabulary_ends_with_special_tokens_and_times():
    tokenizer = recognizer().tokenizer
    tokens = SpeechTokens.of(tokenizer)
    assert tokens.multilingual and list(tokens.languages) == ["en", "other"]
    assert tokens.timestamp_begin + 1501 == tokenizer.vocabulary
    assert tokens.eot < tokens.sot and tokenizer.decode(tokenizer.encode(" low", special=False).ids) == " low"
    assert max(tokenizer.encode(" low rise", special=False).ids) < tokens.eot


def test_what_is_given_and_what_is_learned():
    made = task(language="en")
    tokenizer, tokens = made.model.tokenizer, SpeechTokens.of(made.model.tokenizer)
    given, targets = made.framed(TEXTS)
    start = [tokens.sot, tokens.languages["en"], tokens.transcribe, tokens.no_timestamps]
    for row, text in enumerate(TEXTS):
        ids = tokenizer.encode(f" {text}", special=False).ids
        rest = given.shape[1] - len(start) - len(ids)
        assert given[row].tolist() == [*start, *ids, *[tokens.eot] * rest]
        assert targets[row].tolist() == [*[IGNORE] * 3, *ids, tokens.eot, *[IGNORE] * rest]


def test_the_loss_written_out():
    made, losses = task(), []
    mel = made.model.features(batch()["wave"])
    for row, text in enumerate(TEXTS):
        tokens = SpeechTokens.of(made.model.tokenizer)
        ids = made.model.tokenizer.encode(f" {text}", special=False).ids
        given = torch.tensor([[*made.start, *ids]])
        logits = made.model(mel[row : row + 1], given)[0, len(made.start) - 1 :]
        losses.append(F.cross_entropy(logits, torch.tensor([*ids, tokens.eot]), reduction="none"))
    torch.testing.assert_close(made.training_step(batch(), 0), torch.cat(losses).mean())


def test_shorter_clips_are_filled_up_to_the_window():
    made = task()
    assert made.features(batch(0.5)).shape == made.features(batch()).shape
    with pytest.raises(DataError, match=r"A clip of 1\.5 s is longer than the 1 s .* validation"):
        made.features(batch(1.5))


def test_validation_writes_texts():
    made = task()
    made.on_validation_epoch_start()
    made.validation_step(batch(), 0)
    found = {name: float(value) for name, value in made.report(dict(made.val_metrics.items())).items()}
    assert found["loss"] == pytest.approx(float(made.training_step(batch(), 0)), rel=1e-4)
    context = made.model.encode(made.features(batch()))
    said = [one.text for one in decode_windows(made.model, context, DecodingConfig(language="en", timestamps=False))]
    assert found["wer"] == pytest.approx(jiwer.wer(TEXTS, said)) and found["cer"] == pytest.approx(
        jiwer.cer(TEXTS, said)
    )


def test_a_locked_encoder_and_adapters():
    made = task(train_encoder=False).train()
    made.training_step(batch(), 0).backward()
    assert all(p.grad is None for p in made.model.encoder.parameters())
    assert made.model.output_weight.grad is not None and not made.model.encoder.training
    made = task(lora=LoraConfig(rank=2)).train()
    made.training_step(batch(), 0).backward()
    trained = {name for name, p in made.model.named_parameters() if p.grad is not None}
    assert trained and all(name.endswith((".a.weight", ".b.weight")) for name in trained)
    made.on_train_end()
    assert not adapters(made.model)


def test_wrong_arguments_are_refused():
    with pytest.raises(ArgumentError, match="language is 'xx'"):
        task(language="xx")
    with pytest.raises(ArgumentError, match="exclude each other"):
        SpeechToTextConfig(train_encoder=False, lora=LoraConfig(rank=2))
