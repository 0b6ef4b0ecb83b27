"""Every layout gives the same samples; what is missing is named; a validation split tears no speaker."""

from __future__ import annotations

import pytest
from speech_files import tone, write_table, write_wave

from multimodal.data.speech.read import read_recordings, read_speech, with_seconds
from multimodal.data.speech.samples import SpeechSample, SpeechSamples
from multimodal.data.speech.split import hold_out
from multimodal.errors import ArgumentError, DataError


def names(samples, split="train"):
    return [(sample.path.rpartition("/")[2], sample.text) for sample in samples.splits[split]]


@pytest.mark.parametrize("audio", ["file", "audio", "path", "audio_filepath"])
@pytest.mark.parametrize("text", ["text", "sentence", "transcript"])
def test_columns_may_be_called_as_is_usual(audio, text, tmp_path):
    write_wave(tmp_path / "a.wav", tone(0.1))
    table = write_table(tmp_path / "x.jsonl", [{audio: "a.wav", text: "hello there"}])
    assert names(read_speech(table)) == names(read_speech(tmp_path)) == [("a.wav", "hello there")]


@pytest.mark.parametrize(("name", "sign"), [("x.csv", ","), ("x.tsv", "\t")])
def test_all_columns_of_a_table_are_read(name, sign, tmp_path):
    write_wave(tmp_path / "clips" / "a.wav", tone(0.1))
    head = ["path", "sentence", "split", "speaker", "duration", "language"]
    row = ["a.wav", "hi  there", "dev", "ann", "0.1", "en"]
    (tmp_path / name).write_text(f"{sign.join(head)}\n{sign.join(row)}\n")
    samples = read_speech(tmp_path / name)
    assert samples.splits == {"val": (SpeechSample(str(tmp_path / "clips" / "a.wav"), "hi there", 0.1, "ann", "en"),)}


def test_a_row_may_be_a_part_of_a_file(tmp_path):
    write_wave(tmp_path / "a.wav", tone(3))
    rows = [
        {"file": "a.wav", "text": "one", "start": 1, "end": 2.5},
        {"file": "a.wav", "text": "two", "offset": 0.5, "duration": 1},
        {"file": "a.wav", "text": "three", "start": 2},
        {"file": "a.wav", "text": "four", "start": 2, "end": 1},
        {"file": "a.wav", "text": "five", "start": "x"},
    ]
    samples = with_seconds(read_speech(write_table(tmp_path / "x.jsonl", rows)))
    parts = [(sample.start, sample.end, sample.seconds) for sample in samples.splits["train"]]
    assert parts == [(1, 2.5, 1.5), (0.5, 1.5, 1), (2, None, 1)]
    assert [one.reason for one in samples.skipped] == [
        "the clip ends at 1 s, before it begins at 2 s",
        "start is 'x', not a number of seconds",
    ]


def test_what_a_table_lists_in_vain_is_named_and_left_out(tmp_path):
    write_wave(tmp_path / "a.wav", tone(0.1))
    rows = [
        {"file": "a.wav", "text": "good"},
        {"file": "b.wav", "text": "gone"},
        {"file": "a.wav", "text": "  "},
        {"file": "a.wav"},
        {"file": "https://x.org/a.wav", "text": "far"},
        {"file": "a.wav", "text": "good"},
    ]
    samples = read_speech(write_table(tmp_path / "x.jsonl", rows))
    assert names(samples) == [("a.wav", "good")]
    assert [one.reason for one in samples.skipped] == [
        "file not found",
        "empty text",
        "no text",
        "the recording is an address; download it first",
        "listed twice with the same text",
    ]


def test_a_table_of_missing_files_alone_says_where_they_were_looked_for(tmp_path):
    table = write_table(tmp_path / "x.jsonl", [{"file": "b.wav", "text": "gone"}])
    with pytest.raises(DataError, match=r"no recording with a text; files are looked for in .* 1 entries .*not found"):
        read_speech(table)


def test_librispeech(tmp_path):
    for split, name in (("train-clean-100", "103-1240"), ("dev-other", "7-8"), ("test-clean", "9-1")):
        folder = tmp_path / split / name.replace("-", "/")
        write_wave(folder / f"{name}-0000.wav", tone(0.1))
        (folder / f"{name}.trans.txt").write_text(f"{name}-0000 CHAPTER ONE\n{name}-0001 GONE\n")
    samples = read_speech(tmp_path)
    assert {split: names(samples, split) for split in samples.splits} == {
        "train": [("103-1240-0000.wav", "CHAPTER ONE")],
        "val": [("7-8-0000.wav", "CHAPTER ONE")],
        "test": [("9-1-0000.wav", "CHAPTER ONE")],
    }
    assert [sample.speaker for sample in samples.splits["train"]] == ["103"]
    assert [one.reason for one in samples.skipped] == ["file not found"] * 3


def test_ljspeech_takes_the_text_as_it_is_read(tmp_path):
    for name in ("LJ001-0001", "LJ001-0002"):
        write_wave(tmp_path / "wavs" / f"{name}.wav", tone(0.1))
    (tmp_path / "metadata.csv").write_text(
        'LJ001-0001|In 1455, "so"|In fourteen fifty-five, "so"\nLJ001-0002|plain|\nLJ001-0003|gone|gone\n'
    )
    samples = read_speech(tmp_path)
    assert names(samples) == [("LJ001-0001.wav", 'In fourteen fifty-five, "so"'), ("LJ001-0002.wav", "plain")]
    assert [one.reason for one in samples.skipped] == ["file not found"]


def test_common_voice_takes_its_splits_and_not_what_was_refused(tmp_path):
    for name in "abcd":
        write_wave(tmp_path / "clips" / f"{name}.wav", tone(0.1))
    for split, name in (("train", "a"), ("dev", "b"), ("test", "c"), ("invalidated", "d")):
        (tmp_path / f"{split}.tsv").write_text(
            f'client_id\tpath\tsentence\tlocale\nspeaker{name}\t{name}.wav\tA "quote\ten\n'
        )
    samples = read_speech(tmp_path)
    assert {split: names(samples, split) for split in samples.splits} == {
        "train": [("a.wav", 'A "quote')],
        "val": [("b.wav", 'A "quote')],
        "test": [("c.wav", 'A "quote')],
    }
    (one,) = samples.splits["val"]
    assert (one.speaker, one.language) == ("speakerb", "en")


def test_a_text_file_beside_each_recording(tmp_path):
    for place in ("train/x/a", "train/b", "val/c"):
        write_wave(tmp_path / f"{place}.wav", tone(0.1))
    (tmp_path / "train/x/a.txt").write_text("two\nlines\n")
    (tmp_path / "val/c.txt").write_text("see")
    samples = read_speech(tmp_path)
    assert (names(samples), names(samples, "val")) == ([("a.wav", "two lines")], [("c.wav", "see")])
    assert [one.reason for one in samples.skipped] == ["no such file, so its recording has no text"]


def test_recordings_without_texts_can_be_looked_at(tmp_path):
    write_wave(tmp_path / "a.wav", tone(0.1))
    with pytest.raises(DataError, match=r"no recording with a text; give a table .* or put a \.txt beside each"):
        read_speech(tmp_path)
    assert names(read_recordings(tmp_path)) == [("a.wav", "")]
    assert names(read_recordings(write_table(tmp_path / "x.jsonl", [{"file": "a.wav", "digit": 3}]))) == [("a.wav", "")]
    assert names(read_speech(tmp_path / "x.jsonl", text="digit")) == [("a.wav", "3")]


def test_headers_say_what_no_table_says(tmp_path):
    write_wave(tmp_path / "a.wav", tone(0.25, rate=8000), rate=8000)
    (tmp_path / "b.wav").write_text("no sound")
    rows = [{"file": "a.wav", "text": "a"}, {"file": "b.wav", "text": "b"}]
    samples = with_seconds(read_speech(write_table(tmp_path / "x.jsonl", rows)))
    assert [sample.seconds for sample in samples.splits["train"]] == [0.25]
    assert "b.wav" in samples.skipped[0].path


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"file": "a.wav", "words": "x"}], "no column for the texts: it should be called text"),
        ([{"file": "a.wav", "path": "b", "text": "x"}], "'file' and 'path' could both be the recordings"),
        ([{"file": "a.wav", "text": "x", "split": "tran"}], "the split 'tran' is not one of .* Did you mean 'train'"),
    ],
)
def test_wrong_tables_are_one_sentence(rows, told, tmp_path):
    write_wave(tmp_path / "a.wav", tone(0.1))
    with pytest.raises(DataError, match=told):
        read_speech(write_table(tmp_path / "x.jsonl", rows))


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(DataError, match="is a single recording; give a table"):
        read_speech(write_wave(tmp_path / "a.wav", tone(0.1)))
    with pytest.raises(DataError, match="There is no file or folder"):
        read_speech(tmp_path / "b")
    with pytest.raises(ArgumentError, match="no column 'txt'; its columns are file, text"):
        read_speech(write_table(tmp_path / "x.jsonl", [{"file": "a.wav", "text": "x"}]), text="txt")


def clips(speakers, each=10):
    return tuple(SpeechSample(f"root/{s}-{i}.wav", "x", 1.0, s) for s in speakers for i in range(each))


def test_no_speaker_is_on_both_sides():
    samples = SpeechSamples("root", {"train": clips("abcdefghij"), "test": clips("z")}, ())
    for seed in range(5):
        splits = hold_out(samples, 0.2, seed).splits
        assert list(splits) == ["train", "val", "test"]
        assert not {s.speaker for s in splits["train"]} & {s.speaker for s in splits["val"]}
        assert len(splits["val"]) == 20
        assert set(splits["train"]) | set(splits["val"]) == set(samples.splits["train"])
        assert hold_out(samples, 0.2, seed) == hold_out(samples, 0.2, seed)
    assert len({hold_out(samples, 0.2, seed).splits["val"] for seed in range(5)}) > 1


def test_without_speakers_clips_are_held_out_and_what_is_added_moves_few():
    unknown = tuple(SpeechSample(f"root/{i}.wav", "x", 1.0) for i in range(200))
    before = hold_out(SpeechSamples("root", {"train": unknown[:150]}, ()), 0.1, 0).splits
    after = hold_out(SpeechSamples("root", {"train": unknown}, ()), 0.1, 0).splits
    assert (len(before["val"]), len(after["val"])) == (15, 20)
    assert len(hold_out(SpeechSamples("root", {"train": clips("a", 100)}, ()), 0.1, 0).splits["val"]) == 10
    elsewhere = tuple(SpeechSample(f"b/{i}.wav", "x", 1.0) for i in range(200))
    moved = hold_out(SpeechSamples("b", {"train": elsewhere}, ()), 0.1, 0).splits
    assert [one.path[1:] for one in moved["val"]] == [one.path[4:] for one in after["val"]], "wherever the folder lies"


def test_what_is_split_already_stays():
    samples = SpeechSamples("root", {"train": clips("abc"), "val": clips("d")}, ())
    assert hold_out(samples, 0.1, 0) is samples
    with pytest.raises(ArgumentError, match=r"val_fraction is 1\.5; it must lie between 0 and 1"):
        hold_out(samples, 1.5, 0)
    with pytest.raises(DataError, match="a single clip"):
        hold_out(SpeechSamples("root", {"train": clips("a", 1)}, ()), 0.1, 0)


def test_a_file_without_samples_is_named_so(tmp_path):
    write_wave(tmp_path / "a.wav", tone(0.1))
    write_wave(tmp_path / "b.wav", tone(0.1)[:0])
    rows = [{"file": "a.wav", "text": "one"}, {"file": "b.wav", "text": "two"}]
    samples = with_seconds(read_speech(write_table(tmp_path / "x.jsonl", rows)))
    assert len(samples.splits["train"]) == 1 and [one.reason for one in samples.skipped] == ["it holds no samples"]
