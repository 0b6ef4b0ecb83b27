"""Another model for the same pictures: ids, metadata and thumbnails stay, vectors change all at once."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest
from colour_embedder import ColourEmbedder, folder_of, picture
from test_sync import assert_same

from multimodal.errors import ArgumentError, DataError
from multimodal.search import ImageIndex, Query


@pytest.fixture
def index(tmp_path):
    index = ImageIndex(tmp_path / "index", ColourEmbedder())
    index.sync(folder_of(tmp_path / "photos"), progress=False)
    return index


def other(**options):
    return ColourEmbedder(**{"seed": 1, "width": 24, **options})


def test_everything_but_the_vectors_stays(index, tmp_path):
    before = {row.id: row for row in index.rows()}
    thumbnails = {id: index.thumbnail(row) for id, row in before.items()}
    model = other()
    report = index.migrate(model, progress=False)
    assert (report.images, report.embedded, report.skipped) == (12, 12, ())
    assert "12 pictures now have vectors of a model object" in str(report)
    assert {row.id: row for row in index.rows()} == before
    assert {id: index.thumbnail(row) for id, row in before.items()} == thumbnails
    assert len(index.search("red")) == 3 and index.model is model
    fresh = ImageIndex(tmp_path / "fresh", model)
    fresh.sync(tmp_path / "photos", progress=False)
    assert_same(index, fresh)
    assert sorted(path.name for path in index.path.glob("*.lance")) == [
        "images-2.lance",
        "skipped.lance",
        "thumbnails.lance",
    ]
    assert index.sync(progress=False).unchanged == 12


def test_searches_go_on_meanwhile_and_other_writers_wait(index):
    reader = ImageIndex(index.path, ColourEmbedder())
    seen = []

    class Watching(ColourEmbedder):
        def embed_pixels(self, pixels):
            seen.append(len(reader.search("red")))
            with pytest.raises(DataError, match="another migrate"):
                reader.sync(progress=False)
            return super().embed_pixels(pixels)

    thread = threading.Thread(target=lambda: index.migrate(Watching(seed=1, width=24), batch_size=4, progress=False))
    thread.start()
    thread.join()
    assert seen == [3, 3, 3]
    with pytest.raises(ArgumentError, match=r"was made with .*index\.migrate"):
        reader.search("red")  # its model is the old one
    row = reader.rows("name = 'red-0.png'")[0]
    assert len(reader.search(Query.id(row.id))) == 3  # no model needed
    assert len(ImageIndex(index.path, other()).search("red")) == 3


def test_a_second_migration_and_one_back(index):
    index.migrate(other(), progress=False)
    shutil.copytree(index.path / "images-2.lance", index.path / "images-1.lance")  # killed before it tidied up
    index.migrate(ColourEmbedder(), progress=False)
    assert len(index.search("red")) == 3 and len(list(index.path.glob("images-*.lance"))) == 1


def test_to_the_same_model_nothing_is_embedded(index):
    model = ColourEmbedder()
    model.card = {"source": "open_clip:Colours"}
    report = index.migrate(model, progress=False)
    assert (report.images, report.embedded, model.images) == (12, 0, 0)
    assert "open_clip:Colours" in str(index.stats())


def test_files_that_changed_or_went_since_the_last_sync_are_named(index, tmp_path):
    (tmp_path / "photos" / "red-0.png").unlink()
    picture("purple").save(tmp_path / "photos" / "blue-0.png")
    report = index.migrate(other(), progress=False)
    assert report.images == 10
    reasons = {skip.path.rpartition("/")[2]: skip.reason for skip in report.skipped}
    assert "does not exist" in reasons["red-0.png"] and "written to since the last sync" in reasons["blue-0.png"]
    after = index.sync(progress=False)
    assert (after.new, after.unchanged, len(index.search("purple"))) == (1, 10, 1)


def test_a_missing_folder_changes_nothing(index, tmp_path):
    (tmp_path / "photos").rename(tmp_path / "away")
    with pytest.raises(DataError, match="nothing was changed"):
        index.migrate(other(), progress=False)
    assert len(index.search("red")) == 3


def test_vectors_without_files_cannot_be_embedded_anew(tmp_path):
    index = ImageIndex.from_embeddings(tmp_path / "index", np.eye(16)[:2], ["a.jpg", "b.jpg"])
    with pytest.raises(DataError, match=r"None of the pictures .* stays as it was"):
        index.migrate(other(), progress=False)
    assert len(index) == 2
