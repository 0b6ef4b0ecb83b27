"""Plain text from files, folders, tables, `datasets` objects and strings."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from multimodal.data.images.samples import Skipped
from multimodal.data.text.sources import fingerprint, read_texts
from multimodal.errors import ArgumentError, DataError


class Streamed:
    """What a streaming `datasets` object looks like: column names, and rows that are made while reading."""

    column_names = ("text", "url")

    def __init__(self, texts: list[Any]) -> None:
        self.texts = texts

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter([{"text": text, "url": "x"} for text in self.texts])


def read(source, **options) -> tuple[list[str], list[str]]:
    """The texts, and the reasons of what was left out."""
    skipped: list[Skipped] = []
    return list(read_texts(source, skipped=skipped, **options)), [one.reason for one in skipped]


def test_units_of_a_text_file(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("\ufeffone\r\n two\n\n  \nthrée\n".encode())
    assert read(file) == (["one\n two\n\n  \nthrée\n"], [])
    assert read(file, unit="paragraph") == (["one\n two", "thrée"], [])
    assert read(str(file), unit="line") == (["one", " two", "thrée"], [])


def test_a_folder_in_the_order_of_names_without_junk(tmp_path):
    for name, text in {"b/2.txt": "two", "a.md": "one", ".hidden.txt": "x", "c.bin": "x", "b/.git/x.txt": "x"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "d.jsonl").write_text('{"text": "three"}\n')
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert read(tmp_path) == (["one", "two", "three"], ["not a text file"])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_column_of_a_table(tmp_path, suffix):
    rows = [{"id": i, "text": text, "note": "n"} for i, text in enumerate(["one", 'said "two"', "three, 3", "vier €"])]
    file = tmp_path / f"table{suffix}"
    if suffix == ".parquet":
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.Table.from_pylist(rows), file)
    elif suffix == ".jsonl":
        file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        with file.open("w", encoding="utf-8", newline="") as out:
            quoting = {"quoting": csv.QUOTE_NONE, "quotechar": None} if suffix == ".tsv" else {}
            writer = csv.DictWriter(out, rows[0], delimiter="\t" if suffix == ".tsv" else ",", **quoting)
            writer.writeheader()
            writer.writerows(rows)
    assert read(file) == ([row["text"] for row in rows], [])
    assert read(file, column="note")[0] == ["n"] * 4
    with pytest.raises(ArgumentError, match=r"no column 'txt'.*Did you mean 'text'"):
        list(read_texts(file, column="txt"))


def test_strings_and_rows():
    assert read(["one", "two"]) == (["one", "two"], [])
    assert read(iter(["one"])) == (["one"], [])
    assert read([{"text": "one", "id": 3}]) == (["one"], [])
    assert read([{"body": "one"}], column="body") == (["one"], [])
    assert read(Streamed(["one", "", None, "two"])) == (["one", "two"], ["empty text", "no text"])
    with pytest.raises(DataError, match="no column for the text"):
        read([{"body": "one"}])


def test_a_datasets_object():
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"text": ["one", "two"], "label": [0, 1]})
    assert read(data) == (["one", "two"], [])
    assert read(data.to_iterable_dataset()) == (["one", "two"], [])
    assert fingerprint(data) == fingerprint(data) != fingerprint(data.select([0]))


@pytest.mark.parametrize("unit", ["file", "paragraph", "line"])
def test_what_is_not_utf8_is_named(tmp_path, unit):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "b.txt").write_text("fine")
    (tmp_path / "c.txt").write_text(" \n")
    texts, reasons = read(tmp_path, unit=unit)
    assert texts == ["fine"]
    assert reasons[0].startswith("not UTF-8")
    assert reasons[1:] == (["empty text"] if unit == "file" else [])
    with pytest.raises(DataError, match=r"a\.txt.*not UTF-8"):
        list(read_texts(tmp_path, unit=unit))


def test_bad_rows_are_named_and_the_rest_is_read(tmp_path):
    lines = [
        b'{"text": "one"}',
        b"{",
        b"[1]",
        b'{"text": "\\ud800"}',
        b'{"text": 3}',
        b'{"text": "\xff"}',
        b'{"text": "two"}',
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    assert read(tmp_path) == (
        ["one", "two"],
        ["not JSON", "not a JSON object of columns", "a lone surrogate at character 0", "int instead of text",
         "not UTF-8 at character 0"],
    )  # fmt: skip
    skipped: list[Skipped] = []
    list(read_texts(tmp_path, skipped=skipped))
    assert skipped[0].path == f"{tmp_path / 'a.jsonl'}, line 2"
    (tmp_path / "b.csv").write_bytes(b"text,n\none,1\ntwo,2,3\nthree\n\xff,4\nfour,5\n")
    assert read(tmp_path / "b.csv") == (
        ["one", "three", "four"],
        ["more cells than the header", "not UTF-8 at character 0"],
    )


def test_a_megabyte_on_one_line(tmp_path):
    long = "word " * 200_000
    (tmp_path / "a.csv").write_text(f"text\n{long}\nshort\n")
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": long}))
    (tmp_path / "a.txt").write_text(long)
    assert [len(text) for text in read(tmp_path, unit="line")[0]] == [1_000_000, 5, 1_000_000, 1_000_000]


def test_lines_are_streamed(tmp_path):
    (tmp_path / "a.txt").write_text("some words in a line\n" * 10_000)  # 210 KB
    (tmp_path / "b.jsonl").write_text('{"text": "some words in a row"}\n' * 7_000)  # 220 KB
    tracemalloc.start()
    count = sum(1 for _ in read_texts(tmp_path, unit="line"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 17_000
    assert peak < 150_000  # bytes


def test_what_is_not_there(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no file or folder.*Did you mean 'notes\.txt'"):
        list(read_texts(tmp_path / "note.txt"))
    with pytest.raises(DataError, match="as a list of strings"):
        list(read_texts("To be, or not to be: " * 500))
    (tmp_path / "x.json").write_text('["a"]')
    with pytest.raises(DataError, match="is JSON, not text; give JSON Lines"):
        list(read_texts(tmp_path / "x.json"))
    with pytest.raises(DataError, match="not plain text"):
        (tmp_path / "a.txt.gz").touch()
        list(read_texts(tmp_path / "a.txt.gz"))
    with pytest.raises(DataError, match="int is no source"):
        list(read_texts(3))


def test_a_fingerprint_follows_the_contents(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.txt").write_text("text")
    first = fingerprint(tmp_path / "a")
    assert fingerprint(str(tmp_path / "b")) == first, "of the contents, wherever they lie"
    (tmp_path / "b" / "x.txt").write_text("teXt")
    assert fingerprint(tmp_path / "b") != first
    (tmp_path / "b" / "x.txt").write_text("text")
    (tmp_path / "b" / "x.txt").rename(tmp_path / "b" / "y.txt")
    assert fingerprint(tmp_path / "b") != first
    assert fingerprint(["a", "b"]) == fingerprint(["a", "b"]) != fingerprint(["ab"])
    assert fingerprint(iter(["a"])) is None
