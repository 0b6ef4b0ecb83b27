"""Preparing texts inside a tokenizer, as transformers does it for SigLIP: lower case, no punctuation.

transformers does this in code of its own (`SiglipTokenizer`, `Siglip2Tokenizer`); here it is a part of the tokenizer.
open_clip's ways, which also put mojibake and HTML entities right, are in `text_cleaning.py`.

Refs: SigLIP arXiv:2303.15343 · SigLIP 2 arXiv:2502.14786
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, normalizers

from multimodal.tokenizers.text_cleaning import Cleaning
from multimodal.tokenizers.text_settings import CONFIG, read_json

_PUNCTUATION = r"[!-/:-@\[-`{-~]"  # of ASCII
_SPACES = (normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip())


def siglip_cleaning(folder: Path) -> Cleaning | None:
    """How SigLIP's tokenizer in `folder` prepares texts, by its class; None: it is of another model."""
    kind = re.sub("[^a-z0-9]", "", str(read_json(folder / CONFIG).get("tokenizer_class") or "").lower())
    model = str(read_json(folder / "config.json").get("model_type") or "")
    if kind.startswith("siglip2") or (kind.startswith("gemma") and model.startswith("siglip")):
        return "lower"
    return "canonicalize" if kind.startswith("siglip") else None


def prepare(
    tokenizer: Tokenizer, cleaning: Cleaning | None, *, spaces: bool = True, underscore: Literal["", " "] = ""
) -> None:
    """Put `cleaning` before what the tokenizer itself does to a text, except for what its library cannot do.

    Args:
        tokenizer: is changed.
        cleaning: a way of `text_cleaning.py`; None: nothing is put before.
        spaces: whether white space becomes single spaces, as it does there.
        underscore: what stands for "_" after "canonicalize": nothing for transformers, a space for open_clip.
    """
    steps: list[Any] = [normalizers.Lowercase()] if cleaning in ("lower", "canonicalize") else []
    if cleaning == "canonicalize":
        steps += [normalizers.Replace("_", underscore)]
        steps.append(normalizers.Replace(Regex(_PUNCTUATION), ""))
    if cleaning is not None and spaces:
        steps += _SPACES
    if steps:
        own = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
        tokenizer.normalizer = normalizers.Sequence([*steps, *own])
