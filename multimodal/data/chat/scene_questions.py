"""Questions about drawn scenes, with their answers: on colour, shape, count, size, place and relation.

    questions/chat.jsonl       talks of one to three turns about most training scenes, single questions about the
                               others and those of "val" and "test", with the scene's image and the kinds of
                               questions; of some training scenes a caption too
    questions/captions.jsonl   each scene and its captions, to align a projector with
    questions/texts.jsonl      the same words without images: what a small language model learns to talk from

Questions of "train", "val" and "test" are about scenes of those splits: "test" holds combinations of shape and colour,
or of shapes in a relation, that the others never show. No text tells more of an answer than that
yes and no are equally likely. The scenes are made by `data/pairs/scenes.py`.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any, NamedTuple

from multimodal.data.download import all_or_nothing
from multimodal.data.pairs.scene_parts import COLOURS, SHAPES, Scene, Thing
from multimodal.data.pairs.scenes import TABLE
from multimodal.errors import DataError

CHAT, CAPTIONS, TEXTS = "chat.jsonl", "captions.jsonl", "texts.jsonl"
SINGLE = 0.25  # of the training scenes are asked about in questions of their own, all others in talks
TOLD = 0.25  # of the training scenes have a caption among their talks
_NUMBERS = ("no", "one", "two", "three", "four", "five")
_OTHER = {"left of": "right of", "above": "below", "inside": "around"}  # the relation of the second to the first


class Question(NamedTuple):
    """One question about a scene."""

    kind: str  # "colour", "shape", "count", "size", "place" or "relation"
    text: str
    answer: str


def scene_talks(scene: Scene, chance: random.Random) -> list[list[Question]]:
    """All kinds of questions that the scene answers, in talks of which no turn tells the answer of a later one."""
    if scene.kind == "relation":
        return _of_relation(scene, chance)
    thing = scene.things[0]
    if scene.kind == "count":
        shapes, number = _plural(thing.shape), _NUMBERS[len(scene.things)]
        return [
            [
                Question("count", f"How many {shapes} are there?", number),
                Question("colour", f"What colour are the {shapes}?", thing.colour),
            ],
            [
                Question("count", "How many things are in the picture?", number),
                Question("shape", "Which shape is shown several times?", thing.shape),
            ],
        ]
    return [
        [
            Question("colour", f"What colour is the {thing.shape}?", thing.colour),
            Question("size", f"Is the {thing.shape} small or large?", scene.size),
            Question("place", f"Where is the {thing.shape}?", scene.place),
        ],
        [Question("shape", f"What is the {thing.colour} thing?", thing.shape)],
    ]


def write_questions(scenes: str | Path, out: str | Path, *, seed: int = 0) -> Path:
    """The path of `out`, which then holds the questions about the scenes that `write_scenes` drew.

    Args:
        scenes: the folder of the scenes; images are named relative to `out`.
        out: is made, at once; one that is there is left as it is.
        seed: of which questions are asked.

    Raises:
        DataError: there are no scenes, or `out` cannot be written.
    """
    scenes, out = Path(scenes), Path(out)
    try:
        rows = [json.loads(line) for line in (scenes / TABLE).read_text(encoding="utf-8").splitlines()]
        drawn = [(row, _scene(row["scene"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{scenes} holds no drawn scenes ({TABLE}): {error!r}.") from error
    if out.exists():
        return out
    chats, captions, texts = [], [], []
    for row, scene in drawn:
        image = os.path.relpath(scenes / row["path"], out)
        given = {"images": [image], "split": row["split"]}
        chance = random.Random(f"{seed} {row['path']}")
        single = row["split"] != "train" or chance.random() < SINGLE
        talks = scene_talks(scene, chance)
        if row["split"] == "train" and scene.kind == "relation":  # yes and no are what is learned last
            talks.append([_there(scene, chance), _holds(scene, chance)])
            talks += [[question] for question in _stands(scene)]
        for talk in talks:
            # In a fixed order the turn would tell which thing is meant: one need not find it by its name.
            chance.shuffle(talk)
            for turns in [[question] for question in talk] if single else [talk]:
                kinds = "+".join(dict.fromkeys(question.kind for question in turns))
                chats.append({"messages": _messages(turns), **given, "kind": kinds})
            texts += [{"text": f"USER: {q.text} ASSISTANT: {q.answer}", "split": row["split"]} for q in talk]
        told = row["captions"] if row["split"] == "train" else row["captions"][:1]
        for caption in told:
            question = Question("caption", "What is in the picture?", caption)
            captions.append({"messages": _messages([question]), **given})
        if row["split"] == "train" and chance.random() < TOLD:
            question = Question("caption", "What is in the picture?", chance.choice(row["captions"]))
            chats.append({"messages": _messages([question]), **given, "kind": question.kind})
        texts += [{"text": caption, "split": row["split"]} for caption in told]
    with all_or_nothing(out) as folder:
        for name, rows in ((CHAT, chats), (CAPTIONS, captions), (TEXTS, [t for t in texts if t["split"] == "train"])):
            (folder / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return out


def _of_relation(scene: Scene, chance: random.Random) -> list[list[Question]]:
    first, second = scene.things
    relation, other = scene.relation, _OTHER[scene.relation]
    colours = [Question("colour", f"What colour is the {one.shape}?", one.colour) for one in scene.things]
    talks = [
        [Question("relation", f"What is {relation} the {second.shape}?", first.shape)],
        colours,
        [Question("relation", f"What is {other} the {first.shape}?", second.shape)],
        [_there(scene, chance)],
        [_stands(scene)[0 if chance.random() < 0.5 else 1]],
        [_holds(scene, chance)],
    ]
    if first.colour != second.colour:
        talks.append([Question("shape", f"What is the {one.colour} thing?", one.shape) for one in scene.things])
    return talks


def _stands(scene: Scene) -> list[Question]:
    """How each of two things stands to the other: what cannot be told from which shapes there are."""
    first, second = scene.things
    seen = ((first, second, scene.relation), (second, first, _OTHER[scene.relation]))
    return [
        Question("relation", f"Where is the {a.shape}, seen from the {b.shape}?", f"{how} it") for a, b, how in seen
    ]


def _holds(scene: Scene, chance: random.Random) -> Question:
    """Whether the relation, or its reverse, holds in this order or in the other."""
    first, second = scene.things
    a, b = (first, second) if chance.random() < 0.5 else (second, first)
    asked = scene.relation if chance.random() < 0.5 else _OTHER[scene.relation]
    holds = (a is first) == (asked == scene.relation)
    return Question("relation", f"Is the {a.shape} {asked} the {b.shape}?", "yes" if holds else "no")


def _there(scene: Scene, chance: random.Random) -> Question:
    """Whether a thing is there; one that is not differs in its colour, its shape, or both."""
    thing = chance.choice(scene.things)
    pairs = {one.pair for one in scene.things}
    pair = thing.pair
    if chance.random() < 0.5:
        while pair in pairs:
            shape = chance.choice((thing.shape, chance.choice(SHAPES)))
            pair = shape, chance.choice((thing.colour, chance.choice(COLOURS)))
    shape, colour = pair
    article = "an" if colour[0] in "aeiou" else "a"
    return Question("shape", f"Is there {article} {colour} {shape}?", "yes" if pair in pairs else "no")


def _messages(questions: list[Question]) -> list[dict[str, str]]:
    """The turns of a talk about an image."""
    turns = [(("user", question.text), ("assistant", question.answer)) for question in questions]
    messages = [{"role": role, "content": text} for turn in turns for role, text in turn]
    messages[0]["content"] = f"<image>\n{messages[0]['content']}"
    return messages


def _scene(plain: dict[str, Any]) -> Scene:
    return Scene(**{**plain, "things": tuple(Thing(**thing) for thing in plain["things"])})


def _plural(shape: str) -> str:
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"
