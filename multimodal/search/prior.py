"""How unrelated things score in a small index, which has too few pictures to show it by itself (see `relevance.py`).

For texts: everyday captions that were not asked for, each with each picture. For pictures: the pictures of the index
with each other.

Axes: n pictures · p prompts · d width of a vector
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from multimodal.search.query import Query
from multimodal.search.relevance import Background, spread
from multimodal.search.snapshot import Snapshot

ENOUGH = 400  # pictures from which on the prior's weight is below one part in twenty

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


def prior_of(query: Query, snapshot: Snapshot, prompts: Callable[[], Float[np.ndarray, "p d"]]) -> Background | None:
    """The prior for a query, given what makes the vectors of `PROMPTS`; None where it is not needed."""
    if len(snapshot) >= ENOUGH:
        return None
    if query.plain_text:
        return spread((prompts() @ snapshot.sample.T).ravel())
    return snapshot.between_pictures()
