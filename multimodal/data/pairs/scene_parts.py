"""What stands in a drawn scene, which combinations are kept for testing, and scenes at random.

A scene shows one thing in a place, two to five equal things, or two things in a relation. Two rules, by place in the
lists below, keep combinations out of training while each of their parts is seen there:

    shape and colour   a quarter of all pairs, two of each shape and of each colour: "a blue star", "a green heart"
    relation           a fifth of all ordered pairs of shapes, others for each relation: "a circle left of a square"
                       (and so no "square right of a circle"), while squares left of circles are seen

How scenes are put into words is in scene_words.py, how they are drawn in scene_drawing.py.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "diamond")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
RELATIONS = ("left of", "above", "inside")  # each is also put into words the other way round: "right of"
PLACES = {  # x, y as parts of the side, from the top left
    "in the top left corner": (0.27, 0.27),
    "in the top right corner": (0.73, 0.27),
    "in the bottom left corner": (0.27, 0.73),
    "in the bottom right corner": (0.73, 0.73),
    "in the middle": (0.5, 0.5),
}
SIZES = {"small": 0.115, "large": 0.25}  # radius as a part of the side
_MARGIN = 0.03  # parts of the side that stay free around everything


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One shape; places and radius are parts of the picture's side."""

    shape: str
    colour: str
    x: float  # of its middle, from the left
    y: float  # from the top
    radius: float  # of the circle around it
    angle: float  # degrees, anticlockwise

    @property
    def pair(self) -> tuple[str, str]:
        """Shape and colour."""
        return self.shape, self.colour


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a picture shows."""

    kind: Literal["single", "count", "relation"]
    things: tuple[Thing, ...]  # of a relation the first is left of, above or inside the second
    size: str = ""  # of a single thing; see `SIZES`
    place: str = ""  # of a single thing; see `PLACES`
    relation: str = ""  # see `RELATIONS`

    @property
    def meaning(self) -> tuple[object, ...]:
        """What all captions of the scene say, and no caption of a scene with another meaning."""
        pairs = tuple(thing.pair for thing in self.things)
        return self.kind, pairs, self.size, self.place, self.relation

    @property
    def unseen(self) -> tuple[str, ...]:
        """The combinations in it that no training scene shows."""
        pairs = dict.fromkeys(thing.pair for thing in self.things)
        found = [f"{colour} {shape}" for shape, colour in pairs if new(shape, colour)]
        if self.relation and new_relation(self.relation, self.things[0].shape, self.things[1].shape):
            found.append(f"{self.things[0].shape} {self.relation} {self.things[1].shape}")
        return tuple(found)


def new(shape: str, colour: str) -> bool:
    """Whether this pair is kept out of training."""
    return (3 * SHAPES.index(shape) + COLOURS.index(colour)) % 8 in (1, 5)


def new_relation(relation: str, first: str, second: str) -> bool:
    """Whether two shapes in this relation are kept out of training."""
    return (SHAPES.index(first) + 2 * SHAPES.index(second) + RELATIONS.index(relation)) % 5 == 2


def random_scene(chance: random.Random, *, unseen: bool) -> Scene:
    """A scene at random: one that training may show, or (`unseen`) one with exactly one combination that it may not."""
    kind = chance.choices(("single", "count", "relation", "new relation"), (1, 1, 3, 5 if unseen else 0))[0]
    if kind == "single":
        return _single(chance, _pair(chance, new_one=unseen))
    if kind == "count":
        return _count(chance, _pair(chance, new_one=unseen))
    relation = chance.choice(RELATIONS)
    while True:
        pairs = [_pair(chance, new_one=unseen and kind == "relation"), _pair(chance, new_one=False)]
        chance.shuffle(pairs)
        shapes, colours = zip(*pairs, strict=True)
        clear = shapes[0] != shapes[1] and (colours[0] != colours[1] or relation != "inside")
        if clear and new_relation(relation, *shapes) == (kind == "new relation"):
            return _relation(chance, relation, pairs)


def _pair(chance: random.Random, *, new_one: bool) -> tuple[str, str]:
    while True:
        shape, colour = chance.choice(SHAPES), chance.choice(COLOURS)
        if new(shape, colour) == new_one:
            return shape, colour


def _thing(chance: random.Random, pair: tuple[str, str], x: float, y: float, radius: float) -> Thing:
    radius *= chance.uniform(0.92, 1.08)
    edge = radius + _MARGIN
    x, y = (min(max(value, edge), 1 - edge) for value in (x, y))
    return Thing(
        shape=pair[0],
        colour=pair[1],
        x=round(x, 4),
        y=round(y, 4),
        radius=round(radius, 4),
        angle=round(chance.uniform(-14, 14), 1),
    )


def _single(chance: random.Random, pair: tuple[str, str]) -> Scene:
    size, place = chance.choice(list(SIZES)), chance.choice(list(PLACES))
    x, y = (value + chance.uniform(-0.05, 0.05) for value in PLACES[place])
    return Scene(kind="single", things=(_thing(chance, pair, x, y, SIZES[size]),), size=size, place=place)


def _count(chance: random.Random, pair: tuple[str, str]) -> Scene:
    count, radius = chance.randint(2, 5), chance.uniform(0.11, 0.135)
    spots: list[tuple[float, float]] = []
    while len(spots) < count:
        spots = []
        for _ in range(40):  # then from the beginning: the first ones may have left no room
            x, y = chance.uniform(radius, 1 - radius), chance.uniform(radius, 1 - radius)
            if all((x - a) ** 2 + (y - b) ** 2 > (2.4 * radius) ** 2 for a, b in spots):
                spots.append((x, y))
            if len(spots) == count:
                break
    return Scene(kind="count", things=tuple(_thing(chance, pair, x, y, radius) for x, y in spots))


def _relation(chance: random.Random, relation: str, pairs: list[tuple[str, str]]) -> Scene:
    def near(value: float, by: float) -> float:
        return value + chance.uniform(-by, by)

    if relation == "inside":
        middle = near(0.5, 0.08), near(0.5, 0.08)
        spots, radii = [middle, middle], [0.135, 0.39]
    else:
        across = near(0.5, 0.12)
        spots = [(near(0.255, 0.025), near(across, 0.05)), (near(0.745, 0.025), near(across, 0.05))]
        radii = [near(0.175, 0.025), near(0.175, 0.025)]
        if relation == "above":
            spots = [(y, x) for x, y in spots]
    things = [_thing(chance, pair, *spot, radius) for pair, spot, radius in zip(pairs, spots, radii, strict=True)]
    return Scene(kind="relation", things=tuple(things), relation=relation)
