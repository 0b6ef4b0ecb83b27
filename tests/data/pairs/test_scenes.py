"""Drawn scenes: the rules of what is kept for testing, words that fit, pictures that show what is said."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from PIL import Image

from multimodal.data.pairs.read import read_pairs
from multimodal.data.pairs.scene_drawing import PAINTS, draw_scene
from multimodal.data.pairs.scene_parts import COLOURS, RELATIONS, SHAPES, Scene, Thing, new, new_relation, random_scene
from multimodal.data.pairs.scene_words import scene_captions
from multimodal.data.pairs.scenes import write_scenes
from multimodal.errors import ArgumentError, DataError

COUNTS = {"train": 800, "val": 60, "test": 120}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("demo") / "scenes", **COUNTS, size=32)


@pytest.fixture(scope="module")
def rows(folder):
    return [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]


def thing(shape="circle", colour="red", x=0.5, y=0.5, radius=0.25):
    return Thing(shape=shape, colour=colour, x=x, y=y, radius=radius, angle=0.0)


def things(row):
    return [Thing(**one) for one in row["scene"]["things"]]


def test_the_folder_is_read_as_it_is(folder):
    images = read_pairs(folder)
    assert {split: len(pairs) for split, pairs in images.splits.items()} == COUNTS
    assert images.skipped == ()
    assert all(len(pair.captions) == 5 for pairs in images.splits.values() for pair in pairs)
    with Image.open(images.splits["test"][0].path) as image:
        assert (image.mode, image.size) == ("RGB", (32, 32))


def test_a_quarter_of_the_pairs_and_a_fifth_of_the_relations_are_kept_for_testing():
    pairs = {(shape, colour) for shape in SHAPES for colour in COLOURS if new(shape, colour)}
    assert len(pairs) == 16
    assert all(sum(shape == one for one, _ in pairs) == 2 for shape in SHAPES)
    assert all(sum(colour == one for _, one in pairs) == 2 for colour in COLOURS)
    for relation in RELATIONS:
        kept = {(a, b) for a in SHAPES for b in SHAPES if a != b and new_relation(relation, a, b)}
        assert 8 <= len(kept) <= 14  # of 56
        for shape in SHAPES:  # each still stands on both sides
            assert sum(a == shape for a, _ in kept) <= 2
            assert sum(b == shape for _, b in kept) <= 2
    assert new_relation("left of", "circle", "square")
    assert not new_relation("left of", "square", "circle")
    assert not new("circle", "red")
    assert not new("square", "blue")


def test_training_never_shows_what_is_tested_and_every_part_of_it(rows):
    seen_pairs, seen_relations, parts = set(), set(), set()
    for row in rows:
        shown = things(row)
        relation = row["scene"]["relation"]
        unseen = {f"{one.colour} {one.shape}" for one in shown if new(one.shape, one.colour)}
        if relation and new_relation(relation, shown[0].shape, shown[1].shape):
            unseen.add(f"{shown[0].shape} {relation} {shown[1].shape}")
        assert set(row["unseen"]) == unseen
        assert len(unseen) == (row["split"] == "test")
        if row["split"] == "train":
            seen_pairs |= {f"{one.colour} {one.shape}" for one in shown}
            parts |= {one.shape for one in shown} | {one.colour for one in shown} | {relation}
            if relation:
                seen_relations.add(f"{shown[0].shape} {relation} {shown[1].shape}")
    assert parts == {*SHAPES, *COLOURS, *RELATIONS, ""}
    tested = {one for row in rows if row["split"] == "test" for one in row["unseen"]}
    assert len(tested) > 20
    assert not tested & (seen_pairs | seen_relations)


def test_things_stand_as_their_words_say(rows):
    for row in rows:
        scene, shown = row["scene"], things(row)
        for one in shown:
            assert one.radius <= min(one.x, one.y) + 1e-3
            assert max(one.x, one.y) <= 1 - one.radius + 1e-3
        if scene["kind"] == "count":
            assert 2 <= len(shown) <= 5
            assert len({one.pair for one in shown}) == 1
        if scene["kind"] != "relation":
            continue
        a, b = shown
        if scene["relation"] == "inside":
            assert math.dist((a.x, a.y), (b.x, b.y)) + a.radius < b.radius / 2
            assert a.colour != b.colour
        else:
            lesser, greater = (a.x, b.x) if scene["relation"] == "left of" else (a.y, b.y)
            assert greater - lesser > a.radius + b.radius
    sizes = {
        size: [things(row)[0].radius for row in rows if row["scene"]["size"] == size] for size in ("small", "large")
    }
    assert max(sizes["small"]) < min(sizes["large"])


def test_captions_of_different_meanings_are_different():
    chance = random.Random(0)
    meanings: dict[str, set[object]] = {}
    for _ in range(1500):
        scene = random_scene(chance, unseen=chance.random() < 0.5)
        captions = scene_captions(scene)
        assert len(set(captions)) == 5
        for caption in captions:
            meanings.setdefault(caption, set()).add(scene.meaning)
            assert all(one.shape in caption and one.colour in caption for one in scene.things)
    assert all(len(found) == 1 for found in meanings.values())


def test_words_of_each_kind():
    red, blue = thing(x=0.3), thing("square", "blue", x=0.7)
    relation = Scene(kind="relation", things=(red, blue), relation="left of")
    assert scene_captions(relation)[0] == "a red circle left of a blue square"
    assert scene_captions(relation)[2] == "a blue square right of a red circle"
    assert relation.unseen == ("circle left of square",)
    count = Scene(kind="count", things=(thing("cross", "orange"),) * 3)
    assert scene_captions(count)[:2] == ("three orange crosses", "3 orange crosses")
    single = Scene(kind="single", things=(thing("star"),), size="large", place="in the middle")
    assert scene_captions(single)[0] == "a large red star in the middle"
    inside = Scene(kind="relation", things=(thing(colour="orange"), blue), relation="inside")
    assert scene_captions(inside)[0] == "an orange circle inside a blue square"


@pytest.mark.parametrize("colour", COLOURS)
def test_the_picture_has_the_colour_where_the_thing_stands(colour):
    scene = Scene(kind="single", things=(thing("square", colour, x=0.3, y=0.7, radius=0.2),))
    for seed in range(8):
        pixels = np.asarray(draw_scene(scene, 64, seed)).astype(int)
        nearest = min(PAINTS, key=lambda name: np.abs(pixels[45, 19] - PAINTS[name]).sum())
        assert nearest == colour
        assert np.abs(pixels[45, 19] - pixels[10, 55]).max() > 40  # it stands out from the ground


def test_what_is_inside_lies_on_top_and_a_ring_is_open():
    inner, outer = thing("circle", "green", radius=0.12), thing("ring", "red", radius=0.4)
    pixels = np.asarray(draw_scene(Scene(kind="relation", things=(inner, outer), relation="inside"), 64, 0)).astype(int)
    assert np.abs(pixels[32, 32] - PAINTS["green"]).max() < 20
    assert np.abs(pixels[32, 32 + 19] - PAINTS["red"]).max() < 20
    assert np.abs(pixels[32, 32 + 12] - PAINTS["red"]).max() > 60


def test_the_same_seed_gives_the_same_files_and_a_finished_folder_is_kept(folder, tmp_path):
    again = write_scenes(tmp_path / "again", train=3, val=2, test=2, size=32)
    for path in again.rglob("*.png"):
        assert path.read_bytes() == (folder / path.relative_to(again)).read_bytes()  # more of them change none
    before = {path: path.stat().st_mtime_ns for path in again.rglob("*")}
    assert write_scenes(again, train=3, val=2, test=2, size=32) == again
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["again"], "no temporary folder is left"
    other = write_scenes(tmp_path / "other", train=3, val=2, test=2, size=32, seed=1)
    assert (other / "captions.jsonl").read_text() != (again / "captions.jsonl").read_text()


def test_scenes_to_measure_with_differ_in_meaning(rows):
    for split in ("val", "test"):
        captions = [row["captions"][0] for row in rows if row["split"] == split]
        assert len(set(captions)) == len(captions)


def test_a_folder_with_other_things_is_refused_untouched(tmp_path):
    (tmp_path / "photo.png").touch()
    with pytest.raises(DataError, match="something other than these scenes"):
        write_scenes(tmp_path, train=1, val=1, test=1)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_numbers_out_of_range_are_refused(tmp_path):
    for wrong, message in (
        ({"train": -1}, "train is -1"),
        ({"size": 8}, "size is 8"),
        ({"size": 5000}, "size is 5000"),
    ):
        with pytest.raises(ArgumentError, match=message):
            write_scenes(tmp_path / "x", **wrong)
    with pytest.raises(ArgumentError, match="in all at least one"):
        write_scenes(tmp_path / "x", train=0, val=0, test=0)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_call_leaves_nothing(tmp_path, monkeypatch):
    saved = []

    def save(image, path):
        saved.append(path)
        if len(saved) == 5:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OSError, match="No space left"):
        write_scenes(tmp_path / "scenes", train=9, val=1, test=1)
    assert list(tmp_path.iterdir()) == []
