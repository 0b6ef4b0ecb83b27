"""Tokenizers from the files of other programs: `load_tokenizer` finds which they are.

Here are `vocab.json` with `merges.txt` (GPT-1, GPT-2, Whisper, RoBERTa, BART, Qwen2, CLIP) and `vocab.txt` (BERT);
SentencePiece and tiktoken have files of their own. Nothing is unpickled and no code of a folder is run.

Which family a folder belongs to is said by its `tokenizer_config.json` or `config.json`. Where both are silent, the
special tokens in the vocabulary tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, WordPiece

from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers.library import library_errors
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_json import FILE, ends, finish, read_tokenizer
from multimodal.tokenizers.text_ranks import CLIP_PATTERN, load_open_clip, load_tiktoken, read_merges, word_decoder
from multimodal.tokenizers.text_sentencepiece import family_of, load_marian, load_sentencepiece, read_model
from multimodal.tokenizers.text_settings import CONFIG, SpecialTokens, read_json
from multimodal.tokenizers.text_siglip import prepare, siglip_cleaning

QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_SENTENCEPIECE = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
_FAMILIES = {  # the beginning of a tokenizer's class or of a model's type -> the family
    "openai": "gpt1",
    "gpt2": "gpt2",
    "whisper": "gpt2",
    "roberta": "roberta",
    "bart": "roberta",
    "qwen2": "qwen2",
    "clip": "clip",
    "siglip2": "siglip2",
    "siglip": "siglip",
    "bert": "bert",
    "distilbert": "bert",
    "t5": "t5",
    "mt5": "t5",
    "albert": "albert",
    "llama": "llama",
    "mistral": "llama",
}


def load_tokenizer(path: str | Path, *, special: SpecialTokens | None = None) -> TextTokenizer:
    """The tokenizer of a folder or file, with the settings that stand beside it.

    Args:
        path: a folder of ours or of transformers: `tokenizer.json`, Marian's `source.spm`, `vocab.json` with
            `merges.txt`, `vocab.txt` or a SentencePiece model, in this order. Or one of these files; or open_clip's
            `bpe_simple_vocab_16e6.txt.gz`; or a `.tiktoken` file.
        special: of a `.tiktoken` file, which names none.

    Raises:
        DataError: nothing of the kind is there, or a file is damaged.
        ArgumentError: `special` is missing for a `.tiktoken` file, or given for another.
    """
    path = Path(path)
    if path.suffix == ".tiktoken":
        if special is None:
            raise ArgumentError(
                f"{path.name} names no special tokens: give special=SpecialTokens(eos='<|endoftext|>'), or those of "
                "whisper_tokens(languages)."
            )
        return load_tiktoken(path, special=special)
    if special is not None:
        raise ArgumentError(f"special is for .tiktoken files; what is special in {path} is said by its own files.")
    if not path.exists():
        raise DataError(f"{path} does not exist; give a tokenizer's folder or file.")
    if path.is_dir():
        return _from_folder(path)
    if path.name.endswith(".txt.gz"):
        return load_open_clip(path)
    if path.suffix in (".model", ".spm"):
        return load_sentencepiece(path, _family(path.parent) or family_of(read_model(path)))
    if path.name == "vocab.txt":
        return _word_piece(path)
    if path.name in ("vocab.json", "merges.txt"):
        return _pairs(path.with_name("vocab.json"), path.with_name("merges.txt"))
    return TextTokenizer(*read_tokenizer(path))


def _from_folder(folder: Path) -> TextTokenizer:
    there = {path.name for path in folder.iterdir()}
    cleaning = siglip_cleaning(folder)
    if FILE in there and not (cleaning == "canonicalize" and "spiece.model" in there):
        tokenizer, settings = read_tokenizer(folder)
        prepare(tokenizer, cleaning, spaces=cleaning == "canonicalize")
        return TextTokenizer(tokenizer, settings)
    if {"source.spm", "vocab.json"} <= there:
        return load_marian(folder)[0]
    if {"vocab.json", "merges.txt"} <= there:
        return _pairs(folder / "vocab.json", folder / "merges.txt")
    if "vocab.txt" in there:
        return _word_piece(folder / "vocab.txt")
    for name in _SENTENCEPIECE:
        if name in there:
            return load_sentencepiece(folder / name, _family(folder) or family_of(read_model(folder / name)))
    wanted = f"{FILE}, source.spm with vocab.json, vocab.json with merges.txt, vocab.txt, {', '.join(_SENTENCEPIECE)}"
    raise DataError(f"{folder} has no tokenizer. Looked for: {wanted}. It holds: {', '.join(sorted(there)) or '-'}.")


def _family(folder: Path) -> str:
    """What the configs of `folder` say, or ""."""
    names = (read_json(folder / CONFIG).get("tokenizer_class"), read_json(folder / "config.json").get("model_type"))
    for name in filter(None, map(str, (name or "" for name in names))):
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        for beginning, family in _FAMILIES.items():
            if plain.startswith(beginning):
                return family
    return ""


def _pairs(vocabulary: Path, merges: Path) -> TextTokenizer:
    """BPE in two files: ids of the tokens, and the pairs that are merged, best first."""
    for file in (vocabulary, merges):
        if not file.exists():
            raise DataError(f"{file} is missing; vocab.json and merges.txt belong together.")
    ids = read_json(vocabulary)
    if not all(isinstance(number, int) and number >= 0 for number in ids.values()):
        raise DataError(f"{vocabulary} is not a vocabulary: it must give each token its id.")
    lines = _read_lines(merges)
    pairs = read_merges(merges, lines[1:] if lines and lines[0].startswith("#version") else lines)
    family = _family(vocabulary.parent) or _family_of(ids)
    suffix = "</w>" if family in ("gpt1", "clip") else ""
    unk = {"gpt1": "<unk>", "clip": "<|endoftext|>"}.get(family)
    with library_errors(lambda error: DataError(f"{merges} does not belong to {vocabulary.name}: {error}.")):
        model = BPE(ids, pairs, unk_token=unk, end_of_word_suffix=suffix, continuing_subword_prefix="")
    config = read_json(vocabulary.parent / CONFIG)
    tokenizer, default = Tokenizer(model), _present(_SPECIAL[family], ids)
    _dress(tokenizer, family, default, bool(config.get("add_prefix_space", False)))
    return TextTokenizer(*finish(tokenizer, vocabulary.parent, default))


_SPECIAL = {
    "gpt1": SpecialTokens(unk="<unk>"),
    "gpt2": SpecialTokens(bos="<|endoftext|>", eos="<|endoftext|>"),
    "qwen2": SpecialTokens(eos="<|endoftext|>", pad="<|endoftext|>"),
    "roberta": SpecialTokens(bos="<s>", eos="</s>", pad="<pad>", unk="<unk>", mask="<mask>", sep="</s>", cls="<s>"),
    "clip": SpecialTokens(bos="<|startoftext|>", eos="<|endoftext|>", pad="<|endoftext|>"),
}


def _family_of(ids: Mapping[str, int]) -> str:
    """The family that the tokens themselves show."""
    if any(token.endswith("</w>") for token in ids):
        return "clip" if "<|startoftext|>" in ids else "gpt1"
    return "roberta" if {"<s>", "</s>"} <= ids.keys() else "gpt2"


def _dress(tokenizer: Tokenizer, family: str, special: SpecialTokens, prefix: bool) -> None:
    """Give a BPE model what its family does before and after; `prefix`: a space in front of every text."""
    plain = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=family in ("gpt2", "roberta"))
    tokenizer.decoder = decoders.ByteLevel()
    if family == "gpt1":
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    elif family == "clip":
        spaces = normalizers.Replace(Regex(r"\s+"), " ")
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
        split = pre_tokenizers.Split(
            Regex(rf"<\|startoftext\|>|<\|endoftext\|>|{CLIP_PATTERN}"), "removed", invert=True
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, plain])
        tokenizer.decoder = word_decoder()
        tokenizer.post_processor = ends(tokenizer, bos=special.bos, eos=special.eos)
    elif family == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
        split = pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, plain])
    else:
        tokenizer.pre_tokenizer = plain
    if family == "roberta":
        sep, cls = tokenizer.token_to_id("</s>"), tokenizer.token_to_id("<s>")
        if sep is None or cls is None:
            raise DataError("A vocabulary of RoBERTa's family has <s> and </s>, and this one lacks them.")
        tokenizer.post_processor = processors.RobertaProcessing(
            ("</s>", sep), ("<s>", cls), trim_offsets=True, add_prefix_space=prefix
        )
        if special.mask is not None:  # it takes the space before it along, as a word would
            mask = AddedToken(special.mask, lstrip=True, special=True, normalized=False)
            tokenizer.add_special_tokens([mask])


def _word_piece(path: Path) -> TextTokenizer:
    """BERT's vocabulary: one token a line, its number is the id."""
    tokens = _read_lines(path)
    ids = {token: number for number, token in enumerate(tokens)}
    special = SpecialTokens(pad="[PAD]", unk="[UNK]", mask="[MASK]", sep="[SEP]", cls="[CLS]")
    missing = [token for token in ("[UNK]", "[CLS]", "[SEP]") if token not in ids]
    if missing:
        raise DataError(f"{path} is not a vocabulary of WordPiece: it lacks {', '.join(missing)}.")
    config = read_json(path.parent / CONFIG)
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
        lowercase=config.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return TextTokenizer(*finish(tokenizer, path.parent, _present(special, ids)))


def _present(special: SpecialTokens, ids: Mapping[str, Any]) -> SpecialTokens:
    """`special` without what the vocabulary lacks."""
    kept = {role: token if token in ids else None for role, token in vars(special).items() if role != "extra"}
    return SpecialTokens(**kept, extra=tuple(token for token in special.extra if token in ids))


def _read_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: U+2028 and the like are tokens
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not readable text: {error}.") from error
    lines = [line.rstrip("\r") for line in lines]
    return lines[:-1] if lines and not lines[-1] else lines
