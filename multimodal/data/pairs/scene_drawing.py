"""Drawn scenes as pictures: flat shapes with soft shadows on a plain, shaded, striped or dotted ground.

Everything is drawn four times as large and then reduced, which smooths the edges.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable

from PIL import Image, ImageDraw

from multimodal.data.pairs.scene_parts import Scene, Thing

Colour = tuple[int, int, int]
Point = tuple[float, float]

OVERSAMPLING = 4
PAINTS: dict[str, Colour] = {
    "red": (222, 45, 48),
    "orange": (247, 137, 28),
    "yellow": (250, 212, 40),
    "green": (52, 160, 72),
    "blue": (38, 98, 214),
    "purple": (136, 70, 194),
    "pink": (245, 130, 184),
    "brown": (121, 78, 44),
}
GROUNDS: tuple[Colour, ...] = (
    (247, 244, 236),
    (226, 232, 240),
    (214, 234, 226),
    (232, 224, 243),
    (205, 216, 224),
    (246, 224, 214),
    (44, 52, 68),
    (62, 66, 72),
    (30, 60, 74),
)
_NEAR = 100.0  # distance of two colours, in levels, below which a shape would hardly show on the ground
_SHADOW = 55  # opacity of shadows, of 255


def draw_scene(scene: Scene, size: int, seed: int | str) -> Image.Image:
    """The picture of a scene, RGB, `size` x `size` px; `seed` is of the ground and of shades, which mean nothing."""
    chance = random.Random(seed)
    side = size * OVERSAMPLING
    picture = _ground(side, [PAINTS[thing.colour] for thing in scene.things], chance)
    # What is inside lies on top.
    for thing in reversed(scene.things):
        _paint(picture, thing, _shade(PAINTS[thing.colour], chance))
    return picture.reduce(OVERSAMPLING)


def _ground(side: int, paints: list[Colour], chance: random.Random) -> Image.Image:
    clear = [ground for ground in GROUNDS if all(math.dist(ground, paint) > _NEAR for paint in paints)]
    base = _shade(chance.choice(clear), chance)
    other = _limited(value + chance.choice((-14, 14)) for value in base)
    style = chance.choice(("plain", "shaded", "stripes", "dots"))
    if style == "shaded":
        ends = Image.new("RGB", (1, 2) if chance.random() < 0.5 else (2, 1))
        ends.putdata([base, _limited(value - 30 for value in base)])
        return ends.resize((side, side), Image.Resampling.BICUBIC)
    picture = Image.new("RGB", (side, side), base)
    if style == "plain":
        return picture
    draw = ImageDraw.Draw(picture)
    step = round(side * chance.uniform(0.09, 0.16))
    if style == "stripes":
        for x in range(-side, side, 2 * step):
            draw.polygon([(x, 0), (x + step, 0), (x + step + side, side), (x + side, side)], fill=other)
        return picture
    dot = step * 0.22
    for row, y in enumerate(range(step // 2, side + step, step)):
        for x in range(step // 2 - (row % 2) * step // 2, side + step, step):
            draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=other)
    return picture


def _shade(paint: Colour, chance: random.Random) -> Colour:
    """Nearly the same colour."""
    light = chance.uniform(-9, 9)
    return _limited(round(value + light + chance.uniform(-6, 6)) for value in paint)


def _limited(values: Iterable[int]) -> Colour:
    red, green, blue = (max(0, min(255, value)) for value in values)
    return red, green, blue


def _paint(picture: Image.Image, thing: Thing, colour: Colour) -> None:
    side = picture.width
    radius = thing.radius * side
    half = math.ceil(radius) + 1
    mask = Image.new("L", (2 * half, 2 * half))
    _SHAPES[thing.shape](ImageDraw.Draw(mask), half, radius, math.radians(thing.angle))
    left, top = round(thing.x * side) - half, round(thing.y * side) - half
    drop = max(1, round(0.018 * side))
    shadow = mask.point([value * _SHADOW // 255 for value in range(256)])
    picture.paste((0, 0, 0), (left + drop // 2, top + drop), shadow)
    picture.paste(colour, (left, top), mask)


def _polygon(points: Callable[[], list[Point]]) -> Callable[[ImageDraw.ImageDraw, int, float, float], None]:
    """Paints the polygon of points within the unit circle, x to the right and y down."""
    corners = points()

    def paint(draw: ImageDraw.ImageDraw, middle: int, radius: float, angle: float) -> None:
        sine, cosine = radius * math.sin(angle), radius * math.cos(angle)
        draw.polygon([(middle + x * cosine + y * sine, middle - x * sine + y * cosine) for x, y in corners], fill=255)

    return paint


def _circle(draw: ImageDraw.ImageDraw, middle: int, radius: float, angle: float) -> None:
    radius *= 0.88
    draw.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), fill=255)


def _ring(draw: ImageDraw.ImageDraw, middle: int, radius: float, angle: float) -> None:
    for part, fill in ((0.94, 255), (0.58, 0)):
        r = radius * part
        draw.ellipse((middle - r, middle - r, middle + r, middle + r), fill=fill)


def _star() -> list[Point]:
    turns = [math.pi * (i / 5 - 0.5) for i in range(10)]
    return [(r * math.cos(t), r * math.sin(t) + 0.04) for t, r in zip(turns, (1.0, 0.46) * 5, strict=True)]


def _cross() -> list[Point]:
    a, b = 0.92, 0.31
    return [(-b, -a), (b, -a), (b, -b), (a, -b), (a, b), (b, b), (b, a), (-b, a), (-b, b), (-a, b), (-a, -b), (-b, -b)]


def _heart() -> list[Point]:
    turns = [2 * math.pi * i / 48 for i in range(48)]
    return [
        (
            0.95 * math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 17 - 0.02,
        )
        for t in turns
    ]


_SHAPES: dict[str, Callable[[ImageDraw.ImageDraw, int, float, float], None]] = {
    "circle": _circle,
    "ring": _ring,
    "square": _polygon(lambda: [(-0.76, -0.76), (0.76, -0.76), (0.76, 0.76), (-0.76, 0.76)]),
    "triangle": _polygon(lambda: [(0.0, -0.95), (0.92, 0.68), (-0.92, 0.68)]),
    "diamond": _polygon(lambda: [(0.0, -1.0), (0.62, 0.0), (0.0, 1.0), (-0.62, 0.0)]),
    "star": _polygon(_star),
    "cross": _polygon(_cross),
    "heart": _polygon(_heart),
}
