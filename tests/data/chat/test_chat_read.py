"""Conversations from the disk: every layout, and what is named and left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_sets import picture, talk, write_rows

from multimodal.data.chat.read import read_chats
from multimodal.data.chat.samples import text_of
from multimodal.data.chat.split import hold_out
from multimodal.errors import ArgumentError, DataError

ASK, SAY = "<image>\nWhat is it?", "A cat."


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "images/b.png", "elsewhere/deep/c.png"):
        picture(tmp_path / name, len(name))
    (tmp_path / "d.wav").write_bytes(b"not read here")
    return tmp_path


def said(sample):
    """A conversation as (role, text) in turn."""
    return [(message["role"], text_of(message)) for message in sample.chat.messages]


def only(source, **options):
    """The one conversation of a set."""
    samples = read_chats(source, **options)
    assert [split for split, members in samples.splits.items() for _ in members] == ["train"], samples
    return samples.splits["train"][0]


def reasons(skipped):
    return [one.reason for one in skipped]


def test_llavas_json(folder):
    turns = [{"from": "human", "value": ASK}, {"from": "gpt", "value": SAY}]
    entries = [{"id": "7", "image": "a.png", "conversations": turns}]
    sample = only(write_rows(folder / "llava.json", entries))
    assert said(sample) == [("user", "\nWhat is it?"), ("assistant", SAY)]
    assert sample.media == (str(folder / "a.png"),)
    assert sample.answers == [SAY]
    assert sample.where == f"{folder / 'llava.json'}, entry 0 (7)"


def test_messages_in_json_lines_with_files_beside_them_or_in_images(folder):
    rows = [talk(ASK, SAY, image="a.png"), talk("<image> or <image>?", SAY, image=["b.png", "a.png"])]
    first, second = read_chats(write_rows(folder / "x.jsonl", rows)).splits["train"]
    assert first.media == (str(folder / "a.png"),)
    assert second.media == (str(folder / "images" / "b.png"), str(folder / "a.png"))


def test_parts_name_their_own_files_or_take_those_beside_them(folder):
    own = [{"type": "image", "image": "b.png"}, {"type": "text", "text": "What is it?"}]
    beside = [{"type": "text", "text": "Or"}, {"type": "image"}, {"type": "text", "text": "this?"}]
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": own},
                {"role": "assistant", "content": [{"type": "text", "text": SAY}]},
                {"role": "user", "content": beside}, {"role": "assistant", "content": "No."}]  # fmt: skip
    sample = only(write_rows(folder / "x.jsonl", [{"messages": messages, "image": "a.png"}]))
    assert sample.media == (str(folder / "images" / "b.png"), str(folder / "a.png"))
    assert sample.answers == [SAY, "No."]
    assert [role for role, _ in said(sample)] == ["system", "user", "assistant", "user", "assistant"]


def test_recordings(folder):
    row = talk("<audio>\nWhich digit?", "seven", audios=["d.wav"])
    sample = only(write_rows(folder / "x.jsonl", [row]))
    assert sample.chat.kinds == ["audio"]
    assert sample.media == (str(folder / "d.wav"),)


def test_images_may_lie_in_a_folder_that_is_given(folder):
    path = write_rows(folder / "x.jsonl", [talk(ASK, SAY, image="deep/c.png")])
    assert only(path, images=folder / "elsewhere").media == (str(folder / "elsewhere" / "deep" / "c.png"),)
    with pytest.raises(
        DataError, match=r"no conversation that can be used; files are looked for in .* and in its images/"
    ):
        read_chats(path)


def test_splits_by_name_by_folder_and_by_field(folder):
    write_rows(folder / "val.jsonl", [talk("Hi", "Ho")])
    write_rows(folder / "test" / "part.json", [talk("Hi", "Ha")])
    write_rows(
        folder / "all.jsonl", [talk("Hi", "He", split="validation"), talk("Hi", "Hu"), talk("Hi", "Hy", split="test")]
    )
    (folder / "captions.jsonl").write_text('{"path": "a.png", "caption": "not read beside conversations"}\n')
    samples = read_chats(folder)
    found = {split: sorted(chat.answers[0] for chat in chats) for split, chats in samples.splits.items()}
    assert found == {"train": ["Hu"], "val": ["He", "Ho"], "test": ["Ha", "Hy"]}
    assert samples.skipped == ()


def test_what_cannot_be_used_is_named_and_left_out(folder):
    rows = [
        talk("Hi", "Ho"),
        "{no json",
        talk("What?", SAY, image="a.png"),
        talk(ASK, SAY),
        talk(ASK, SAY, image="gone.png"),
        talk(ASK, SAY, image="https://example.com/a.png"),
        talk("Hi"),
        talk("Hi", " "),
        talk("Hi", "See <image>", image="a.png"),
        {"messages": [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Hi"}]},
        {"messages": [{"role": "asistant", "content": "Hi"}]},
        {"messages": [{"role": "user", "content": [{"type": "video", "video": "x"}]}]},
        {"messages": "Hi"},
        {"text": "no turns"},
        talk("<audio>", SAY, image="a.png"),
        talk("caf\udce9", SAY),
    ]
    samples = read_chats(write_rows(folder / "x.jsonl", rows))
    assert len(samples.splits["train"]) == 1
    told = reasons(samples.skipped)
    assert told[0] == "not JSON"
    assert told[1].startswith("The messages have 0 places for images (<image>), and 1 was given")
    assert told[2].startswith("The messages have 1 place for images (<image>), and 0 were given")
    assert told[3] == "file not found"
    assert samples.skipped[3].path == str(folder / "gone.png")
    assert told[4] == "the image is an address; download it first"
    assert told[5].startswith("The conversation has no turn of the assistant")
    assert told[6] == "a message of the assistant: empty text"
    assert told[7] == "an answer holds <image> or <audio>; only questions may"
    assert told[8].startswith("Message 1 is from the assistant, where one from the user belongs")
    assert "the role 'asistant' is not one of user" in told[9] and "Did you mean 'assistant'" in told[9]
    assert "Message 1 has the part" in told[10]
    assert told[11] == "no list of messages"
    assert told[12] == 'no "messages" and no "conversations"'
    assert told[13].startswith("both images and recordings")
    assert told[14].startswith("a message of the user: not UTF-8")
    assert len(told) == len(rows) - 1


def test_captions_answer_prompts(folder):
    table = folder / "captions.jsonl"
    table.write_text(
        "".join(json.dumps({"path": "a.png", "caption": [f"one {i}", f"two {i}"]}) + "\n" for i in range(20))
    )
    plain = read_chats(table).splits["train"]
    assert len(plain) == 40
    assert said(plain[0]) == [("user", "\n"), ("assistant", "one 0")]
    assert plain[0].media == (str(folder / "a.png"),)
    prompts = ("Describe it.", "What is it?")
    asked = [said(chat)[0][1] for chat in read_chats(table, prompts=prompts).splits["train"]]
    assert set(asked) == {"\nDescribe it.", "\nWhat is it?"}
    assert asked == [said(chat)[0][1] for chat in read_chats(table, prompts=prompts).splits["train"]]


def test_what_is_no_set_of_conversations(folder):
    with pytest.raises(DataError, match=r"x.json is no list of conversations; it should be"):
        read_chats(write_rows(folder / "x.json", [{"caption": "x"}]))
    (folder / "y.json").write_text('[{"conversations": [}')
    with pytest.raises(DataError, match=r"y.json is damaged: it is no JSON"):
        read_chats(folder / "y.json")
    with pytest.raises(DataError, match=r"holds no conversations; give \.json or \.jsonl"):
        read_chats(folder / "a.png")
    with pytest.raises(DataError, match="There is no file or folder"):
        read_chats(folder / "z.jsonl")
    path = write_rows(folder / "x.jsonl", [talk("Hi", "Ho")])
    with pytest.raises(ArgumentError, match="prompts are for images with captions"):
        read_chats(path, prompts=("What?",))
    with pytest.raises(DataError, match="the split 'tran' is not one of"):
        read_chats(write_rows(folder / "w.jsonl", [talk("Hi", "Ho", split="tran")]))


def test_what_is_held_out_shows_nothing_that_is_trained_on(folder):
    for number in range(20):
        picture(folder / f"{number}.png", number)
        picture(folder / "images" / f"copy{number}.png", number)
    rows = [talk(ASK, f"{n}", image=f"{n}.png") for n in range(20)]
    rows += [talk(ASK, f"again {n}", image=f"copy{n}.png") for n in range(20)]
    rows += [talk("<image><image>", "both", image=[f"{n}.png", f"{n + 1}.png"]) for n in (0, 2)]
    samples = read_chats(write_rows(folder / "x.jsonl", rows))
    held = hold_out(samples, 0.2, 0)
    assert sum(map(len, held.splits.values())) == 42
    assert 6 <= len(held.splits["val"]) <= 9
    shown = [{file for chat in held.splits[split] for file in chat.media} for split in ("train", "val")]
    train, val = ({Path(file).read_bytes() for file in files} for files in shown)
    assert val and not train & val
    assert hold_out(samples, 0.2, 0) == held != hold_out(samples, 0.2, 1)


def test_nothing_can_be_held_out_of_a_single_image(folder):
    samples = read_chats(write_rows(folder / "x.jsonl", [talk(ASK, SAY, image="a.png")] * 3))
    with pytest.raises(DataError, match="too few different conversations"):
        hold_out(samples, 0.1, 0)
    with pytest.raises(ArgumentError, match="val_fraction is 1"):
        hold_out(samples, 1.0, 0)
