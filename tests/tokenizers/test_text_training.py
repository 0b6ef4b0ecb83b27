"""Training: the same text gives the same vocabulary, in every process; what is too little is said."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from random import Random

import pytest
from texts import CORPUS, NASTY

from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers import text_counting
from multimodal.tokenizers.text import SpecialTokens
from multimodal.tokenizers.text_counting import counted, in_proportion, read_chunks, thinned
from multimodal.tokenizers.text_training import train_tokenizer

KINDS = ("bpe", "wordpiece", "unigram", "character")


def fingerprint(kind: str) -> str:
    trained = train_tokenizer(iter([CORPUS, "the end of it all"]), kind, vocabulary=400)
    return hashlib.sha256(trained.tokenizer.to_str().encode()).hexdigest()


def test_the_same_in_another_process():
    script = "import test_text_training as t; print(*map(t.fingerprint, t.KINDS))"
    path = os.pathsep.join(filter(None, sys.path))
    given = os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "7", "JAXTYPING_DISABLE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=given, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [fingerprint(kind) for kind in KINDS], "and nothing else on stdout"


@pytest.mark.parametrize("kind", KINDS)
def test_files_and_streams_give_the_same(tmp_path, kind):
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text(CORPUS, encoding="utf-8")
    second.write_text("the end of it all\n", encoding="utf-8")
    files = train_tokenizer([first, str(second)], kind, vocabulary=350)
    stream = train_tokenizer((text for text in (CORPUS.encode(), "the end of it all\n")), kind, vocabulary=350)
    assert files.tokenizer.to_str() == stream.tokenizer.to_str()


def test_byte_pairs_are_merged_by_frequency():
    trained = train_tokenizer(iter(["abab abab abab cd"]), "bpe", vocabulary=260, special=SpecialTokens(eos="<end>"))
    assert trained.vocabulary == 260 and trained.eos_id == 0
    assert [trained.token_of(id) for id in (257, 258, 259)] == ["ab", "abab", "Ġabab"]
    assert [trained.token_of(id) for id in trained.encode("abab cd").ids] == ["abab", "Ġ", "c", "d"]


def test_word_piece():
    trained = train_tokenizer(iter(["Hugs hugs hug bugs"]), "wordpiece", vocabulary=40, lowercase=True)
    tokens = [trained.token_of(id) for id in range(trained.vocabulary)]
    assert tokens[:5] == ["[PAD]", "[UNK]", "[MASK]", "[SEP]", "[CLS]"]
    assert tokens[5:13] == ["b", "g", "h", "s", "u", "##g", "##s", "##u"], "letters first"
    assert tokens[13:] == ["##ug", "hug", "hugs"], "then pairs by how often they occur"
    shown = [trained.token_of(id) for id in trained.encode("HUGS bugs hub?").ids]
    assert shown == ["[CLS]", "hugs", "b", "##ug", "##s", "[UNK]", "[UNK]", "[SEP]"]
    assert trained.encode("hugs", "bugs").types == (0, 0, 0, 1, 1, 1, 1)
    small = train_tokenizer(iter([CORPUS]), "wordpiece", vocabulary=100)
    assert 60 < small.vocabulary <= 100


def test_unigram():
    trained = train_tokenizer(iter([CORPUS]), "unigram", vocabulary=200)
    assert (trained.pad_id, trained.eos_id, trained.unk_id) == (1, 0, 2)
    assert trained.vocabulary <= 200
    row = trained.encode("The quick  brown fox").ids
    assert row[-1] == trained.eos_id and trained.decode(row) == "The quick brown fox"
    assert len(row) < 20, "pieces longer than a character"


def test_counts_of_a_large_text_are_taken_in_proportion():
    counts = {"ab": 1000, "c": 500, "rare": 1}
    assert in_proportion(counts, 10_000) == counts
    assert in_proportion(counts, 250) == {"ab": 100, "c": 50, "rare": 1}


def test_characters():
    trained = train_tokenizer(iter(["hello\n", "Hi! 你"]), "character")
    assert [trained.token_of(id) for id in range(trained.vocabulary)] == sorted(set("hello\nHi! 你"))
    assert trained.decode(trained.encode("oh!\n\n Hi").ids) == "oh!\n\n Hi"
    with pytest.raises(ArgumentError, match="cannot be tokenized"):
        trained.encode("x")
    unknown = train_tokenizer(iter(["ab"]), "character", special=SpecialTokens(unk="?", eos="<end>"))
    assert unknown.encode("axb").ids == (2, 1, 3) and unknown.eos_id == 0


def test_everything_comes_back_from_bytes():
    trained = train_tokenizer(iter(["only ascii here"]), "bpe", vocabulary=300)
    assert [trained.decode(row, skip_special=False) for row in trained.rows(NASTY)] == list(NASTY)


def test_chunks_are_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(text_counting, "CHUNK", 16)
    text = "".join(f"{'é' * length}\r\n" for length in range(60)) + "the end"
    (tmp_path / "a.txt").write_bytes(text.encode())
    chunks = list(read_chunks(tmp_path / "a.txt"))
    assert "".join(chunks) == text
    assert max(map(len, chunks)) <= 32
    assert all(chunk.endswith("\n") for chunk in chunks if "é" * 20 not in chunk and not chunk.endswith(("é", "end")))
    (tmp_path / "b.txt").write_bytes(b"caf\xc3\xa9 \xff\n")
    assert "".join(read_chunks(tmp_path / "b.txt")) == "café \ufffd\n"


CHINESE = "".join(chr(0x4E00 + i % 700) for i in range(3000))


def test_runs_without_a_space_are_learned_from():
    for kind in ("unigram", "bpe"):
        trained = train_tokenizer(iter([CHINESE] * 3), kind, vocabulary=1500)
        assert trained.encode(CHINESE[:50], special=False).ids.count(trained.unk_id) == 0
    mixed = train_tokenizer(iter(["hello world again\n" * 50 + CHINESE]), "unigram", vocabulary=1500)
    assert mixed.vocabulary > 500 and mixed.unk_id not in mixed.encode(CHINESE[:50]).ids
    assert train_tokenizer(iter(["a" * 1_000_000]), "unigram", vocabulary=300).vocabulary < 300


def test_long_words_are_counted_in_pieces():
    assert counted(["aa " + "b" * 600]) == {"aa": 1, "b" * 256: 2, "b" * 88: 1}


def test_runs_without_a_space_are_thinned_out(monkeypatch):
    monkeypatch.setattr(text_counting, "RUNS", 1000)
    runs = [f"{i:030d}" for i in range(1000)]  # 30,000 characters
    text = [f"word {run} end\n" for run in runs]
    found = list(thinned(text))
    taken = [run for run in runs if any(run in one for one in found)]
    assert taken[:30] == runs[:30], "the first thousand characters are all there"
    assert sum(map(len, taken)) == pytest.approx(1000 * sum(1 / n for n in range(1, 31)), rel=0.1)
    assert [one.replace(run, "") for one, run in zip(found, runs, strict=True)] == ["word  end\n"] * 1000
    assert list(thinned(["short words stay " * 1000])) == ["short words stay " * 1000]


SCRIPT = """
import random, resource, sys
from multimodal.tokenizers.text_training import train_tokenizer
train_tokenizer(iter(["a few words to import what is needed " * 20]), sys.argv[2], vocabulary=300)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
train_tokenizer(sys.argv[1], sys.argv[2], vocabulary=4000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)  # minutes of work
@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
@pytest.mark.parametrize("script", ["words", "none"])
def test_a_hundred_megabytes_are_never_all_in_memory(tmp_path, kind, script):
    random = Random(0)
    letters = [chr(0x3041 + i) for i in range(80)] if script == "none" else list("etaoinshrdlu")
    words = ["".join(random.choices(letters, k=random.randint(2, 9))) for _ in range(50_000)]
    join = "" if script == "none" else " "
    with (tmp_path / "corpus.txt").open("w", encoding="utf-8") as file:
        while file.tell() < 100_000_000:
            file.write("".join(join.join(random.choices(words, k=25)) + "\n" for _ in range(1000)))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "corpus.txt"), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < (1500 if kind == "bpe" and script == "none" else 700), "MiB"


def test_what_cannot_be_trained(tmp_path):
    with pytest.raises(ArgumentError, match="needs at least 257 here"):
        train_tokenizer(iter(["a"]), "bpe", vocabulary=100)
    with pytest.raises(ArgumentError, match="needs an unknown token"):
        train_tokenizer(iter(["a"]), "unigram", special=SpecialTokens(eos="</s>"))
    with pytest.raises(ArgumentError, match="lowercase is for kind='wordpiece'"):
        train_tokenizer(iter(["a"]), "bpe", lowercase=True)
    for kind in KINDS:
        with pytest.raises(DataError, match="no text to train on"):
            train_tokenizer(iter(["", ""]), kind)
    for kind in ("wordpiece", "unigram"):
        with pytest.raises(DataError, match="all of it is white space"):
            train_tokenizer(iter([" \n", "\t"]), kind)
    with pytest.raises(DataError, match=r"nope\.txt'\. Give text files"):
        train_tokenizer(tmp_path / "nope.txt")
    with pytest.raises(DataError, match=r"Give text files, or texts through an iterator: iter\(texts\)"):
        train_tokenizer([CORPUS])
    with pytest.raises(DataError, match="cannot be read"):
        train_tokenizer([tmp_path])
    with pytest.raises(DataError, match="no text to train on"):
        train_tokenizer([])
