"""What a tokenizer knows besides its vocabulary: which tokens are special, its longest input, its chat template.

It is kept beside `tokenizer.json` in `tokenizer_config.json`, under the key names that transformers uses, so that
either program reads what the other wrote. Reading gathers what older folders spread over `special_tokens_map.json`,
`added_tokens.json` and `chat_template.jinja`. The tokenizer itself is in `text.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from multimodal.errors import DataError
from multimodal.tokenizers.text_cleaning import Cleaning

CONFIG = "tokenizer_config.json"
ROLES = ("bos", "eos", "pad", "unk", "mask", "sep", "cls")
_UNLIMITED = 10**9  # transformers writes 10^30 for "no limit"


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """The tokens with a task of their own, by that task; None: the vocabulary has no such token."""

    bos: str | None = None  # begins a sequence
    eos: str | None = None  # ends it
    pad: str | None = None
    unk: str | None = None  # stands for what the vocabulary lacks
    mask: str | None = None
    sep: str | None = None  # between the texts of a pair
    cls: str | None = None  # carries the summary of the text
    extra: tuple[str, ...] = ()  # others, such as T5's sentinels

    @property
    def all(self) -> tuple[str, ...]:
        """Every token once, in the order of the fields."""
        named = [token for role in ROLES if (token := getattr(self, role)) is not None]
        return tuple(dict.fromkeys([*named, *self.extra]))


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """The contents of `tokenizer_config.json`, as far as they matter here."""

    special: SpecialTokens = SpecialTokens()
    max_length: int | None = None  # tokens, special ones included, that the model takes; None: not stated
    chat_template: str | None = None  # Jinja
    clean_up: bool = False  # decoding removes the spaces that WordPiece leaves before punctuation
    cleaning: Cleaning | None = None  # what is done to a text first (CLIP, SigLIP); offsets are in the result
    known: int | None = None  # ids from this one on are read as `unk` (Marian: pieces outside the vocabulary)


def write_settings(settings: TextSettings, folder: Path, *, types: bool) -> None:
    """Write `tokenizer_config.json`; `types`: whether the texts of a pair differ in their type ids."""
    plain: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for role in ROLES:
        if token := getattr(settings.special, role):
            plain[f"{role}_token"] = token
    if settings.special.extra:
        plain["additional_special_tokens"] = list(settings.special.extra)
    if settings.max_length is not None:
        plain["model_max_length"] = settings.max_length
    if settings.chat_template is not None:
        plain["chat_template"] = settings.chat_template
    plain["clean_up_tokenization_spaces"] = settings.clean_up
    if settings.cleaning is not None:
        plain["text_cleaning"] = settings.cleaning
    if settings.known is not None:
        plain["known_vocabulary"] = settings.known
    plain["model_input_names"] = ["input_ids", *(["token_type_ids"] if types else []), "attention_mask"]
    write_text(folder / CONFIG, json.dumps(plain, ensure_ascii=False, indent=2) + "\n")


def read_settings(folder: Path) -> tuple[TextSettings, dict[str, Any]]:
    """The settings that the files of `folder` state, and the fields of `tokenizer_config.json` as they are.

    Raises:
        DataError: a file is not JSON, or a field has the wrong type.
    """
    config = read_json(folder / CONFIG)
    roles = {**read_json(folder / "special_tokens_map.json"), **config}
    named = {role: _token(roles.get(f"{role}_token"), f"{role}_token", folder) for role in ROLES}
    extra: list[str] = []
    # Lists in the older and newer file format; the newer one may also name tokens: {"image_token": "<image>"}.
    for field in ("additional_special_tokens", "extra_special_tokens"):
        values = roles.get(field) or []
        values = list(values.values()) if isinstance(values, dict) else values
        if not isinstance(values, list):
            raise DataError(f"{folder / CONFIG}: {field} is {values!r}; it must be a list of tokens.")
        extra += [token for value in values if (token := _token(value, field, folder)) is not None]
    longest = config.get("model_max_length")
    if longest is not None and not (isinstance(longest, int | float) and longest > 0):
        raise DataError(f"{folder / CONFIG}: model_max_length is {longest!r}; it must be a positive number of tokens.")
    known = config.get("known_vocabulary")
    if known is not None and not (isinstance(known, int) and known > 0):
        raise DataError(f"{folder / CONFIG}: known_vocabulary is {known!r}; it must be a number of tokens.")
    settings = TextSettings(
        special=SpecialTokens(**named, extra=tuple(dict.fromkeys(t for t in extra if t not in named.values()))),
        max_length=None if longest is None or longest >= _UNLIMITED else int(longest),
        chat_template=_chat_template(folder, config),
        clean_up=bool(config.get("clean_up_tokenization_spaces", False)),
        cleaning=_cleaning(folder, config),
        known=known,
    )
    return settings, config


def added_tokens(folder: Path, config: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """(id, fields of a `tokenizers.AddedToken`) of the tokens that `folder` adds to the vocabulary, by id.

    Raises:
        DataError: an entry is not a token.
    """
    found: dict[int, dict[str, Any]] = {}
    for token, number in read_json(folder / "added_tokens.json").items():
        if not isinstance(number, int):
            raise DataError(f"{folder / 'added_tokens.json'} gives {token!r} the id {number!r}; it must be a number.")
        found[number] = {"content": token}
    decoder = config.get("added_tokens_decoder") or {}
    if not isinstance(decoder, dict):
        raise DataError(f"{folder / CONFIG}: added_tokens_decoder is {decoder!r}; it must give tokens by their ids.")
    for number, fields in decoder.items():
        if not isinstance(fields, dict) or not isinstance(fields.get("content"), str) or not str(number).isdigit():
            raise DataError(f"{folder / CONFIG}: added_tokens_decoder[{number!r}] is {fields!r}; it must be a token.")
        names = ("content", "lstrip", "rstrip", "single_word", "normalized", "special")
        found[int(number)] = {name: fields[name] for name in names if name in fields}
    return sorted(found.items())


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds; an empty one where there is no file.

    Raises:
        DataError: it cannot be read, or is not an object.
    """
    if not path.exists():
        return {}
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not readable JSON: {error}. Copy it again from where it came.") from error
    if not isinstance(plain, dict):
        raise DataError(f"{path} holds a JSON {type(plain).__name__}; it must hold an object.")
    return plain


def write_text(path: Path, text: str) -> None:
    """Write a file under another name beside `path`, then put it in its place."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _token(value: Any, field: str, folder: Path) -> str | None:
    """The text of a token that may be written as text or as an object with its content."""
    if isinstance(value, dict):
        value = value.get("content")
    if value is None or isinstance(value, str):
        return value or None
    raise DataError(f"{folder / CONFIG}: {field} is {value!r}; it must be the text of a token.")


def _cleaning(folder: Path, config: Mapping[str, Any]) -> Cleaning | None:
    """The way that the config names; earlier folders could only say whether a text was cleaned as CLIP does it."""
    found = config.get("text_cleaning", "lower" if config.get("mend_text") else None)
    if found is not None and found not in get_args(Cleaning):
        known = ", ".join(map(repr, get_args(Cleaning)))
        raise DataError(f"{folder / CONFIG}: text_cleaning is {found!r}; it must be one of {known}, or absent.")
    return found


def _chat_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The template of `chat_template.jinja`, else of the config, where several are told apart by name."""
    path = folder / "chat_template.jinja"
    if path.exists():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is not readable text: {error}.") from error
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
        if template is None:
            raise DataError(f"{folder / CONFIG}: chat_template names {sorted(map(str, named))} but no 'default'.")
    if template is not None and not isinstance(template, str):
        raise DataError(f"{folder / CONFIG}: chat_template is a {type(template).__name__}; it must be text.")
    return template
