"""Tables of images and captions: what is read of each kind, and what is named and left out."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from pair_files import pictures, plain, png, reasons, write
from pyarrow import parquet

from multimodal.data.pairs.read import read_pairs
from multimodal.errors import ArgumentError, DataError


@pytest.fixture
def folder(tmp_path):
    pictures(tmp_path, "a.png", "images/b.png", "c.png")
    return tmp_path


ROWS = [
    {"image": "a.png", "caption": "a dog"},
    {"image": "b.png", "caption": "a cat"},
    {"image": "a.png", "caption": " the same dog "},
    {"image": "./a.png", "caption": "a dog"},
]
READ = {"train": {"a.png": ("a dog", "the same dog"), "b.png": ("a cat",)}}


def lines(rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows)


@pytest.mark.parametrize("kind", ["csv", "semicolons.csv", "tsv", "jsonl", "parquet"])
def test_rows_of_one_image_are_its_captions_in_every_kind_of_table(folder, kind):
    table = folder / f"pairs.{kind}"
    if kind == "jsonl":
        table.write_text(lines(ROWS))
    elif kind == "parquet":
        parquet.write_table(pa.Table.from_pylist(ROWS), table)
    else:
        mark = {"csv": ",", "semicolons.csv": ";", "tsv": "\t"}[kind]
        table.write_text("".join(f"{mark.join(cells)}\n" for cells in [ROWS[0].keys(), *map(dict.values, ROWS)]))
    images = read_pairs(table)
    assert plain(images) == READ
    assert images.skipped == ()
    assert images.root == str(table)


def test_several_captions_in_one_row(folder):
    listed = [{"file": "a.png", "captions": ["one", " two", "one"]}, {"file": "c.png", "captions": ("three",)}]
    assert plain(read_pairs(write(folder / "x.jsonl", lines(listed))))["train"] == {
        "a.png": ("one", "two"),
        "c.png": ("three",),
    }
    # a cell of a CSV file cannot hold a list, but one in JSON
    cells = 'filename,caption\na.png,"[""one"", ""two""]"\nc.png,[sic]\n'
    assert plain(read_pairs(write(folder / "x.csv", cells)))["train"] == {"a.png": ("one", "two"), "c.png": ("[sic]",)}


def test_the_usual_names_of_columns_and_those_that_are_given(folder):
    both = write(folder / "x.csv", "filepath,title,text,name\na.png,T,X,N\n")
    assert plain(read_pairs(both))["train"]["a.png"] == ("X",)  # a text says more than a title
    assert plain(read_pairs(both, caption="title"))["train"]["a.png"] == ("T",)
    assert plain(read_pairs(both, image="filepath", caption="name"))["train"]["a.png"] == ("N",)
    with pytest.raises(ArgumentError, match=r"no column 'nam'.* Did you mean 'name'"):
        read_pairs(both, caption="nam")
    two = write(folder / "y.csv", "caption,captions,file\nA,B,a.png\n")
    with pytest.raises(DataError, match="'caption' and 'captions' could both be the captions"):
        read_pairs(two)


def test_splits_by_column_also_as_coco_names_them(folder):
    rows = [
        {"file": "a.png", "caption": "x", "split": "train2017"},
        {"file": "b.png", "caption": "y", "split": "VAL"},
        {"file": "c.png", "caption": "z", "split": None},
    ]
    assert plain(read_pairs(write(folder / "x.jsonl", lines(rows)))) == {
        "train": {"a.png": ("x",), "c.png": ("z",)},
        "val": {"b.png": ("y",)},
    }
    rows[1]["split"] = "trian"
    with pytest.raises(DataError, match=r"line 2: the split 'trian' is not one of .* Did you mean 'train'"):
        read_pairs(write(folder / "x.jsonl", lines(rows)))


def test_an_image_in_two_parts_is_not_trained_on(folder):
    table = write(folder / "x.csv", "file,caption,split\na.png,x,train\na.png,y,test\nb.png,z,train\na.png,w,val\n")
    images = read_pairs(table)
    assert plain(images) == {"train": {"b.png": ("z",)}, "test": {"a.png": ("y",)}}
    assert reasons(images.skipped) == [
        "also in the test part, so not used for train",
        "also in the test part, so not used for val",
    ]


def test_files_of_a_folder_are_its_splits(folder):
    pictures(folder / "images", "d.png")
    write(folder / "train.csv", "file,caption\na.png,x\n")
    write(folder / "val.csv", "file,caption\nb.png,y\n")
    write(folder / "README.md", "about")
    write(folder / "._train.csv", "junk")
    assert plain(read_pairs(folder)) == {"train": {"a.png": ("x",)}, "val": {"b.png": ("y",)}}


def test_tables_in_split_folders_as_hugging_face_has_them(tmp_path):
    for split in ("train", "validation"):
        pictures(tmp_path / split, f"{split}.png")
        write(tmp_path / split / "metadata.jsonl", lines([{"file_name": f"{split}.png", "text": split}]))
    assert plain(read_pairs(tmp_path)) == {
        "train": {"train.png": ("train",)},
        "val": {"validation.png": ("validation",)},
    }


def test_what_cannot_be_used_is_named_and_counted(folder):
    rows = [
        *(b'{"file": "a.png", "caption": "good"}', b'{"file": "a.png", "caption": ', b"[1]", b""),
        *(b'{"file": "gone.png", "caption": "x"}', b'{"file": "b.png", "caption": "  "}', b'{"file": null}'),
        *(b'{"file": "c.png", "caption": "caf\xe9"}', b'{"file": "b.png", "caption": 3}', b'{"picture": "b.png"}'),
        *(b'{"file": "b.png", "captions": ["", "good", null]}', b'{"file": "https://x.org/a.png", "caption": "x"}'),
        *(b'{"file": {"bytes": "..."}, "caption": "x"}', b'{"file": "images", "caption": "a folder"}'),
        b'{"file": "\\u0000", "caption": "x"}',
    ]
    table = write(folder / "x.jsonl", b"\n".join(rows))
    images = read_pairs(table)
    assert plain(images) == {"train": {"a.png": ("good",), "b.png": ("good",)}}
    assert [(one.path.replace(str(folder), "."), one.reason) for one in images.skipped] == [
        ("./x.jsonl, line 2", "not JSON"),
        ("./x.jsonl, line 3", "not a JSON object of columns"),
        ("./gone.png", "file not found"),
        ("./x.jsonl, line 6", "empty text"),
        ("./x.jsonl, line 7", "no image and caption among its columns file"),
        ("./x.jsonl, line 8", "not UTF-8 at character 3"),
        ("./x.jsonl, line 9", "int instead of text"),
        ("./x.jsonl, line 10", "no image and caption among its columns picture"),
        ("./x.jsonl, line 11, caption 1", "empty text"),
        ("./x.jsonl, line 11, caption 3", "no text"),
        ("./x.jsonl, line 12", "the image or recording is an address; download it first"),
        (
            "./x.jsonl, line 13",
            "image or recording: the image or recording itself instead of a file's name; save each as a file",
        ),
        ("./images", "file not found"),
        ("'./\\x00'", "file not found"),
    ]


def test_a_csv_file_with_a_byte_order_mark_and_semicolons_as_excel_writes_it(folder):
    table = write(folder / "x.csv", b'\xef\xbb\xbfImage;Caption;split\r\na.png;"a dog; wet";train\r\nb.png;b;val;x\r\n')
    images = read_pairs(table)
    assert plain(images) == {"train": {"a.png": ("a dog; wet",)}}
    assert reasons(images.skipped) == ["more cells than the header"]


def test_names_with_quotes_and_line_breaks(folder):
    names = ['it\'s "one".png', "two\nlines.png", "ünï—文.png", " blank.png", "per%20cent#?.png"]
    pictures(folder, *names)
    rows = [{"file": name, "caption": name} for name in [*names, "gone\n.png"]]
    images = read_pairs(write(folder / "x.jsonl", lines(rows)))
    assert list(plain(images)["train"]) == names
    assert images.skipped[0].path == ascii(str(folder / "gone\n.png"))  # on one line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("file,caption\n", "has no rows"),
        ("url,caption\nhttps://x.org/a.png,x\n", "no column for the image files.*its columns are url, caption"),
        ("file,label\na.png,x\n", "no column for the captions.*its columns are file, label"),
        (
            "file,caption\nx.png,x\ny.png,y\n",
            r"x\.png: file not found; files are looked for in .*Its columns are file, c",
        ),
        ("file,caption\na.png,\n", r"No row of .*line 2: empty text\. Its columns are file, caption\."),
    ],
)
def test_a_table_of_nothing_says_why_in_one_sentence(folder, text, message):
    table = write(folder / "x.csv", text)
    with pytest.raises(DataError, match=message) as caught:
        read_pairs(table)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=message):
        read_pairs(folder)


def test_a_damaged_parquet_file_is_one_sentence(folder):
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_pairs(write(folder / "x.parquet", b"PAR1 no more"))


def test_a_table_that_is_of_no_use_does_not_hide_the_text_files(folder):
    write(folder / "a.txt", "a dog")
    write(folder / "statistics.csv", "word,count\ndog,1\n")
    images = read_pairs(folder)
    assert plain(images) == {"train": {"a.png": ("a dog",)}}
    assert "no column for the image files" in images.skipped[1].reason


def test_what_is_not_there_or_of_another_kind(folder):
    with pytest.raises(DataError, match=r"no file or folder .* Did you mean 'a\.png'"):
        read_pairs(folder / "aa.png")
    with pytest.raises(DataError, match="neither a table"):
        read_pairs(folder / "a.png")
    with pytest.raises(DataError, match="compressed archive; unpack it"):
        read_pairs(write(folder / "x.zip", png(0)))
