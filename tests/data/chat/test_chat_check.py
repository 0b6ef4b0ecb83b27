"""Every fault that a check looks for is found where it is, and none in good conversations."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from chat_sets import picture, talk, write_rows
from tiny_models import vit
from tiny_text_models import gpt
from tiny_vision_language import hearing, seeing

import multimodal as mm
from multimodal.checkpoint import save
from multimodal.cli import main
from multimodal.data.chat.check import check_chat
from multimodal.data.check import kind_of
from multimodal.errors import ArgumentError, DataError

COUNT = 12
ASK = "<image>\nWhich?"


@pytest.fixture
def rows(tmp_path):
    """Twelve rows, eight to train on; their images are there."""
    for number in range(COUNT):
        picture(tmp_path / "images" / f"{number}.png", number)
    return [talk(ASK, f"it is {n}", image=f"{n}.png", split="train" if n < 8 else "val") for n in range(COUNT)]


@pytest.fixture
def found(tmp_path):
    """The findings of a check of rows, by code."""

    def check(rows, **options):
        return {one.code: one for one in check_chat(write_rows(tmp_path / "x.jsonl", rows), **options).findings}

    return check


def where(tmp_path, *lines):
    return tuple((f"{tmp_path / 'x.jsonl'}, line {line}",) for line in lines)


def test_in_good_conversations_nothing_is_found(rows, tmp_path):
    report = check_chat(write_rows(tmp_path / "x.jsonl", rows), model=seeing())
    assert report.findings == ()
    assert report.ok
    train = report.splits["train"]
    assert (train.conversations, train.answers, train.images, train.cut, train.unusable) == (8, 8, 8, 0, 0)
    assert report.words == (3, 3, 3)
    # "USER: ", 16 tokens of an image, "\nWhich? ASSISTANT:", " it is 7" (or one digit more): the end is only predicted.
    assert report.tokens == (6 + 16 + 18 + 8, 48, 49)
    assert report.longest == 256
    told = str(report)
    assert "12 conversations" in told and "48 to 49 tokens, median 48, images included; the model reads 256" in told
    assert told.endswith("Nothing wrong found.")
    assert check_chat(tmp_path / "x.jsonl").tokens is None


def test_rows_that_cannot_be_used_are_errors(rows, found, tmp_path):
    rows[2]["messages"][0]["content"] = "Which?"
    rows[3]["images"] = "gone.png"
    report = check_chat(write_rows(tmp_path / "x.jsonl", rows))
    assert not report.ok
    assert [(one.severity, one.code) for one in report.findings] == [("error", "left_out")] * 2
    assert "0 places for images" in report.findings[0].message
    assert report.findings[0].files == where(tmp_path, 3)
    assert report.findings[1].files == ((str(tmp_path / "gone.png"),),)


def test_damaged_files(rows, found, tmp_path):
    bad = tmp_path / "images" / "4.png"
    bad.write_bytes(bad.read_bytes()[:60])
    finding = found(rows)["unreadable"]
    assert finding.severity == "error"
    assert finding.files == ((str(bad),),)
    assert str(bad) in finding.details[0]


def test_recordings_that_are_longer_than_what_is_heard(tmp_path, found, monkeypatch):
    monkeypatch.setattr("multimodal.models.chat.views.LONGEST", 40.0)
    rows = []
    for seconds in (40, 41):  # in pieces of half a minute
        soundfile.write(tmp_path / f"{seconds}.wav", np.zeros(seconds * 16_000, np.float32), 16_000)
        rows.append(talk(f"<audio>\n{seconds}?", "yes", audios=f"{seconds}.wav"))
    long = str(tmp_path / "41.wav")
    for model in (None, hearing()):
        finding = found(rows, model=model)["unreadable"]
        assert finding.severity == "error" and finding.files == ((long,),)
        assert finding.details[0].startswith(f"{long}: The recording is longer than 40 s")


def test_the_same_in_two_splits_or_twice(rows, found, tmp_path):
    copy = tmp_path / "images" / "copy.png"
    copy.write_bytes((tmp_path / "images" / "1.png").read_bytes())
    again = talk(ASK, "it is 1", image="copy.png", split="val")
    findings = found([*rows, again, rows[2], talk("<image>\nSure?", "yes", image="3.png", split="val")])
    assert findings["same_chat_in_splits"].severity == "error"
    assert findings["same_chat_in_splits"].files == ((*where(tmp_path, 2)[0], *where(tmp_path, 13)[0]),)
    assert findings["same_chat"].severity == "warning"
    assert findings["same_chat"].files == ((*where(tmp_path, 3)[0], *where(tmp_path, 14)[0]),)
    shared = findings["same_file_in_splits"]
    assert shared.severity == "warning"
    assert shared.files == ((str(tmp_path / "images" / "1.png"), str(copy)), (str(tmp_path / "images" / "3.png"),))
    assert set(findings) == {"same_chat_in_splits", "same_chat", "same_file_in_splits"}


def test_an_answer_that_most_have_and_a_missing_split_are_notes(found):
    rows = [talk(f"Is it {n}?", "yes" if n % 3 else "no") for n in range(30)]
    findings = found(rows)
    assert {code: one.severity for code, one in findings.items()} == {
        "frequent_answer": "note",
        "no_validation": "note",
    }
    assert findings["frequent_answer"].message == "67% of all answers are the same: 'yes'"


def test_what_is_too_long_is_listed_by_name(rows, found, tmp_path):
    rows[1]["messages"][1]["content"] = "it is " + "long " * 50
    rows[5]["messages"][0]["content"] = "<image>\n" + "Which? " * 50
    findings = found(rows, model=seeing(), longest=100)
    assert findings["cut_off"].severity == "warning"
    assert findings["cut_off"].files == where(tmp_path, 2)
    assert findings["cut_off"].details == (f"{tmp_path / 'x.jsonl'}, line 2: {6 + 16 + 18 + 1 + 6 + 250} tokens",)
    assert findings["unusable"].severity == "error"
    assert findings["unusable"].files == where(tmp_path, 6)
    assert (
        "1 entry cannot be learned from: nothing of an answer is left within 100 tokens" in findings["unusable"].message
    )
    assert not {"cut_off", "unusable"} & set(found(rows[:1] + rows[8:], model=seeing(), longest=100))


def test_a_template_that_refuses_or_that_ends_no_answer(rows, found):
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    body = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    body += "{% if add_generation_prompt %}[assistant]{% endif %}"
    rows[3]["messages"].insert(0, {"role": "system", "content": "Be kind."})
    findings = found(rows, model=seeing(template=strict + body))
    assert "The chat template refuses these messages: no system" in findings["unusable"].message
    assert findings["no_end"].severity == "warning"
    assert "no_end" not in found(rows, model=seeing())


def test_models_of_another_kind(rows, found):
    with pytest.raises(ArgumentError, match="model is a LanguageModel that reads no images beside text"):
        found(rows, model=gpt())
    with pytest.raises(ArgumentError, match="model is a Classifier that reads no images beside text"):
        found(rows, model=vit())
    findings = found(rows, model=hearing())
    assert "it shows <image>, and this model hears recordings" in findings["unusable"].message
    assert len(findings["unusable"].files) == COUNT


def test_the_command(rows, tmp_path, capsys):
    path = write_rows(tmp_path / "x.jsonl", rows)
    assert kind_of(path) == kind_of(tmp_path) == "conversations"
    folder = str(save(seeing(), tmp_path / "model"))
    assert main(["check", str(path), "--model", folder]) == 0
    assert "Nothing wrong found." in capsys.readouterr().out
    rows[2]["messages"][0]["content"] = "<image><image>\nWhich?"
    write_rows(path, rows)
    assert main(["check", str(path), "--model", folder, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["findings"][0]["code"] == "left_out"
    assert told["longest"] == 256
    assert main(["check", str(path), "--images", str(tmp_path / "nowhere")]) == 1
    assert "There is no file or folder" in capsys.readouterr().err
    assert main(["check", str(path), "--model", str(save(gpt(), tmp_path / "gpt"))]) == 2
    assert "reads no images beside text" in capsys.readouterr().err


def test_images_of_other_data_are_refused(tmp_path):
    for label in ("cat", "dog"):
        picture(tmp_path / "photos" / label / "a.png", len(label))
    assert kind_of(tmp_path / "photos") == "images"
    with pytest.raises(ArgumentError, match="holds no conversations; leave it out"):
        mm.check(tmp_path / "photos", images=tmp_path)
    with pytest.raises(ArgumentError, match="holds no recordings and no conversations"):
        mm.check(tmp_path / "photos", model="x")
    with pytest.raises(DataError, match="is no list of conversations"):
        mm.check(write_rows(tmp_path / "y.json", [{"a": 1}]))
