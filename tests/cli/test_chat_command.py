"""`multimodal chat`: one question, a talk, and what is refused."""

from __future__ import annotations

import io
import json
import sys

import pytest
from commands import ends
from tiny_models import vit
from tiny_text_models import bytelevel, gpt, llama
from tiny_vision_language import hearing, picture, seeing

from multimodal.checkpoint import save
from multimodal.cli import main
from multimodal.models.chat.conversation import Conversation

PLAIN = ["--device", "cpu", "--dtype", "float32"]
SHORT = [*PLAIN, "--max-new-tokens", "6"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save(seeing(), tmp_path_factory.mktemp("models") / "seeing"))


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return str(save(gpt(), tmp_path_factory.mktemp("models") / "gpt"))


@pytest.fixture
def pictures(tmp_path):
    for number in (1, 2):
        picture(number).save(tmp_path / f"{number}.png")
    return [str(tmp_path / f"{number}.png") for number in (1, 2)]


@pytest.fixture
def typed(monkeypatch):
    """Makes stdin say lines, as a person at a terminal or as another program; "^C" is Ctrl-C at the prompt."""
    plain = input

    def say(*lines, person=False):
        if not person:
            monkeypatch.setattr("builtins.input", plain)
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("".join(f"{x}\n" for x in lines).encode())))
            return
        left = iter(lines)

        def read(prompt=""):
            line = next(left, None)
            if line is None:
                raise EOFError
            if line == "^C":
                raise KeyboardInterrupt
            return line

        stdin = io.StringIO()
        monkeypatch.setattr(stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr("builtins.input", read)

    return say


def run(capsys, *words, status=0):
    """What `multimodal chat` prints: (stdout, stderr without the blank lines that a bar of slow work leaves)."""
    found = main(["chat", *map(str, words)])
    out, err = capsys.readouterr()
    assert found == status, err
    return out, "".join(f"{line}\n" for line in err.splitlines() if line.strip())


def test_a_question_about_an_image_streams(folder, pictures, capsys):
    expected = seeing().chat((pictures[0], "what is it"), max_new_tokens=6)
    assert run(capsys, folder, pictures[0], "what is it", *SHORT) == (expected + "\n", "")
    both = seeing().chat((pictures, "what is it"), max_new_tokens=6)
    assert run(capsys, folder, *pictures, "what is it", *SHORT)[0] == both + "\n" != expected + "\n"


def test_a_question_without_an_image_and_from_stdin(folder, reader, capsys, typed):
    expected = seeing().chat("what is a cat", max_new_tokens=6)
    assert run(capsys, folder, "what is a cat", *SHORT)[0] == expected + "\n"
    typed("what is a cat")
    assert run(capsys, folder, "-", *SHORT)[0] == expected + "\n"
    alone = gpt().generate([{"role": "user", "content": "hi"}], max_new_tokens=6)
    assert run(capsys, reader, "hi", *SHORT)[0] == alone + "\n"


def test_options_reach_the_model(folder, reader, pictures, capsys):
    drawn = seeing().chat((pictures[0], "q"), max_new_tokens=6, temperature=2.0, seed=5)
    words = ["--temperature", "2.0", "--seed", "5"]
    assert run(capsys, folder, pictures[0], "q", *SHORT, *words)[0] == drawn + "\n"
    best = seeing().chat((pictures[0], "q"), max_new_tokens=4, beams=3)
    assert run(capsys, folder, pictures[0], "q", *PLAIN, "--max-new-tokens", 4, "--beams", 3)[0] == best + "\n"
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    told = gpt().generate(messages, max_new_tokens=6)
    assert run(capsys, reader, "hi", "--system", "be kind", *SHORT)[0] == told + "\n"


def test_json(folder, pictures, capsys):
    out, _ = run(capsys, folder, pictures[0], "was ist das?", "--json", *SHORT)
    answer = seeing().chat((pictures[0], "was ist das?"), max_new_tokens=6)
    assert json.loads(out) == {"images": pictures[:1], "question": "was ist das?", "answer": answer}


def test_a_talk_goes_on_with_what_was_said(folder, pictures, capsys, typed):
    talk = seeing().conversation([pictures[0]])
    first = talk.ask("a cat?", max_new_tokens=6)
    second = talk.ask("a dog?", max_new_tokens=6)
    talk.show([pictures[1]])
    third = talk.ask("and this?", max_new_tokens=6)
    typed("a cat?", "", "  a dog?  ", f"/image '{pictures[1]}'", "and this?", "/reset", "a cat?", "/quit", "never")
    out, err = run(capsys, folder, pictures[0], *SHORT)
    assert out == "".join(f"{answer}\n" for answer in (first, second, third, first)) and err == ""
    typed("a cat?", f"/image {pictures[1]}", "and this?")
    out, _ = run(capsys, folder, pictures[0], "--json", *SHORT)
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["images"] for record in records] == [pictures[:1], pictures[1:]]
    assert records[0]["answer"] == first


def test_a_talk_in_words_alone(reader, capsys, typed):
    typed("hi", "more")
    out, _ = run(capsys, reader, *SHORT)
    messages = [{"role": "user", "content": "hi"}]
    first = gpt().generate(messages, max_new_tokens=6)
    messages += [{"role": "assistant", "content": first}, {"role": "user", "content": "more"}]
    assert out == f"{first}\n{gpt().generate(messages, max_new_tokens=6)}\n"


def test_what_fails_in_a_talk_is_named_and_the_talk_goes_on(folder, pictures, capsys, tmp_path, typed):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    lines = ("/imag x", "/image", "/image none.png", f"/image {tmp_path / 'bad.png'}", "x" * 300, "a cat?")
    typed(*lines)
    out, err = run(capsys, folder, pictures[0], *SHORT, status=1)
    assert out == seeing().chat((pictures[0], "a cat?"), max_new_tokens=6) + "\n"
    told = err.splitlines()
    assert all(line.startswith("multimodal chat: ") for line in told) and len(told) == 5
    assert "/imag is not a command. Did you mean '/image'?" in told[0]
    assert "/image needs a file" in told[1] and "none.png does not exist" in told[2] and "bad.png" in told[3]
    assert "tokens" in told[4]
    typed(*lines, person=True)
    out, err = run(capsys, folder, pictures[0], *SHORT)
    assert err.startswith("Ask. /image FILE shows an image") and "/imag is not a command" in err


def test_ctrl_c_ends_an_answer_and_not_the_talk(folder, pictures, capsys, monkeypatch, typed):
    said = []
    whole = Conversation.stream

    def stream(self, question, **options):
        said.append([message["content"] for message in self.messages])
        pieces = whole(self, question, **options)

        def broken():
            try:
                yield next(pieces)
                raise KeyboardInterrupt
            finally:
                pieces.close()

        return broken() if question == "long" else pieces

    monkeypatch.setattr(Conversation, "stream", stream)
    typed("^C", "long", "short", person=True)
    out, err = run(capsys, folder, pictures[0], *SHORT)
    start, answer = out.split("\n")[:2]
    assert start and said[0] == [] and said[1][1] == start, "what was said before Ctrl-C stays said"
    assert answer and "Stopped" not in err
    typed("long", "short")
    assert run(capsys, folder, pictures[0], *SHORT, status=130)[1] == "multimodal chat: Stopped.\n"


def test_images_of_a_question_that_ctrl_c_ended_are_those_of_the_next(folder, pictures, capsys, monkeypatch, typed):
    whole = Conversation.ask

    def ask(self, question, **options):
        if question == "long":
            raise KeyboardInterrupt
        return whole(self, question, **options)

    monkeypatch.setattr(Conversation, "ask", ask)
    typed("long", f"/image {pictures[1]}", "long", "short", "more", "/reset", "long", "last", person=True)
    out, _ = run(capsys, folder, pictures[0], "--json", *SHORT)
    records = [json.loads(line) for line in out.splitlines()]
    assert [(one["question"], one["images"]) for one in records] == [
        ("short", pictures),
        ("more", []),
        ("last", pictures[:1]),
    ]
    assert records[0]["answer"] == seeing().chat((pictures, "short"), max_new_tokens=6)


def test_a_model_that_hears_is_played_recordings(capsys, tmp_path):
    import numpy as np
    import soundfile

    tone = (0.3 * np.sin(np.arange(8000) / 8)).astype("float32")
    soundfile.write(tmp_path / "tone.wav", tone, 16_000)
    folder = str(save(hearing(), tmp_path / "hearing"))
    expected = hearing().chat((tmp_path / "tone.wav", "which digit?"), max_new_tokens=6)
    assert run(capsys, folder, tmp_path / "tone.wav", "which digit?", *SHORT)[0] == expected + "\n"


def test_what_is_refused(folder, reader, pictures, capsys, tmp_path):
    first = pictures[0]
    ends(capsys, ["chat", folder, "what", first], 2, "'what' is no file", "give what to show first")
    ends(capsys, ["chat", folder, first, "what", "is", "it"], 2, "'what' is no file", "the question in quotes")
    ends(capsys, ["chat", first, "what is it"], 2, "the model comes first")
    ends(capsys, ["chat", "what is it", first, "q"], 2, "There is no folder 'what is it'")
    ends(capsys, ["chat", folder, first.replace("1.png", "11.png"), "q"], 2, "11.png does not exist. Did you mean")
    ends(capsys, ["chat", folder, str(tmp_path), "q"], 2, "is a folder")
    ends(capsys, ["chat", folder, str(tmp_path)], 2, "is a folder")
    ends(capsys, ["chat", folder, first, "  "], 2, "The question is empty")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    ends(capsys, ["chat", folder, str(tmp_path / "bad.png"), "q"], 1, "bad.png is a text file, not an image")
    ends(capsys, ["chat", reader, first, "q"], 2, "1.png cannot be shown to a LanguageModel, which reads text only")
    ends(capsys, ["chat", folder, first, "q", "--temperature", "-1"], 2, "temperature is -1")
    ends(capsys, ["chat", folder, first, "x" * 300], 2, "which leaves no room for a new one: the model reads up to 256")
    ends(capsys, ["chat", str(save(vit(), tmp_path / "vit")), "q"], 2, "is a Classifier; chat needs")
    ends(capsys, ["chat", str(save(llama(), tmp_path / "llama")), "q"], 2, "has no tokenizer")
    silent = gpt()
    silent.tokenizer = bytelevel(chat_template=None)
    ends(capsys, ["chat", str(save(silent, tmp_path / "silent")), "q"], 2, "has no chat template")
