"""An index follows its folders: new, changed, moved and deleted files, each looked at once; nothing is lost."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from colour_embedder import ColourEmbedder, folder_of, picture
from PIL import Image

from multimodal.errors import ArgumentError, DataError
from multimodal.search import ImageIndex


@pytest.fixture
def model():
    return ColourEmbedder()


@pytest.fixture
def photos(tmp_path):
    return folder_of(tmp_path / "photos")


@pytest.fixture
def index(tmp_path, model, photos):
    index = ImageIndex(tmp_path / "index", model)
    index.sync(photos, progress=False)
    return index


def contents(index):
    """Hash and vector of every path, whatever the order of rows."""
    snapshot = index._session.snapshot()
    rows = snapshot.rows(range(len(snapshot)))
    return {str(row.path): (row.hash, snapshot.vector(place)) for place, row in enumerate(rows)}


def assert_same(index, other):
    ours, theirs = contents(index), contents(other)
    assert {path: content for path, (content, _) in ours.items()} == {path: it for path, (it, _) in theirs.items()}
    for path, (_, vector) in ours.items():
        np.testing.assert_allclose(vector, theirs[path][1], atol=1e-5)


def counts(report):
    return report.new, report.changed, report.moved, report.removed, report.unchanged, len(report.skipped)


def same_as_fresh(index, model, *folders):
    fresh = ImageIndex(index.path.with_name("fresh"), model)
    fresh.sync(*folders, progress=False)
    assert_same(index, fresh)
    shutil.rmtree(fresh.path)


def test_the_first_sync_embeds_everything_and_the_second_nothing(index, model, photos):
    assert len(index) == 12 and model.images == 12
    report = index.sync(progress=False)
    assert counts(report) == (0, 0, 0, 0, 12, 0)
    assert report.embedded == 0 and model.images == 12
    assert "12 unchanged" in str(report)


def test_vectors_are_those_of_the_model(index, model, photos):
    for path, (_, vector) in contents(index).items():
        expected = model.embed_pixels(model.transform.read(path)[None])[0]
        np.testing.assert_allclose(vector, expected, atol=1e-4)


def test_a_new_file_alone_is_embedded(index, model, photos):
    picture("purple").save(photos / "purple.png")
    report = index.sync(progress=False)
    assert counts(report) == (1, 0, 0, 0, 12, 0) and model.images == 13
    same_as_fresh(index, model, photos)


def test_a_changed_file_keeps_its_id_and_gets_a_new_vector(index, model, photos):
    before = index.rows("name = 'red-0.png'")[0]
    picture("purple").save(photos / "red-0.png")
    assert counts(index.sync(progress=False)) == (0, 1, 0, 0, 11, 0)
    after = index.rows("name = 'red-0.png'")[0]
    assert after.id == before.id and after.hash != before.hash
    assert [hit.path.name for hit in index.search("purple")] == ["red-0.png"]
    same_as_fresh(index, model, photos)


def test_a_moved_file_keeps_its_row_and_its_vector(index, model, photos):
    before = index.rows("name = 'red-0.png'")[0]
    (photos / "trip").mkdir()
    (photos / "red-0.png").rename(photos / "trip" / "sunset.png")
    assert counts(index.sync(progress=False)) == (0, 0, 1, 0, 11, 0)
    after = index.row(before.id)
    assert after.path == photos / "trip" / "sunset.png" and after.folder.endswith("trip")
    assert model.images == 12
    same_as_fresh(index, model, photos)


def test_a_deleted_file_leaves_the_index(index, photos):
    (photos / "red-0.png").unlink()
    assert counts(index.sync(progress=False)) == (0, 0, 0, 1, 11, 0)
    assert index.count("name = 'red-0.png'") == 0


def test_thumbnails_go_with_the_last_picture_that_needs_them(index, photos):
    def kept():
        table = index._session.store.newest("thumbnails")
        return sorted(table.search().select(["hash"]).to_arrow()["hash"].to_pylist())

    shutil.copy(photos / "red-0.png", photos / "copy.png")
    index.sync(photos, progress=False)
    assert kept() == sorted({row.hash for row in index.rows(limit=None)})
    (photos / "red-0.png").unlink()
    picture("purple").save(photos / "red-1.png")
    index.sync(progress=False)
    assert kept() == sorted({row.hash for row in index.rows(limit=None)})
    (photos / "broken.jpg").write_bytes(b"no picture")
    index.sync(progress=False)
    index.forget(photos)
    assert kept() == [] and index._session.store.newest("skipped").count_rows() == 0


def test_a_file_that_was_only_touched_is_not_embedded(index, model, photos):
    os.utime(photos / "red-0.png", ns=(1, 1))
    assert counts(index.sync(progress=False)) == (0, 0, 0, 0, 12, 0)
    assert model.images == 12
    (photos / "red-0.png").read_bytes()
    report = index.sync(progress=False)  # the new time was noted
    assert report.unchanged == 12


def test_copies_share_one_pass_through_the_model(index, model, photos):
    shutil.copy(photos / "red-0.png", photos / "known-copy.png")
    picture("purple").save(photos / "a.png")
    shutil.copy(photos / "a.png", photos / "b.png")
    report = index.sync(progress=False)
    assert counts(report) == (3, 0, 0, 0, 12, 0)
    assert report.embedded == 1 and model.images == 13
    same_as_fresh(index, model, photos)


def test_two_files_that_changed_places(index, model, photos):
    a, b = photos / "red-0.png", photos / "blue-0.png"
    a.rename(photos / "c.png"), b.rename(a), (photos / "c.png").rename(b)
    os.utime(a, ns=(5, 5)), os.utime(b, ns=(6, 6))
    assert counts(index.sync(progress=False)) == (0, 2, 0, 0, 10, 0)
    assert model.images == 12
    same_as_fresh(index, model, photos)


def test_a_new_picture_under_the_name_of_one_that_was_moved(index, model, photos):
    """As a camera does that counts from the beginning again."""
    (photos / "red-0.png").rename(photos / "kept.png")
    picture("purple").save(photos / "red-0.png")
    assert counts(index.sync(progress=False)) == (1, 1, 0, 0, 11, 0)
    assert model.images == 13
    same_as_fresh(index, model, photos)


def test_a_file_moved_between_folders_of_two_syncs(tmp_path, index, model, photos):
    other = folder_of(tmp_path / "other", ["purple"])
    (photos / "red-0.png").rename(other / "red-0.png")
    assert counts(index.sync(other, progress=False)) == (3, 0, 1, 0, 0, 0)
    assert counts(index.sync(progress=False)) == (0, 0, 0, 0, 15, 0)
    assert set(index.folders) == {photos, other}
    same_as_fresh(index, model, photos, other)


def test_one_folder_may_lie_in_the_other(index, photos, model):
    folder_of(photos / "inner", ["purple"])
    index.sync(photos / "inner", progress=False)
    assert counts(index.sync(progress=False)) == (0, 0, 0, 0, 15, 0)
    assert index.forget(photos) == 12
    assert len(index) == 3 and index.folders == (photos / "inner",)
    index.sync(photos, progress=False)
    assert index.forget(photos / "inner") == 0  # it is below the other one
    assert counts(index.sync(progress=False)) == (0, 0, 0, 0, 15, 0)


def test_a_missing_folder_removes_nothing(tmp_path, index, photos):
    other = folder_of(tmp_path / "disk", ["purple"])
    index.sync(other, progress=False)
    shutil.move(other, tmp_path / "away")
    (photos / "red-0.png").unlink()
    with pytest.raises(DataError, match="not mounted; nothing was changed"):
        index.sync(progress=False)
    assert len(index) == 15
    other.mkdir()  # where a disk was mounted an empty folder stays
    with pytest.raises(DataError, match=r"the index has 3 of it: is its disk mounted\? Nothing was changed"):
        index.sync(progress=False)
    assert len(index) == 15
    assert index.forget(other) == 3
    assert counts(index.sync(progress=False)) == (0, 0, 0, 1, 11, 0)


def test_forgetting_a_folder_that_was_never_synced(index, tmp_path):
    with pytest.raises(ArgumentError, match="not one of the folders that were synced"):
        index.forget(tmp_path)


def test_junk_and_other_files_are_passed_over(index, photos):
    for name in (".DS_Store", "._red-0.png", ".hidden.jpg", "Thumbs.db", "notes.txt", "film.mp4"):
        (photos / name).write_bytes(b"junk")
    (photos / "__MACOSX").mkdir()
    (photos / "__MACOSX" / "x.png").write_bytes(b"junk")
    assert counts(index.sync(progress=False)) == (0, 0, 0, 0, 12, 0)


def test_unreadable_files_are_named_once_read_and_remembered(index, photos, model, monkeypatch):
    (photos / "empty.png").write_bytes(b"")
    (photos / "text.jpg").write_text("not a picture")
    half = (photos / "red-0.png").read_bytes()
    (photos / "half.png").write_bytes(half[: len(half) // 2])
    (photos / "nowhere.png").symlink_to(photos / "gone.png")
    report = index.sync(progress=False)
    assert counts(report) == (0, 0, 0, 0, 12, 4)
    reasons = {Path(skip.path).name: skip.reason for skip in report.skipped}
    assert "is empty" in reasons["empty.png"] and "text file" in reasons["text.jpg"]
    assert "half.png cannot be decoded" in reasons["half.png"] and "link" in reasons["nowhere.png"]
    assert "empty.png" in str(report)

    import multimodal.search.reading as reading

    read = []
    original = reading.read_file
    monkeypatch.setattr(reading, "read_file", lambda path: read.append(path) or original(path))
    again = index.sync(progress=False)
    assert sorted(again.skipped) == sorted(report.skipped) and read == []
    picture("purple").save(photos / "empty.png")  # mended
    (photos / "text.jpg").unlink()
    third = index.sync(progress=False)
    assert counts(third) == (1, 0, 0, 0, 12, 2) and len(read) == 1
    assert len(index.sync(progress=False, retry=True).skipped) == 2 and len(read) == 3
    assert counts(index.sync(progress=False)) == (0, 0, 0, 0, 13, 2) and len(read) == 3


def test_a_picture_that_became_unreadable_leaves_the_index(index, photos):
    (photos / "red-0.png").write_bytes(b"damaged")
    assert counts(index.sync(progress=False)) == (0, 0, 0, 1, 11, 1)
    assert counts(index.sync(progress=False)) == (0, 0, 0, 0, 11, 1)


def test_huge_files_are_skipped(index, photos, monkeypatch):
    monkeypatch.setattr("multimodal.search.reading.MAX_BYTES", 100)
    picture("purple").save(photos / "large.png")
    report = index.sync(progress=False)
    assert "large.png has 0.0 GB; files above" in report.skipped[0].reason
    monkeypatch.setattr("multimodal.media.opening.MAX_PIXELS", 1_000_000)
    monkeypatch.setattr("multimodal.search.reading.MAX_BYTES", 1 << 30)
    Image.new("1", (2_000, 2_000)).save(photos / "bomb.png")
    assert any("2000 x 2000 pixels" in skip.reason for skip in index.sync(progress=False).skipped)


def test_unusual_names(index, photos, model):
    names = ['it\'s "quoted".png', "two\nlines.png", "日本.png", "100% _x.png", "semi;colon--.png", b"caf\xe9.png"]
    for i, name in enumerate(names):
        picture("purple", i).save(photos / os.fsdecode(name), "PNG")
    assert counts(index.sync(progress=False)) == (6, 0, 0, 0, 12, 0)
    assert counts(index.sync(progress=False)) == (0, 0, 0, 0, 18, 0)
    found = index.search("purple")
    assert len(found) == 6 and all(hit.path.exists() for hit in found)
    assert {os.fsencode(hit.path.name) for hit in found} == {n if isinstance(n, bytes) else n.encode() for n in names}
    assert all(index.thumbnail(hit.row) and index.thumbnail(hit.path) for hit in found)
    assert index.search("purple", where="name = 'it''s \"quoted\".png'")[0].path.name == names[0]
    found.save(photos.parent / "sheet.html"), found.save(photos.parent / "sheet.png"), str(found)
    [hit.plain() for hit in found]
    (photos / os.fsdecode(b"caf\xe9.png")).unlink()
    assert counts(index.sync(progress=False)) == (0, 0, 0, 1, 17, 0)


def test_a_file_deleted_while_syncing_is_skipped_with_a_reason(tmp_path, photos):
    class Deleting(ColourEmbedder):
        def embed_pixels(self, pixels):
            (photos / "yellow-2.png").unlink(missing_ok=True)
            return super().embed_pixels(pixels)

    report = ImageIndex(tmp_path / "index", Deleting()).sync(photos, batch_size=2, progress=False)
    assert counts(report) == (11, 0, 0, 0, 0, 1)
    assert "yellow-2.png does not exist" in report.skipped[0].reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_may_not_be_listed_keeps_its_pictures(index, photos):
    folder_of(photos / "private", ["purple"])
    index.sync(progress=False)
    (photos / "private").chmod(0)
    try:
        report = index.sync(progress=False)
    finally:
        (photos / "private").chmod(0o700)
    assert counts(report) == (0, 0, 0, 0, 12, 1) and len(index) == 15


def test_links_to_folders_are_followed_once(index, photos, tmp_path):
    folder_of(tmp_path / "elsewhere", ["purple"])
    (photos / "link").symlink_to(tmp_path / "elsewhere")
    (photos / "loop").symlink_to(photos)
    assert counts(index.sync(progress=False)) == (3, 0, 0, 0, 12, 0)


def test_the_index_may_lie_among_the_pictures(photos, model):
    index = ImageIndex(photos / "index", model)
    assert index.sync(photos, progress=False).new == 12
    assert counts(index.sync(progress=False)) == (0, 0, 0, 0, 12, 0)


@pytest.mark.parametrize("kind", ["empty", "none", "file", "missing"])
def test_folders_without_pictures(tmp_path, model, kind):
    folder = tmp_path / "folder"
    if kind == "file":
        folder.write_text("x")
    elif kind != "missing":
        folder.mkdir()
    if kind == "none":
        (folder / "notes.txt").write_text("x")
    index = ImageIndex(tmp_path / "index", model)
    with pytest.raises((DataError, ArgumentError), match=r"no pictures in|is a file; sync takes|There is no folder"):
        index.sync(folder, progress=False)
    with pytest.raises(DataError, match="holds no pictures yet"):
        index.search("red")
    assert len(index) == 0


def test_no_folder_at_all(tmp_path, model):
    with pytest.raises(ArgumentError, match="give one, as in"):
        ImageIndex(tmp_path / "index", model).sync()


def test_two_syncs_exclude_each_other_and_searching_goes_on(tmp_path, photos):
    started, go_on = threading.Event(), threading.Event()

    class Waiting(ColourEmbedder):
        def embed_pixels(self, pixels):
            if self.images == 4:
                started.set()
                assert go_on.wait(20)
            return super().embed_pixels(pixels)

    index = ImageIndex(tmp_path / "index", Waiting())
    thread = threading.Thread(target=lambda: index.sync(photos, batch_size=2, progress=False))
    thread.start()
    assert started.wait(20)
    other = ImageIndex(tmp_path / "index", ColourEmbedder())
    with pytest.raises(DataError, match=r"written to by another sync \(process \d+"):
        other.sync(photos, progress=False)
    assert len(other) == 4  # what was committed so far
    assert len(other.search("blue", all=True)) == 4
    go_on.set()
    thread.join()
    assert len(other.search("blue", all=True)) == 12
    assert counts(other.sync(progress=False)) == (0, 0, 0, 0, 12, 0)


def test_a_long_sync_shows_rate_and_time_left(index, photos, monkeypatch, capfd):
    import multimodal.progress as progress

    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    folder_of(photos / "more", ["purple"], each=8)
    index.sync(batch_size=2)
    out, err = capfd.readouterr()
    assert out == "" and "Indexing" in err and "/8" in err and "/s" in err


def test_many_small_commits_are_joined(tmp_path, model, monkeypatch):
    monkeypatch.setattr("multimodal.search.table._COMMITS", 4)
    photos = folder_of(tmp_path / "photos", each=8)
    index = ImageIndex(tmp_path / "index", model)
    index.sync(photos, batch_size=1, progress=False)
    assert len(index) == 32
    assert index._session.snapshot().table.stats()["fragment_stats"]["num_fragments"] == 1
    same_as_fresh(index, model, photos)


def test_equal_files_that_cannot_be_read_are_each_named(index, photos):
    for name in ("one.jpg", "two.jpg", "three.jpg", "four.jpg"):
        (photos / name).write_text("not a picture")
    named = {Path(skip.path).name for skip in index.sync(progress=False).skipped}
    assert named == {"one.jpg", "two.jpg", "three.jpg", "four.jpg"}
