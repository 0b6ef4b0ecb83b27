"""Talks of several turns, against one chat that is read anew for each answer; and what a failed question leaves."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import pytest
import tiny_sounds
import torch
from tiny_vision_language import hearing, picture, seeing

from multimodal.errors import ArgumentError
from multimodal.generation.config import GenerationConfig
from multimodal.media import MediaError

A, B = picture(0), picture(1)
NEW = {"max_new_tokens": 6}


def said(model, messages, **options):
    return model.chat(messages, **{**NEW, **options})


def asked(question, *images, kind="image"):
    return {"role": "user", "content": [*({"type": kind, kind: image} for image in images), words(question)]}


def words(text):
    return {"type": "text", "text": text}


def answered(text):
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize("parts", [{}, {"attention": "prefix"}, {"text": "llama"}], ids=["causal", "prefix", "rotary"])
def test_each_answer_is_that_of_the_whole_talk_read_anew(parts):
    model = seeing(max_length=400, **parts)
    talk = model.conversation(A, system="Be brief.")
    messages = [{"role": "system", "content": "Be brief."}]
    for question, images in (("What?", []), ("And this?", [B]), ("Which?", []), ("Same?", [A, B])):
        messages.append(asked(question, *([A] if question == "What?" else []), *images))
        expected = said(model, messages)
        assert talk.ask(question, images=images, **NEW) == expected
        messages.append(answered(expected))
    assert talk.messages == messages


def test_options_of_one_answer_do_not_reach_the_next():
    model = seeing()
    talk = model.conversation([A, B])
    first = talk.ask("What?", beams=3, **NEW)
    messages = [asked("What?", A, B)]
    assert first == said(model, messages, beams=3)
    messages += [answered(first), asked("Who?")]
    second = talk.ask("Who?", temperature=2.0, seed=1, **NEW)
    assert second == said(model, messages, temperature=2.0, seed=1)
    messages += [answered(second), asked("Why?")]
    assert talk.ask("Why?", **NEW) == said(model, messages)


def test_only_what_is_new_is_read():
    model, encoded = seeing(), []
    encode = model.encode
    model.encode = lambda views: (encoded.append(len(views.x)), encode(views))[1]
    talk = model.conversation(A)
    for question in ("What?", "Who?"):
        talk.ask(question, **NEW)
    talk.ask("And this?", images=B, **NEW)
    assert encoded == [1, 1], "each image once"


def test_a_stream_is_the_answer_and_is_remembered():
    model = seeing()
    talk, other = model.conversation(A), model.conversation(A)
    for question in ("What?", "Who?"):
        pieces = list(talk.stream(question, **NEW))
        assert "".join(pieces) == other.ask(question, **NEW)
    assert talk.messages == other.messages


def test_an_answer_broken_off_is_remembered_as_far_as_it_came():
    model = seeing()
    talk = model.conversation(A)
    stream = talk.stream("What?", **NEW)
    piece = next(stream)
    stream.close()
    assert talk.messages == [asked("What?", A), answered(piece)]
    assert talk.ask("Who?", **NEW) == said(model, [*talk.messages[:2], asked("Who?")])
    unheard = model.conversation(A)
    unheard.stream("What?", **NEW).close()
    assert unheard.messages == []
    assert unheard.ask("What?", **NEW) == said(model, [asked("What?", A)]), "the image waits for the next question"


def test_an_empty_answer_is_one():
    model = seeing()
    first = model.complete([(A, "What?")], max_new_tokens=1)[0][0].ids
    empty = {"config": GenerationConfig(end=first, max_new_tokens=4)}
    talk, other = model.conversation(A), model.conversation(A)
    assert talk.ask("What?", **empty) == "" == "".join(other.stream("What?", **empty))
    assert talk.messages == other.messages == [asked("What?", A), answered("")]


@pytest.mark.parametrize("way", ["ask", "stream"])
def test_a_question_that_fails_leaves_the_talk_as_it_was(way):
    model = seeing()
    talk = model.conversation(A)
    talk.ask("What?", **NEW)
    before = list(talk.messages)
    failures = [
        ({"question": "Who?", "images": b"no image"}, MediaError),
        ({"question": "Who?", "max_tokens": 3}, ArgumentError),
        ({"question": "Who?", "beams": 3, "n_best": 2}, ArgumentError),
        ({"question": "long " * 60}, ArgumentError),
        ({"question": "What is <image>?"}, ArgumentError),
    ]
    for options, error in failures:
        with pytest.raises(error):
            getattr(talk, way)(**options)
        assert talk.messages == before
    assert talk.ask("Who?", images=B, **NEW) == said(model, [*before, asked("Who?", B)])


def test_images_are_looked_at_when_they_are_shown(tmp_path):
    model = seeing()
    talk = model.conversation()
    for bad in (tmp_path / "absent.png", [A, b""]):
        with pytest.raises(MediaError):
            talk.show(bad)
        with pytest.raises(MediaError):
            model.conversation(bad)
    fresh = model.conversation()
    fresh.show(A)
    fresh.show([B])
    answer = fresh.ask("Which?", **NEW)
    assert answer == said(model, [asked("Which?", A, B)])
    fresh.ask("And?", **NEW)
    assert fresh.messages[2] == asked("And?"), "an image is shown once"
    with pytest.raises(MediaError):
        talk.show([A, b""])
    talk.ask("What?", **NEW)
    assert talk.messages[0] == asked("What?"), "of several, one of which cannot be read, none is shown"


def test_a_file_that_changes_is_seen_anew(tmp_path):
    model, path = seeing(), tmp_path / "a.png"
    A.save(path)
    talk = model.conversation(path)
    talk.ask("What?", **NEW)
    B.save(path)
    assert talk.ask("Who?", **NEW) == said(model, [*talk.messages[:2], asked("Who?")])
    with path.open("rb") as file:
        open_talk = model.conversation(file)
        first = open_talk.ask("What?", **NEW)
        assert first == said(model, (B, "What?"))
        assert open_talk.ask("Who?", **NEW) == said(model, [asked("What?", B), answered(first), asked("Who?")])


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path, monkeypatch):
    model, reads = seeing(), []
    read = model.reader.read
    path, other, link = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"
    for file, image in ((path, A), (other, B)):
        image.convert("RGB").save(file.with_suffix(".bmp"), "BMP")
        file.with_suffix(".bmp").rename(file)  # as many bytes in both
    link.symlink_to(path)
    files = (str(path), str(link))

    def counting(source):
        if str(source) in files:
            reads.append(str(source))
        return read(source)

    monkeypatch.setattr(model.reader, "read", counting)
    settled(monkeypatch, seconds=100)
    talk = model.conversation([str(path), link])
    messages = [asked("What?", A, A)]
    for question in ("Who?", "Why?"):
        answer = talk.ask(messages[-1]["content"][-1]["text"], **NEW)
        assert answer == said(model, messages)
        messages += [answered(answer), asked(question)]
    assert reads == list(files)
    stat = path.stat()
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # what shows the change now is that of the inode
    messages[0] = asked("What?", B, B)
    assert talk.ask("Why?", **NEW) == said(model, messages)
    assert reads == [*files, *files]
    link.unlink()
    with pytest.raises(MediaError, match=r"c\.png"):
        talk.ask("So?", **NEW)


def test_a_file_that_was_changed_a_moment_ago_is_not_trusted(tmp_path, monkeypatch):
    """Its time may be the same after the next change, too: clocks of file systems tick slowly."""
    model, path = seeing(), tmp_path / "a.png"
    A.save(path)
    settled(monkeypatch, seconds=1)
    talk = model.conversation(path)
    assert talk._known == {}
    settled(monkeypatch, seconds=-5)
    assert model.conversation(path)._known == {}
    settled(monkeypatch, seconds=3)
    assert list(model.conversation(path)._known) == [str(path)]


def settled(monkeypatch, *, seconds):
    """Let it be `seconds` later."""
    clock = SimpleNamespace(time_ns=lambda: time.time_ns() + seconds * 10**9)
    monkeypatch.setattr("multimodal.models.chat.conversation.time", clock)


def test_weights_that_change_during_a_talk():
    model = seeing()
    talk = model.conversation(A)
    talk.ask("What?", **NEW)
    with torch.no_grad():
        model.projector.up.weight.mul_(-2)
    assert talk.ask("Who?", **NEW) == said(model, [*talk.messages[:2], asked("Who?")])


def test_a_talk_about_a_recording():
    model = hearing()
    wave, other = tiny_sounds.tone(300, 0.7), (tiny_sounds.tone(900, 0.3), 16_000)
    talk = model.conversation(wave)
    first = talk.ask("What?", **NEW)
    assert first == said(model, [asked("What?", wave, kind="audio")])
    second = talk.ask("And this?", images=other, **NEW)
    messages = [asked("What?", wave, kind="audio"), answered(first), asked("And this?", other, kind="audio")]
    assert second == said(model, messages)
