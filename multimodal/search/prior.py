"""How other queries score with the pictures of an index, which completes the background of one (see `relevance.py`).

For texts: everyday captions that were not asked for, each with each picture. For pictures: the pictures of the index
with each other. For a mixture of both neither holds: only a small index, which shows too little by itself, borrows
from the pictures.

Axes: n pictures · p prompts · d width of a vector
"""

from __future__ import annotations

from collections.abc import Callable

from multimodal.search.query import Query
from multimodal.search.relevance import Background
from multimodal.search.snapshot import Snapshot

ENOUGH = 200  # pictures from which on a mixture is judged by its own scores alone

PROMPTS = (
    "a photo of a person",
    "a group of people at a party",
    "a child playing",
    "a dog",
    "a cat on a sofa",
    "a bird in a tree",
    "a horse in a field",
    "a plate of food",
    "a cup of coffee on a table",
    "a bowl of fruit",
    "a car on a road",
    "a train at a station",
    "a boat on the water",
    "an airplane in the sky",
    "a bicycle leaning on a wall",
    "a street in a city at night",
    "a tall building",
    "an old church",
    "a living room with furniture",
    "a kitchen",
    "a bed in a bedroom",
    "a computer on a desk",
    "a page of printed text",
    "a drawing of a shape",
    "a flower in a garden",
    "a forest in autumn",
    "a mountain covered with snow",
    "a beach at sunset",
    "a river with a bridge",
    "a crowd at a concert",
    "a football match",
    "a red object on a white background",
)


def prior_of(query: Query, snapshot: Snapshot, texts: Callable[[], Background]) -> Background | None:
    """What completes the background of a query, given what says it for texts; None: nothing does."""
    kinds = {part.kind == "text" for part in query.parts}
    if kinds == {True}:
        return texts()
    if kinds == {False} or len(snapshot) < ENOUGH:
        return snapshot.between_pictures
    return None
