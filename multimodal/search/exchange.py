"""Vectors out of an index, as Parquet, and into one that were computed elsewhere.

Axes: n pictures · d width of a vector
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from multimodal.errors import ArgumentError, DataError, nearest
from multimodal.media import MediaError
from multimodal.search.embedder import LazyModel, ModelInfo, absolute_source
from multimodal.search.manifest import Manifest, read_manifest, write_manifest
from multimodal.search.reading import content_hash, header, quietly_broken, read_file
from multimodal.search.rows import COLUMNS, place_of, text_of
from multimodal.search.snapshot import Snapshot
from multimodal.search.table import Store

METADATA = ("taken", "make", "camera", "latitude", "longitude", "width", "height", "format")  # what may come along
_AT_ONCE = 8_192  # rows


def export(snapshot: Snapshot, path: Path) -> Path:
    """Write every column of `COLUMNS` and the vectors to a Parquet file, which appears as a whole; its path.

    Raises:
        ArgumentError: another suffix than .parquet.
        DataError: it cannot be written.
    """
    if path.suffix.lower() != ".parquet":
        raise ArgumentError(f"path is {str(path)!r}; embeddings are exported to a file that ends in .parquet.")
    names = [*COLUMNS, "vector"]
    fields = pa.schema([snapshot.table.schema.field(name) for name in names])
    temporary = path.with_name(f".{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with pq.ParquetWriter(temporary, fields) as writer:
                for batch in snapshot.table.search().select(names).to_batches(_AT_ONCE):
                    writer.write_table(pa.Table.from_batches([batch]).select(names).cast(fields))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"The embeddings cannot be written to {path}: {error.strerror or error}.") from error
    return path


def import_vectors(path: Path, vectors: Any, paths: Sequence[str | Path], metadata: Any, model: Any) -> Any:
    """Make an index of vectors that were computed elsewhere; `model` as `ImageIndex` takes it.

    Args:
        path: folder of the new index.
        vectors: n rows of d numbers; they are made unit vectors.
        paths: of the pictures. Of files that are there hash, size and EXIF are read; other names stay as they are.
        metadata: columns of n values each (a mapping, a table, a data frame), named as in `METADATA`; they come before
            what the files say.
        model: what made the vectors, where it is at hand: needed to search by words or by new pictures, and to sync.

    Raises:
        ArgumentError: numbers that do not fit each other, an unknown column, the same path twice, a row that is no
            direction, or an index that is there already.
    """
    if read_manifest(path) is not None:
        raise ArgumentError(f"There is an index at {path} already; give the name of a new folder.")
    matrix = _units(vectors)
    if isinstance(paths, str):
        raise ArgumentError(f"paths is {paths[:40]!r}; give a list of paths, one for each row of vectors.")
    names = [_path(name) for name in paths]
    if len(names) != len(matrix):
        raise ArgumentError(f"{len(matrix):,} vectors were given with {len(names):,} paths; each needs the other.")
    twice = next((name for name, seen in zip(names, _seen_before(names), strict=True) if seen), None)
    if twice is not None:
        raise ArgumentError(f"paths has {text_of(twice)!r} twice; a file has one row in an index.")
    columns = _columns(metadata, len(names))
    info = _info(model, matrix.shape[1])

    target = Path(os.path.realpath(path))
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        store = Store(fresh)
        store.create("images-1", matrix.shape[1])
        with quietly_broken(), ThreadPoolExecutor() as pool:
            for start in range(0, len(names), _AT_ONCE):
                rows = list(pool.map(_row, names[start : start + _AT_ONCE]))
                for place, row in enumerate(rows, start):
                    row |= _derived({name: values[place] for name, values in columns.items()})
                store.add("images-1", rows, matrix[start : start + _AT_ONCE])
        write_manifest(fresh, Manifest(table="images-1", model=info))
        if target.exists():
            target.rmdir()  # empty, or `read_manifest` had refused it
        fresh.replace(target)
    except OSError as error:
        raise DataError(f"The index cannot be written to {path}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return model


def _units(vectors: Any) -> Float[np.ndarray, "n d"]:
    try:
        plain = vectors.detach().float().cpu() if hasattr(vectors, "detach") else vectors
        matrix = np.asarray(plain, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"vectors is no matrix of n x d numbers: {error}") from error
    if matrix.ndim != 2 or 0 in matrix.shape:
        shape = " x ".join(map(str, matrix.shape))
        raise ArgumentError(f"vectors has the shape {shape}; it must be n x d, a row for each picture.")
    lengths = np.linalg.norm(matrix.astype(np.float64), axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
    if len(bad):
        raise ArgumentError(f"vectors has a row without a direction, number {bad[0]}: it is zero or not finite.")
    return (matrix / lengths).astype(np.float32)


def _path(name: str | Path) -> str:
    if not isinstance(name, str | Path) or not str(name) or "\0" in str(name):
        raise ArgumentError(f"paths has {name!r}, which cannot be the path of a picture.")
    path = os.path.realpath(name)
    return path if os.path.isfile(path) else os.fspath(name)  # noqa: PTH113  a string may hold any bytes


def _seen_before(names: list[str]) -> Iterator[bool]:
    seen: set[str] = set()
    for name in names:
        yield name in seen
        seen.add(name)


def _columns(metadata: Any, n: int) -> dict[str, list[Any]]:
    if metadata is None:
        return {}
    if isinstance(metadata, pa.Table):
        metadata = metadata.to_pydict()
    elif hasattr(metadata, "to_dict") and not isinstance(metadata, Mapping):
        metadata = metadata.to_dict(orient="list")
    try:
        found = {str(name): list(values) for name, values in dict(metadata).items()}
    except (TypeError, ValueError) as error:
        kind = type(metadata).__name__
        raise ArgumentError(f"metadata is a {kind}; give columns by name, as in {{'camera': [...]}}.") from error
    for name, values in found.items():
        if name not in METADATA:
            known = ", ".join(METADATA)
            raise ArgumentError(f"metadata has a column {name!r}; it may have {known}.{nearest(name, METADATA)}")
        if len(values) != n:
            raise ArgumentError(f"metadata has {len(values):,} values of {name!r} for {n:,} pictures.")
        found[name] = _typed(name, values)
    return found


def _typed(name: str, values: list[Any]) -> list[Any]:
    """A column as the table takes it; NaN, NaT and the like are not known."""
    if values and isinstance(values[0], np.datetime64):
        values = np.array(values, "datetime64[us]").tolist()
    try:
        return pa.array(values, COLUMNS[name][0], from_pandas=True).to_pylist()
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        kind = COLUMNS[name][0]
        raise ArgumentError(f"metadata has a value of {name!r} that is no {kind}: {error}") from error


def _info(model: Any, width: int) -> ModelInfo:
    if model is None or isinstance(model, str | Path):
        source = absolute_source(model) if model is not None else None
        return ModelInfo(source=source, fingerprint=None, transform=None, width=width)
    info = LazyModel(model, None, device="auto", dtype="auto").info()
    if info.width != width:
        raise ArgumentError(f"vectors has {width} numbers a row, and the model given makes {info.width}.")
    return info


def _row(path: str) -> dict[str, Any]:
    """What is known of a file; of one that cannot be read its name alone."""
    row = {"id": secrets.token_hex(8), "hash": ""}
    try:
        status = Path(path).stat()
        data = read_file(path)
        return {
            **row,
            **place_of(path, status.st_size, status.st_mtime_ns),
            **_header(data),
            "hash": content_hash(data),
        }
    except (OSError, ValueError):  # `MediaError` is a ValueError, and so is a null character in a name
        return {**row, **place_of(path, 0, 0)}


def _header(data: bytes) -> dict[str, Any]:
    try:
        return header(data)
    except MediaError:
        return {}


def _derived(values: dict[str, Any]) -> dict[str, Any]:
    taken = values.get("taken")
    if taken is None:
        return {name: value for name, value in values.items() if value is not None}
    return {**values, "year": taken.year, "month": taken.month, "day": taken.day}
