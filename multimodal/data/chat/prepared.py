"""Conversations made ready for a model: texts as ids, once for all epochs, and how many tokens each will have.

Images are not decoded here. Where every image becomes as many tokens, none is opened; where that depends on its size or
length, headers say it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from multimodal.data.chat.samples import ChatSample
from multimodal.data.chat.targets import Learned, fitted, learned, length
from multimodal.data.images.samples import Skipped
from multimodal.data.images.shards import source_of
from multimodal.errors import ArgumentError, DataError
from multimodal.media import MediaError
from multimodal.media.files import shown
from multimodal.models.chat.views import Reader
from multimodal.progress import track


@dataclass(frozen=True, slots=True)
class Prepared:
    """A conversation that fits."""

    row: Learned  # the whole text; what is too long is cut off when it is known how many tokens its images have
    media: tuple[str, ...]
    length: int  # ids that a model reads, images' tokens counted and what is too long cut off
    whole: int  # the same without the cut
    index: int  # of the conversation in its split


def prepared(
    samples: Sequence[ChatSample], model: Any, longest: int | None, skipped: list[Skipped]
) -> tuple[Prepared, ...]:
    """`samples` as ids for `model`; those that it cannot learn from are named in `skipped` and left out.

    Args:
        samples: of one split.
        model: a vision-language model with a tokenizer; see `longest_of` for `longest`.
        longest: ids that it reads at most.
        skipped: what is left out is added here.

    Raises:
        ArgumentError: the tokenizer has no chat template.
    """
    if model.tokenizer.chat_template is None:
        raise ArgumentError(
            "The model's tokenizer has no chat template, so conversations cannot be laid out; give it one: VICUNA of "
            "multimodal.tokenizers.chat, for example."
        )
    known: dict[str, int | str] = {}  # tokens of a file, or why it cannot be used
    found = []
    for index, sample in enumerate(track(samples, len(samples), "Tokenizing conversations")):
        try:
            found.append(_prepared(sample, index, model, longest, known))
        except (ArgumentError, DataError) as error:
            skipped.append(Skipped(shown(sample.where), str(error).rstrip(".")))
        except MediaError as error:
            skipped.append(Skipped(shown(sample.where), f"a file cannot be used: {str(error).rstrip('.')}"))
    return tuple(found)


def _prepared(sample: ChatSample, index: int, model: Any, longest: int | None, known: dict[str, int | str]) -> Prepared:
    reader, placeholder = model.reader, model.config.placeholder
    if wrong := set(sample.chat.kinds) - {"audio" if reader.hears else "image"}:
        takes = "hears recordings" if reader.hears else "sees images"
        raise DataError(f"it shows <{wrong.pop()}>, and this model {takes}")
    row = learned(sample.chat, model.tokenizer, placeholder)
    media = sample.media[: row.images(placeholder)]
    tokens = [_tokens(reader, path, known) for path in media]
    cut = fitted(row, placeholder, tokens, longest)
    if cut is None:
        raise DataError(f"nothing of an answer is left within {longest} tokens")
    kept = cut.images(placeholder)
    return Prepared(row, media, length(cut, tokens[:kept]), length(row, tokens), index)


def longest_of(model: Any, longest: int | None) -> int:
    """How many tokens a conversation may have: `longest`, or as many as the model was made for.

    Raises:
        ArgumentError: below 2, or more than the model has positions for.
    """
    embedding = model.config.embedding
    if longest is None:
        return embedding.max_length
    if longest < 2 or (embedding.positions is not None and longest > embedding.positions):
        rule = f"to {embedding.positions}, for which the model has positions" if embedding.positions else "up"
        raise ArgumentError(f"longest is {longest} tokens; it must be from 2 {rule}.")
    return longest


def _tokens(reader: Reader, path: str, known: dict[str, int | str]) -> int:
    """How many tokens a file becomes.

    Raises:
        DataError, MediaError: its header cannot be read.
    """
    if reader.tiles is None and not reader.hears:
        return reader.length
    if path not in known:
        try:
            known[path] = reader.count(source_of(path))
        except (DataError, MediaError) as error:
            known[path] = str(error)
    found = known[path]
    if isinstance(found, str):
        raise MediaError(found)
    return found
