from __future__ import annotations

import json
from pathlib import Path

import pytest
from photos import dot

from multimodal.data.images.manifest import read_manifest
from multimodal.errors import DataError


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("a/1.png", "a/2.png", "b/3.png", "grün ö.png"):
        dot(tmp_path / name)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_a_split(folder):
    text = "Image,Class,split\na/1.png,cat,train\na/2.png,dog,\nb/3.png,dog,validation\n"
    images = read_manifest(write(folder / "t.csv", text))
    assert images.labels == ("cat", "dog")
    assert [(sample.path, sample.labels) for sample in images.splits["train"]] == [
        (str(folder / "a/1.png"), (0,)),
        (str(folder / "a/2.png"), (1,)),
    ]
    assert [sample.labels for sample in images.splits["val"]] == [(1,)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "path;label\na/1.png;cat\ngrün ö.png;dog\n"),
        ("t.csv", '\ufeffpath,label\n"a/1.png","cat"\n"grün ö.png",dog\n\n'),
        ("t.tsv", "file\tcategory\na/1.png\tcat\ngrün ö.png\tdog\n"),
        ("t.jsonl", '{"filename": "a/1.png", "label": "cat"}\n\n{"filename": "grün ö.png", "label": ["dog"]}\n'),
    ],
)
def test_every_format_reads_alike(folder, name, text):
    images = read_manifest(write(folder / name, text))
    assert images.labels == ("cat", "dog")
    assert [Path(sample.path).name for sample in images.splits["train"]] == ["1.png", "grün ö.png"]
    assert not images.multi_label


def test_several_labels(folder):
    table = write(folder / "t.csv", "path,labels\na/1.png,cat|dog\na/2.png,\nb/3.png,bird\n")
    images = read_manifest(table)
    assert images.multi_label
    assert [sample.labels for sample in images.splits["train"]] == [(1, 2), (), (0,)]
    assert read_manifest(table, separator=None).labels == ("bird", "cat|dog")


def test_absolute_paths_and_paths_upwards(folder):
    table = write(folder / "b" / "t.csv", f"path,label\n{folder / 'a/1.png'},x\n../a/2.png,y\n")
    assert [sample.path for sample in read_manifest(table).splits["train"]] == [
        str(folder / "a/1.png"),
        str(folder / "a/2.png"),
    ]


def test_missing_files_are_counted(folder):
    images = read_manifest(write(folder / "t.csv", "path,label\na/1.png,x\na/2.png,y\na/9.png,y\n,x\n"))
    assert [(Path(s.path).name, s.reason) for s in images.skipped] == [
        ("9.png", "file not found"),
        ("t.csv, line 5", "no file name"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n", "lists no images"),
        ("path,label\nno.png,x\n", r"None of the 1 files .* exists, for example .*no\.png; paths are relative"),
        ("path,lable\na/1.png,x\n", r"no column for the class: .* the columns are path, lable\. Did you mean 'label'"),
        ("path,file,label\na/1.png,a/1.png,x\n", "'path' and 'file' could both give the image files"),
        ("path,label,split\na/1.png,x,trian\n", r"line 2: the split 'trian' .* Did you mean 'train'"),
        ("path,label\na/1.png,x,y\n", "line 2 has more cells than the header"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(folder, text, message):
    with pytest.raises(DataError, match=message):
        read_manifest(write(folder / "t.csv", text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is not a JSON object"),
        ('{"path": "a/1.png", "label": {}}', "line 2"),
    ],
)
def test_what_is_wrong_with_a_json_line_is_said(folder, line, message):
    first = json.dumps({"path": "a/1.png", "label": "x"})
    with pytest.raises(DataError, match=message):
        read_manifest(write(folder / "t.jsonl", f"{first}\n{line}\n"))


def test_a_table_in_another_encoding_is_named(folder):
    (folder / "t.csv").write_bytes("path,label\na/1.png,grün\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_manifest(folder / "t.csv")
