"""`tokenizer.json`, the file of the `tokenizers` library, read together with what stands beside it.

What stands beside it is parsed in `text_settings.py`; files of other programs are read in `text_files.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.processors import TemplateProcessing

from multimodal.errors import DataError, nearest
from multimodal.tokenizers.library import library_errors
from multimodal.tokenizers.text_settings import ROLES, SpecialTokens, TextSettings, added_tokens, read_settings

FILE = "tokenizer.json"

# Spellings that published vocabularies share; used only where no file says which token has which task.
_USUAL = {
    "bos": ("<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>"),
    "eos": ("</s>", "<|end_of_text|>", "<eos>", "<|endoftext|>"),
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "mask": ("[MASK]", "<mask>"),
    "sep": ("[SEP]",),
    "cls": ("[CLS]",),
}


def read_tokenizer(path: Path) -> tuple[Tokenizer, TextSettings]:
    """The parts of a `TextTokenizer`, from a folder with a `tokenizer.json` or from such a file.

    Raises:
        DataError: there is none, or it is damaged.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{file} does not exist; give a tokenizer's folder, which holds {FILE}, or that file.")
    with library_errors(
        lambda error: DataError(f"{file} is not a file of the tokenizers library, or damaged: {error}.")
    ):
        tokenizer = Tokenizer.from_file(str(file))
    return finish(tokenizer, file.parent)


def finish(tokenizer: Tokenizer, folder: Path, default: SpecialTokens | None = None) -> tuple[Tokenizer, TextSettings]:
    """`tokenizer` with the added and special tokens that the files of `folder` name, and its settings.

    Args:
        default: the tasks of tokens for which no file names one; None: as their usual spelling says.

    Raises:
        DataError: a token's id in the files is not the one that it gets.
    """
    settings, config = read_settings(folder)
    special = settings.special
    if default is None:
        default = usual(tokenizer) if special == SpecialTokens() else SpecialTokens()
    named = {role: getattr(special, role) or getattr(default, role) for role in ROLES}
    extra = tuple(dict.fromkeys([*special.extra, *default.extra]))
    settings = dataclasses.replace(settings, special=SpecialTokens(**named, extra=extra))
    for number, fields in added_tokens(folder, config):
        content = fields["content"]
        if tokenizer.token_to_id(content) is None or content not in _added(tokenizer):
            token = AddedToken(**{"normalized": False, **fields})
            (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
        if (got := tokenizer.token_to_id(content)) != number:
            raise DataError(f"{folder}: the added token {content!r} should have id {number} and gets {got}.")
    missing = [token for token in settings.special.all if tokenizer.token_to_id(token) is None]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in missing])
    _add_ends(tokenizer, settings.special, config, folder)
    return tokenizer, settings


def usual(tokenizer: Tokenizer) -> SpecialTokens:
    """The tasks of a vocabulary's special tokens by their usual spelling; the rest of them is `extra`."""
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    found = {role: next((name for name in names if name in special), None) for role, names in _USUAL.items()}
    return SpecialTokens(**found, extra=tuple(token for token in special if token not in found.values()))


def ends(tokenizer: Tokenizer, *, bos: str | None = None, eos: str | None = None) -> TemplateProcessing:
    """What adds `bos` in front of every text and `eos` behind it, where they are given.

    Raises:
        DataError: the vocabulary lacks one.
    """
    tokens = []
    for token in filter(None, (bos, eos)):
        if (id := tokenizer.token_to_id(token)) is None:
            clue = nearest(token, tokenizer.get_vocab())
            raise DataError(f"The token {token!r}, which stands around every text, is not in the vocabulary.{clue}")
        tokens.append((token, id))
    one, two = ([f"{token}:{n}" if token else "" for token in (bos, eos)] for n in (0, 1))
    single = f"{one[0]} $A:0 {one[1]}".split()
    return TemplateProcessing(single=single, pair=[*single, *f"{two[0]} $B:1 {two[1]}".split()], special_tokens=tokens)


def _added(tokenizer: Tokenizer) -> set[str]:
    return {token.content for token in tokenizer.get_added_tokens_decoder().values()}


def _add_ends(tokenizer: Tokenizer, special: SpecialTokens, config: Mapping[str, Any], folder: Path) -> None:
    """Follow `add_bos_token` and `add_eos_token`, which outrank what `tokenizer.json` adds (Llama, GPT-2)."""
    if not ("add_bos_token" in config or "add_eos_token" in config):
        return
    around = set(tokenizer.encode("").ids)
    if not around <= {tokenizer.token_to_id(token) for token in (special.bos, special.eos) if token is not None}:
        return  # [CLS] and [SEP]: of a family to which these fields say nothing
    bos = special.bos if config.get("add_bos_token") else None
    eos = special.eos if config.get("add_eos_token") else None
    tokenizer.post_processor = ends(tokenizer, bos=bos, eos=eos)
