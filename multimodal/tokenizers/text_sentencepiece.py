"""SentencePiece models (`.model`, `.spm`) as tokenizers of the `tokenizers` library: T5, ALBERT, Llama, Marian.

The model file is a protocol buffer with the pieces, their scores and the rules of normalisation; nothing of it runs.
Ids equal SentencePiece's own, with these two exceptions, in which we follow transformers: special tokens that stand in
the text are recognised, and a text that begins with a space gets no second one in front (Llama).

Refs: SentencePiece arXiv:1808.06226 · Unigram arXiv:1804.10959
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram
from tokenizers.processors import TemplateProcessing

from multimodal.errors import DataError
from multimodal.tokenizers.library import library_errors
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_json import ends, finish
from multimodal.tokenizers.text_settings import SpecialTokens, TextSettings, read_json, read_settings
from multimodal.tokenizers.text_siglip import prepare

_UNIGRAM, _BPE = 1, 2  # SentencePiece's numbers for its two algorithms
_NORMAL, _CONTROL, _USER = 1, 3, 4  # and for kinds of pieces
_FOREIGN = "\ue000"  # a private character: in front of pieces that this model must never find in a text
_SPACE = "▁"
_PLAIN = pre_tokenizers.Split(" ", "removed")


def load_sentencepiece(path: Path, family: str) -> TextTokenizer:
    """The tokenizer of a SentencePiece model.

    Args:
        path: the model; files of transformers beside it are followed.
        family: "t5" (closes with </s>, has 100 sentinels), "albert" ([CLS] and [SEP], lower case), "siglip"
            (closes with </s>, lower case, no punctuation), "llama" (opens with <s>), or "" for the pieces alone.

    Raises:
        DataError: not a SentencePiece model, or damaged, or of an algorithm other than Unigram and BPE.
    """
    with library_errors(lambda error: DataError(f"{path} is damaged: {error}. Copy it again.")):
        return _load(path, family)


def _load(path: Path, family: str) -> TextTokenizer:
    proto = read_model(path)
    _, config = read_settings(path.parent)
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    if family == "t5":
        sentinels = config.get("extra_ids", 100)
        pieces += [(f"<extra_id_{number}>", 0.0) for number in reversed(range(sentinels))]
    # T5 and ALBERT were split at any white space before; the models themselves know the plain space alone.
    spaces = pre_tokenizers.WhitespaceSplit() if family in ("t5", "albert", "siglip") else _PLAIN
    tokenizer = _tokenizer(proto, pieces, spaces)
    added = [piece for piece in proto.pieces if piece.type in (_CONTROL, _USER)]
    if family == "siglip":  # which reads <pad> in a text as text
        added = [piece for piece in added if piece.piece == "</s>"]
    tokenizer.add_tokens([_piece_token(piece) for piece in added])
    bos, eos, pad, unk = (_piece_of(proto, role) for role in ("bos", "eos", "pad", "unk"))
    special = SpecialTokens(bos=bos, eos=eos, pad=pad, unk=unk)
    if family == "t5":
        extra = tuple(f"<extra_id_{number}>" for number in range(sentinels))
        special = SpecialTokens(eos="</s>", pad="<pad>", unk="<unk>", extra=extra)
        tokenizer.post_processor = ends(tokenizer, eos="</s>")
    elif family == "albert":
        special = SpecialTokens(cls="[CLS]", sep="[SEP]", pad="<pad>", unk="<unk>", mask="[MASK]")
        _make_albert(tokenizer, config)
    elif family == "siglip":
        special = SpecialTokens(eos="</s>", pad="</s>", unk="<unk>")
        tokenizer.post_processor = ends(tokenizer, eos="</s>")
        prepare(tokenizer, "canonicalize")
    elif family == "llama":
        tokenizer.post_processor = ends(tokenizer, bos=special.bos)
    return TextTokenizer(*finish(tokenizer, path.parent, special))


def load_marian(folder: str | Path) -> tuple[TextTokenizer, TextTokenizer]:
    """The tokenizers of a Marian folder: of its source and of its target language, over the ids of `vocab.json`.

    Either decodes what the model writes; the second is for encoding texts of the target language.

    Raises:
        DataError: a file is missing or damaged.
    """
    folder = Path(folder)
    other = folder / "target_vocab.json"  # where the two languages have separate vocabularies
    with library_errors(lambda error: DataError(f"A tokenizer in {folder} is damaged: {error}. Copy it again.")):
        source = _marian(folder / "source.spm", folder / "vocab.json")
        return source, _marian(folder / "target.spm", other if other.exists() else folder / "vocab.json")


def read_model(path: Path) -> Any:
    """The protocol buffer of a SentencePiece model.

    Raises:
        DataError: missing, damaged, or of another kind.
    """
    try:
        proto = _parsed(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    except ValueError as error:
        raise DataError(f"{path} is not a SentencePiece model, or damaged; copy it again.") from error
    if not proto.pieces or proto.trainer_spec.model_type not in (_UNIGRAM, _BPE):
        raise DataError(f"{path} is not a SentencePiece model of pieces; Unigram and BPE models can be read.")
    if not 0 <= proto.trainer_spec.unk_id < len(proto.pieces):
        raise DataError(f"{path} is damaged: its unknown token, {proto.trainer_spec.unk_id}, is none of its pieces.")
    return proto


def unigram_tokenizer(model: bytes, special: SpecialTokens) -> Tokenizer:
    """A Unigram model of which nothing but the pieces is used, behind `special`, which must have `unk`."""
    proto = _parsed(model)
    pieces = [(token, 0.0) for token in special.all]
    pieces += [(piece.piece, piece.score) for piece in proto.pieces if piece.type == _NORMAL]
    proto.trainer_spec.unk_id = special.all.index(str(special.unk))
    return _tokenizer(proto, pieces)


def family_of(proto: Any) -> str:
    """The family that a model's own special pieces show: see `load_sentencepiece`."""
    spec, pieces = proto.trainer_spec, {piece.piece for piece in proto.pieces}
    if {"[CLS]", "[SEP]"} <= pieces:
        return "albert"
    if spec.model_type == _BPE and spec.bos_id >= 0:
        return "llama"
    return "t5" if spec.model_type == _UNIGRAM and spec.bos_id < 0 and spec.pad_id == 0 else ""


def _parsed(model: bytes) -> Any:
    """The fields of a model's file; ValueError where it is none."""
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2 as messages

    proto = getattr(messages, "ModelProto")()  # noqa: B009  made when the module is imported; unknown to type checkers
    try:
        proto.ParseFromString(model)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return proto


def _tokenizer(proto: Any, pieces: list[tuple[str, float]], spaces: Any = _PLAIN) -> Tokenizer:
    """Normalisation, splitting at spaces, the algorithm and decoding as the model's file states them."""
    train, norm = proto.trainer_spec, proto.normalizer_spec
    if train.model_type == _UNIGRAM:
        tokenizer = Tokenizer(Unigram(pieces, unk_id=train.unk_id, byte_fallback=train.byte_fallback))
    else:
        ids = {piece: number for number, (piece, _) in enumerate(pieces)}
        unk = pieces[train.unk_id][0]
        tokenizer = Tokenizer(BPE(ids, _merges(proto), unk_token=unk, fuse_unk=True, byte_fallback=train.byte_fallback))
    # Where pieces never reach over a space, words are looked up one by one, which is faster.
    words = train.split_by_whitespace and norm.remove_extra_whitespaces and not train.allow_whitespace_only_pieces
    steps = [normalizers.Precompiled(norm.precompiled_charsmap)] if norm.precompiled_charsmap else []
    if norm.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex("^ +| +$"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    scheme = "never" if not norm.add_dummy_prefix else "always" if words else "first"
    space = pre_tokenizers.Metaspace(_SPACE, scheme, split=words)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([spaces, space]) if words and norm.add_dummy_prefix else space
    chain = [
        decoders.Replace(_SPACE, " "),
        *([decoders.ByteFallback()] if train.byte_fallback else []),
        decoders.Fuse(),
    ]
    tokenizer.decoder = decoders.Sequence([*chain, *([decoders.Strip(" ", 1, 0)] if norm.add_dummy_prefix else [])])
    return tokenizer


def _merges(proto: Any) -> list[tuple[str, str]]:
    """Every way to make a piece of two others; a better score is merged first."""
    ids = {piece.piece: number for number, piece in enumerate(proto.pieces) if piece.type == _NORMAL}
    ranked = sorted(ids, key=lambda piece: (-proto.pieces[ids[piece]].score, ids[piece]))
    merges = []
    for piece in ranked:
        pairs = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        merges += sorted((pair for pair in pairs if pair[0] in ids and pair[1] in ids), key=lambda p: (len(p[0]), p))
    return merges


def _piece_token(piece: Any) -> AddedToken:
    return AddedToken(piece.piece, normalized=False, special=piece.type == _CONTROL)


def _piece_of(proto: Any, role: str) -> str | None:
    number = getattr(proto.trainer_spec, f"{role}_id")
    return proto.pieces[number].piece if 0 <= number < len(proto.pieces) else None


def _make_albert(tokenizer: Tokenizer, config: dict[str, Any]) -> None:
    """ALBERT's own preparation of text, in front of SentencePiece's, and its [CLS] and [SEP]."""
    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not config.get("keep_accents", False):
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if config.get("do_lower_case", True):
        steps.append(normalizers.Lowercase())
    tokenizer.normalizer = normalizers.Sequence([*steps, *([tokenizer.normalizer] if tokenizer.normalizer else [])])
    cls, sep = (tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )


def _marian(model: Path, vocabulary: Path) -> TextTokenizer:
    """The pieces of `model` under the ids of `vocabulary`.

    The two lists differ. Pieces that only the vocabulary has are kept under a name that no text contains, for decoding;
    pieces that only the model has get ids behind the vocabulary, which `TextSettings.known` reads as unknown.
    """
    proto, ids = read_model(model), read_json(vocabulary)
    if sorted(map(str, ids.values())) != sorted(map(str, range(len(ids)))) or not {"</s>", "<unk>"} <= ids.keys():
        raise DataError(f"{vocabulary} is not Marian's: it must give ids from 0 up, to </s> and <unk> as well.")
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type == _NORMAL}
    special = [token for token in ids if token in ("</s>", "<unk>", "<pad>")]
    codes = [token for token in ids if token.startswith(">>") and token.endswith("<<")]  # >>fra<<: the target language
    pieces = []
    for piece in sorted(ids, key=lambda piece: ids[piece]):
        mine = piece in scores or piece in special or piece in codes
        pieces.append((piece if mine else _FOREIGN + piece, scores.get(piece, 0.0)))
    proto.trainer_spec.unk_id = ids["<unk>"]
    tokenizer = _tokenizer(proto, pieces + [item for item in scores.items() if item[0] not in ids])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_FOREIGN, ""), tokenizer.decoder, decoders.Replace(Regex("^ +| +$"), "")]
    )
    tokenizer.post_processor = TemplateProcessing(
        single="$A </s>", pair="$A $B </s>", special_tokens=[("</s>", ids["</s>"])]
    )
    pad = "<pad>" if "<pad>" in ids else None
    default = SpecialTokens(eos="</s>", unk="<unk>", pad=pad, extra=tuple(codes))
    tokenizer, settings = finish(tokenizer, model.parent, default)
    known = TextSettings(
        special=settings.special, max_length=settings.max_length, clean_up=settings.clean_up, known=len(ids)
    )
    return TextTokenizer(tokenizer, known)
