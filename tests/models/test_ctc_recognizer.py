"""A recognizer by CTC: scores, words and their times, long recordings, what it refuses."""

import numpy as np
import pytest
import torch

from multimodal.backbone.bias import RelativeBiasConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.checkpoint import save
from multimodal.errors import ArgumentError
from multimodal.generation.ctc import Placed, prefix_beams
from multimodal.hub import load
from multimodal.media import MediaError
from multimodal.models.ctc_recognizer import CtcRecognizer, Scored
from multimodal.models.speech.activity import Chunk
from multimodal.models.speech.ctc import recognize, score_windows, utterances, words_of
from multimodal.models.speech.formats import render
from multimodal.presets.conformer import conformer
from multimodal.tokenizers.audio_features import FbankConfig, standardized
from multimodal.tokenizers.text_settings import SpecialTokens
from multimodal.tokenizers.text_training import train_tokenizer

TOKENIZER = train_tokenizer(iter(["YES NO GO É"]), "character", special=SpecialTokens(unk="<unk>"))
WAVES = torch.randn(3, 16_000, generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([16_000, 9_000, 3_000])


def tiny(**options) -> CtcRecognizer:
    torch.manual_seed(0)
    sizes = {"dim": 32, "depth": 2, "heads": 2, "kernel": 5, "channels": 4, "mels": 20}
    return conformer(TOKENIZER.vocabulary, **{**sizes, **options}).build(TOKENIZER).eval()


@pytest.mark.parametrize("position", [RotaryConfig(), RelativeBiasConfig()])
def test_a_clip_is_scored_the_same_alone_and_in_a_batch(position):
    model = tiny(between=True, position=position)
    found = score_windows(model, [wave[:n].numpy() for wave, n in zip(WAVES, LENGTHS, strict=True)])
    for row, (wave, n) in enumerate(zip(WAVES, LENGTHS, strict=True)):
        (alone,) = score_windows(model, [wave[:n].numpy()])
        assert alone.scores.shape == found[row].scores.shape
        torch.testing.assert_close(found[row].scores, alone.scores, rtol=1e-4, atol=1e-4)


def test_the_scores_written_out():
    model = tiny(depth=3, between=True)
    mel = standardized(model.features(WAVES))
    x = model.encoder.stem(mel).x
    for number, block in enumerate(model.encoder.backbone.blocks, 1):
        stack = model.encoder.backbone
        rotary = (stack.position, stack.position(torch.arange(x.shape[1])[None, :, None]))
        x = block(x, rotary=rotary)
        if number == 1:
            between = model.head(x)
            x = x + model.answer(between.softmax(-1))
    found = model.score(model.features(WAVES))
    torch.testing.assert_close(found.logits, model.head(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.between[0], between, rtol=1e-4, atol=1e-5)


def test_words_are_what_lies_between_spaces():
    spelled = "GO  NO"
    placed = [Placed(TOKENIZER.id_of(letter), 2 * i, 2 * i + 1, -0.1 * i) for i, letter in enumerate(spelled)]
    words = words_of(tiny(), placed)
    assert [word.text.strip() for word in words] == ["GO", "NO"]
    assert [(word.start, word.end) for word in words] == [(0, 3), (8, 11)]
    assert words[0].logprobs == (0.0, -0.1)


def test_pieces_of_words_and_of_characters_are_joined():
    tokenizer = train_tokenizer(iter(["no néé no néé"] * 3), "bpe", vocabulary=260)
    model = conformer(tokenizer.vocabulary, dim=16, depth=1, heads=2, channels=4).build(tokenizer)
    ids = tokenizer.encode("no néé", special=False).ids
    words = words_of(model, [Placed(id, i, i + 1, -0.5) for i, id in enumerate(ids)])
    assert [word.text.strip() for word in words] == ["no", "néé"]
    assert sum(len(word.ids) for word in words) == len(ids)


class Spoken(CtcRecognizer):
    """Hears GO in the first part of each second that is loud."""

    def score(self, mel, keep=None):
        logits = torch.zeros(mel.shape[0], -(-mel.shape[2] // 4), self.blank + 1)
        logits[..., self.blank] = 5.0
        for row, sound in zip(logits, mel, strict=True):
            for second in range(mel.shape[2] // 100):
                if float(sound[:, second * 100 + 30].mean()) > -8:
                    for place, letter in ((2, "G"), (13, "O"), (16, " ")):
                        row[second * 25 + place, TOKENIZER.id_of(letter)] = 20.0
        return Scored(logits, None, torch.zeros(*logits.shape[:2], 32))


def test_a_long_recording_gives_words_with_their_times():
    rng = np.random.default_rng(0)
    loud = np.repeat([1, 1, 0, 0, 1, 1, 1, 0], 16_000)
    wave = (rng.normal(size=len(loud)) * (0.2 * loud + 1e-4)).astype(np.float32)
    model = Spoken(tiny().config, TOKENIZER).eval()
    found = model.transcribe(wave, timestamps="word")
    assert found.text == "GO GO GO GO GO" and found.seconds == 8.0
    assert [segment.text for segment in found.segments] == ["GO GO", "GO GO GO"]
    starts = [word.start for segment in found.segments for word in segment.words]
    assert starts == pytest.approx([0.08, 1.08, 4.08, 5.08, 6.08], abs=0.25)
    assert all(0.9 < segment.confidence <= 1 and segment.decoded == "ctc" for segment in found.segments)
    assert render(found, "srt").startswith("1\n00:00:00,")
    assert not model.transcribe(wave).segments[0].words
    assert len(model.transcribe(wave, timestamps="none").segments) == 2
    assert model.transcribe(wave, beams=3).text == found.text


def test_each_stretch_of_speech_is_a_window_of_its_own():
    speech = np.repeat([True, False, True], (70, 50, 80))
    chunk = Chunk(start=300, wave=np.arange(32_000, dtype=np.float32), speech=speech)
    first, second = utterances(chunk)
    assert (first.start, first.wave[0], len(first.wave)) == (300, 0, 11_200)
    assert (second.start, second.wave[0], len(second.wave)) == (420, 19_200, 12_800)
    assert first.speech.all() and second.speech.all()


def test_windows_of_several_recordings_share_a_batch():
    model, seen = tiny(), []
    score = model.score
    model.score = lambda mel, keep: seen.append(len(mel)) or score(mel, keep)
    rng = np.random.default_rng(0)
    loud = [np.repeat([1, 0, 1], 16_000), np.repeat([1], 16_000)]
    waves = [(rng.normal(size=len(on)) * (0.2 * on + 1e-4)).astype(np.float32) for on in loud]
    together = model.transcribe(waves, batch_size=2)
    assert seen == [2, 1]
    alone = [model.transcribe(wave, batch_size=1) for wave in waves]
    assert [found.text for found in together] == [found.text for found in alone]
    assert [found.seconds for found in together] == [3.0, 1.0]


def test_a_decoder_judges_the_texts_that_were_found():
    model = tiny(decoder_depth=1)
    (window,) = score_windows(model, [WAVES[0].numpy()])
    texts = [(1, 2, 3), (4,), ()]
    for text, judged in zip(texts, model.judge(texts, window.x).tolist(), strict=True):
        logits = model.decoder(torch.tensor([[model.blank, *text]]), window.x[None].clone())[0].log_softmax(-1)
        expected = sum(float(logits[i, id]) for i, id in enumerate([*text, model.blank]))
        assert judged == pytest.approx(expected, rel=1e-4)
    found = prefix_beams(window.scores, blank=model.blank, width=4)
    judged = model.judge([text.ids for text in found], window.x).tolist()
    best = max(range(4), key=lambda i: 0.8 * found[i].logprob + 0.2 * judged[i])
    assert [token.id for token in recognize(model, window, 4)] == list(found[best].ids)
    with pytest.raises(ArgumentError, match="no decoder"):
        tiny().judge(texts, window.x)


def test_of_long_texts_the_decoder_judges_the_start():
    model = tiny(decoder_depth=1)
    model.decoder.longest = 4
    (window,) = score_windows(model, [WAVES[0].numpy()])
    a, b, whole = model.judge([(1, 2, 3, 4, 5), (1, 2, 3, 4), (1, 2, 3)], window.x).tolist()
    logits = model.decoder(torch.tensor([[model.blank, 1, 2, 3]]), window.x[None].clone())[0].log_softmax(-1)
    assert a == b == pytest.approx(sum(float(logits[i, id]) for i, id in enumerate((1, 2, 3, 4))), rel=1e-4)
    assert whole == pytest.approx(sum(float(logits[i, id]) for i, id in enumerate((1, 2, 3, model.blank))), rel=1e-4)


def test_a_tensor_is_heard_as_its_array_is():
    model = tiny()
    assert model.transcribe(WAVES[0]).text == model.transcribe(WAVES[0].numpy()).text
    assert model.transcribe((WAVES[0], 8000)).seconds == pytest.approx(2 * len(WAVES[0]) / 16_000, rel=0.01)


def test_silence_has_no_text_and_one_sample_is_heard():
    model = tiny()
    assert model.transcribe(np.zeros(32_000, dtype=np.float32)).segments == ()
    assert model.transcribe(np.zeros(1, dtype=np.float32)).text == ""


def test_several_recordings_and_one_that_cannot_be_read(tmp_path):
    (tmp_path / "a.wav").write_text("this is no sound")
    errors = []
    found = tiny().transcribe([WAVES[0].numpy(), tmp_path / "a.wav"], errors=errors)
    assert len(found) == 1 and len(errors) == 1 and "a.wav" in errors[0][1]
    with pytest.raises(MediaError, match=r"a\.wav"):
        tiny().transcribe(tmp_path / "a.wav")


def test_wrong_arguments_are_refused():
    model = tiny()
    with pytest.raises(ArgumentError, match=r"timestamps is 'words'.*'word'"):
        model.transcribe(WAVES[0].numpy(), timestamps="words")
    with pytest.raises(ArgumentError, match="language is no option of a recognizer by CTC"):
        model.transcribe(WAVES[0].numpy(), language="en")
    with pytest.raises(ArgumentError, match="Did you mean 'beams'"):
        model.transcribe(WAVES[0].numpy(), beam=3)
    with pytest.raises(ArgumentError, match="beams is 0"):
        model.transcribe(WAVES[0].numpy(), beams=0)
    with pytest.raises(ArgumentError, match="no tokenizer"):
        CtcRecognizer(model.config).transcribe(WAVES[0].numpy())
    with pytest.raises(ArgumentError, match="between has 2; it must name blocks from 1 to 1"):
        CtcRecognizer(tiny(depth=2).config.__class__(**{**vars(tiny(depth=2).config), "between": (2,)}))


def test_features_are_of_the_config():
    assert tiny(mels=40).config.features == FbankConfig(mels=40)


def test_a_folder_gives_the_same_model_back(tmp_path):
    model = tiny(between=True, decoder_depth=1)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model", device="cpu", dtype="float32")
    assert isinstance(again, CtcRecognizer) and again.config == model.config
    mel = model.features(WAVES)
    assert torch.equal(again(mel), model(mel))
    card = (tmp_path / "model" / "README.md").read_text()
    assert "a Conformer of 2 layers" in card and "multimodal transcribe recording.mp3 --model" in card
