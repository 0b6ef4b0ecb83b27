"""Drawn scenes in words: several captions, each of which says all that tells the scene from others."""

from __future__ import annotations

from multimodal.data.pairs.scene_parts import Scene, Thing

_NUMBERS = ("no", "one", "two", "three", "four", "five")
_WAYS = {  # {a}: the first thing, {b}: the second
    "left of": (
        "{a} left of {b}",
        "{a} to the left of {b}",
        "{b} right of {a}",
        "{b} with {a} to its left",
        "{a} on the left and {b} on the right",
    ),
    "above": (
        "{a} above {b}",
        "{a} over {b}",
        "{b} below {a}",
        "{b} with {a} above it",
        "{a} at the top and {b} at the bottom",
    ),
    "inside": (
        "{a} inside {b}",
        "{a} in {b}",
        "{b} around {a}",
        "{b} with {a} inside it",
        "{b} that contains {a}",
    ),
}


def scene_captions(scene: Scene) -> tuple[str, ...]:
    """Five captions of a scene, the plainest first. Scenes of different meaning have none in common."""
    if scene.kind == "relation":
        a, b = map(_named, scene.things)
        return tuple(way.format(a=a, b=b) for way in _WAYS[scene.relation])
    thing = scene.things[0]
    if scene.kind == "count":
        number, shapes = _NUMBERS[len(scene.things)], _plural(thing.shape)
        return (
            f"{number} {thing.colour} {shapes}",
            f"{len(scene.things)} {thing.colour} {shapes}",
            f"a picture of {number} {thing.colour} {shapes}",
            f"there are {number} {thing.colour} {shapes}",
            f"{number} {shapes}, all of them {thing.colour}",
        )
    shown = f"a {scene.size} {thing.colour} {thing.shape}"
    return (
        f"{shown} {scene.place}",
        f"{scene.place}, {shown}",
        f"a picture of {shown} {scene.place}",
        f"there is {shown} {scene.place}",
        f"a {thing.colour} {thing.shape}, {scene.size}, {scene.place}",
    )


def _named(thing: Thing) -> str:
    return f"{'an' if thing.colour[0] in 'aeiou' else 'a'} {thing.colour} {thing.shape}"


def _plural(shape: str) -> str:
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"
