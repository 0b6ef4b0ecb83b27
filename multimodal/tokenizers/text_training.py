"""Train a tokenizer on text: byte-level BPE (GPT-2), WordPiece (BERT), Unigram (T5), or single characters.

Text streams: only the counts of its words stay in memory. The result depends on text and arguments alone.

Refs: byte-level BPE (Radford et al. 2019), arXiv:1508.07909 · WordPiece arXiv:1810.04805 · Unigram arXiv:1804.10959
"""

from __future__ import annotations

import contextlib
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from multimodal.errors import ArgumentError, nearest
from multimodal.tokenizers.encoded import Text
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_counting import counted, in_proportion, nonempty, texts_of, thinned
from multimodal.tokenizers.text_json import ends
from multimodal.tokenizers.text_sentencepiece import unigram_tokenizer
from multimodal.tokenizers.text_settings import SpecialTokens, TextSettings

Kind = Literal["bpe", "wordpiece", "unigram", "character"]

_MOST = 20_000_000  # characters that Unigram training counts: SentencePiece takes some 25 bytes of memory for each
_LETTERS = 1000  # different ones that WordPiece training keeps; words with others become unknown
USUAL = {  # the special tokens of each kind, unless others are given
    "bpe": SpecialTokens(eos="<|endoftext|>"),
    "wordpiece": SpecialTokens(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]"),
    "unigram": SpecialTokens(pad="<pad>", eos="</s>", unk="<unk>"),
    "character": SpecialTokens(),
}


def train_tokenizer(
    sources: str | Path | Sequence[str | Path] | Iterable[Text],
    kind: Kind = "bpe",
    *,
    vocabulary: int = 32_000,
    special: SpecialTokens | None = None,
    lowercase: bool = False,
    least: int = 2,
    max_length: int | None = None,
) -> TextTokenizer:
    """A tokenizer whose pieces fit the text.

    Special tokens get the first ids. "wordpiece" puts [CLS] and [SEP] around texts and "unigram" </s> behind them,
    where `special` has these; "bpe" and "character" add nothing, and any text comes back from its ids unchanged.

    Args:
        sources: a text file, several, or an iterable of texts. A `Path` is always a file; so is a `str` alone or in a
            list, unless it is given through an iterator.
        kind: "character": one id for each character of the text, by code point. A character that the text lacks is
            `special.unk`, or an error where that is not given.
        vocabulary: tokens at most, special ones included. Small texts give fewer; not used for "character".
        special: the special tokens; None: the usual ones of the kind.
        lowercase: fold case and accents first (WordPiece only).
        least: how often a pair of pieces must occur to become one (BPE, WordPiece).
        max_length: tokens that the model will take at most; kept for `TextTokenizer.max_length`.

    Raises:
        ArgumentError: an unknown kind, too small a vocabulary, or a special token that the kind needs is missing.
        DataError: a file cannot be read, or there is no text.
    """
    if kind not in USUAL:
        known = ", ".join(map(repr, USUAL))
        raise ArgumentError(f"kind is {kind!r}; it must be one of {known}.{nearest(str(kind), USUAL)}")
    if lowercase and kind != "wordpiece":
        raise ArgumentError(f"lowercase is for kind='wordpiece', and kind is {kind!r}; leave it out.")
    special = USUAL[kind] if special is None else special
    if kind in ("wordpiece", "unigram") and special.unk is None:
        raise ArgumentError(f"kind={kind!r} needs an unknown token: give special=SpecialTokens(unk=..., ...).")
    needed = len(special.all) + {"bpe": 256, "wordpiece": 8, "unigram": 1, "character": -math.inf}[kind]
    if vocabulary < needed:
        raise ArgumentError(f"vocabulary is {vocabulary}; kind={kind!r} needs at least {needed} here.")
    with _busy(f"Choosing the pieces of a {kind} vocabulary") as start:
        texts = nonempty(thinned(texts_of(sources)), start)
        if kind == "character":
            tokenizer = _characters(texts, special)
        elif kind == "bpe":
            tokenizer = _bpe(texts, special, vocabulary, least)
        elif kind == "wordpiece":
            tokenizer = _word_piece(texts, special, vocabulary, least, lowercase)
        else:
            tokenizer = _unigram(texts, special, vocabulary)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special.all])
    return TextTokenizer(tokenizer, TextSettings(special=special, max_length=max_length))


def _bpe(texts: Iterator[str], special: SpecialTokens, vocabulary: int, least: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=least,
        special_tokens=list(special.all),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,  # it would write to stdout
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _word_piece(
    texts: Iterator[str], special: SpecialTokens, vocabulary: int, least: int, lowercase: bool
) -> Tokenizer:
    """BPE whose pieces within a word begin with "##"; letters have their ids before it starts.

    Left to itself, the library numbers "##" letters in the order of a hash table and breaks ties by these numbers.
    """
    normalizer, split = normalizers.BertNormalizer(lowercase=lowercase), pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    common: Counter[str] = Counter()
    for spaced, count in counted(normalizer.normalize_str(text) for text in texts).items():
        for word, _ in split.pre_tokenize_str(spaced):
            words[word] += count
            common.update(dict.fromkeys(word, count))
    most = min(_LETTERS, (vocabulary - len(special.all)) // 4)  # so that half of the vocabulary is left for pieces
    kept = set(sorted(common, key=lambda letter: (-common[letter], letter))[:most])
    words = Counter({word: count for word, count in words.items() if kept.issuperset(word)})
    letters = [*sorted(kept), *sorted({f"##{letter}" for word in words for letter in word[1:]})]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=least,
        special_tokens=list(dict.fromkeys([*special.all, *letters])),
        continuing_subword_prefix="##",
        show_progress=False,
    )
    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    repeated = (f"{word} " * min(1000, n - at) for word, n in words.items() for at in range(0, n, 1000))
    pairs.train_from_iterator(repeated, trainer)
    ids = pairs.get_vocab()
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=str(special.unk)))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, split
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    if special.cls is not None and special.sep is not None:
        sep, cls = (special.sep, ids[special.sep]), (special.cls, ids[special.cls])
        tokenizer.post_processor = processors.BertProcessing(sep, cls)
    return tokenizer


def _unigram(texts: Iterator[str], special: SpecialTokens, vocabulary: int) -> Tokenizer:
    """SentencePiece's trainer over counted words, the counts of a large text in proportion."""
    import sentencepiece

    counts = in_proportion(counted(texts), _MOST)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(f"{word}\t{count}" for word, count in sorted(counts.items())),
            input_format="tsv",
            model_writer=model,
            model_type="unigram",
            vocab_size=vocabulary - len(special.all) + 1,  # it counts the unknown token as well
            hard_vocab_limit=False,  # a small text gives fewer
            num_threads=1,  # sums in the same order each time
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        told = str(error).rpartition("] ")[2].strip(" .")  # behind the place in SentencePiece's source
        raise ArgumentError(
            f"SentencePiece cannot make a vocabulary of {vocabulary:,} of this text: {told}."
        ) from error
    tokenizer = unigram_tokenizer(model.getvalue(), special)
    if special.eos is not None:
        tokenizer.post_processor = ends(tokenizer, eos=special.eos)
    return tokenizer


def _characters(texts: Iterator[str], special: SpecialTokens) -> Tokenizer:
    seen: set[str] = set()
    for text in texts:
        seen.update(text)
    ids = {token: number for number, token in enumerate(dict.fromkeys([*special.all, *sorted(seen)]))}
    tokenizer = Tokenizer(models.WordLevel(ids, **({} if special.unk is None else {"unk_token": special.unk})))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


@contextlib.contextmanager
def _busy(what: str) -> Iterator[Callable[[], None]]:
    """A sign of life on stderr while the library works and says nothing; it starts when what is given is called."""
    from rich.console import Console

    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(Console(stderr=True).status(what)) and None
