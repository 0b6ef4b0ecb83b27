"""Ids equal to those of transformers, SentencePiece, tiktoken and open_clip, over vocabularies trained here."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from texts import CORPUS, NASTY, plain_ids, sentencepiece
from tokenizers import Tokenizer, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE

from multimodal.tokenizers.text import SpecialTokens, TextTokenizer
from multimodal.tokenizers.text_files import load_tokenizer
from multimodal.tokenizers.text_ranks import GPT2_PATTERN, load_tiktoken, whisper_tokens
from multimodal.tokenizers.text_sentencepiece import load_marian
from multimodal.tokenizers.text_training import train_tokenizer

ROBERTA = SpecialTokens(bos="<s>", pad="<pad>", eos="</s>", unk="<unk>", mask="<mask>")
END = SpecialTokens(eos="<|endoftext|>")


def byte_pairs(folder: Path, special: SpecialTokens) -> None:
    train_tokenizer(iter([CORPUS]), "bpe", vocabulary=600, special=special).tokenizer.model.save(str(folder))


def gpt1(folder: Path) -> None:
    tokenizer = Tokenizer(BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    options = {"end_of_word_suffix": "</w>", "special_tokens": ["<unk>"], "show_progress": False}
    tokenizer.train_from_iterator([CORPUS], trainers.BpeTrainer(vocab_size=500, **options))
    tokenizer.model.save(str(folder))


def word_piece(folder: Path, lowercase: bool) -> None:
    trained = train_tokenizer(iter([CORPUS]), "wordpiece", vocabulary=500, lowercase=lowercase)
    tokens = [trained.token_of(id) for id in range(trained.vocabulary)]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}))


def albert(folder: Path) -> None:
    special = {"control_symbols": ["[CLS]", "[SEP]"], "user_defined_symbols": ["[MASK]"]}
    sentencepiece(folder / "spiece.model", "unigram", pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, **special)


T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
LLAMA = {
    "vocab_size": 600,
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "split_digits": True,
    "allow_whitespace_only_pieces": True,
}


def llama(folder: Path) -> None:
    sentencepiece(folder / "tokenizer.model", "bpe", **LLAMA)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer", "add_bos_token": true}')


FAMILIES = {
    "GPT2Tokenizer": lambda folder: byte_pairs(folder, END),
    "RobertaTokenizer": lambda folder: byte_pairs(folder, ROBERTA),
    "Qwen2Tokenizer": lambda folder: byte_pairs(folder, END),
    "OpenAIGPTTokenizer": gpt1,
    "BertTokenizer": lambda folder: word_piece(folder, True),
    "BertTokenizer cased": lambda folder: word_piece(folder, False),
    "T5Tokenizer": lambda folder: sentencepiece(folder / "spiece.model", "unigram", **T5),
    "AlbertTokenizer": albert,
    "LlamaTokenizer": llama,
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory) -> Iterator[tuple[Path, Any]]:
    """A folder of vocabulary files as they are published, and transformers' tokenizer of it."""
    transformers = pytest.importorskip("transformers")
    name = request.param.split()[0]
    folder = tmp_path_factory.mktemp(name)
    FAMILIES[request.param](folder)
    if name in ("Qwen2Tokenizer", "T5Tokenizer"):
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    yield folder, getattr(transformers, name).from_pretrained(str(folder))


def equal(ours: TextTokenizer, theirs: Any) -> None:
    for text in NASTY:
        row = theirs(text)["input_ids"]
        assert plain_ids(ours, text) == row, text
        assert ours.decode(row) == theirs.decode(row, skip_special_tokens=True), text
    pair, expected = ours.encode(NASTY[4], NASTY[9]), theirs(NASTY[4], NASTY[9])
    assert list(pair.ids) == expected["input_ids"]
    assert list(pair.types) == expected.get("token_type_ids", list(pair.types))


def test_published_files(family):
    folder, theirs = family
    equal(load_tokenizer(folder), theirs)


def test_a_folder_that_they_saved(family, tmp_path):
    _, theirs = family
    theirs.save_pretrained(str(tmp_path))
    equal(load_tokenizer(tmp_path), theirs)


def test_a_folder_that_we_saved(family, tmp_path):
    transformers = pytest.importorskip("transformers")
    ours = load_tokenizer(family[0])
    ours.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    equal(load_tokenizer(tmp_path), theirs)
    assert theirs.eos_token == ours.special.eos and theirs.pad_token == ours.special.pad


def test_truncated_as_theirs(family):
    ours, theirs = load_tokenizer(family[0]), family[1]
    for side in ("right", "left"):
        theirs.truncation_side = side
        for given in ((NASTY[4],), (NASTY[4], NASTY[9]), (NASTY[0], NASTY[9])):
            expected = theirs(*given, truncation=True, max_length=12)["input_ids"]
            assert list(ours.encode(*given, max_length=12, truncation=side).ids) == expected
    theirs.truncation_side = "right"


def sound(text: str) -> bool:
    """Whether SentencePiece, too, sees the text as it is: no special token, no second space, no rare white space."""
    return not text.startswith(" ") and "<s>" not in text and "\x85" not in text


def test_t5_equals_sentencepiece(tmp_path):
    theirs = sentencepiece(tmp_path / "spiece.model", "unigram", **T5)
    ours = load_tokenizer(tmp_path / "spiece.model")
    for text in filter(sound, NASTY):
        assert plain_ids(ours, text) == [*theirs.encode(text), 1], text
    size = theirs.get_piece_size()
    assert ours.id_of("<extra_id_99>") == size and ours.id_of("<extra_id_0>") == size + 99
    assert len(ours.special.extra) == 100


def test_llama_equals_sentencepiece(tmp_path):
    theirs = sentencepiece(tmp_path / "tokenizer.model", "bpe", **LLAMA)
    ours = load_tokenizer(tmp_path / "tokenizer.model")
    for text in filter(sound, NASTY):
        row = plain_ids(ours, text)
        assert row == [1, *theirs.encode(text)], text
        assert ours.decode(row) == theirs.decode(row), text
    assert ours.decode(plain_ids(ours, "no piece: ☃")) == "no piece: ☃", "its bytes stand in for it"


def test_tiktoken(tmp_path):
    tiktoken = pytest.importorskip("tiktoken")
    words = [f" {word}".encode() for word in CORPUS.split()]
    prefixes = {word[start:end] for word in words for start in (0, 1) for end in range(start + 2, len(word) + 1)}
    tokens = [bytes([byte]) for byte in range(256)] + sorted(prefixes, key=lambda token: (len(token), token))
    ranks = {token: rank for rank, token in enumerate(tokens)}
    lines = (base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())
    (tmp_path / "small.tiktoken").write_bytes(b"".join(lines))
    special = whisper_tokens(["en", "zh"])
    added = {token: len(ranks) + place for place, token in enumerate(special.all)}
    theirs = tiktoken.Encoding("small", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens=added)
    ours = load_tiktoken(tmp_path / "small.tiktoken", special=special)
    for text in (*NASTY, CORPUS):
        assert plain_ids(ours, text) == theirs.encode(text, allowed_special="all"), text
    assert ours.vocabulary == theirs.n_vocab and ours.token_of(ours.vocabulary - 1) == "<|30.00|>"
    assert ours.id_of("<|startoftranscript|>") == ours.id_of("<|en|>") - 1 == ours.eos_id + 1
    assert plain_ids(load_tokenizer(tmp_path / "small.tiktoken", special=special), CORPUS) == plain_ids(ours, CORPUS)


def test_open_clip(tmp_path):
    open_clip = pytest.importorskip("open_clip")
    ours = load_tokenizer(Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz")
    texts = [*NASTY, "a photo of a &amp;amp; cat", "schÃ¶n", "Hi<start_of_text>x", "long " * 100, CORPUS]
    theirs = open_clip.SimpleTokenizer()(texts)
    assert ours.max_length == 77
    assert ours.batch(texts, max_length=77, length=77).ids.tolist() == theirs.tolist()
    assert ours.decode(ours.encode("Hello,  World!").ids) == "hello , world !" and ours.decode([]) == ""
    ours.save(tmp_path)
    assert load_tokenizer(tmp_path).rows(texts) == ours.rows(texts)


@pytest.fixture
def marian(tmp_path) -> Path:
    source = sentencepiece(tmp_path / "source.spm", "unigram", vocab_size=300)
    target = sentencepiece(tmp_path / "target.spm", "unigram", CORPUS + "quite other words\n" * 9, vocab_size=280)
    pieces = [[model.id_to_piece(id) for id in range(3, len(model) - 15)] for model in (target, source)]
    words = ["</s>", "<unk>", ">>fra<<", *dict.fromkeys(pieces[0] + pieces[1]), "<pad>"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: id for id, word in enumerate(words)}))
    config = {"tokenizer_class": "MarianTokenizer", "model_max_length": 512}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    return tmp_path


def test_marian(marian):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.MarianTokenizer.from_pretrained(str(marian))
    source, target = load_marian(marian)
    assert source.vocabulary == target.vocabulary == len(theirs) and source.max_length == 512
    unknown = 0
    for text in (*NASTY, "quite other words", ">>fra<< Hello world"):
        row = theirs(text)["input_ids"]
        assert plain_ids(source, text) == row, text
        assert plain_ids(target, text) == theirs(text_target=text)["input_ids"], text
        if ">>" not in text:  # we leave the code out, as it is no part of the sentence
            assert source.decode(row) == target.decode(row) == theirs.decode(row, skip_special_tokens=True), text
        unknown += row.count(source.unk_id)
    assert unknown > 10, "pieces of the model that the vocabulary lacks"
    assert max(max(row) for row in source.rows(NASTY)) < source.vocabulary
    source.save(marian / "new")
    again = load_tokenizer(marian / "new")
    assert again.settings == source.settings and again.rows(NASTY) == source.rows(NASTY)
