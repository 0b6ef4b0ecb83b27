"""Tokenizers for tests of text data: they need no training."""

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split, WhitespaceSplit

from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_settings import SpecialTokens, TextSettings


def characters(extra: str = "") -> TextTokenizer:
    """Each printable ASCII character and line break is a token, its id is its place; <end> has the last id."""
    known = ["<unk>", "\n", *map(chr, range(32, 127)), *extra, "<end>"]
    tokenizer = Tokenizer(WordLevel({token: i for i, token in enumerate(known)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Split("", "isolated")
    return TextTokenizer(tokenizer, TextSettings(special=SpecialTokens(eos="<end>", unk="<unk>")))


def words(vocabulary: list[str]) -> TextTokenizer:
    """Each word is a token, its id is its place in `vocabulary`, behind <unk>; no end-of-text."""
    known = {token: i for i, token in enumerate(["<unk>", *vocabulary])}
    tokenizer = Tokenizer(WordLevel(known, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return TextTokenizer(tokenizer, TextSettings(special=SpecialTokens(unk="<unk>")))
