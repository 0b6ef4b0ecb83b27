"""Questions about drawn scenes: every answer holds, none is told before it is asked, and yes is no habit."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict

import pytest

from multimodal.data.chat.read import read_chats
from multimodal.data.chat.scene_questions import CAPTIONS, CHAT, TEXTS, write_questions
from multimodal.data.pairs.scenes import TABLE, write_scenes
from multimodal.errors import DataError

REVERSE = {"right of": "left of", "below": "above", "around": "inside"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The scenes by image, and the folder of the questions."""
    folder = tmp_path_factory.mktemp("scenes")
    scenes = write_scenes(folder / "scenes", train=400, val=60, test=60, size=32)
    rows = [json.loads(line) for line in (scenes / TABLE).read_text(encoding="utf-8").splitlines()]
    return {f"../scenes/{row['path']}": row for row in rows}, write_questions(scenes, folder / "questions")


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def turns(row):
    """(question, answer) of each turn."""
    contents = [message["content"].removeprefix("<image>\n") for message in row["messages"]]
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * (len(contents) // 2)
    return list(zip(contents[::2], contents[1::2], strict=True))


def answered(question, scene):
    """What a person who sees the scene would say."""
    things = scene["things"]

    def one(what, key, value):
        found = {thing[key] for thing in things if thing[what] == value}
        assert len(found) == 1, "there is one answer"
        return found.pop()

    if found := re.fullmatch(r"What colour (?:is|are) the (\w+)\?", question):
        names = {thing["shape"] for thing in things}
        plurals = {f"{name}{'es' if name.endswith('s') else 's'}": name for name in names}
        return one("shape", "colour", plurals.get(found[1], found[1]))
    if found := re.fullmatch(r"What is the (\w+) thing\?", question):
        return one("colour", "shape", found[1])
    if question == "Which shape is shown several times?":
        return max(Counter(thing["shape"] for thing in things))
    if question.startswith("How many "):
        return ("no", "one", "two", "three", "four", "five")[len(things)]
    if question.endswith("small or large?"):
        return scene["size"]
    if found := re.fullmatch(r"Where is the (\w+), seen from the (\w+)\?", question):
        turned = [thing["shape"] for thing in things] != list(found.groups())
        relation = {to: back for back, to in REVERSE.items()}[scene["relation"]] if turned else scene["relation"]
        return f"{relation} it"
    if question.startswith("Where is"):
        return scene["place"]
    if found := re.fullmatch(r"Is there an? (\w+) (\w+)\?", question):
        return "yes" if (found[1], found[2]) in {(thing["colour"], thing["shape"]) for thing in things} else "no"
    if found := re.fullmatch(r"Is the (\w+) (.+) the (\w+)\?", question):
        first, relation, second = found.groups()
        if relation in REVERSE:
            first, relation, second = second, REVERSE[relation], first
        assert relation == scene["relation"]
        return "yes" if [first, second] == [thing["shape"] for thing in things] else "no"
    found = re.fullmatch(r"What is (.+) the (\w+)\?", question)
    order = [thing["shape"] for thing in things]
    assert found and REVERSE.get(found[1], found[1]) == scene["relation"]
    return order[order.index(found[2]) + (1 if found[1] in REVERSE else -1)]


def test_every_answer_holds(made):
    scenes, folder = made
    asked = Counter()
    for row in lines(folder / CHAT):
        drawn = scenes[row["images"][0]]
        assert row["split"] == drawn["split"]
        for question, answer in turns(row):
            if question == "What is in the picture?":
                assert row["kind"] == "caption" and row["split"] == "train" and answer in drawn["captions"]
            else:
                assert answer == answered(question, drawn["scene"]), (question, drawn["scene"])
            asked[row["split"]] += 1
        if row["split"] != "train":
            assert len(turns(row)) == 1
    assert min(asked.values()) > 150


def test_yes_and_no_are_equally_likely_and_tell_nothing_of_the_question(made):
    said = defaultdict(Counter)
    for row in lines(made[1] / CHAT):
        for question, answer in turns(row):
            if answer in ("yes", "no"):
                said[question.split()[1]][answer] += 1
    for counts in said.values():
        assert 0.42 < counts["yes"] / counts.total() < 0.58, said


def test_no_turn_tells_a_later_answer(made):
    for row in lines(made[1] / CHAT):
        told = ""
        for question, answer in turns(row):
            if answer not in ("yes", "no", "small", "large"):  # of these the question itself names both
                assert not re.search(rf"\b{answer}(es|s)?\b", told + question), row["messages"]
            told += f" {question} {answer}"


def test_captions_and_texts(made):
    scenes, folder = made
    captions = lines(folder / CAPTIONS)
    for row in captions:
        assert turns(row)[0][1] in scenes[row["images"][0]]["captions"]
    assert {row["images"][0] for row in captions} == set(scenes)
    texts = [row["text"] for row in lines(folder / TEXTS)]
    train = [row for row in lines(folder / CHAT) if row["split"] == "train" and row["kind"] != "caption"]
    expected = {f"USER: {question} ASSISTANT: {answer}" for row in train for question, answer in turns(row)}
    assert {text for text in texts if text.startswith("USER: ")} == expected


def test_they_are_read_and_written_once(made):
    folder = made[1]
    before = (folder / CHAT).read_bytes()
    assert write_questions(folder.parent / "scenes", folder) == folder and (folder / CHAT).read_bytes() == before
    samples = read_chats(str(folder / CHAT))
    assert set(samples.splits) == {"train", "val", "test"} and not samples.skipped
    for place in (folder, folder.parent):  # one that holds another table, and one that holds none
        with pytest.raises(DataError, match="holds no drawn scenes"):
            write_questions(place, folder.parent / "other")
