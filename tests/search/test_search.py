"""Searches by words, by pictures and by mixtures; what results hold and how they show themselves."""

from __future__ import annotations

import html
import io
import json
import re
import warnings
from datetime import datetime

import numpy as np
import pytest
from colour_embedder import COLOURS, ColourEmbedder, folder_of, picture
from PIL import Image

from multimodal.errors import ArgumentError
from multimodal.media import MediaError
from multimodal.search import ImageIndex, Query, query


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = folder_of(tmp_path_factory.mktemp("search") / "photos", ("red", "green", "blue", "yellow"), each=8)
    for i, (a, b) in enumerate([("red", "blue"), ("red", "green"), ("yellow", "blue")]):
        both = Image.new("RGB", (64, 48))
        both.paste(picture(a, i), (0, 0)), both.paste(picture(b, i), (32, 0))
        both.save(folder / f"{a}-{b}.png")
    exif = Image.Exif()
    exif[0x0110], exif[0x0132] = "X100", "2024:05:06 07:08:09"
    picture("orange").save(folder / "orange.jpg", exif=exif, quality=95)
    return folder


@pytest.fixture(scope="module")
def model():
    return ColourEmbedder()


@pytest.fixture(scope="module")
def index(photos, model):
    index = ImageIndex(photos.parent / "index", model)
    index.sync(photos, progress=False)
    return index


def names(results):
    return [hit.path.name for hit in results]


@pytest.mark.parametrize("colour", ["red", "green", "blue", "yellow"])
def test_words_find_what_they_name(index, colour):
    found = index.search(f"a {colour} thing")
    assert sorted(names(found))[:8] == sorted(f"{colour}-{i}.png" for i in range(8))
    assert all(colour in name for name in names(found))
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert [hit.relevance for hit in found] == sorted((hit.relevance for hit in found), reverse=True)
    assert found.total == len(index) == 36


def test_what_is_not_there_is_not_found_but_the_nearest_is_told(index):
    found = index.search("something purple")
    assert len(found) == 0 and found.nearest is not None
    assert "Nothing like 'something purple' among 36 pictures; the nearest is" in str(found)
    everything = index.search("something purple", k=100, all=True)
    assert len(everything) == 36 and everything[0] == found.nearest
    assert everything[0].relevance < 0.5


def test_scores_are_cosines(index, model, photos):
    for hit in index.search("red", k=36, all=True):
        vector = model.embed_pixels(model.transform.read(hit.path)[None])[0]
        assert hit.score == pytest.approx(float(vector @ model.embed_texts(["red"])[0]), abs=2e-3)


def test_a_picture_finds_itself_first(index, model, photos):
    seen = model.images
    for source in (photos / "red-3.png", Query.image(str(photos / "red-3.png"))):
        found = index.search(source, k=3)
        assert found[0].path.name.startswith("red-") and found[0].relevance == 1
    assert model.images == seen  # its vector is known
    pixels = np.asarray(Image.open(photos / "orange.jpg"))
    for source in (
        Image.fromarray(pixels),
        pixels,
        (photos / "orange.jpg").read_bytes(),
        io.BytesIO((photos / "orange.jpg").read_bytes()),
    ):
        found = index.search(source)
        assert found[0].path.name == "orange.jpg" and found[0].relevance == 1 and found[0].score > 0.999
    assert names(index.search(Query.id(found[0].id))) == names(found)


def test_a_file_that_has_changed_since_is_looked_at_again(index, photos, tmp_path):
    path = tmp_path / "mine.png"
    picture("green", 99).save(path)
    assert names(index.search(path))[0].startswith("green")


def test_mixtures(index, photos):
    red = photos / "red-0.png"
    assert index.search("blue" + Query.image(red), k=1, all=True)[0].path.name == "red-blue.png"
    assert index.search(Query.image(red) + "blue", k=1, all=True)[0].path.name == "red-blue.png"
    assert index.search("red" + Query.text("blue") - "red", k=1)[0].path.name.startswith("blue-")
    minus = index.search("red", minus="blue", k=36, all=True)
    assert names(minus) == names(index.search(Query.text("red") - "blue", k=36, all=True))
    assert names(minus).index("red-green.png") < names(minus).index("red-blue.png")
    weighted = index.search(0.2 * Query.text("red") + 3 * Query.text("blue"), k=1)
    assert weighted[0].path.name.startswith("blue-")
    assert str(0.5 * Query.text("red") + Query.image(red) - "car") == f"0.5 * 'red' + {red} - 'car'"
    assert str(-Query.image(picture())) == "- a picture"


def test_what_is_no_query(index):
    for empty in ("", "  \n"):
        with pytest.raises(ArgumentError, match="query is empty"):
            index.search(empty)
    with pytest.raises(ArgumentError, match="query is empty"):
        index.search("red", minus="")
    with pytest.raises(ArgumentError, match="not int"):
        index.search(5)
    with pytest.raises(ArgumentError, match="a weight is a number"):
        Query.text("x") * "y"
    with pytest.raises(ArgumentError, match="cancels itself out"):
        index.search(Query.text("red") - "red")
    with pytest.raises(ArgumentError, match="k is 0"):
        index.search("red", k=0)
    with pytest.raises(ArgumentError, match="no picture of id 'nope'"):
        index.search(Query.id("nope"))
    with pytest.raises(MediaError, match="does not exist"):
        index.search(Query.image("nowhere.png"))


def test_ten_thousand_words_are_cut_with_one_warning(index):
    query._warn_once.cache_clear()
    with pytest.warns(UserWarning, match="was cut"):
        found = index.search("red " * 10_000)
    assert found[0].path.name.startswith("red") and len(found.summary) < 200
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.search("red " * 10_000)


def test_many_queries_at_once_give_what_each_gives_alone(index, photos):
    queries = [*COLOURS, photos / "red-0.png", Query.text("red") + "blue"]
    together = index.search_many(queries, k=5, all=True)
    for one, found in zip(queries, together, strict=True):
        alone = index.search(one, k=5, all=True)
        assert [(hit.id, hit.score) for hit in found] == [(hit.id, hit.score) for hit in alone]
        assert [hit.relevance for hit in found] == pytest.approx([hit.relevance for hit in alone], abs=1e-4)
    assert index.search_many([]) == []


def test_a_text_is_not_a_list_of_queries(index):
    with pytest.raises(ArgumentError, match="queries is 'red'; give a list"):
        index.search_many("red")


def test_a_condition_leaves_scores_and_relevance_as_they_are(index):
    whole = {hit.id: (hit.score, hit.relevance) for hit in index.search("red", k=36, all=True)}
    some = index.search("red", k=36, where="name LIKE '%-0.png' OR name LIKE 'red-g%'", all=True)
    assert len(some) == some.total == 5
    assert {hit.id: hit.score for hit in some} == {hit.id: whole[hit.id][0] for hit in some}
    for hit in some:
        assert hit.relevance == pytest.approx(whole[hit.id][1], abs=0.05)
    assert len(index.search("red", where="year = 1999")) == 0
    assert "no picture to compare" in str(index.search("red", where="year = 1999"))


def test_a_row_tells_what_is_known(index, photos):
    row = index.search("orange", where="camera = 'X100' AND year = 2024")[0].row
    assert (row.path, row.folder, row.name) == (photos / "orange.jpg", str(photos), "orange.jpg")
    assert (row.width, row.height, row.format, row.camera) == (64, 48, "JPEG", "X100")
    assert row.taken == datetime(2024, 5, 6, 7, 8, 9) and row.latitude is None
    assert row.bytes == row.path.stat().st_size
    assert index.row(row.id) == row and index.image_path(row.id) == row.path
    json.dumps(index.search("orange")[0].plain())
    with pytest.raises(ArgumentError, match="no picture of id"):
        index.image_path("../../etc/passwd")


def test_browsing_is_newest_first_in_pages(index, photos):
    whole = index.rows(limit=None)
    assert len(whole) == 36
    times = [row.taken or row.modified for row in whole]
    assert times == sorted(times, reverse=True)
    assert index.rows(offset=0, limit=10) + index.rows(offset=10, limit=26) == whole
    assert index.rows(offset=100) == [] and len(index.rows("name LIKE 'red%'")) == 10
    with pytest.raises(ArgumentError, match="negative"):
        index.rows(offset=-1)


def test_thumbnails_are_small_pictures(index, photos):
    row = index.search("red", k=1)[0].row
    for source in (row, row.id, row.path, str(row.path)):
        assert Image.open(io.BytesIO(index.thumbnail(source))).size == (64, 48)
    with pytest.raises(ArgumentError, match="neither the id nor the path"):
        index.thumbnail("/etc/passwd")


def test_results_are_a_sequence_that_prints_itself(index):
    found = index.search("red", k=30, all=True)
    assert len(found) == 30 and found[0] is next(iter(found)) and len(found[2:5]) == 3
    assert found[2:5].query == "'red'" and found[-1].score <= found[0].score
    assert "red-" in str(found) and "... and 10 more" in str(found)


def test_a_notebook_shows_a_grid_without_scripts(index, photos, tmp_path):
    picture("purple").save(photos / "<script>alert(1)<!-- & \"'.png")
    index.sync(progress=False)
    try:
        page = index.search("purple <b>")._repr_html_()
        assert "<script" not in page and "&lt;script&gt;" in page and "&lt;b&gt;" in page
        assert not re.search(r"\son\w+=|javascript:|https?:", page)
        sources = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
        assert len(sources) == 1 and html.unescape(page).count("alert(1)") >= 2
        saved = index.search("purple").save(tmp_path / "sheet.html").read_text()
        assert saved.startswith("<!doctype html>") and "<script" not in saved
    finally:
        (photos / "<script>alert(1)<!-- & \"'.png").unlink()
        index.sync(progress=False)


@pytest.mark.parametrize("name", ["sheet.png", "deep/sheet.jpg", "sheet.JPEG"])
def test_a_contact_sheet_as_a_picture(index, tmp_path, name):
    found = index.search("red", k=12, all=True)
    sheet = Image.open(found.save(tmp_path / name)).convert("RGB")
    assert sheet.width > 5 * 200 and sheet.height > 3 * 200
    pixels = np.asarray(sheet).reshape(-1, 3).astype(int)
    assert (np.abs(pixels - COLOURS["red"]).max(1) < 60).mean() > 0.02
    Image.open(index.search("purple").save(tmp_path / "empty.png"))
    with pytest.raises(ArgumentError, match=r"ends in \.html"):
        found.save(tmp_path / "sheet.pdf")


def test_a_model_without_a_text_tower(photos, tmp_path):
    class Wordless(ColourEmbedder):
        tokenizer = None

        def embed_texts(self, texts):
            raise AssertionError

    index = ImageIndex(tmp_path / "index", Wordless())
    index.sync(photos, progress=False)
    with pytest.raises(ArgumentError, match="no text tower"):
        index.search("red")
    assert names(index.search(photos / "red-0.png", k=8))[0].startswith("red")


def test_what_does_not_fit_into_memory_is_searched_approximately(photos, model, tmp_path):
    folder = folder_of(tmp_path / "photos", ("red", "green", "blue", "yellow", "orange", "white"), each=60)
    exact = ImageIndex(tmp_path / "exact", model)
    exact.sync(folder, progress=False)
    approximate = ImageIndex(tmp_path / "approximate", model, memory=1000)
    approximate.sync(folder, progress=False)
    assert approximate._session.snapshot().table.list_indices()
    assert not exact._session.snapshot().table.list_indices()
    places = np.random.default_rng(0).permutation(360).tolist()
    ours, theirs = (it._session.snapshot().vectors(places) for it in (approximate, exact))
    assert np.array_equal(ours, theirs)  # each in the place that was asked for
    for words in ("red", "blue and green", "orange"):
        ours, theirs = (it.search(words, k=20, all=True) for it in (approximate, exact))
        assert [hit.score for hit in ours] == pytest.approx([hit.score for hit in theirs], abs=1e-3)
        assert [hit.relevance for hit in ours] == pytest.approx([hit.relevance for hit in theirs], abs=0.05)
    assert len(approximate.search("purple")) == len(exact.search("purple")) == 0
    some = approximate.search("red", where="name LIKE '%-7.png'", all=True)
    assert len(some) == some.total == 6 and some[0].path.name == "red-7.png"
    picture("purple").save(folder / "purple.png")
    assert approximate.sync(progress=False).new == 1
    assert names(approximate.search("purple"))[0] == "purple.png"
    assert approximate.search(folder / "red-0.png")[0].relevance == 1


def test_a_search_in_another_process_sees_what_was_committed(photos, model, tmp_path):
    folder = folder_of(tmp_path / "photos", ("red", "blue"), each=3)
    writer, reader = ImageIndex(tmp_path / "index", model), ImageIndex(tmp_path / "index", model)
    writer.sync(folder, progress=False)
    assert len(reader.search("red")) == 3
    picture("red", 77).save(folder / "new.png")
    (folder / "red-0.png").unlink()
    writer.sync(progress=False)
    assert sorted(names(reader.search("red"))) == ["new.png", "red-1.png", "red-2.png"]
    with reader:
        pass
    assert len(reader.search("red")) == 3  # closed, and opened again by its use
