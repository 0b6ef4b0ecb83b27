"""Opening an index: a new one, an old one, one that is damaged, newer, of another model, or none at all."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from colour_embedder import ColourEmbedder, folder_of

from multimodal.errors import ArgumentError, DataError
from multimodal.search import ImageIndex
from multimodal.search.manifest import FORMAT


@pytest.fixture
def made(tmp_path):
    with ImageIndex(tmp_path / "index", ColourEmbedder()) as index:
        index.sync(folder_of(tmp_path / "photos"), progress=False)
    return tmp_path / "index"


def one_sentence(error):
    text = str(error.value)
    assert "\n" not in text and len(text) < 600
    return text


def test_a_new_index_needs_a_model(tmp_path):
    with pytest.raises(ArgumentError, match=r"There is no index at .*say which model"):
        ImageIndex(tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_what_is_no_model(tmp_path):
    with pytest.raises(ArgumentError, match="needs a DualEncoder"):
        ImageIndex(tmp_path / "index", object())


def test_an_old_index_is_searched_by_pictures_without_its_model(made, tmp_path):
    index = ImageIndex(made)
    found = index.search(tmp_path / "photos" / "red-0.png")
    assert len(found) == 3 and found[0].relevance == 1
    with pytest.raises(ArgumentError, match="does not know where its model can be loaded from"):
        index.search("red")
    assert index.sync(progress=False).unchanged == 12  # nothing is to be embedded
    assert len(ImageIndex(made, ColourEmbedder()).search("red")) == 3


def test_the_source_of_a_model_is_remembered_and_loaded_when_needed(tmp_path, monkeypatch):
    loaded = []

    def load(source, *, device, dtype):
        loaded.append((source, device, dtype))
        return ColourEmbedder(seed=7 if "other" in source else 0)

    monkeypatch.setattr("multimodal.hub.loading.load", load)
    index = ImageIndex(tmp_path / "index", "open_clip:Colours/x", device="cpu")
    assert loaded == []
    index.sync(folder_of(tmp_path / "photos"), progress=False)
    assert loaded == [("open_clip:Colours/x", "cpu", "auto")]
    again = ImageIndex(tmp_path / "index")
    assert len(again) == 12 and len(again.search(tmp_path / "photos" / "red-0.png")) == 3 and len(loaded) == 1
    assert len(again.search("red")) == 3 and len(loaded) == 2
    assert "open_clip:Colours/x" in str(again.stats())
    ImageIndex(tmp_path / "index", "open_clip:Colours/x")
    assert len(loaded) == 2  # the same name: looked at when it is needed
    ImageIndex(tmp_path / "index", "open_clip:Elsewhere/x")  # the same weights under another name
    with pytest.raises(ArgumentError, match=r"made with open_clip:Colours/x .* is open_clip:other .*migrate"):
        ImageIndex(tmp_path / "index", "open_clip:other")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 1}, "other weights"),
        ({"width": 24}, "vectors of 16 numbers"),
        ({"size": 48}, "prepared in another way"),
    ],
)
def test_another_model_is_refused_by_a_sentence_that_names_both(made, changes, says):
    with pytest.raises(ArgumentError, match=says) as error:
        ImageIndex(made, ColourEmbedder(**changes))
    text = one_sentence(error)
    assert text.count("a model object (") == 2 and "index.migrate(model)" in text


def test_an_index_of_a_newer_version(made):
    plain = json.loads((made / "index.json").read_text())
    (made / "index.json").write_text(json.dumps({**plain, "format": FORMAT + 1, "something": "new"}))
    with pytest.raises(DataError, match=f"newer version .*format {FORMAT + 1}.* upgrade"):
        ImageIndex(made)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "x"}', '{"format": 1, "table": "t"}', "\x00\xff"])
def test_a_damaged_manifest(made, text):
    (made / "index.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"is damaged .*restore the folder from a copy, or delete it") as error:
        ImageIndex(made)
    one_sentence(error)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "1"},
        {"table": "../../other"},
        {"table": None},
        {"folders": "photos"},
        {"model": {"width": "512"}},
        {"model": {"width": 0}},
        {"model": {"source": ["x"]}},
    ],
)
def test_a_manifest_that_says_what_cannot_be(made, change):
    plain = json.loads((made / "index.json").read_text())
    change = {**change, "model": {**plain["model"], **change.get("model", {})}}
    (made / "index.json").write_text(json.dumps({**plain, **change}))
    with pytest.raises(DataError, match="is damaged") as error:
        ImageIndex(made)
    one_sentence(error)


@pytest.mark.parametrize("victim", ["index.json", "data", "_versions", "manifest"])
def test_damaged_tables(made, victim):
    if victim == "index.json":
        (made / "index.json").unlink()
    for path in (made / "images-1.lance").rglob("*"):
        if victim == "manifest" and path.suffix == ".manifest":
            path.write_bytes(path.read_bytes()[:50])
        elif victim in path.parts and path.is_file():
            path.unlink()
    with pytest.raises(DataError, match="is damaged") as error:
        ImageIndex(made).search("x", where="width > 3", all=True) if victim != "data" else ImageIndex(made).rows()
    one_sentence(error)
    assert ".rs:" not in str(error.value)


def test_places_that_are_no_index(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArgumentError, match="is a file"):
        ImageIndex(tmp_path / "file", ColourEmbedder())
    photos = folder_of(tmp_path / "photos")
    with pytest.raises(ArgumentError, match=r"not an index and not empty .*'blue-0\.png'.*Folders of pictures go to"):
        ImageIndex(photos, ColourEmbedder())


def test_before_the_first_sync(tmp_path):
    index = ImageIndex(tmp_path / "index", ColourEmbedder())
    assert len(index) == 0 and index.folders == ()
    for work in (lambda: index.search("red"), index.rows, index.stats, index.duplicates):
        with pytest.raises(DataError, match=r"holds no pictures yet: call index\.sync"):
            work()


def test_an_index_whose_pictures_are_all_gone(made, tmp_path):
    index = ImageIndex(made, ColourEmbedder())
    assert index.forget(tmp_path / "photos") == 12
    assert len(index) == 0 and len(index.search("red")) == 0 and index.rows() == [] and index.duplicates() == []
    assert "no picture to compare" in str(index.search("red"))
    assert index.stats().images == 0 and str(index.stats())
    assert index.search("x", where="year > 2000").total == 0


def test_stats(made, tmp_path):
    found = ImageIndex(made).stats()
    assert found.images == 12 and found.dim == 16 and found.formats == {"PNG": 12}
    assert found.bytes == sum(path.stat().st_size for path in (tmp_path / "photos").iterdir())
    assert found.disk == sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
    assert found.folders == (str(tmp_path / "photos"),) and found.oldest is None and found.placed == 0
    assert "12 pictures" in str(found) and "photos" in str(found)


def test_opening_loads_no_models():
    code = (
        "import sys, multimodal.search; "
        "heavy = ('multimodal.hub', 'timm', 'open_clip', 'transformers', 'ray'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
