"""Drawn scenes with captions on the disk: shapes, colours, sizes, places, counts, relations; nothing is downloaded.

    scenes/captions.jsonl            {"path", "captions", "split", "unseen", "scene"}, one line for each picture
    scenes/images/train-00000.png    ...

"train" and "val" hold scenes of the same kind, and "test" those that show a combination which neither has
("unseen"), though its parts stand in training: whoever finds "a red circle left of a blue square" there has put
it together. What is kept out is in scene_parts.py, the words are in scene_words.py, the drawing in scene_drawing.py.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from multimodal.data.pairs.scene_drawing import draw_scene
from multimodal.data.pairs.scene_parts import Scene, random_scene
from multimodal.data.pairs.scene_words import scene_captions
from multimodal.errors import ArgumentError, DataError
from multimodal.progress import track

TABLE = "captions.jsonl"
SMALLEST, LARGEST = 32, 1024  # px; below, a small ring is a dot
_TRIES = 20  # for a scene that differs from those before


def write_scenes(
    folder: str | Path, *, train: int = 6000, val: int = 300, test: int = 600, size: int = 64, seed: int = 0
) -> Path:
    """The path of `folder`, which holds the scenes afterwards; one that already does is left as it is.

    The whole folder appears at once, so an interrupted call leaves nothing behind that looks finished. More scenes of a
    split do not change those before. Scenes of "val" and "test" differ in meaning as long as there are others.

    Args:
        folder: is made, with the folders above it.
        train: pictures to train on.
        val: pictures of combinations that training shows.
        test: pictures with a combination that training does not show.
        size: side of the pictures in pixels.
        seed: of everything.

    Raises:
        ArgumentError: a number out of range.
        DataError: `folder` exists and holds something else.
    """
    for name, count in (("train", train), ("val", val), ("test", test)):
        if count < 0 or train + val + test == 0:
            raise ArgumentError(f"{name} is {count}; it must be a number of pictures, in all at least one.")
    if not SMALLEST <= size <= LARGEST:
        raise ArgumentError(f"size is {size}; it must lie between {SMALLEST} and {LARGEST} pixels.")
    folder = Path(folder)
    scenes = [
        (f"images/{split}-{number:05d}.png", split, scene)
        for split, count in (("train", train), ("val", val), ("test", test))
        for number, scene in enumerate(_scenes(split, count, seed))
    ]
    table = "".join(f"{json.dumps(_row(*one))}\n" for one in scenes)
    if folder.exists() and any(folder.iterdir()):
        if not _same(folder, table, [path for path, _, _ in scenes]):
            raise DataError(f"{folder} holds something other than these scenes; choose another folder, or empty it.")
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        (temporary / "images").mkdir()
        for path, _, scene in track(scenes, len(scenes), "Drawing scenes"):
            draw_scene(scene, size, f"{seed} {path}").save(temporary / path)
        (temporary / TABLE).write_text(table, encoding="utf-8")
        temporary.chmod(0o755)  # a temporary folder is made private
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _scenes(split: str, count: int, seed: int) -> Iterator[Scene]:
    """The scenes of a split; those to measure with are all different, while there are enough."""
    told: set[tuple[object, ...]] = set()
    for number in range(count):
        chance = random.Random(f"{seed} {split} {number}")
        scene = random_scene(chance, unseen=split == "test")
        for _ in range(_TRIES if split != "train" else 0):
            if scene.meaning not in told:
                break
            scene = random_scene(chance, unseen=split == "test")
        told.add(scene.meaning)
        yield scene


def _row(path: str, split: str, scene: Scene) -> dict[str, object]:
    captions, unseen = list(scene_captions(scene)), list(scene.unseen)
    return {"path": path, "captions": captions, "split": split, "unseen": unseen, "scene": asdict(scene)}


def _same(folder: Path, table: str, images: list[str]) -> bool:
    """Whether `folder` holds this table and these images, and nothing else."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return there == {TABLE, *images} and (folder / TABLE).read_text(encoding="utf-8") == table
