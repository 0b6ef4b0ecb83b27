"""Made-up sets: always the same, and read by the readers without a complaint."""

import pytest

from multimodal.data.text.made import write_questions, write_reviews, write_stories, write_tagged, write_translations
from multimodal.data.text.questions import read_questions
from multimodal.data.text.readers import read_labeled_texts, read_tagged_words, read_translations
from multimodal.data.text.sources import read_texts


@pytest.mark.parametrize("write", [write_stories, write_reviews, write_tagged, write_questions, write_translations])
def test_the_same_bytes_every_time(write, tmp_path):
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    assert [path.name for path in sorted(one.iterdir())] == [path.name for path in sorted(two.iterdir())]
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes() and path.stat().st_size > 1000


def test_stories(tmp_path):
    texts = list(read_texts(write_stories(tmp_path) / "train.txt", unit="line"))
    assert len(texts) == 2500 and all(text.endswith(".") for text in texts)


@pytest.mark.parametrize(
    ("write", "read", "labels", "train"),
    [
        (write_reviews, read_labeled_texts, ("bad", "good"), 1200),
        (write_tagged, read_tagged_words, ("B-LOC", "B-PER", "I-LOC", "I-PER", "O"), 800),
        (write_questions, read_questions, (), 1600),
    ],
)
def test_labelled_sets(write, read, labels, train, tmp_path):
    data = read(write(tmp_path))
    assert sorted(data.labels) == sorted(labels) and data.skipped == ()
    assert len(data.splits["train"]) == train and len(data.splits["val"]) in (150, 200)


def test_translations_match_line_by_line(tmp_path):
    data = read_translations(write_translations(tmp_path), source_name="en", target_name="fr")
    assert len(data.splits["train"]) == 2000
    nouns = {"dog": "chien", "cat": "chat", "house": "maison", "flower": "fleur"}
    for sample in data.splits["train"]:
        for english, french in nouns.items():
            assert sample.source.split().count(english) == sample.target.split().count(french)
