"""The scripts data/*/prepare.py of recordings, against made-up archives instead of the real ones."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from prepare_scripts import archive, script, zipped

from multimodal.data.speech.read import read_speech
from multimodal.media import read_audio


def sound(form: str, seconds: float = 0.5) -> bytes:
    samples = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * 16_000))
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format=form, subtype="PCM_16")
    return file.getvalue()


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def source(tmp_path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def test_librispeech(source, tmp_path, monkeypatch):
    module = script("librispeech")
    monkeypatch.setattr(module, "SOURCE", source.as_uri())
    for part, speaker in [("train-clean-100", 103), ("dev-clean", 84), ("test-clean", 61)]:
        start = f"LibriSpeech/{part}/{speaker}/7/{speaker}-7"
        lines = f"{speaker}-7-0000 CHAPTER ONE\n{speaker}-7-0001 IT'S HERE\n"
        members = {f"{start}.trans.txt": lines.encode(), "LibriSpeech/README.TXT": b"x"}
        members |= {f"{start}-000{i}.flac": sound("FLAC", 0.5 + i) for i in range(2)}
        monkeypatch.setitem(
            module.CHECKSUMS, part, archive(source / f"{part}.tar.gz", members, "md5").partition(":")[2]
        )
    out = tmp_path / "out" / "audio"
    assert module.main([str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["audio"]
    assert sorted(path.name for path in out.iterdir()) == [
        "dev-clean",
        "manifest.jsonl",
        "test-clean",
        "train-clean-100",
    ]
    first = {"text": "CHAPTER ONE", "split": "val", "speaker": "84", "seconds": 0.5}
    assert rows(out)[0] == {"file": "dev-clean/84/7/84-7-0000.flac", **first}
    data = read_speech(out)
    assert data.skipped == ()
    assert list(data.splits) == ["train", "val", "test"]
    for samples in data.splits.values():
        assert [sample.text for sample in samples] == ["CHAPTER ONE", "IT'S HERE"]
    assert [sample.seconds for sample in data.splits["train"]] == [0.5, 1.5]


def test_speech_commands(source, tmp_path, monkeypatch):
    module = script("speech_commands")
    files = [f"{word}/{speaker}_nohash_0.wav" for word in ("yes", "no") for speaker in ("0a", "1b", "2c")]
    members = {f"./{name}": sound("WAV") for name in [*files, "_background_noise_/pink_noise.wav"]}
    members |= {"./validation_list.txt": b"yes/1b_nohash_0.wav\nno/1b_nohash_0.wav\n", "./LICENSE": b"x"}
    members |= {"./testing_list.txt": b"yes/2c_nohash_0.wav\n"}
    monkeypatch.setattr(module, "CHECKSUM", archive(source / "x.tar.gz", members))
    monkeypatch.setattr(module, "URL", (source / "x.tar.gz").as_uri())
    out = tmp_path / "out" / "audio"
    assert module.main([str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["background_noise", "manifest.jsonl", "test", "train", "val"]
    found = rows(out)
    assert len(found) == 6 and all((out / row["file"]).is_file() for row in found)
    assert [(row["label"], row["speaker"]) for row in found if row["split"] == "val"] == [("no", "1b"), ("yes", "1b")]
    assert found[0] == {
        "file": "test/yes/2c_nohash_0.wav", "label": "yes", "split": "test", "speaker": "2c", "seconds": 0.5
    }  # fmt: skip
    assert len(read_speech(out, text="label").splits["train"]) == 3


def test_esc50(source, tmp_path, monkeypatch):
    module = script("esc50")
    top = f"ESC-50-{module.COMMIT}"
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    members = {}
    for fold in module.FOLDS:
        name = f"{fold}-10{fold}-A-21.wav"
        lines.append(f"{name},{fold},21,crying_baby,False,10{fold},A")
        members[f"{top}/audio/{name}"] = sound("WAV")
    members[f"{top}/meta/esc50.csv"] = "\n".join(lines).encode()
    monkeypatch.setattr(module, "CHECKSUM", zipped(source / "x.zip", members))
    monkeypatch.setattr(module, "URL", (source / "x.zip").as_uri())
    out = tmp_path / "out" / "audio"
    assert module.main([str(out), "--test-fold", "2"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["manifest.jsonl", "test", "train"]
    found = rows(out)
    assert [(row["fold"], row["split"]) for row in found] == [(2, "test"), *((fold, "train") for fold in (1, 3, 4, 5))]
    assert found[0]["file"] == "test/crying baby/2-102-A-21.wav"
    assert (found[0]["label"], found[0]["source"], found[0]["seconds"]) == ("crying baby", "102", 0.5)


def sphere(samples: np.ndarray) -> bytes:
    """A NIST SPHERE file of 16-bit samples as AN4 has them: a header of 1,024 bytes in text, low byte first."""
    fields = f"""NIST_1A
   1024
database_id -s3 AN4
channel_count -i 1
sample_count -i {len(samples)}
sample_rate -i 16000
sample_n_bytes -i 2
sample_byte_format -s2 01
sample_sig_bits -i 16
end_head
"""
    return fields.encode().ljust(1024, b" ") + samples.astype("<i2").tobytes()


def test_an4(source, tmp_path, monkeypatch):
    module = script("an4")
    samples = np.random.default_rng(0).integers(-9_000, 9_000, 8_000)
    members = {
        "an4/etc/an4_train.transcription": b"<s> YES </s> (an251-fash-b)\n<s> P O W E L L </s> (cen1-fash-b)\n",
        "an4/etc/an4_test.transcription": b"\nENTER NINE ONE (an417-mdms2-b)\n",
        "an4/wav/an4_clstk/fash/an251-fash-b.sph": sphere(samples),
        "an4/wav/an4_clstk/fash/cen1-fash-b.sph": sphere(samples[:4_000]),
        "an4/wav/an4test_clstk/mdms2/an417-mdms2-b.sph": sphere(samples),
    }
    checksum = archive(source / "x.tar.gz", members)
    monkeypatch.setattr(module, "CHECKSUM", checksum)
    monkeypatch.setattr(module, "SOURCES", ((source / "gone.tar.gz").as_uri(), (source / "x.tar.gz").as_uri()))
    out = tmp_path / "out" / "audio"
    assert module.main([str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["audio"]
    assert rows(out) == [
        {
            "file": "test/an417-mdms2-b.flac",
            "text": "ENTER NINE ONE",
            "split": "test",
            "speaker": "mdms2",
            "seconds": 0.5,
        },
        {"file": "train/an251-fash-b.flac", "text": "YES", "split": "train", "speaker": "fash", "seconds": 0.5},
        {"file": "train/cen1-fash-b.flac", "text": "P O W E L L", "split": "train", "speaker": "fash", "seconds": 0.25},
    ]
    assert np.array_equal(read_audio(out / "train" / "an251-fash-b.flac"), (samples / 32768).astype(np.float32))
    assert {split: len(samples) for split, samples in read_speech(out).splits.items()} == {"train": 2, "test": 1}


def test_a_damaged_recording_of_an4_is_named(source, tmp_path, monkeypatch, capsys):
    module = script("an4")
    members = {
        "an4/etc/an4_train.transcription": b"<s> YES </s> (an251-fash-b)\n",
        "an4/wav/an4_clstk/fash/an251-fash-b.sph": b"nothing",
    }
    monkeypatch.setattr(module, "CHECKSUM", archive(source / "x.tar.gz", members))
    monkeypatch.setattr(module, "SOURCES", ((source / "x.tar.gz").as_uri(),))
    assert module.main([str(tmp_path / "out" / "audio")]) == 1
    assert "an251-fash-b.sph cannot be read" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["an4_sphere.tar.gz"]
