"""Vectors out as Parquet and in from elsewhere, equal to what they were."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from colour_embedder import ColourEmbedder, folder_of

from multimodal.errors import ArgumentError, DataError
from multimodal.search import COLUMNS, ImageIndex, Query


@pytest.fixture
def index(tmp_path):
    index = ImageIndex(tmp_path / "index", ColourEmbedder())
    index.sync(folder_of(tmp_path / "photos"), progress=False)
    return index


def test_an_export_has_everything(index, tmp_path):
    path = index.export(tmp_path / "deep" / "embeddings.parquet")
    table = pq.read_table(path)
    assert table.num_rows == 12 and set(table.column_names) == {*COLUMNS, "vector"}
    for row in table.to_pylist():
        known = index.row(row["id"])
        assert (row["path"], row["hash"], row["width"]) == (str(known.path), known.hash, 64)
        assert index.search(known.path, k=1)[0].score == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(np.linalg.norm(row["vector"]), 1, atol=1e-5)
    assert [it.name for it in path.parent.iterdir()] == ["embeddings.parquet"]


def test_an_export_that_cannot_be_written(index, tmp_path):
    with pytest.raises(ArgumentError, match=r"ends in \.parquet"):
        index.export(tmp_path / "embeddings.csv")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be written"):
        index.export(tmp_path / "file" / "x.parquet")


def test_an_export_comes_back_as_an_index(index, tmp_path):
    table = pq.read_table(index.export(tmp_path / "e.parquet"))
    vectors, paths = np.array(table["vector"].to_pylist()), table["path"].to_pylist()
    again = ImageIndex.from_embeddings(tmp_path / "again", vectors, paths, model=ColourEmbedder())
    assert [hit.path for hit in again.search("red")] == [hit.path for hit in index.search("red")]
    model = ColourEmbedder()
    report = ImageIndex(tmp_path / "again", model).sync(tmp_path / "photos", progress=False)
    assert (report.unchanged, report.new, model.images) == (12, 0, 0)  # the files are those of the vectors
    assert all(again.thumbnail(row) for row in again.rows())


def test_vectors_without_files_and_without_a_model(tmp_path):
    taken = [datetime(2024, 1, 2), None, datetime(2023, 5, 6)]
    metadata = pa.table({"taken": pa.array(taken, pa.timestamp("us")), "camera": ["X", None, "Y"]})
    vectors = torch.tensor([[3.0, 0, 0], [0, 0.1, 0], [0, 0, 7]])
    index = ImageIndex.from_embeddings(tmp_path / "index", vectors, ["s3://a.jpg", "b.jpg", "c.jpg"], metadata)
    row = index.rows("year = 2024")[0]
    assert (str(row.path), row.camera, row.bytes, row.hash) == ("s3:/a.jpg", "X", 0, "")
    with pytest.raises(ArgumentError, match="does not know where its model"):
        index.search("red")
    found = index.search(Query.id(row.id), all=True)
    assert [hit.score for hit in found] == pytest.approx([1, 0, 0]) and found[0].id == row.id
    assert index.thumbnails(index.rows()) == [b"", b"", b""]
    with pytest.raises(DataError, match="no thumbnail"):
        index.thumbnail(row)
    assert index.duplicates() == index.duplicates("near") == []
    with pytest.raises(ArgumentError, match="vectors of 3 numbers"):
        ImageIndex(tmp_path / "index", ColourEmbedder())


def test_a_data_frame_of_metadata(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"camera": ["a", "b"], "latitude": [1.5, 2.5]})
    index = ImageIndex.from_embeddings(tmp_path / "index", np.eye(2), ["a", "b"], frame)
    assert index.count("camera = 'b' AND latitude > 2") == 1


def test_what_is_not_known_may_be_nan_and_nat(tmp_path):
    metadata = {
        "taken": np.array(["2024-05-06T07:08:09", "NaT"], "datetime64[s]"),
        "width": [640.0, float("nan")],
        "latitude": np.array([np.nan, 1.5]),
    }
    vectors = torch.eye(2, dtype=torch.bfloat16, requires_grad=True)
    index = ImageIndex.from_embeddings(tmp_path / "index", vectors, ["a", "b"], metadata)
    a, b = sorted(index.rows(), key=lambda row: row.name)
    assert (a.taken, a.width, a.latitude) == (datetime(2024, 5, 6, 7, 8, 9), 640, None)
    assert (b.taken, b.width, b.latitude) == (None, None, 1.5)
    assert index.count("year = 2024 AND month = 5") == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"vectors": np.eye(3)}, "3 vectors were given with 2 paths"),
        ({"vectors": np.zeros((2, 4))}, "row without a direction, number 0"),
        ({"vectors": np.array([[1.0, 0], [np.nan, 1]])}, "number 1"),
        ({"vectors": np.ones(4)}, "shape 4"),
        ({"vectors": np.ones((0, 4)), "paths": []}, "shape 0 x 4"),
        ({"paths": ["a", "a"]}, "'a' twice"),
        ({"metadata": {"camra": ["x", "y"]}}, "Did you mean 'camera'"),
        ({"metadata": {"camera": ["x"]}}, "1 values of 'camera' for 2 pictures"),
        ({"metadata": {"taken": ["2024-01-01", "soon"]}}, "value of 'taken' that is no timestamp"),
        ({"metadata": {"camera": [5, 6]}}, "value of 'camera' that is no string"),
        ({"metadata": [{"camera": "x"}] * 2}, "metadata is a list"),
        ({"vectors": [[1.0, 2.0], [3.0]]}, "no matrix of n x d numbers"),
        ({"paths": "ab"}, "paths is 'ab'"),
        ({"paths": ["a", "b\0"]}, "cannot be the path"),
        ({"paths": ["a", ""]}, "cannot be the path"),
        ({"model": ColourEmbedder()}, "vectors has 2 numbers a row, and the model given makes 16"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path, change, says):
    arguments = {"vectors": np.eye(2), "paths": ["a", "b"], "metadata": None, "model": None, **change}
    with pytest.raises(ArgumentError, match=says):
        ImageIndex.from_embeddings(tmp_path / "index", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_index_that_is_there_is_not_replaced(index):
    with pytest.raises(ArgumentError, match="There is an index at"):
        ImageIndex.from_embeddings(index.path, np.eye(2), ["a", "b"])
