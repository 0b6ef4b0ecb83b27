"""Every fault that a check looks for is found where it is, and none in good recordings."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from speech_files import tone, write_table, write_wave

import multimodal as mm
from multimodal import cli
from multimodal.data.check import kind_of
from multimodal.data.speech.check import check_speech
from multimodal.data.speech.tones import write_tones
from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers.text_training import train_tokenizer


@pytest.fixture
def good(tmp_path):
    """A folder, its rows, and what writes them with changes."""
    root = tmp_path / "data"
    rows = []
    for i in range(30):
        split = "train" if i < 20 else "val"
        write_wave(root / f"{i}.wav", tone(1.0, 300 + 10 * i))
        rows.append({"file": f"{i}.wav", "text": "about so long", "split": split, "speaker": f"{split}{i % 4}"})
    write_table(root / "manifest.jsonl", rows)
    return root, rows


def found(root, rows=None, **options):
    """The findings of a check, by code."""
    if rows is not None:
        write_table(root / "manifest.jsonl", rows)
    return {finding.code: finding for finding in check_speech(root, **options).findings}


def test_in_good_recordings_nothing_is_found(good):
    report = check_speech(good[0])
    assert report.findings == ()
    assert report.clips == 30
    assert report.seconds == (1.0, 1.0, 1.0)
    assert (report.rates, report.formats, report.channels) == ({16_000: 30}, {"WAV": 30}, {1: 30})
    train = report.splits["train"]
    assert (train.clips, train.speakers, train.words, train.hours) == (20, 4, 60, pytest.approx(20 / 3600))
    assert report.characters_per_second == 11
    told = str(report)
    assert "30 recordings, 0.5 minutes" in told and "different ones: space ab" in told
    assert told.endswith("Nothing wrong found.")


@pytest.mark.parametrize(
    ("code", "severity", "sound", "rate"),
    [
        ("silent", "warning", 0.0005 * np.random.default_rng(0).standard_normal(16_000), 16_000),
        ("clipped", "warning", 3 * tone(1.0), 16_000),
        ("short", "warning", tone(0.05), 16_000),
        ("low_rate", "warning", tone(1.0, rate=8000), 8000),
        ("mixed_rates", "note", tone(1.0, rate=44_100), 44_100),
        ("channels", "note", np.stack([tone(1.0), tone(1.0)], axis=1), 16_000),
    ],
)
def test_what_is_wrong_with_a_sound(code, severity, sound, rate, good):
    root, _ = good
    write_wave(root / "3.wav", sound, rate=rate)
    finding = found(root)[code]
    assert finding.severity == severity
    assert code == "mixed_rates" or finding.files == ((str(root / "3.wav"),),)


def test_a_loud_sound_that_touches_the_limit_is_not_cut_off(good):
    write_wave(good[0] / "3.wav", tone(1.0, 440.0, loud=0.9985))
    assert "clipped" not in found(good[0])


def test_long_ones_are_read_in_pieces(good):
    write_wave(good[0] / "3.wav", tone(65, rate=8000), rate=8000)
    assert found(good[0])["long"].files == ((str(good[0] / "3.wav"),),)


def test_unreadable_files_are_errors_with_reasons(good):
    root, _ = good
    (root / "3.wav").write_text("no sound")
    finding = found(root)["unreadable"]
    assert finding.severity == "error"
    assert "3.wav" in finding.details[0]
    assert check_speech(root).splits["train"].unreadable == 1


def test_missing_files_and_empty_texts_are_named(good):
    root, rows = good
    (root / "3.wav").unlink()
    rows[4]["text"] = " "
    report = check_speech(write_table(root / "manifest.jsonl", rows))
    told = [finding.message for finding in report.findings if finding.code == "left_out"]
    assert told == ["1 entry left out: file not found", "1 entry left out: empty text"]


@pytest.mark.parametrize(("place", "code"), [(25, "same_clip_in_splits"), (4, "same_clip_with_texts")])
def test_the_same_clip_is_found_by_its_samples(place, code, good):
    import soundfile

    root, rows = good
    samples, rate = soundfile.read(root / "3.wav", dtype="int16")
    soundfile.write(root / "copy.flac", samples, rate)
    rows[place] |= {"file": "copy.flac", "text": "another text"}
    finding = found(root, rows)[code]
    assert finding.severity == "error"
    assert finding.files == ((str(root / "3.wav"), str(root / "copy.flac")),)


def test_copies_with_the_same_text_are_warned_of(good):
    root, _ = good
    (root / "4.wav").write_bytes((root / "3.wav").read_bytes())
    assert found(root)["same_clip"].severity == "warning"


def test_a_speaker_on_both_sides_is_named(good):
    root, rows = good
    rows[25]["speaker"] = "train1"
    assert found(root, rows)["speaker_in_splits"].details == ("train1",)


def test_texts_that_cannot_be_of_their_clips(good):
    root, rows = good
    rows[2]["text"] = "far more words than anybody can say in a single second"
    rows[5]["text"] = "a"
    codes = found(root, rows)
    assert "2.wav" in codes["much_text"].details[0]
    assert "5.wav" in codes["little_text"].details[0]
    assert len(codes["much_text"].details) == len(codes["little_text"].details) == 1


def test_seconds_of_a_table_that_are_wrong_are_errors(good):
    root, rows = good
    rows[2]["seconds"] = 7.0
    finding = found(root, rows)["wrong_seconds"]
    assert finding.severity == "error"
    assert "7.00 s in the table, 1.00 s in the file" in finding.details[0]


def test_characters_that_training_never_shows(good):
    root, rows = good
    rows[25]["text"] = "about Zürich"
    assert found(root, rows)["unseen_characters"].message.endswith(": Z c h i r ü")


def test_characters_outside_of_a_vocabulary(good, tmp_path):
    root, rows = good
    train_tokenizer(iter(["a b c d e f g h i j k l m n o p q r s t u v w x y z"]), "character").save(tmp_path / "model")
    assert found(root, model=tmp_path / "model") == {}
    rows[2]["text"] = "about Zürich 5"
    finding = found(root, rows, model=tmp_path / "model")["outside_vocabulary"]
    assert finding.severity == "error"
    assert finding.message.endswith(": 5 Z ü")
    with pytest.raises(DataError, match="tokenizer"):
        check_speech(root, model=tmp_path)


def test_recordings_without_texts_are_checked_as_sound(tmp_path):
    write_wave(tmp_path / "a.wav", tone(1.0))
    write_wave(tmp_path / "b.wav", np.zeros(16_000))
    codes = found(tmp_path)
    assert set(codes) == {"silent", "no_texts", "no_validation"}


def test_the_made_language_is_sound(tmp_path):
    assert check_speech(write_tones(tmp_path / "tones", train=12, val=4, test=4)).ok


def test_one_function_and_one_command_for_images_and_recordings(good, tmp_path, capsys):
    root, rows = good
    rows[2]["seconds"] = 7.0
    assert mm.check(root).ok
    write_table(root / "manifest.jsonl", rows)
    assert cli.main(["check", str(root / "manifest.jsonl"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["findings"][0]["code"] == "wrong_seconds"
    assert told["splits"]["val"]["clips"] == 10
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(2):
            colour = (i * 90, 60 * len(label), 3 if label == "cat" else 200)
            Image.new("RGB", (40, 40), colour).save(tmp_path / "photos" / label / f"{i}.png")
    assert kind_of(tmp_path / "photos") == "images"
    assert "classes" in str(mm.check(tmp_path / "photos"))
    with pytest.raises(ArgumentError, match="holds no recordings"):
        mm.check(tmp_path / "photos", model="x")


def test_a_table_says_of_what_it_is(tmp_path):
    table = write_table(tmp_path / "there.jsonl", [{"file": "/elsewhere/a.flac", "text": "x"}])
    assert kind_of(table) == kind_of(tmp_path) == "recordings"
    assert kind_of(write_table(tmp_path / "x" / "y.jsonl", [{"file": "a.jpg", "label": "x"}])) == "images"
    assert kind_of(tmp_path / "nothing") == "images"
