"""What plain-text objectives ask of a tokenizer: ids of a text without and with its frame, and what single tokens mean.

Axes: n ids · v vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from multimodal.errors import ArgumentError
from multimodal.tokenizers.text import TextTokenizer

_ENDS = frozenset(".!?。！？")


def sequence_ids(sample: Any, tokenizer: TextTokenizer, max_length: int | None) -> Int[np.ndarray, " n"]:
    """The ids of a text as a language model reads it, ended by the end-of-text id if there is one.

    Args:
        sample: a text; or ids, which are taken as they are.
        tokenizer: makes the ids, with the special tokens that it adds.
        max_length: ids at most, without the last of them, which is only predicted; None: what the tokenizer says.
    """
    if not isinstance(sample, str | bytes):
        return np.asarray(sample, dtype=np.int64)
    ids = tokenizer.rows([sample])[0]
    if tokenizer.eos_id is not None and ids[-1:] != [tokenizer.eos_id]:
        ids.append(tokenizer.eos_id)
    limit = max_length or tokenizer.max_length
    return np.array(ids[: limit + 1] if limit else ids, dtype=np.int64)


def plain_ids(sample: Any, tokenizer: TextTokenizer, max_length: int | None, *, frame: int) -> Int[np.ndarray, " n"]:
    """The ids of a text without special tokens around it.

    Args:
        sample: a text; or ids, of which an end-of-text id at the end is left out.
        tokenizer: makes the ids.
        max_length: ids of a text at most; None: what the tokenizer says.
        frame: how many of these are kept free for special tokens.
    """
    if isinstance(sample, str | bytes):
        limit = max_length or tokenizer.max_length
        ids = tokenizer.rows([sample], special=False)[0]
        return np.array(ids[: max(limit - frame, 0)] if limit else ids, dtype=np.int64)
    ids = np.asarray(sample, dtype=np.int64)
    return ids[:-1] if len(ids) and ids[-1] == tokenizer.eos_id else ids


def framed(
    parts: Sequence[np.ndarray], tokenizer: TextTokenizer
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """One or two texts as an encoder reads them, [CLS] a [SEP] b [SEP], and the number of the text of each id.

    Without such tokens those that begin and end a text take their place: <s> a </s>.
    """
    first = tokenizer.bos_id if tokenizer.cls_id is None else tokenizer.cls_id
    last = tokenizer.eos_id if tokenizer.sep_id is None else tokenizer.sep_id
    ids: list[int] = [] if first is None else [first]
    types = [0] * len(ids)
    for number, part in enumerate(parts):
        ids += [*part.tolist(), *([] if last is None else [last])]
        types += [number] * (len(ids) - len(types))
    return np.array(ids, dtype=np.int64), np.array(types, dtype=np.int64)


def end_id(tokenizer: TextTokenizer) -> int:
    """The end-of-text id.

    Raises:
        ArgumentError: there is none.
    """
    if tokenizer.eos_id is None:
        raise ArgumentError("This objective ends its texts with the tokenizer's `eos` token, and it has none; add one.")
    return tokenizer.eos_id


def sentinels(tokenizer: TextTokenizer) -> tuple[int, ...]:
    """The ids of T5's <extra_id_0>, <extra_id_1> and so on.

    Raises:
        ArgumentError: there are none.
    """
    known = tokenizer.tokenizer.get_vocab(with_added_tokens=True)
    found: list[int] = []
    while (id := known.get(f"<extra_id_{len(found)}>")) is not None:
        found.append(id)
    if not found:
        raise ArgumentError(
            "Span corruption needs the tokens <extra_id_0>, <extra_id_1> and so on, one for each span, and the "
            "tokenizer has none; name them in `SpecialTokens.extra` when it is trained."
        )
    return tuple(found)


def word_starts(tokenizer: TextTokenizer) -> Bool[np.ndarray, " v"]:
    """Whether a word begins with each id: all but ##pieces, or those that carry a space (Ġ, ▁); special tokens always.

    Raises:
        ArgumentError: no token of the vocabulary shows where words begin.
    """
    known = tokenizer.tokenizer.get_vocab(with_added_tokens=True)
    starts = np.ones(max(tokenizer.vocabulary, *known.values()) + 1, dtype=bool)
    if any(token.startswith("##") and len(token) > 2 for token in known):
        inside = [id for token, id in known.items() if token.startswith("##") and len(token) > 2]
    elif any(token.startswith(("Ġ", "▁")) for token in known):
        inside = [id for token, id in known.items() if not token.startswith(("Ġ", "▁", "Ċ", "ĉ"))]
    else:
        raise ArgumentError("Whole words cannot be chosen: this vocabulary does not show where they begin. Use tokens.")
    starts[inside] = False
    starts[list(tokenizer.special_ids)] = True
    return starts


def sentence_ends(tokenizer: TextTokenizer) -> Bool[np.ndarray, " v"]:
    """Whether a sentence ends with each id: tokens of nothing but full stops, question and exclamation marks."""
    known = tokenizer.tokenizer.get_vocab(with_added_tokens=True)
    ends = np.zeros(max(tokenizer.vocabulary, *known.values()) + 1, dtype=bool)
    ends[[id for token, id in known.items() if (mark := token.lstrip("Ġ▁#")) and set(mark) <= _ENDS]] = True
    return ends
