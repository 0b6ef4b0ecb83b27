"""Words for the masks of a text: what `TextEncoder.fill_mask` makes of probabilities.

Axes: m masks · v vocabulary
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.tokenizers.encoded import Encoded, Text
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_cleaning import clean


@dataclass(frozen=True)
class Filling:
    """A word for each mask."""

    tokens: tuple[str, ...]  # as the vocabulary spells them
    probability: float
    text: str  # the given text with them in place of the masks


def masked_row(tokenizer: TextTokenizer, text: Text, longest: int) -> tuple[Encoded, list[int]]:
    """The tokens of `text`, and which of them are masks.

    Raises:
        ArgumentError: none is, or the text is too long.
    """
    mask = tokenizer.special.mask
    if mask is None:
        raise ArgumentError("This tokenizer has no mask token, so no place in a text can be filled.")
    row = tokenizer.encode(text, max_length=longest, truncation="refuse")
    places = [i for i, id in enumerate(row.ids) if id == tokenizer.mask_id]
    if not places:
        raise ArgumentError(f"The text has no mask: write {mask!r} where the word is to be found.")
    return row, places


def fillings(tokenizer: TextTokenizer, text: Text, chances: Float[Tensor, "m v"], top: int) -> list[Filling]:
    """The `top` likeliest combinations of words, each mask by itself."""
    best: list[tuple[float, tuple[int, ...]]] = [(1.0, ())]
    for row in chances:
        words = row.topk(min(top, len(row)))
        pairs = list(zip(words.values.tolist(), words.indices.tolist(), strict=True))
        longer = [(chance * own, (*ids, id)) for chance, ids in best for own, id in pairs]
        best = sorted(longer, key=lambda one: -one[0])[:top]
    pieces = clean(text).split(str(tokenizer.special.mask))
    found = []
    for chance, ids in best:
        words = [tokenizer.decode([id], skip_special=False).strip().removeprefix("##") for id in ids]
        whole = "".join(part for pair in zip(pieces, [*words, ""], strict=True) for part in pair)
        found.append(Filling(tuple(map(tokenizer.token_of, ids)), chance, whole))
    return found
