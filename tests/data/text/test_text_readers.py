"""Labelled texts, tagged words and translations, from every layout to samples."""

from __future__ import annotations

import json

import pytest

from multimodal.data.text.readers import read_labeled_texts, read_tagged_words, read_translations
from multimodal.data.text.rows import LabeledText, TaggedWords, TextSet, Translation, hold_out
from multimodal.errors import ArgumentError, DataError


def reasons(data: TextSet) -> list[str]:
    return [one.reason for one in data.skipped]


def test_tables_named_for_their_splits(tmp_path):
    (tmp_path / "train.tsv").write_text('sentence\tlabel\na "good film\t1\nbad\t0\n\t1\nnone\t\n')
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\nfine\t1\n")
    (tmp_path / "test.tsv").write_text("sentence\tlabel\nhidden\t-1\n")
    (tmp_path / "README.md").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    data = read_labeled_texts(tmp_path)
    assert data.labels == ("0", "1")
    assert data.splits == {
        "train": (LabeledText('a "good film', None, 1), LabeledText("bad", None, 0)),
        "val": (LabeledText("fine", None, 1),),
    }
    assert reasons(data) == ["not a table", "no label", "empty text", "no label"]


def test_pairs_and_column_names(tmp_path):
    file = tmp_path / "nli.jsonl"
    rows = [{"premise": "a", "hypothesis": "b", "label": "yes"}, {"premise": "c", "hypothesis": "", "label": "no"}]
    file.write_text("\n".join(map(json.dumps, [*rows, {"premise": "d", "hypothesis": "e", "label": "no"}])))
    data = read_labeled_texts(file)
    assert data.splits["train"] == (LabeledText("a", "b", 1), LabeledText("d", "e", 0))
    assert reasons(data) == ["empty text"]
    swapped = read_labeled_texts(file, text="hypothesis", pair="premise")
    assert swapped.splits["train"][0] == LabeledText("b", "a", 1)
    with pytest.raises(ArgumentError, match=r"no column 'lable'.*Did you mean 'label'"):
        read_labeled_texts(file, label="lable")


def test_class_folders_and_class_files(tmp_path):
    for split in ("train", "test"):
        for name in ("pos", "neg"):
            folder = tmp_path / "deep" / split / name
            folder.mkdir(parents=True)
            (folder / "1.txt").write_text(f"{split} {name}\n")
    (tmp_path / "deep" / "train" / "list.txt").write_text("x")
    (tmp_path / "deep" / "README").write_text("x")
    data = read_labeled_texts(tmp_path / "deep")
    assert data.labels == ("neg", "pos")
    assert data.splits["test"] == (LabeledText("test neg\n", None, 0), LabeledText("test pos\n", None, 1))
    assert reasons(data) == ["not in a class folder"]
    for names in (("x-polarity.neg", "x-polarity.pos"), ("neg.txt", "pos.txt"), ("neg.a.1", "pos.a.1")):
        folder = tmp_path / names[0]
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(f"one {name}\n\ntwo\n".encode() + b"\xff\n")
        data = read_labeled_texts(folder)
        assert data.labels == ("neg", "pos")
        assert [sample.label for sample in data.splits["train"]] == [0, 0, 1, 1]
        assert data.splits["train"][1].text == "two"
        assert reasons(data) == ["not UTF-8 at character 0"] * 2


def test_datasets_objects_and_their_class_names():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    train = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    data = read_labeled_texts(datasets.DatasetDict({"train": train, "validation": train.select([0])}))
    assert data.labels == ("neg", "pos")
    assert data.splits == {
        "train": (LabeledText("a", None, 1), LabeledText("b", None, 0)),
        "val": (LabeledText("a", None, 1),),
    }
    tags = datasets.Sequence(datasets.ClassLabel(names=["O", "B-x"]))
    features = datasets.Features({"tokens": datasets.Sequence(datasets.Value("string")), "ner_tags": tags})
    rows = datasets.Dataset.from_dict({"tokens": [["a", "b"]], "ner_tags": [[0, 1]]}, features=features)
    data = read_tagged_words(rows)
    assert data.labels == ("B-x", "O")
    assert data.splits["train"] == (TaggedWords(("a", "b"), (1, 0)),)


def test_classes_that_do_not_fit():
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "yes"}]
    with pytest.raises(DataError, match=r"val part .* class 'yess' \(at row 0\).*lacks.*Did you mean 'yes'"):
        read_labeled_texts({"train": rows, "dev": [{"text": "c", "label": "yess"}]})
    with pytest.raises(DataError, match="one class, 'x'"):
        read_labeled_texts(rows[:1])
    with pytest.raises(DataError, match=r"split 'trian'.*Did you mean 'train'"):
        read_labeled_texts({"trian": rows})
    with pytest.raises(DataError, match=r"nothing to train on.*row 0: no label"):
        read_labeled_texts([{"text": "a", "label": None}])
    with pytest.raises(DataError, match="'text' and 'sentence' could both be the text"):
        read_labeled_texts([{"text": "a", "sentence": "b", "label": 1}])


def test_conll(tmp_path):
    (tmp_path / "x17train.conll").write_bytes(
        b"-DOCSTART- O\n\nEmpire\tB-loc\nState\tI-loc\n\t\nRick\tB-per\r\n\r\nlost\n\nbad\xff\tO\n\nlast\tO"
    )
    (tmp_path / "emerging.dev.conll").write_text("the DT O\nend NN O\n\n\n")
    (tmp_path / "LICENSE.txt").write_text("x")
    data = read_tagged_words(tmp_path)
    assert data.labels == ("B-loc", "B-per", "I-loc", "O")
    assert data.splits == {
        "train": (TaggedWords(("Empire", "State"), (0, 2)), TaggedWords(("Rick",), (1,)), TaggedWords(("last",), (3,))),
        "val": (TaggedWords(("the", "end"), (3, 3)),),
    }
    assert [(one.path.rpartition(", ")[2], one.reason) for one in data.skipped] == [
        ("line 8", "no tag in line 8"),
        ("line 10", "not UTF-8 at character 3"),
    ]


def test_tagged_rows():
    rows = [{"words": ["a"], "tags": ["O"]}, {"words": ["a"], "tags": ["O", "X"]}, {"words": "a", "tags": ["X"]}]
    data = read_tagged_words([*rows, {"words": ["b"], "tags": ["X"]}])
    assert data.splits["train"] == (TaggedWords(("a",), (0,)), TaggedWords(("b",), (1,)))
    assert reasons(data) == ["1 words and 2 tags", "words and tags are not lists"]


def test_translations(tmp_path):
    for name, text in {
        "train.en": "one\n\nthree\r\n",
        "train.de": "eins\nzwei\ndrei\n",
        "val.en": "x",
        "val.de": "y",
    }.items():
        (tmp_path / name).write_bytes(text.encode())
    data = read_translations(tmp_path, source_name="en", target_name="de")
    assert data.splits["train"] == (Translation("one", "eins"), Translation("three", "drei"))
    assert data.splits["val"] == (Translation("x", "y"),)
    assert reasons(data) == ["empty text"]
    assert read_translations({"train": (tmp_path / "val.de", tmp_path / "val.en")}).splits["train"][0].source == "y"
    (tmp_path / "train.de").write_text("eins\n")
    with pytest.raises(DataError, match="ends before line 2"):
        read_translations(tmp_path, source_name="en", target_name="de")
    (tmp_path / "train.de").unlink()
    with pytest.raises(DataError, match=r"no counterpart train\.de"):
        read_translations(tmp_path, source_name="en", target_name="de")


def test_translations_in_rows(tmp_path):
    expected = (Translation("one", "eins"),)
    assert read_translations([{"source": "one", "target": "eins"}]).splits["train"] == expected
    rows = [{"translation": {"en": "one", "de": "eins"}}]
    assert read_translations(rows, source_name="en", target_name="de").splits["train"] == expected
    (tmp_path / "train.csv").write_text("en,de\none,eins\n")
    assert read_translations(tmp_path, source_name="en", target_name="de").splits["train"] == expected
    with pytest.raises(ArgumentError, match="no column 'source'"):
        read_translations(tmp_path)


def test_holding_out_keeps_classes_and_equal_texts_together():
    samples = tuple(LabeledText(f"text {i % 80}", None, int(i % 80 >= 60)) for i in range(160))
    data = TextSet("x", ("a", "b"), {"train": samples}, ())
    split = hold_out(data, 0.25, seed=1)
    assert sorted(split.splits["train"] + split.splits["val"], key=str) == sorted(samples, key=str)
    assert not {one.text for one in split.splits["train"]} & {one.text for one in split.splits["val"]}
    assert [sum(one.label == label for one in split.splits["val"]) for label in (0, 1)] == [30, 10]
    assert hold_out(data, 0.25, seed=1) == split != hold_out(data, 0.25, seed=2)
    assert hold_out(split, 0.5, seed=0) is split
    with pytest.raises(ArgumentError, match="between 0 and 1"):
        hold_out(data, 1.0, seed=0)
    with pytest.raises(DataError, match="too few different"):
        hold_out(TextSet("x", ("a",), {"train": samples[:1]}, ()), 0.5, seed=0)
