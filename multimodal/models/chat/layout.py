"""A conversation about images to the text, and the ids, that a model reads.

Axes: t tokens
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from multimodal.errors import ArgumentError
from multimodal.models.chat.messages import Chat, many
from multimodal.tokenizers.encoded import Encoded
from multimodal.tokenizers.text import TextTokenizer


def chat_text(tokenizer: TextTokenizer, chat: Chat, placeholder: str, *, answered: bool = False) -> str:
    """The conversation as the model was trained to read it, each image as `placeholder`.

    Args:
        tokenizer: with a chat template. One that asks for the types of parts is given them, another plain texts.
        chat: the conversation.
        placeholder: the token that stands for an image.
        answered: whether it is complete; else the assistant's turn is opened at its end.

    Raises:
        ArgumentError: there is no template, or it refuses these messages.
        DataError: the template is damaged.
    """
    takes_parts = re.search(r"""\[\s*['"]type['"]\s*\]|\.type\b""", tokenizer.chat_template or "") is not None
    messages = [
        {"role": m["role"], "content": _for_parts(m["content"]) if takes_parts else _joined(m["content"], placeholder)}
        for m in chat.messages
    ]
    text = tokenizer.chat(messages, add_generation_prompt=not answered)
    placed = text.count(placeholder)
    if placed != len(chat.media):
        raise ArgumentError(
            f"The conversation has {len(chat.media)} {many('image', len(chat.media))}, and the chat template left "
            f"{placed} {many('place', placed)} for them ({placeholder}); use a template of a model that takes images."
        )
    return text


def placeholder_token(tokenizer: TextTokenizer, placeholder: int) -> str:
    """The token of the id that stands for an image.

    Raises:
        ArgumentError: the tokenizer has no such id.
    """
    try:
        return tokenizer.token_of(placeholder)
    except ArgumentError as error:
        raise ArgumentError(
            f"The placeholder is {placeholder}, and the tokenizer has no token with that id; give the tokenizer that "
            "the model was trained with."
        ) from error


def encode_chat(tokenizer: TextTokenizer, text: str) -> Encoded:
    """The tokens of what `chat_text` gave: with the token that begins texts where the template did not write it."""
    bos = tokenizer.special.bos
    begins = bos is not None and text.startswith(bos)
    encoded = tokenizer.encode(text, special=not begins)
    behind = (
        next((i for i, special in enumerate(reversed(encoded.special_mask)) if not special), 0) if not begins else 0
    )
    count = len(encoded.ids) - behind
    fields: Any = (field[:count] if isinstance(field, tuple) else field for field in encoded)
    return Encoded(*fields)


def expand(ids: Sequence[int], placeholder: int, tokens: Sequence[int]) -> list[int]:
    """`ids` with each placeholder as often as its image has `tokens`.

    Raises:
        ArgumentError: there are more or fewer placeholders than images.
    """
    count = sum(id == placeholder for id in ids)
    if count != len(tokens):
        raise ArgumentError(
            f"The text has {count} {many('place', count)} for images, and {len(tokens)} "
            f"{'was' if len(tokens) == 1 else 'were'} given."
        )
    each = iter(tokens)
    return [id for one in ids for id in ([one] * next(each) if one == placeholder else [one])]


def _for_parts(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Parts for a template that writes images and what stands between them and the text itself."""
    found: list[dict[str, Any]] = []
    for part in parts:
        after = bool(found) and found[-1]["type"] != "text"
        text = part.get("text", "")
        found.append({**part, "text": text.removeprefix("\n")} if after and text else dict(part))
    return found


def _joined(parts: Sequence[Mapping[str, Any]], placeholder: str) -> str:
    return "".join(part["text"] if part["type"] == "text" else placeholder for part in parts)
