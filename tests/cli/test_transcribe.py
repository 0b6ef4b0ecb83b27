"""`multimodal transcribe`: its formats on stdout and in a folder, what is done again, and what cannot be read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import soundfile
from fake_speech import RATE, hearing, said, scripted, voice
from tiny_models import vit
from tiny_speech import tiny_whisper

from multimodal.checkpoint import save
from multimodal.cli import main, transcribe
from multimodal.models.speech import aligned
from multimodal.models.speech.words import WordTime, words_of
from multimodal.presets.conformer import conformer
from multimodal.tokenizers.text_settings import SpecialTokens
from multimodal.tokenizers.text_training import train_tokenizer

HELLO, BYE = "<0.00> Hello <there>.<9.00><9.50> It is me.<20.00>", "<0.00> Good bye.<20.00>"


@pytest.fixture(scope="module")
def whisper():
    return tiny_whisper(length=48)


@pytest.fixture(scope="module")
def model(whisper, tmp_path_factory):
    return str(save(whisper, tmp_path_factory.mktemp("whisper") / "m"))


@pytest.fixture(scope="module")
def ctc(tmp_path_factory):
    tokenizer = train_tokenizer(iter(["YES NO GO"]), "character", special=SpecialTokens(unk="<unk>"))
    sizes: dict[str, Any] = {"dim": 32, "depth": 1, "heads": 2, "kernel": 5, "channels": 4, "mels": 20}
    return str(save(conformer(tokenizer.vocabulary, **sizes).build(tokenizer), tmp_path_factory.mktemp("ctc") / "m"))


@pytest.fixture
def talks(tmp_path, monkeypatch):
    """talks/a.wav, talks/deep/b.flac and a text file; the test works in the folder above."""
    (tmp_path / "talks/deep").mkdir(parents=True)
    soundfile.write(tmp_path / "talks/a.wav", voice(20), RATE)
    soundfile.write(tmp_path / "talks/deep/b.flac", voice(20), RATE)
    (tmp_path / "talks/notes.txt").write_text("no sound")
    monkeypatch.chdir(tmp_path)
    hearing(monkeypatch, lambda number: {"en": 0.9})
    return tmp_path / "talks"


@pytest.fixture
def speaking(whisper, monkeypatch):
    """The decoder says HELLO to the first recording and BYE to the second; what it was asked."""
    answers = [said(whisper, HELLO), said(whisper, BYE)]
    return scripted(monkeypatch, batch=answers, alone=answers)


def run(capsys, *words, status=0):
    """What `multimodal transcribe` prints: (stdout, stderr)."""
    found = main(["transcribe", "--dtype", "float32", *map(str, words)])
    out, err = capsys.readouterr()
    assert found == status, err
    return out, err


SRT = "1\n00:00:00,000 --> 00:00:09,000\nHello <there>.\n\n2\n00:00:09,500 --> 00:00:20,000\nIt is me.\n"


@pytest.mark.parametrize(
    "format, expected",
    [
        ("txt", "Hello <there>.\nIt is me.\n"),
        ("srt", SRT),
        (
            "vtt",
            "WEBVTT\n\n00:00:00.000 --> 00:00:09.000\nHello &lt;there&gt;.\n\n"
            "00:00:09.500 --> 00:00:20.000\nIt is me.\n",
        ),
        ("tsv", "start\tend\ttext\n0\t9000\tHello <there>.\n9500\t20000\tIt is me.\n"),
    ],
)
def test_one_recording(format, expected, talks, model, speaking, capsys):
    assert run(capsys, "talks/a.wav", "--model", model, "--format", format) == (expected, "")


def test_json_and_options(talks, model, speaking, capsys):
    options = ["--language", "German", "--task", "translate", "--beams", 2, "--prompt", "Ada", "--no-condition"]
    found = json.loads(run(capsys, "talks/a.wav", "--model", model, "--format", "json", *options)[0])
    assert (found["source"], found["language"], found["task"]) == ("talks/a.wav", "de", "translate")
    assert [(s["text"], s["decoded"], s["why"]) for s in found["segments"]] == [
        ("Hello <there>.", "sequential", None), ("It is me.", "sequential", None)
    ]  # fmt: skip
    config, prompts = speaking[1].asked[0]
    assert (config.decoding.beams, config.condition, len(prompts[0])) == (2, False, 1)


def test_words(talks, model, speaking, capsys, monkeypatch):
    def half_a_second_each(model, context, ids, **options):
        words = words_of(model.tokenizer, ids, eot=model.tokens.eot)
        return [WordTime(text, i / 2, i / 2 + 0.5, 0.5, tuple(part)) for i, (text, part) in enumerate(words)]

    monkeypatch.setattr(aligned, "word_times", half_a_second_each)
    out, _ = run(capsys, "talks/a.wav", "--model", model, "--format", "srt", "--words", "--batch-size", 1)
    blocks = [block.split("\n") for block in out.rstrip("\n").split("\n\n")]
    assert [block[0] for block in blocks] == [str(i + 1) for i in range(len(blocks))]
    assert [block[2] for block in blocks][-3:] == ["It", "is", "me."]


def test_several_recordings(talks, model, speaking, capsys):
    out, err = run(capsys, "talks", "--model", model)
    assert out == "==> talks/a.wav <==\nHello <there>.\nIt is me.\n\n==> talks/deep/b.flac <==\nGood bye.\n\n"
    assert err == "2 recordings transcribed.\n"


def test_several_as_json_are_one_a_line(talks, model, speaking, capsys):
    out, _ = run(capsys, "talks/**/*", "--model", model, "--format", "json")
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["Hello <there>. It is me.", "Good bye."]


def test_a_folder_of_subtitles(talks, model, speaking, capsys):
    out, err = run(capsys, "talks", "--model", model, "--format", "srt", "--out", "subtitles")
    assert out == "" and err == "2 recordings transcribed, in subtitles.\n"
    assert Path("subtitles/a.srt").read_bytes().decode() == SRT
    assert Path("subtitles/deep/b.srt").read_text() == "1\n00:00:00,000 --> 00:00:20,000\nGood bye.\n"
    assert sum(path.is_file() for path in Path("subtitles").rglob("*")) == 2


def test_what_is_done_is_kept_on_a_rerun(talks, model, whisper, monkeypatch, capsys):
    words = ["talks", "--model", model, "--out", "texts"]
    Path("texts").mkdir()
    Path("texts/a.txt").write_text("by hand\n")
    _, alone = scripted(monkeypatch, alone=[said(whisper, BYE)])
    _, err = run(capsys, *words)
    assert err == "1 recording done before; --again does them again.\n1 recording transcribed, in texts.\n"
    assert Path("texts/a.txt").read_text() == "by hand\n" and Path("texts/deep/b.txt").read_text() == "Good bye.\n"
    assert alone.answers == []
    assert run(capsys, *words, "--model", "/nowhere")[1] == "2 recordings done before; --again does them again.\n"

    os.utime("talks/a.wav", (2e9, 2e9))  # the recording is newer than its text
    scripted(monkeypatch, alone=[said(whisper, HELLO)])
    run(capsys, *words)
    assert Path("texts/a.txt").read_text().startswith("Hello")
    answers = [said(whisper, BYE)] * 2
    scripted(monkeypatch, batch=[answers[0], said(whisper, HELLO)])
    run(capsys, *words, "--again")
    assert Path("texts/deep/b.txt").read_text().startswith("Hello")


def test_a_kill_loses_nothing_that_was_done(talks, model, whisper, monkeypatch, capsys):
    class Killed(BaseException):
        pass

    _, alone = scripted(monkeypatch, alone=[said(whisper, HELLO)])
    real = type(alone).__call__

    def once(self, *arguments, **options):
        if not self.answers:
            raise Killed
        return real(self, *arguments, **options)

    monkeypatch.setattr(type(alone), "__call__", once)
    with pytest.raises(Killed):
        main(["transcribe", "talks", "--model", model, "--out", "texts", "--batch-size", "1"])
    assert [path.as_posix() for path in Path("texts").rglob("*")] == ["texts/a.txt"]
    assert Path("texts/a.txt").read_text() == "Hello <there>.\nIt is me.\n"


def test_equal_names_do_not_overwrite_each_other(talks, model, speaking, capsys):
    Path("talks/a.mp3").write_bytes(Path("talks/a.wav").read_bytes())
    run(capsys, "talks/a.wav", "talks/a.mp3", "--model", model, "--out", "texts")
    assert sorted(path.name for path in Path("texts").iterdir()) == ["a.mp3.txt", "a.wav.txt"]
    Path("talks/deep/a.wav").write_bytes(Path("talks/a.wav").read_bytes())
    _, err = run(capsys, "talks/a.wav", "talks/deep/a.wav", "--model", model, "--out", "texts", status=2)
    assert "would both be written to texts/a.wav.txt; give the folder that both lie in" in err


# What cannot be


@pytest.mark.parametrize("out", [[], ["--out", "texts"]])
def test_what_cannot_be_read_is_named_and_counted(out, talks, model, speaking, capsys):
    Path("talks/bad.wav").write_text("no sound at all\n" * 9)
    _, err = run(capsys, "talks", "talks/notes.txt", "--model", model, *out)
    lines = err.splitlines()
    assert sum("talks/bad.wav" in line for line in lines) == 1 and sum("notes.txt" in line for line in lines) == 1
    assert lines[-1].startswith("2 recordings transcribed") and lines[-1].endswith("; 2 could not be read.")


def test_a_rerun_that_finds_only_what_cannot_be_read_has_not_failed(talks, model, speaking, capsys):
    Path("talks/bad.wav").write_text("no sound at all\n" * 9)
    words = ["talks", "--model", model, "--out", "texts"]
    run(capsys, *words)
    assert run(capsys, *words)[1].splitlines()[-1] == "0 recordings transcribed; 1 could not be read."


def test_nothing_could_be_read(talks, model, capsys):
    out, err = run(capsys, "talks/notes.txt", "--model", model, status=1)
    assert out == "" and "notes.txt" in err


@pytest.mark.parametrize(
    "words, message",
    [
        (["tlks"], "tlks does not exist, and as a pattern matches no recording. Did you mean 'talks'?"),
        (["talks", "--format", "srt"], "--format srt of 2 recordings cannot go to stdout"),
        (["talks/a.wav", "--words"], "--words gives times, which --format txt has not"),
        (["talks/a.wav", "--again"], "it needs --out"),
        (["talks/a.wav", "--out", "talks/a.wav"], "--out is talks/a.wav, which is a file; give a folder."),
        (["talks/a.wav", "--batch-size", "0"], "--batch-size is 0; it must be at least 1."),
        (["talks/a.wav", "--language", "Germn"], "language is 'Germn'"),
        (["talks/a.wav", "--format", "doc"], "--format"),
    ],
)
def test_what_cannot_be_asked(words, message, talks, model, capsys):
    out, err = run(capsys, *words, "--model", model, status=2)
    assert out == "" and message in err


def test_another_kind_of_model(talks, tmp_path, capsys):
    folder = save(vit(), tmp_path / "vit")
    _, err = run(capsys, "talks/a.wav", "--model", folder, status=2)
    assert "is a Classifier; transcribe needs a SpeechRecognizer or a CtcRecognizer" in err
    _, err = run(capsys, folder, "talks/a.wav", status=2)
    assert f"{folder} is a model folder and holds no recordings; say --model {folder}." in err


# A model by CTC


def test_a_ctc_model(talks, ctc, capsys):
    out, _ = run(capsys, "talks/a.wav", "--model", ctc, "--format", "json", "--words")
    found = json.loads(out)
    assert found["seconds"] == 20.0 and {s["decoded"] for s in found["segments"]} <= {"ctc"}
    _, err = run(capsys, "talks", "talks/notes.txt", "--model", ctc, "--format", "srt", "--out", "texts")
    assert "2 recordings transcribed, in texts; 1 could not be read." in err
    assert Path("texts/a.srt").exists() and Path("texts/deep/b.srt").exists()
    _, err = run(capsys, "talks/a.wav", "--model", ctc, "--language", "en", status=2)
    assert "--language has no meaning for" in err


def test_formats_are_those_that_can_be_written():
    from multimodal.models.speech.formats import FORMATS

    assert transcribe.FORMATS == FORMATS
