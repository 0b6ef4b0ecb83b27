"""The tokenizer of a model of open_clip: its own BPE, or one of the Hugging Face hub with settings in `text_cfg`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import open_clip
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from multimodal.errors import DataError
from multimodal.hub.transformers_hub import hub_tokenizer
from multimodal.hub.transformers_source import VOCABULARIES, without_spares
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_cleaning import Cleaning
from multimodal.tokenizers.text_files import load_tokenizer
from multimodal.tokenizers.text_ranks import load_open_clip

BPE = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"  # the vocabulary of open_clip's own
_KNOWN = ("clean", "strip_sep_token")


def open_clip_tokenizer(text_cfg: Mapping[str, Any], *, folder: Path | None, source: str) -> TextTokenizer:
    """The tokenizer with which open_clip reads texts for a model with this config.

    Args:
        text_cfg: of the model.
        folder: where its files may be; None: nowhere here.
        source: what messages call the model.

    Raises:
        DataError: a setting that cannot be done here, damaged files, or a download that failed.
    """
    name, given = text_cfg.get("hf_tokenizer_name"), text_cfg.get("tokenizer_kwargs") or {}
    length = text_cfg.get("context_length", 77)
    wrong = next((key for key, value in given.items() if key not in _KNOWN and value), None)
    if wrong or text_cfg.get("tokenizer_mode"):
        field = f"tokenizer_kwargs.{wrong}" if wrong else "tokenizer_mode"
        raise DataError(f"text_cfg: {field} is set, and of settings of tokenizers only {', '.join(_KNOWN)} are known.")
    cleaning = given.get("clean", "whitespace" if name else "lower")
    if cleaning not in get_args(Cleaning):
        known = ", ".join(get_args(Cleaning))
        raise DataError(f"text_cfg: tokenizer_kwargs.clean is {cleaning!r}; it must be one of {known}.")
    if not name:
        found = load_open_clip(BPE, max_length=length)
        return TextTokenizer(found.tokenizer, replace(found.settings, cleaning=cleaning))
    here = folder is not None and any((folder / file).exists() for file in VOCABULARIES)
    found = load_tokenizer(folder if folder is not None and here else hub_tokenizer(str(name), source=source))
    found = without_spares(found, int(text_cfg.get("vocab_size", 49408)))
    tokenizer = _without_sep(found) if given.get("strip_sep_token") else found.tokenizer
    return TextTokenizer(tokenizer, replace(found.settings, cleaning=cleaning, max_length=length))


def padding_id(text_cfg: Mapping[str, Any], tokenizer: TextTokenizer | None) -> int:
    """What texts are padded with; without a tokenizer, what is known of the published ones says it."""
    if tokenizer is not None:
        return tokenizer.pad_id or 0
    name = str(text_cfg.get("hf_tokenizer_name") or "").lower()
    return 1 if "siglip" in name and "siglip2" not in name else 0  # SigLIP pads with its end token


def _without_sep(found: TextTokenizer) -> Tokenizer:
    """The same tokenizer, with the token of id 0 where [SEP] would close the text (CLIPA)."""
    tokenizer, sep = Tokenizer.from_str(found.plain()), found.tokenizer.token_to_id(found.special.sep or "")
    around = [0 if number == sep else number for number in found.encode("").ids]
    if len(around) != 2 or sep is None:
        raise DataError("text_cfg: strip_sep_token is set, and the tokenizer puts no [CLS] and [SEP] around a text.")
    first, last = (str(tokenizer.id_to_token(number)) for number in around)
    tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A {last}", pair=None, special_tokens=[(first, around[0]), (last, around[1])]
    )
    return tokenizer
