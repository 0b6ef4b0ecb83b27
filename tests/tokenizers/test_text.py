"""Text to ids and back on a vocabulary small enough to check by eye."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from texts import CORPUS, NASTY
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE, WordPiece
from tokenizers.processors import BertProcessing

from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers.text import SpecialTokens, TextSettings, TextTokenizer
from multimodal.tokenizers.text_training import train_tokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "dog", "##s", "bark", "at", "cat", ".", "a"]
ID = {word: number for number, word in enumerate(WORDS)}
ROLES = SpecialTokens(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]")


def bert(**settings) -> TextTokenizer:
    tokenizer = Tokenizer(WordPiece(ID, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return TextTokenizer(tokenizer, TextSettings(special=ROLES, **settings))


@pytest.fixture(scope="module")
def bytes_level() -> TextTokenizer:
    return train_tokenizer(iter([CORPUS]), "bpe", vocabulary=500)


def ids(*words: str) -> tuple[int, ...]:
    return tuple(ID[word] for word in words)


def test_one_text():
    encoded = bert().encode("the dogs bark")
    assert encoded.ids == ids("[CLS]", "the", "dog", "##s", "bark", "[SEP]")
    assert encoded.types == (0,) * 6
    assert encoded.offsets == ((0, 0), (0, 3), (4, 7), (7, 8), (9, 13), (0, 0))
    assert encoded.special_mask == (True, False, False, False, False, True)
    assert encoded.words == (None, 0, 1, 1, 2, None)
    assert encoded.parts == (None, 0, 0, 0, 0, None)
    assert bert().encode("the dogs bark", special=False).ids == ids("the", "dog", "##s", "bark")
    assert bert().encode("").ids == ids("[CLS]", "[SEP]")


def test_a_pair():
    encoded = bert().encode("the dog", "a cat")
    assert encoded.ids == ids("[CLS]", "the", "dog", "[SEP]", "a", "cat", "[SEP]")
    assert encoded.types == (0, 0, 0, 0, 1, 1, 1)
    assert encoded.parts == (None, 0, 0, None, 1, 1, None)
    assert encoded.offsets[4:6] == ((0, 1), (2, 5)), "counted in its own text"


def test_tasks_of_tokens():
    tokenizer = bert()
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id) == (
        0,
        1,
        2,
        3,
        4,
    )
    assert tokenizer.bos_id is None and tokenizer.eos_id is None
    assert tokenizer.special_ids == {0, 1, 2, 3, 4}
    assert tokenizer.vocabulary == len(tokenizer) == len(WORDS)
    assert tokenizer.encode("the [MASK] .", special=False).ids == ids("the", "[MASK]", "."), "recognised in the text"
    assert repr(tokenizer).startswith("TextTokenizer(WordPiece, 13 tokens, pad='[PAD]'")


def test_what_is_no_id_and_no_length():
    tokenizer = bert()
    assert tokenizer.decode([5, 10**12, 2**40]) == tokenizer.decode([5]), "larger than any vocabulary"
    for wrong in (torch.tensor([1.5]), torch.tensor([[1]])):
        with pytest.raises(ArgumentError, match="are not the ids of one text"):
            tokenizer.decode(wrong)
    for length in (2**70, 10**12):
        with pytest.raises(ArgumentError, match="must be a whole number of tokens"):
            tokenizer.encode("a", max_length=length)


def test_tokens_by_name():
    assert bert().id_of("##s") == ID["##s"] and bert().token_of(4) == "[MASK]"
    with pytest.raises(ArgumentError, match=r"'\[MSK\]' is not a token .* Did you mean '\[MASK\]'"):
        bert().id_of("[MSK]")
    for wrong in (-1, len(WORDS)):
        with pytest.raises(ArgumentError, match="not an id of this vocabulary"):
            bert().token_of(wrong)
    with pytest.raises(ArgumentError, match=r"special token '<s>' is not in the vocabulary"):
        TextTokenizer(Tokenizer(BPE({"a": 0}, [])), TextSettings(special=SpecialTokens(bos="<s>")))


def test_truncation():
    tokenizer = bert()
    assert tokenizer.encode("the dogs bark", max_length=4).ids == ids("[CLS]", "the", "dog", "[SEP]")
    left = tokenizer.encode("the dogs bark", max_length=4, truncation="left")
    assert left.ids == ids("[CLS]", "##s", "bark", "[SEP]") and left.offsets[1] == (7, 8)
    assert tokenizer.encode("the dogs bark", special=False, max_length=3).ids == ids("the", "dog", "##s")
    assert tokenizer.encode("the dog", max_length=4, truncation="refuse").ids == ids("[CLS]", "the", "dog", "[SEP]")
    with pytest.raises(ArgumentError, match="has 6 tokens, and at most 4"):
        tokenizer.encode("the dogs bark", max_length=4, truncation="refuse")
    with pytest.raises(ArgumentError, match="max_length is 2; with 2 special tokens"):
        tokenizer.encode("the dogs bark", max_length=2)
    longer = tokenizer.encode("the dogs bark at the cat", "a cat", max_length=8)
    assert longer.ids == ids("[CLS]", "the", "dog", "##s", "[SEP]", "a", "cat", "[SEP]"), "the longer text is cut"
    assert tokenizer.encode("the dogs bark").ids == ids("[CLS]", "the", "dog", "##s", "bark", "[SEP]"), "no limit stays"


def test_a_batch_is_padded_on_the_right():
    batch = bert().batch(["the dog", "a"], ["a cat", "the dogs bark"])
    rows = [bert().encode("the dog", "a cat"), bert().encode("a", "the dogs bark")]
    assert batch.ids.tolist() == [[*rows[0].ids, 0], list(rows[1].ids)]
    assert batch.keep.tolist() == [[True] * 7 + [False], [True] * 8]
    assert batch.types.tolist() == [[*rows[0].types, 0], list(rows[1].types)]
    assert batch.ids.dtype == torch.long and batch.keep.dtype == torch.bool
    assert bert().batch(["a", "the dog"], length=6).ids.tolist() == [[2, 12, 3, 0, 0, 0], [2, 5, 6, 3, 0, 0]]
    assert bert().batch([]).ids.shape == (0, 0)
    with pytest.raises(ArgumentError, match="2 texts and 1 pairs"):
        bert().batch(["a", "the"], ["dog"])


def test_rows_are_the_ids_of_each():
    assert bert().rows(["the dogs", "", "a"], max_length=4) == [[2, 5, 6, 3], [2, 3], [2, 12, 3]]


def test_words_keep_their_number():
    encoded = bert().encode_words(["the", "", "dogs", "cat."])
    assert encoded.ids == ids("[CLS]", "the", "dog", "##s", "cat", ".", "[SEP]")
    assert encoded.words == (None, 0, 2, 2, 3, 3, None)
    assert encoded.offsets == ((0, 0), (0, 3), (0, 3), (3, 4), (0, 3), (3, 4), (0, 0))


def test_words_get_the_space_of_a_byte_level_vocabulary(bytes_level):
    words = ["The", "quick", "", "café"]
    encoded = bytes_level.encode_words(words)
    assert bytes_level.decode(encoded.ids) == "The quick café"
    assert encoded.ids == bytes_level.encode("The quick café").ids
    assert set(encoded.words) == {0, 1, 3}
    for word, (start, end), id in zip(encoded.words, encoded.offsets, encoded.ids, strict=True):
        piece = bytes_level.decode([id]).strip()
        assert "\ufffd" in piece or words[word or 0][start:end] == piece


def test_windows_cover_the_text_and_overlap():
    tokenizer, text = bert(), "the dogs bark at the cat . a dog"
    windows = tokenizer.windows(text, max_length=6, overlap=1)
    inner = [window.ids[1:-1] for window in windows]
    assert all(len(window.ids) <= 6 for window in windows)
    assert inner[0] + tuple(id for row in inner[1:] for id in row[1:]) == tokenizer.encode(text, special=False).ids
    assert all(before[-1] == after[0] for before, after in itertools.pairwise(inner))
    question = tokenizer.windows("a dog", text, max_length=8)
    assert all(window.ids[:4] == ids("[CLS]", "a", "dog", "[SEP]") for window in question)
    found = [text[a:b] for w in question for (a, b), part in zip(w.offsets, w.parts, strict=True) if part == 1]
    assert "".join(found) == text.replace(" ", "")
    with pytest.raises(ArgumentError, match="leaves 1 for new text, which must be more than the overlap of 1"):
        tokenizer.windows("a dog", text, max_length=6, overlap=1)


def test_decoding():
    tokenizer = bert(clean_up=True)
    row = tokenizer.encode("the dogs bark .").ids
    assert tokenizer.decode(row) == "the dogs bark."
    assert bert().decode(row) == "the dogs bark ."
    assert tokenizer.decode(torch.tensor(row), skip_special=False) == "[CLS] the dogs bark. [SEP]"
    assert tokenizer.decode([5, 10_000]) == "the", "beyond the vocabulary: nothing"
    assert tokenizer.decode([]) == ""
    with pytest.raises(ArgumentError, match="-100 is not an id"):
        tokenizer.decode([5, -100])


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_bytes_come_back(bytes_level, text):
    row = bytes_level.encode(text).ids
    assert bytes_level.decode(row, skip_special=False) == text
    stream = bytes_level.decode_stream(skip_special=False)
    pieces = [stream.push(id) for id in row]
    assert "".join(pieces) + stream.flush() == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_stream_of_broken_bytes_does_not_stall(bytes_level):
    alone = bytes_level.encode("😀").ids[0]  # the first byte of four
    stream = bytes_level.decode_stream()
    given = "".join(stream.push(alone) for _ in range(100))
    assert given.count("\ufffd") > 80


def test_a_stream_keeps_spaces_between_words():
    tokenizer = bert()
    stream = tokenizer.decode_stream()
    assert [stream.push(id) for id in ids("[CLS]", "the", "dog", "##s", "bark")] == ["", "the", " dog", "s", " bark"]


def test_what_is_not_unicode_is_replaced(bytes_level):
    encoded = bytes_level.encode("a\ud800b")
    assert bytes_level.decode(encoded.ids) == "a\ufffdb"
    assert encoded.offsets[-1] == (2, 3), "one character for one surrogate"
    assert bytes_level.decode(bytes_level.encode(b"caf\xc3\xa9 \xff!").ids) == "café \ufffd!"
    assert bytes_level.rows(["x\udfff", b"\xe9"]) == bytes_level.rows(["x\ufffd", "\ufffd"])


def test_a_text_in_place_of_a_list(bytes_level):
    with pytest.raises(ArgumentError, match="put it in brackets"):
        bytes_level._engine.joined("one text", None)


def test_a_million_characters_on_one_line(bytes_level):
    assert len(bytes_level.rows(["ab" * 500_000])[0]) >= 500_000
    assert bytes_level.decode(bytes_level.rows(["你" * 20_000])[0]) == "你" * 20_000


def test_save_and_load(tmp_path):
    special = SpecialTokens(eos="<|endoftext|>", extra=("<|user|>",))
    first = train_tokenizer(iter([CORPUS]), "bpe", vocabulary=400, special=special, max_length=64)
    first.encode("a b c d", max_length=2)
    first.save(tmp_path / "new")
    second = TextTokenizer.load(tmp_path / "new")
    assert second.settings == first.settings and second.special_ids == first.special_ids
    assert all(second.encode(text) == first.encode(text) for text in NASTY)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    assert json.loads((tmp_path / "new/tokenizer.json").read_text())["truncation"] is None
    config = json.loads((tmp_path / "new/tokenizer_config.json").read_text())
    assert (config["eos_token"], config["model_max_length"]) == ("<|endoftext|>", 64)


def test_settings_survive(tmp_path):
    settings = TextSettings(special=ROLES, chat_template="{{ messages }}", clean_up=True, cleaning="lower", known=10)
    tokenizer = TextTokenizer(bert().tokenizer, settings)
    assert tokenizer.vocabulary == 10 and tokenizer.encode("cat", special=False).ids == (1,), "10 and up are unknown"
    assert tokenizer.encode("THE &amp; dog", special=False).ids == ids("the", "[UNK]", "dog"), "mended"
    tokenizer.save(tmp_path)
    assert TextTokenizer.load(tmp_path).settings == settings
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config.pop("text_cleaning") == "lower"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "mend_text": True}))  # as it once was written
    assert TextTokenizer.load(tmp_path).settings == settings
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "text_cleaning": "loud"}))
    with pytest.raises(DataError, match="text_cleaning is 'loud'; it must be one of 'lower', 'whitespace'"):
        TextTokenizer.load(tmp_path)


def test_copies(bytes_level):
    assert copy.deepcopy(bytes_level) is bytes_level
    again = pickle.loads(pickle.dumps(bytes_level))
    assert again.settings == bytes_level.settings and again.rows(NASTY) == bytes_level.rows(NASTY)


def test_threads_with_different_limits():
    tokenizer = bert()
    with ThreadPoolExecutor(4) as pool:
        lengths = [3, 4, 5, 6] * 50
        rows = pool.map(lambda n: len(tokenizer.encode("the dogs bark at a cat", max_length=n).ids), lengths)
    assert list(rows) == lengths


def test_a_model_must_have_every_id():
    bert().fits(len(WORDS))
    bert().fits(64)
    with pytest.raises(DataError, match="ids up to 12 and the model 12 embeddings"):
        bert().fits(12)
