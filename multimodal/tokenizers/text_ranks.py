"""Byte-level BPE from lists of ranked tokens: tiktoken's files (Whisper, GPT-2) and open_clip's.

Refs: GPT-2 (Radford et al. 2019) · CLIP arXiv:2103.00020 · Whisper arXiv:2212.04356
"""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from multimodal.errors import DataError
from multimodal.tokenizers.library import library_errors
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_json import ends
from multimodal.tokenizers.text_settings import SpecialTokens, TextSettings

GPT2_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
CLIP_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""

_CLIP_MERGES = 48_894  # with two times 256 bytes and two special tokens, 49,408 ids; the file holds more


def load_tiktoken(
    path: str | Path, *, special: SpecialTokens, pattern: str = GPT2_PATTERN, max_length: int | None = None
) -> TextTokenizer:
    """The tokenizer of a tiktoken file: one line a token, its bytes in base64 and its rank.

    Args:
        path: the file; it names no special tokens.
        special: those; `special.all` get the ids after the last rank, in that order. For Whisper, `whisper_tokens`.
        pattern: the regular expression that splits text before merging.
        max_length: tokens that the model takes at most.

    Raises:
        DataError: not such a file.
    """
    ranks = _read_ranks(Path(path))
    names = _byte_names()
    vocabulary = {"".join(names[byte] for byte in token): rank for token, rank in ranks.items()}
    merges = []
    for token in sorted(ranks, key=lambda token: ranks[token]):
        pairs = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [pair for pair in pairs if pair[0] in ranks and pair[1] in ranks]
        for pair in sorted(known, key=lambda pair: (ranks[pair[0]], ranks[pair[1]])):
            merges.append(tuple("".join(names[byte] for byte in part) for part in pair))
    # A piece that is a token as it stands is never merged up from its bytes, which may end elsewhere.
    tokenizer = Tokenizer(BPE(vocabulary, merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special.all])
    return TextTokenizer(tokenizer, TextSettings(special=special, max_length=max_length))


def whisper_tokens(languages: Sequence[str]) -> SpecialTokens:
    """Whisper's special tokens; `languages` are the codes in the order of its own list ("en", "zh", ...)."""
    tasks = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")
    times = (f"{step * 0.02:.2f}" for step in range(1501))  # 0 to 30 s in steps of 20 ms
    names = ("startoftranscript", *languages, *tasks, *times)
    return SpecialTokens(eos="<|endoftext|>", extra=tuple(f"<|{name}|>" for name in names))


def load_open_clip(path: str | Path, *, max_length: int = 77) -> TextTokenizer:
    """The tokenizer of open_clip's `bpe_simple_vocab_16e6.txt.gz`, with ids equal to its `SimpleTokenizer`.

    Padding has id 0. Text is cleaned first, see `text_cleaning.py`.

    Raises:
        DataError: not that file.
    """
    path = Path(path)
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not open_clip's vocabulary, or damaged: {error}. Copy it again.") from error
    merges = read_merges(path, lines[1 : _CLIP_MERGES + 1])
    if len(merges) < _CLIP_MERGES:
        raise DataError(f"{path} is not open_clip's vocabulary: it has {len(merges):,} pairs and not {_CLIP_MERGES:,}.")
    names = list(_byte_names().values())
    tokens = [*names, *(f"{name}</w>" for name in names), *("".join(pair) for pair in merges)]
    special = SpecialTokens(bos="<start_of_text>", eos="<end_of_text>")
    vocabulary = {token: number for number, token in enumerate([*tokens, *special.all])}
    with library_errors(lambda error: DataError(f"{path} is not open_clip's vocabulary: {error}.")):
        tokenizer = Tokenizer(BPE(vocabulary, merges, end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_PATTERN), "removed", invert=True),
            pre_tokenizers.ByteLevel(False, use_regex=False),
        ]
    )
    tokenizer.decoder = word_decoder()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special.all])
    tokenizer.post_processor = ends(tokenizer, bos=special.bos, eos=special.eos)
    return TextTokenizer(tokenizer, TextSettings(special=special, max_length=max_length, cleaning="lower"))


def word_decoder() -> decoders.Decoder:
    """For byte-level tokens of which the last of a word ends with </w> (CLIP)."""
    # Not decoders.Strip, which ends the program on an empty text.
    end = decoders.Replace(Regex(" $"), "")
    return decoders.Sequence([decoders.ByteLevel(), decoders.Replace("</w>", " "), end])


def read_merges(path: Path, lines: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs that the lines of a file hold.

    Raises:
        DataError: a line is not two tokens with a space between them.
    """
    merges = []
    for line in lines:
        left, space, right = line.partition(" ")
        if not (left and space and right) or " " in right:
            raise DataError(f"{path}: {line!r} is not a pair of tokens.")
        merges.append((left, right))
    return merges


def _read_ranks(path: Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    for number, line in enumerate(lines, 1):
        try:
            token, rank = line.split()
            strict = token != b"="  # Whisper's multilingual file ends with a token of no bytes, written so
            ranks[base64.b64decode(token, validate=strict)] = int(rank)
        except ValueError as error:  # binascii.Error is one
            raise DataError(f"{path}, line {number}: not a token in base64 and its rank.") from error
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing or sorted(ranks.values()) != list(range(len(ranks))):
        raise DataError(f"{path} is not a whole tiktoken file: a byte has no token, or the ranks have gaps.")
    return ranks


def _byte_names() -> dict[int, str]:
    """The visible character by which byte-level vocabularies write each byte.

    Bytes that print as Latin-1 stand for themselves; the others follow from U+0100 on, in their order.
    """
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printing]
    return {byte: chr(byte) for byte in printing} | {byte: chr(0x100 + n) for n, byte in enumerate(others)}
