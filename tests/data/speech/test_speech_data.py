"""Recordings as items and batches: the right text with each sound, repeatable changes, files that are gone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from speech_files import tone, write_table, write_wave
from torch import nn

from multimodal.data.speech.augment import WaveAugmentConfig, add_noise, change_speed, made_noise
from multimodal.data.speech.batches import SpeechCollator
from multimodal.data.speech.data_modules import SpeechData
from multimodal.data.speech.dataset import SpeechDataset
from multimodal.data.speech.samples import SpeechSample
from multimodal.data.speech.tones import WORDS, write_tones
from multimodal.errors import ArgumentError, DataError
from multimodal.media import read_audio
from multimodal.tokenizers.text_settings import SpecialTokens
from multimodal.tokenizers.text_training import train_tokenizer

RATE = 16_000


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(iter([" ".join(map(chr, range(32, 127)))]), "character", special=SpecialTokens(pad="<pad>"))


@pytest.fixture
def clips(tmp_path):
    lengths = (0.5, 0.2, 0.4, 0.3)
    paths = [write_wave(tmp_path / f"{i}.wav", tone(seconds, 300 + i)) for i, seconds in enumerate(lengths)]
    return tuple(SpeechSample(str(path), f"text {i}", seconds) for i, (path, seconds) in
                 enumerate(zip(paths, lengths, strict=True)))  # fmt: skip


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return write_tones(tmp_path_factory.mktemp("tones") / "tones", train=24, val=6, test=6)


def test_an_item_is_the_sound_and_the_text(clips):
    item = SpeechDataset(clips, rate=RATE)[(0, 1)]
    assert torch.equal(item["wave"], torch.from_numpy(read_audio(clips[1].path)))
    assert (item["text"], item["index"], item["failed"]) == ("text 1", 1, [])
    assert len(SpeechDataset(clips, rate=8000)[(0, 1)]["wave"]) == 1600


def test_a_part_of_a_file_is_that_part(tmp_path):
    sound = np.concatenate([tone(0.5, 300), tone(0.5, 700)])
    path = str(write_wave(tmp_path / "a.wav", sound))
    whole = torch.from_numpy(read_audio(path))
    parts = SpeechDataset([SpeechSample(path, "x", 0.25, start=0.5, end=0.75), SpeechSample(path, "x", 0.5, start=0.5)],
                          rate=RATE)  # fmt: skip
    assert torch.equal(parts[(0, 0)]["wave"], whole[8000:12000])
    assert torch.equal(parts[(0, 1)]["wave"], whole[8000:])


def test_for_a_clip_that_became_unreadable_the_next_shorter_comes_and_it_is_named(clips, tmp_path):
    (tmp_path / "2.wav").write_bytes(b"no sound")
    item = SpeechDataset(clips, rate=RATE)[(0, 2)]
    assert (item["index"], item["text"]) == (3, "text 3")
    assert "2.wav" in item["failed"][0]
    for i in range(4):
        (tmp_path / f"{i}.wav").unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"None of the 4 clips can be read any more; the first: .*1\.wav"):
        SpeechDataset(clips, rate=RATE)[(0, 1)]


def test_for_the_shortest_clip_the_next_longer_one_comes(clips, tmp_path):
    (tmp_path / "1.wav").write_bytes(b"no sound")
    assert SpeechDataset(clips, rate=RATE)[(0, 1)]["index"] == 3


def test_a_clip_far_into_a_file_is_read_in_pieces(tmp_path):
    sound = np.concatenate([tone(40, 300), tone(35, 700)])
    path = str(write_wave(tmp_path / "a.wav", sound))
    whole = torch.from_numpy(read_audio(path))
    bounds = ((50.25, 70.5), (29.5, 30.5), (60.0, 60.1), (70.0, 90.0))
    samples = [SpeechSample(path, "x", b - a, start=a, end=b) for a, b in bounds]
    for i, (start, end) in enumerate(bounds):
        assert torch.equal(
            SpeechDataset(samples, rate=RATE)[(0, i)]["wave"], whole[int(start * RATE) : int(end * RATE)]
        )


def test_a_slower_clip_is_no_longer_than_may_be(clips):
    augment = WaveAugmentConfig(speeds=(0.8,)).build(RATE)
    waves = [SpeechDataset(clips, rate=RATE, augment=augment, longest=0.5)[(0, i)]["wave"] for i in (0, 2)]
    assert [len(wave) for wave in waves] == [8000, pytest.approx(6400 / 0.8, abs=2)]
    assert len(SpeechDataset(clips, rate=RATE, augment=augment)[(0, 0)]["wave"]) == pytest.approx(10_000, abs=2)


def test_a_file_much_longer_than_was_said_does_not_burst_the_batch(clips, tmp_path):
    write_wave(tmp_path / "2.wav", tone(30))
    item = SpeechDataset(clips, rate=RATE)[(0, 2)]
    assert item["index"] == 3
    assert "longer than the 0.4 seconds" in item["failed"][0]


def test_a_batch_is_padded_and_says_where(clips, tokenizer):
    dataset = SpeechDataset(clips, rate=RATE)
    batch = SpeechCollator(tokenizer)([dataset[(0, 0)], {**dataset[(0, 1)], "text": "t"}])
    assert batch["wave"].shape == (2, 8000)
    assert batch["wave"][1, 3200:].eq(0).all()
    assert batch["samples"].tolist() == [8000, 3200]
    assert batch["keep"].sum(1).tolist() == [6, 1]
    decoded = [tokenizer.decode(row[keep]) for row, keep in zip(batch["ids"], batch["keep"], strict=True)]
    assert decoded == ["text 0", "t"]
    assert (batch["texts"], batch["index"].tolist(), batch["failed"]) == (["text 0", "t"], [0, 1], [])


def test_changes_follow_from_seed_epoch_and_index(clips):
    augment = WaveAugmentConfig(gain=(-6.0, 6.0), noise=0.5).build(RATE)

    def wave(seed, epoch, index=0):
        return SpeechDataset(clips, rate=RATE, augment=augment, seed=seed)[(epoch, index)]["wave"]

    assert torch.equal(wave(0, 5), wave(0, 5))
    assert not torch.equal(wave(0, 5), wave(0, 6))
    assert not torch.equal(wave(1, 5), wave(0, 5))
    lengths = {len(wave(0, epoch)) for epoch in range(20)}
    assert sorted(lengths) == pytest.approx([8000 / 1.1, 8000, 8000 / 0.9], abs=1)


def test_speed_moves_the_pitch():
    fast = change_speed(tone(1.0, 1000).astype(np.float32), 1.25)
    assert len(fast) == 12_800
    assert np.abs(np.fft.rfft(fast)).argmax() * RATE / len(fast) == pytest.approx(1250, abs=5)


@pytest.mark.parametrize("snr", [0.0, 20.0])
@pytest.mark.parametrize("colour", ["white", "pink"])
def test_noise_is_as_loud_as_was_asked_for(snr, colour):
    wave = tone(1.0).astype(np.float32)
    noise = made_noise(len(wave), colour, np.random.default_rng(0))
    added = add_noise(wave, noise, snr) - wave
    assert 10 * np.log10(np.mean(wave**2) / np.mean(added**2)) == pytest.approx(snr, abs=0.01)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = power[100:200].sum(), power[3200:6400].sum()
    ratio = octaves[1] / octaves[0]
    assert ratio == pytest.approx(32 if colour == "white" else 1, rel=0.4)
    assert np.array_equal(add_noise(np.zeros(100, np.float32), noise[:100], snr), np.zeros(100))


def test_gain_and_noise_of_a_folder(clips, tmp_path):
    louder = WaveAugmentConfig(speeds=(1.0,), gain=(6.0, 6.0)).build(RATE)
    wave = read_audio(clips[0].path)
    assert np.allclose(louder(wave, seed=(0, 0, 0)), wave * 10 ** (6 / 20))
    write_wave(tmp_path / "noise" / "n.wav", tone(0.05, 3000))
    noisy = WaveAugmentConfig(speeds=(1.0,), noise=1.0, snr=(10.0, 10.0), noise_folder=str(tmp_path / "noise")).build(
        RATE
    )
    added = noisy(wave, seed=(0, 0, 0)) - wave
    assert np.abs(np.fft.rfft(added)).argmax() * RATE / len(added) == pytest.approx(3000, abs=25)
    with pytest.raises(DataError, match=r"noise_folder .* holds no recordings"):
        (tmp_path / "empty").mkdir()
        WaveAugmentConfig(noise=1.0, noise_folder=str(tmp_path / "empty")).build(RATE)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"speeds": (0.1,)}, "speeds is"),
        ({"gain": (3.0, -3.0)}, "gain is 3.0 to -3.0"),
        ({"noise": 2.0}, "noise is 2.0"),
        ({"colours": ()}, "colours is"),
    ],
)
def test_wrong_changes_are_refused(wrong, told):
    with pytest.raises(ArgumentError, match=told):
        WaveAugmentConfig(**wrong)


class Seen(LightningModule):
    """Notes which clips it is given."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.model = nn.Linear(1, 1)
        self.model.tokenizer = tokenizer
        self.seen: list[list[int]] = []
        self.validated: list[int] = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch["index"].tolist())
        return self.model(batch["wave"].mean().view(1, 1)).sum()

    def validation_step(self, batch, batch_idx):
        self.validated += batch["index"].tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fit(data, tokenizer, folder, path=None, **options):
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
                      default_root_dir=folder, use_distributed_sampler=False, num_sanity_val_steps=0,
                      **options)  # fmt: skip
    module = Seen(tokenizer)
    trainer.fit(module, data, ckpt_path=path)
    return trainer, module


def test_a_training_that_is_stopped_goes_on_with_the_next_batch(tones, tokenizer, tmp_path, capsys):
    def data():
        return SpeechData(str(tones), seconds_per_batch=4.0, workers=0)

    _, whole = fit(data(), tokenizer, tmp_path, max_epochs=2)
    assert sorted(i for batch in whole.seen[: len(whole.seen) // 2] for i in batch) == list(range(24))
    assert sorted(whole.validated) == sorted([*range(6)] * 2)
    assert "24 clips" in capsys.readouterr().err
    trainer, begun = fit(data(), tokenizer, tmp_path, max_steps=2, max_epochs=2, enable_checkpointing=False)
    trainer.save_checkpoint(tmp_path / "stopped.ckpt")
    # The trainer counts the epoch in which it was stopped as done.
    _, rest = fit(data(), tokenizer, tmp_path, tmp_path / "stopped.ckpt", max_epochs=3)
    assert begun.seen + rest.seen == whole.seen


def ready(data, tokenizer, **features):
    """`data` as if a Trainer ran it."""
    model = SimpleNamespace(tokenizer=tokenizer, **features)
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(model=model), global_rank=0, world_size=1,
                                   strategy=SimpleNamespace(root_device=torch.device("cpu")))  # fmt: skip
    return data


def test_the_rate_is_that_of_the_features_of_the_model(tones, tokenizer):
    data = ready(SpeechData(str(tones), augment=None, workers=0), tokenizer, features=SimpleNamespace(rate=8000))
    batch = next(iter(data.val_dataloader()))
    seconds = [data.samples.splits["val"][i].seconds or 0 for i in batch["index"].tolist()]
    assert batch["samples"].tolist() == pytest.approx([8000 * each for each in seconds], abs=8)


def test_texts_are_normalised_and_too_long_clips_left_out(tmp_path, capsys):
    for name, seconds in (("a", 0.2), ("b", 0.2), ("c", 0.2), ("d", 2.0)):
        write_wave(tmp_path / f"{name}.wav", tone(seconds))
    texts = ("A, b!", "Two", "...", "Long")
    rows = [{"file": f"{name}.wav", "text": text} for name, text in zip("abcd", texts, strict=True)]
    table = str(write_table(tmp_path / "x.jsonl", rows))
    data = SpeechData(table, normalizer="letters", longest=1.0, val_fraction=0.01)
    held_out = [clip.text for clip in data.samples.splits["val"]]
    kept = sorted([*data.texts, *held_out])
    assert set(kept) <= {"a b", "two", "long"}
    assert "no text remains under the normaliser 'letters'" in [one.reason for one in data.samples.skipped]
    assert "entries of" in capsys.readouterr().err
    with pytest.raises(ArgumentError, match=r"'leters' is not a normaliser.*'letters'"):
        SpeechData(table, normalizer="leters")
    with pytest.raises(ArgumentError, match="both must be above 0"):
        SpeechData(table, seconds_per_batch=0.0)
    with pytest.raises(DataError, match=r"training clips of .* are longer than 0.1 seconds"):
        SpeechData(table, longest=0.1)


def test_a_split_that_is_not_there_is_named(tones, tokenizer):
    data = ready(SpeechData(str(tones), workers=0), tokenizer)
    with pytest.raises(DataError, match="has no dev part; the parts that it has are train, val, test"):
        data.evaluation_loader("dev")
    with pytest.raises(DataError, match="a model that has a tokenizer"):
        ready(SpeechData(str(tones), workers=0), None).train_dataloader()


def test_tones_follow_from_the_seed_and_share_no_voice(tones, tmp_path):
    again = write_tones(tmp_path / "again", train=24, val=6, test=6)
    for name in ("manifest.jsonl", "wav/train0003.wav", "wav/test0005.wav"):
        assert (again / name).read_bytes() == (tones / name).read_bytes()
    assert (write_tones(tmp_path / "other", train=24, val=6, test=6, seed=1) / "manifest.jsonl").read_bytes() != (
        tones / "manifest.jsonl"
    ).read_bytes()
    splits = SpeechData(str(tones), workers=0).samples.splits
    voices = [{clip.speaker for clip in splits[split]} for split in ("train", "val", "test")]
    assert [len(one) for one in voices] == [4, 1, 1]
    assert len(set.union(*voices)) == 6
    assert {word for clip in splits["train"] for word in clip.text.split()} == set(WORDS)


def test_tones_of_one_word_have_a_label(tmp_path):
    root = write_tones(tmp_path / "one", train=3, val=1, test=1, words=(1, 1))
    assert '"label": ' in (root / "manifest.jsonl").read_text()
    with pytest.raises(ArgumentError, match=r"words is \(0, 1\)"):
        write_tones(tmp_path, words=(0, 1))
