"""Streams of ids in memory, and the encoding of long texts in pieces."""

from __future__ import annotations

import numpy as np
import pytest
from small_tokenizers import characters, words

import multimodal.data.text.tokens as text_tokens
from multimodal.data.text.tokens import TokenStream, encode_documents, id_type, tokenizer_fingerprint, tokens_in_memory
from multimodal.errors import ArgumentError, DataError

TOKENIZER = characters()
END = TOKENIZER.eos_id


def test_documents_end_with_the_end_of_text():
    stream = tokens_in_memory(["ab", "c"], TOKENIZER)
    a, b, c = (TOKENIZER.id_of(letter) for letter in "abc")
    assert stream.window(0, 5).tolist() == [a, b, END, c, END]
    assert (stream.tokens, len(stream), stream.lengths().tolist()) == (5, 2, [3, 2])
    assert stream.document(1).tolist() == [c, END]
    assert tokens_in_memory(["ab", "c"], TOKENIZER, eos=False).window(0, 3).tolist() == [a, b, c]


@pytest.mark.parametrize("many", [1, 2, 3, 100])
def test_batches_of_texts_do_not_show(monkeypatch, many):
    texts = ["ab" * i for i in range(1, 8)] + ["x" * 90, "y"]
    whole = [[*TOKENIZER.rows([text], special=False)[0], END] for text in texts]
    monkeypatch.setattr(text_tokens, "MANY", many)
    monkeypatch.setattr(text_tokens, "PIECE", 20)
    stream = tokens_in_memory(texts, TOKENIZER)
    assert [stream.document(i).tolist() for i in range(len(stream))] == whole


def test_windows_and_documents_across_parts():
    parts = [([0, 1, 2, 3], [1, 4]), ([4, 5], [2]), ([], []), ([6, 7, 8], [0, 3])]
    stream = TokenStream([(np.array(ids, dtype=np.uint16), np.array(ends, dtype=np.int64)) for ids, ends in parts])
    everything = list(range(9))
    for start in range(10):
        for length in range(10 - start):
            assert stream.window(start, length).tolist() == everything[start : start + length]
    assert [stream.document(i).tolist() for i in range(len(stream))] == [[0], [1, 2, 3], [4, 5], [], [6, 7, 8]]
    assert stream.lengths().tolist() == [1, 3, 2, 0, 3]
    for start, length in ((0, 10), (-1, 2), (9, 1)):
        with pytest.raises(IndexError):
            stream.window(start, length)
    with pytest.raises(IndexError, match="no document 5"):
        stream.document(5)


def test_small_ids_take_two_bytes():
    assert id_type(65_536) == np.uint16
    assert id_type(65_537) == np.uint32
    assert tokens_in_memory(["a"], TOKENIZER).window(0, 1).dtype == np.uint16


@pytest.mark.parametrize(
    "text", ["a b\nc  d\n\ne\n f " * 40, "x" * 500, "no break but spaces " * 20, "a\n\n\n\n" * 50, "", "one\n" * 99]
)
def test_a_long_text_in_pieces_is_the_whole_text(monkeypatch, text):
    whole = TOKENIZER.rows([text], special=False)[0]
    monkeypatch.setattr(text_tokens, "PIECE", 37)
    monkeypatch.setattr(text_tokens, "MANY", 1)
    pieces = list(encode_documents([text, "z"], TOKENIZER, eos=None))
    assert [ends.tolist() for _, ends in pieces] == [[]] * (len(pieces) - 2) + [[len(pieces[-2][0])], [1]]
    assert len(pieces) >= 1 + len(text) // 37
    assert np.concatenate([ids for ids, _ in pieces]).tolist() == [*whole, TOKENIZER.id_of("z")]


def test_a_piece_ends_between_words(monkeypatch):
    tokenizer = words(["alpha", "beta"])
    text = "alpha beta\n" * 60
    monkeypatch.setattr(text_tokens, "PIECE", 64)
    monkeypatch.setattr(text_tokens, "MANY", 1)
    pieces = list(encode_documents([text], tokenizer, eos=None))
    assert len(pieces) > 10
    assert np.concatenate([ids for ids, _ in pieces]).tolist() == [1, 2] * 60, "no word is cut into unknown halves"


def test_byte_level_pieces_are_exact(monkeypatch):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from multimodal.tokenizers.text import TextTokenizer

    text = "First  line,\nsecond line\n\n  indented\nthird 'line' 12345\n" * 30
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.train_from_iterator([text], trainers.BpeTrainer(vocab_size=320, show_progress=False))
    tokenizer = TextTokenizer(bpe)
    whole = tokenizer.rows([text], special=False)[0]
    monkeypatch.setattr(text_tokens, "PIECE", 100)
    monkeypatch.setattr(text_tokens, "MANY", 1)
    pieces = [ids for ids, _ in encode_documents([text], tokenizer, eos=None)]
    assert len(pieces) > 10
    assert np.concatenate(pieces).tolist() == whole


def test_what_cannot_be():
    with pytest.raises(ArgumentError, match="no end-of-text token"):
        tokens_in_memory(["a"], words(["a"]))
    with pytest.raises(DataError, match="no text"):
        tokens_in_memory([], TOKENIZER)


def test_the_fingerprint_is_of_the_vocabulary():
    first = tokenizer_fingerprint(TOKENIZER)
    TOKENIZER.rows(["abc"], max_length=2)  # leaves the limit set inside
    assert tokenizer_fingerprint(TOKENIZER) == first == tokenizer_fingerprint(characters())
    assert tokenizer_fingerprint(characters("é")) != first
