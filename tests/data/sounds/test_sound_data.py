"""Labelled recordings and recordings with captions: the layouts and batches of images, with other files."""

from __future__ import annotations

import json
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from tiny_sounds import RATE, TRANSFORM, classifier, dual_encoder, tone

from multimodal.data.images.augment import AugmentConfig
from multimodal.data.images.data_modules import LabeledImageData
from multimodal.data.images.read import read_labeled_images
from multimodal.data.images.samples import SOUNDS
from multimodal.data.pairs.data_modules import PairData
from multimodal.data.pairs.read import read_pairs
from multimodal.data.sounds.augment import SoundAugmentConfig
from multimodal.data.sounds.data_modules import SoundFolderData
from multimodal.data.speech.augment import WaveAugmentConfig
from multimodal.data.speech.tones import write_tones
from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers.audio_features import LogMelConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig

PLAIN = SoundAugmentConfig(wave=WaveAugmentConfig(speeds=(1.0,)), shift=0.0)


def clip(path, frequency=440.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(frequency, 0.2), RATE)
    return path


@pytest.fixture
def folders(tmp_path):
    """Two classes of four clips, with a note and an image beside them."""
    for name, low in (("high", 2000), ("low", 300)):
        for i in range(4):
            clip(tmp_path / "data" / name / f"{i}.wav", low + 20 * i)
    (tmp_path / "data" / "low" / "notes.txt").write_text("x")
    (tmp_path / "data" / "low" / "cover.png").write_bytes(b"x")
    return tmp_path / "data"


def test_class_folders(folders):
    found = read_labeled_images(folders, kind=SOUNDS)
    assert found.labels == ("high", "low") and len(found.splits["train"]) == 8
    assert [one.reason for one in found.skipped] == ["not a recording file"] * 2


def test_messages_speak_of_recordings(folders, tmp_path):
    (tmp_path / "pictures" / "a").mkdir(parents=True)
    (tmp_path / "pictures" / "a" / "1.png").write_bytes(b"x")
    clip(tmp_path / "flat" / "1.wav")
    clip(tmp_path / "single" / "a" / "1.wav")
    for place, message in (
        ("pictures", "holds no recordings: none of its 1 files"),
        ("flat", r"holds 1 recording but no class folders.*\n.*\n    cat/  1\.wav"),
        ("single", r"one class, 'a' \(1 training recordings\)"),
        ("single/a/1.wav", "is a single recording; give a folder"),
    ):
        with pytest.raises(DataError, match=message):
            read_labeled_images(tmp_path / place, kind=SOUNDS)
    with pytest.raises(DataError, match="holds no images"):
        read_labeled_images(tmp_path / "flat")


def test_a_table_and_a_shard(folders, tmp_path):
    rows = [{"audio": f"{name}/{i}.wav", "label": name} for name in ("high", "low") for i in range(4)]
    (folders / "table.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read_labeled_images(folders / "table.jsonl", kind=SOUNDS).labels == ("high", "low")
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        for name in ("high", "low"):
            (tmp_path / "label").write_text(name)
            shard.add(folders / name / "0.wav", f"{name}.wav")
            shard.add(tmp_path / "label", f"{name}.cls")
    found = read_labeled_images(tmp_path / "a.tar", kind=SOUNDS)
    assert found.labels == ("high", "low")
    data = LabeledImageData(found, augment=PLAIN, batch_size=2, workers=0, transform=TRANSFORM)
    expected = TRANSFORM.build().read(folders / "high" / "0.wav")
    assert torch.equal(data.evaluation_loader("train").dataset[(0, 0)]["pixels"], expected)


def test_batches_are_what_the_model_hears(folders):
    data = SoundFolderData(str(folders), batch_size=3, workers=0, val_fraction=0.25, augment=PLAIN)
    data.trainer = SimpleNamespace(
        lightning_module=SimpleNamespace(model=classifier()), world_size=1, global_rank=0,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )  # fmt: skip
    assert data.labels == ("high", "low")
    (batch,) = data.val_dataloader()
    assert batch["pixels"].shape == (2, 1, 24, 50) and batch["target"].tolist() == [0, 1]
    path = data.images.splits["val"][0].path
    assert torch.equal(batch["pixels"][0], classifier().transform.read(path))
    train = list(data.train_dataloader())
    assert len(train) == 2 and train[0]["pixels"].shape == (3, 1, 24, 50)


def test_no_augmentation_leaves_the_clip(folders):
    data = (folders / "low" / "0.wav").read_bytes()
    assert torch.equal(PLAIN.build(TRANSFORM).read(data, seed=5), TRANSFORM.build().read(data))


@pytest.mark.parametrize("features", [TRANSFORM.features, LogMelConfig(mels=24)])
def test_changes_follow_from_the_seed(folders, features):
    data = (folders / "low" / "0.wav").read_bytes()
    transform = AudioTransformConfig(features=features, seconds=0.5)
    augment = SoundAugmentConfig(tempo=0.3).build(transform)
    first, again, other = (augment.read(data, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == other.shape == (1, 24, 50)


def test_a_clip_begins_anywhere_in_the_room_that_is_left(folders):
    data = (folders / "low" / "0.wav").read_bytes()  # 0.2 s: 18 frames of 50
    augment = SoundAugmentConfig(wave=WaveAugmentConfig(speeds=(1.0,)), shift=1.0).build(TRANSFORM)
    plain = TRANSFORM.build().read(data)
    starts = set()
    for seed in range(40):
        found = augment.read(data, seed=seed)[0]
        sounding = (found != found[0, 0]) if bool((found[:, 0] == found[0, 0]).all()) else torch.ones_like(found) > 0
        start = int(sounding.any(0).int().argmax())
        starts.add(start)
        torch.testing.assert_close(found[:, start : start + 18], plain[0, :, :18])
    assert min(starts) <= 3 and 29 <= max(starts) <= 32


def test_of_a_long_clip_any_part_is_drawn(tmp_path):
    rising = np.concatenate([tone(300 * (i + 1), 0.5) for i in range(4)])
    soundfile.write(tmp_path / "long.wav", rising, RATE)
    augment = SoundAugmentConfig(wave=WaveAugmentConfig(speeds=(1.0,))).build(TRANSFORM)
    data = (tmp_path / "long.wav").read_bytes()
    loudest = {int(augment.read(data, seed=seed)[0].mean(1).argmax()) for seed in range(20)}
    assert len(loudest) > 2, "other tones of the four are heard"


def test_a_tempo_moves_no_pitch(folders):
    data = (folders / "high" / "0.wav").read_bytes()
    plain = TRANSFORM.build().read(data)[0, :, :10].mean(1).argmax()
    augment = SoundAugmentConfig(wave=WaveAugmentConfig(speeds=(1.0,)), tempo=0.5, shift=0.0).build(TRANSFORM)
    for seed in range(5):
        assert augment.read(data, seed=seed)[0, :, :5].mean(1).argmax() == plain


def test_augmentation_of_the_other_kind_is_refused():
    with pytest.raises(ArgumentError, match="AugmentConfig takes models of images"):
        AugmentConfig().build(TRANSFORM)
    with pytest.raises(ArgumentError, match="SoundAugmentConfig takes models of sound"):
        PLAIN.build(ImageTransformConfig())
    for field, value in (("tempo", 1.0), ("shift", 1.5)):
        with pytest.raises(ArgumentError, match=f"{field} is {value}"):
            SoundAugmentConfig(**{field: value})


def test_pairs_of_every_layout_may_be_recordings(tmp_path):
    root = write_tones(tmp_path / "tones", train=6, val=2, test=0)
    found = read_pairs(root / "manifest.jsonl")
    assert len(found.splits["train"]) == 6 and len(found.splits["val"]) == 2
    for i in range(3):
        clip(tmp_path / "texts" / f"{i}.wav")
        (tmp_path / "texts" / f"{i}.txt").write_text(f"tone {i}\n")
    assert len(read_pairs(tmp_path / "texts").splits["train"]) == 3
    with tarfile.open(tmp_path / "pairs.tar", "w") as shard:
        for i in range(3):
            for ending in ("wav", "txt"):
                shard.add(tmp_path / "texts" / f"{i}.{ending}", f"{i}.{ending}")
    assert [pair.captions for pair in read_pairs(tmp_path / "pairs.tar").splits["train"]] == [
        (f"tone {i}",) for i in range(3)
    ]


def test_pairs_become_batches_of_spectrograms(tmp_path):
    root = write_tones(tmp_path / "tones", train=6, val=2, test=0)
    model = dual_encoder()
    data = PairData(str(root / "manifest.jsonl"), batch_size=4, workers=0, augment=PLAIN)
    data.trainer = SimpleNamespace(
        lightning_module=SimpleNamespace(model=model), world_size=1, global_rank=0,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )  # fmt: skip
    (batch,) = data.train_dataloader()
    assert batch["pixels"].shape == (4, 1, 24, 50) and len(batch["ids"]) == 4
    (val,) = data.val_dataloader()
    assert torch.equal(val["pixels"][0], model.transform.read(data.images.splits["val"][0].path))
    images = PairData(str(root / "manifest.jsonl"), batch_size=4, workers=0)
    images.trainer = data.trainer
    with pytest.raises(ArgumentError, match="AugmentConfig takes models of images"):
        images.train_dataloader()
