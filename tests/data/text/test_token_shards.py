"""A corpus tokenized once: what is written, going on after a kill at any moment, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_tokenizers import characters, words

import multimodal.data.text.token_writing as token_writing
from multimodal.data.text.token_shards import TokenShards
from multimodal.data.text.token_writing import write_tokens
from multimodal.data.text.tokens import tokens_in_memory
from multimodal.errors import ArgumentError, DataError

TOKENIZER = characters()
TEXTS = [f"document {i} " + "x" * (i % 7) for i in range(40)]
SHARD = 100  # ids


@pytest.fixture
def corpus(tmp_path) -> Path:
    file = tmp_path / "corpus.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return file


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith(".part")}


def test_shards_hold_what_was_given(tmp_path, corpus):
    shards = write_tokens(corpus, TOKENIZER, tmp_path / "ids", shard_tokens=SHARD)
    expected = tokens_in_memory(TEXTS, TOKENIZER)
    assert len(shards) == 40
    assert shards.tokens == expected.tokens
    assert shards.window(0, shards.tokens).tolist() == expected.window(0, shards.tokens).tolist()
    assert shards.document(39).tolist() == expected.document(39).tolist()
    assert shards.lengths().tolist() == expected.lengths().tolist()
    files = sorted((tmp_path / "ids").glob("*.tokens"))
    assert len(files) > 3
    assert all(SHARD <= file.stat().st_size // 2 < SHARD + 30 for file in files[:-1])
    assert shards.tokenizer().rows(["abc"]) == TOKENIZER.rows(["abc"])
    assert TokenShards(tmp_path / "ids").vocabulary == TOKENIZER.vocabulary
    shards.verify()


def test_finished_shards_are_opened_and_not_written_again(tmp_path, corpus, monkeypatch):
    write_tokens(corpus, TOKENIZER, tmp_path / "ids")
    monkeypatch.setattr(token_writing, "encode_documents", None)
    assert len(write_tokens(corpus, TOKENIZER, tmp_path / "ids")) == 40


class Killed(BaseException):
    """Stands for a process that ends here: no handler may catch it."""


@pytest.mark.parametrize("moment", range(0, 40, 3))
def test_stopped_at_any_step_and_gone_on_with(tmp_path, corpus, monkeypatch, moment):
    whole, folder = tmp_path / "whole", tmp_path / "ids"
    write_tokens(corpus, TOKENIZER, whole, shard_tokens=SHARD)
    calls = 0
    settle, replace = token_writing._settle, Path.replace

    def step(original, *arguments):
        nonlocal calls
        calls += 1
        if calls == moment + 1:
            raise Killed
        return original(*arguments)

    monkeypatch.setattr(token_writing, "_settle", lambda out: step(settle, out))
    monkeypatch.setattr(Path, "replace", lambda self, other: step(replace, self, other))
    with pytest.raises(Killed):
        write_tokens(corpus, TOKENIZER, folder, shard_tokens=SHARD)
    monkeypatch.undo()
    if (folder / "index.json").exists():
        with pytest.raises(DataError, match="not finished"):
            TokenShards(folder)
    write_tokens(corpus, TOKENIZER, folder, shard_tokens=SHARD).verify()
    assert contents(folder) == contents(whole)


def test_only_the_unfinished_shard_is_encoded_again(tmp_path, corpus, monkeypatch):
    folder = tmp_path / "ids"
    write_tokens(corpus, TOKENIZER, folder, shard_tokens=SHARD)
    index = json.loads((folder / "index.json").read_text())
    done = index["shards"][:3]
    (folder / "index.json").write_text(json.dumps({**index, "complete": False, "shards": done}))
    seen: list[str] = []
    encode = token_writing.encode_documents

    def watched(texts, *arguments, **options):
        kept = list(texts)
        seen.extend(kept)
        return encode(kept, *arguments, **options)

    monkeypatch.setattr(token_writing, "encode_documents", watched)
    write_tokens(corpus, TOKENIZER, folder, shard_tokens=SHARD)
    assert seen == TEXTS[sum(shard["documents"] for shard in done) :]


def test_another_tokenizer_source_or_option_is_refused(tmp_path, corpus):
    folder = tmp_path / "ids"
    write_tokens(corpus, TOKENIZER, folder)
    with pytest.raises(DataError, match="of another tokenizer"):
        write_tokens(corpus, characters("é"), folder)
    with pytest.raises(DataError, match="other options"):
        write_tokens(corpus, TOKENIZER, folder, eos=False)
    with pytest.raises(DataError, match="read once cannot be compared"):
        write_tokens(iter(TEXTS), TOKENIZER, folder)
    corpus.write_text(corpus.read_text() + '{"text": "more"}\n')
    with pytest.raises(DataError, match=r"another source, or it has changed.*delete"):
        write_tokens(corpus, TOKENIZER, folder)
    assert len(TokenShards(folder)) == 40


def test_damage_is_found(tmp_path, corpus):
    folder = tmp_path / "ids"
    shards = write_tokens(corpus, TOKENIZER, folder, shard_tokens=SHARD)
    file = folder / "00002.tokens"
    data = file.read_bytes()
    file.write_bytes(data[:10] + b"!" + data[11:])
    with pytest.raises(DataError, match=r"00002\.tokens is damaged"):
        shards.verify()
    with pytest.raises(DataError, match=r"00002\.tokens is damaged"):
        write_tokens(corpus, TOKENIZER, folder, shard_tokens=SHARD)
    file.write_bytes(data[:-2])
    with pytest.raises(DataError, match=r"00002\.tokens has [\d,]+ bytes instead of"):
        TokenShards(folder)
    file.unlink()
    with pytest.raises(DataError, match=r"00002\.tokens is missing"):
        TokenShards(folder)
    index = json.loads((folder / "index.json").read_text())
    shard = index["shards"][0]
    lacking = {name: value for name, value in index.items() if name != "vocabulary"}
    for wrong in (
        lacking,
        {**index, "shards": [{**shard, "tokens": "7"}]},
        {**index, "shards": [{"tokens": 7}]},
        {**index, "skipped": [1]},
        [],
    ):
        (folder / "index.json").write_text(json.dumps(wrong))
        with pytest.raises(DataError, match=r"index\.json is damaged"):
            TokenShards(folder)
    (folder / "index.json").write_text("{")
    with pytest.raises(DataError, match=r"index\.json is damaged"):
        TokenShards(folder)
    (folder / "index.json").write_text('{"format": 99, "shards": [], "complete": true}')
    with pytest.raises(DataError, match="format 99"):
        TokenShards(folder)
    with pytest.raises(DataError, match="holds no tokens"):
        TokenShards(tmp_path)


def test_half_written_shards_are_checked_before_more_are_written(tmp_path, corpus):
    folder = tmp_path / "ids"
    write_tokens(corpus, TOKENIZER, folder, shard_tokens=SHARD)
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**index, "complete": False, "shards": index["shards"][:2]}))
    ends = (folder / "00001.ends").read_bytes()
    (folder / "00001.ends").write_bytes(b"\xff" * len(ends))
    with pytest.raises(DataError, match=r"00001\.ends is damaged"):
        write_tokens(corpus, TOKENIZER, folder, shard_tokens=SHARD)


def test_what_was_left_out_is_counted_once_and_named(tmp_path, capsys):
    rows = [{"text": "one"}, {"text": " "}, {"text": "two"}, {"text": "\ud800"}, {"text": "three"}]
    shards = write_tokens(rows, TOKENIZER, tmp_path / "ids", shard_tokens=1)
    assert len(shards) == 3
    assert (shards.skipped_count, shards.skipped[0].path, shards.skipped[0].reason) == (2, "row 1", "empty text")
    assert capsys.readouterr() == ("", "2 texts were left out, the first: row 1: empty text\n")


def test_nothing_to_write_leaves_a_folder_that_can_be_used(tmp_path, corpus):
    with pytest.raises(DataError, match=r"holds no text.*row 0: empty text"):
        write_tokens([{"text": ""}], TOKENIZER, tmp_path / "ids")
    assert len(write_tokens(corpus, TOKENIZER, tmp_path / "ids")) == 40
    with pytest.raises(ArgumentError, match="no end-of-text"):
        write_tokens(corpus, words(["a"]), tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(DataError, match="cannot be read: Not a directory"):
        write_tokens(corpus, TOKENIZER, corpus / "ids")


def test_ids_of_a_large_vocabulary_take_four_bytes(tmp_path):
    tokenizer = words([f"w{i}" for i in range(70_000)])
    shards = write_tokens(["w69999 w0"], tokenizer, tmp_path / "ids", eos=False)
    assert shards.window(0, 2).tolist() == [70_000, 1]
    assert shards.window(0, 2).dtype == np.uint32


def test_a_worker_process_gets_the_folder_and_not_the_ids(tmp_path, corpus):
    shards = write_tokens(corpus, TOKENIZER, tmp_path / "ids")
    packed = pickle.dumps(shards)
    assert len(packed) < 500
    assert pickle.loads(packed).document(3).tolist() == shards.document(3).tolist()


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from small_tokenizers import characters
from multimodal.data.text.token_writing import write_tokens
write_tokens(sys.argv[2], characters(), sys.argv[3], unit="line", shard_tokens=200_000)
"""


def test_two_processes_take_turns(tmp_path):
    corpus, folder = tmp_path / "corpus.txt", tmp_path / "ids"
    corpus.write_text("".join(f"{i} a line of text\n" for i in range(60_000)))
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(corpus), str(folder)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.wait(timeout=120) == 0, process.stderr.read()
    assert len(TokenShards(folder)) == 60_000
    TokenShards(folder).verify()


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute and a half of work
def test_a_hundred_megabytes_killed_three_times(tmp_path):
    corpus, folder = tmp_path / "corpus.txt", tmp_path / "ids"
    line = "A line of text of about fifty characters, or more.\n"
    corpus.write_text("".join(f"{i} {line}" for i in range(1_800_000)))
    assert corpus.stat().st_size > 100_000_000
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(corpus), str(folder)]
    for wanted in (1, 40, 80):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(folder.glob("*.ends"))) < wanted:
            time.sleep(0.01)
        assert process.poll() is None, "killed while it works"
        process.send_signal(signal.SIGKILL)
        process.wait()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    assert usage.ru_maxrss < 1_500_000, "kilobytes: most of it is imports"
    shards = TokenShards(folder)
    shards.verify()
    assert len(shards) == 1_800_000
    assert shards.tokens == corpus.stat().st_size  # an end of text in the place of each line break
    for i in (0, 12_345, 1_799_999):
        assert (
            characters().decode(shards.document(i).tolist()).replace(" ", "") == f"{i} {line}".replace(" ", "").strip()
        )
