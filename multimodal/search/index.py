"""`ImageIndex`: a folder of pictures, searched by words and by pictures.

    index = ImageIndex("photos.index", model="open_clip:ViT-B-32/openai")
    print(index.sync("photos"))
    index.search("a dog on a beach", where="year >= 2024")

This class is the front door; the work is done in the files that are named after its methods.

Axes: n pictures · d width of a vector
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from multimodal.errors import ArgumentError
from multimodal.search.duplicates import duplicates
from multimodal.search.engines import chosen
from multimodal.search.exchange import export, import_vectors
from multimodal.search.forgetting import forget
from multimodal.search.locks import writing
from multimodal.search.looking import Looker
from multimodal.search.migrate import MigrationReport, migrate
from multimodal.search.query import query_of
from multimodal.search.ray_engine import RayConfig
from multimodal.search.report import SyncReport
from multimodal.search.results import Results
from multimodal.search.rows import Row
from multimodal.search.scan import resolved
from multimodal.search.session import Session
from multimodal.search.snapshot import place_of_id
from multimodal.search.stats import Stats, stats
from multimodal.search.sync import sync
from multimodal.search.thumbnails import thumbnail_of, thumbnails_of

MEMORY = 2 << 30  # bytes of vectors that are searched exactly, in memory: a million of 512 numbers


class ImageIndex:
    """Pictures of some folders, found by words or by pictures.

    Several processes and threads may search while one syncs; each search sees what was committed when it began.
    """

    def __init__(
        self,
        path: str | Path,
        model: Any = None,
        *,
        device: Any = "auto",
        dtype: Any = "auto",
        memory: int = MEMORY,
    ) -> None:
        """Open the index in the folder `path`, or say where a new one is to be.

        Args:
            path: folder of the index itself, not of the pictures; the first `sync` makes it.
            model: what turns pictures and texts into vectors: a `DualEncoder`, or what `mm.load` takes. Needed for a
                new index; an old one knows its model, and loads it when a search or a sync needs it.
            device: as `mm.load` takes it.
            dtype: as `mm.load` takes it.
            memory: bytes of vectors up to which a search compares all of them, in memory. Above, LanceDB's
                approximate index is asked.

        Raises:
            ArgumentError: no index there and no model given; another model; `path` is something else.
            DataError: the index is damaged, or was written by a newer version.
        """
        self._session = Session(path, model, device=device, dtype=dtype, memory=memory)
        self._looker = Looker(self._session.model)

    def __enter__(self) -> ImageIndex:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ImageIndex({str(self.path)!r})"

    def __len__(self) -> int:
        return self._session.look(len) if self._session.manifest else 0

    def close(self) -> None:
        """Let go of memory and open files; the next use opens them again."""
        self._session.forget_snapshot()

    @property
    def path(self) -> Path:
        """The folder of the index."""
        return self._session.path

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of pictures that were synced."""
        manifest = self._session.manifest
        return tuple(map(Path, manifest.folders)) if manifest else ()

    @property
    def model(self) -> Any:
        """The model, which the first use loads."""
        return self._session.model()

    def sync(
        self,
        *folders: str | Path,
        batch_size: int = 32,
        progress: bool = True,
        retry: bool = False,
        engine: Literal["local", "ray"] | RayConfig = "local",
    ) -> SyncReport:
        """Bring the index up to date with what is below `folders`; without any, with those synced before.

        Only what is new or was written to is read. A killed sync goes on where it was.

        Args:
            folders: of pictures; each is remembered.
            batch_size: pictures that go through the model, and are committed, at a time.
            progress: show a bar on stderr when it takes longer than a moment.
            retry: read files again that could not be read, though they are as they were.
            engine: what reads and embeds: "local" is this process, "ray" all cores, and a `RayConfig` also a cluster.

        Raises:
            ArgumentError: no folder, a file, `batch_size` below 1, another model, or an engine that is not installed.
            DataError: a folder is missing, empty or cannot be listed, or another process writes to the index;
                nothing is removed then.
        """
        if batch_size < 1:
            raise ArgumentError(f"batch_size is {batch_size}; it must be at least 1.")
        roots = resolved(folders or self.folders)
        if not roots:
            raise ArgumentError("No folder of pictures is known yet: give one, as in index.sync('photos').")
        with writing(self.path, "sync"), chosen(engine, self._session) as work:
            return sync(self._session, roots, batch_size=batch_size, progress=progress, retry=retry, engine=work)

    def forget(self, folder: str | Path) -> int:
        """Remove the pictures of a synced folder that is gone for good; how many they were.

        Raises:
            ArgumentError: it was never synced.
            DataError: another process writes to the index.
        """
        with writing(self.path, "forget"):
            return forget(self._session, folder)

    def search(
        self, query: Any, k: int = 20, *, where: str | None = None, minus: Any = None, all: bool = False
    ) -> Results:
        """The pictures that are most like `query`, best first; none where nothing is like it.

        Args:
            query: a text; a Path, PIL image or array; or a mixture: `"red bike" + Query.image(path) - "car"`.
            k: how many at most.
            where: a condition in SQL over the columns in `rows.py`: "year >= 2024 AND camera = 'X100'".
            minus: what the picture should not be like, in the same forms.
            all: also the nearest ones that are not relevant.

        Raises:
            ArgumentError: an empty query, a wrong `where`, `k` below 1, or words for a model that reads none.
            DataError: nothing was synced yet, or the index is damaged.
            MediaError: the picture cannot be read.
        """
        whole = query_of(query)
        return self.search_many([whole if minus is None else whole - minus], k, where=where, all=all)[0]

    def search_many(
        self, queries: Iterable[Any], k: int = 20, *, where: str | None = None, all: bool = False
    ) -> list[Results]:
        """`search` for each of several queries; all of them share one reading of the vectors."""
        if k < 1:
            raise ArgumentError(f"k is {k}; it must be at least 1.")
        if isinstance(queries, str):
            raise ArgumentError(
                f"queries is {queries[:40]!r}; give a list of queries, or call search for a single one."
            )
        asked = [query_of(query) for query in queries]
        return self._session.look(
            lambda snapshot: self._looker.search(snapshot, asked, k, where=where, all=all, thumbnails=self.thumbnails)
        )

    def rows(self, where: str | None = None, *, offset: int = 0, limit: int | None = 100) -> list[Row]:
        """Pictures without a query, newest first, for browsing; `where` as in `search`.

        Raises:
            ArgumentError: a wrong `where`, or a negative `offset` or `limit`.
        """
        if offset < 0 or (limit is not None and limit < 0):
            raise ArgumentError(f"offset is {offset} and limit is {limit}; neither may be negative.")
        return self._session.look(lambda snapshot: snapshot.browse(where, offset, limit))

    def count(self, where: str | None = None) -> int:
        """How many pictures `where` is true of."""
        return self._session.look(lambda snapshot: snapshot.count(where))

    def row(self, id: str) -> Row:
        """The picture of an id.

        Raises:
            ArgumentError: there is none.
        """
        return self._session.look(lambda snapshot: snapshot.row(place_of_id(snapshot, id)))

    def image_path(self, id: str) -> Path:
        """Where the file of a row is; raises as `row`."""
        return self.row(id).path

    def thumbnail(self, picture: Row | str | Path) -> bytes:
        """A JPEG, its longer side at most 256 px, of a row, of an id, or of the path of a picture in the index.

        Raises:
            ArgumentError: it is not in the index.
            DataError: it has no thumbnail, and its file cannot be read.
        """
        row = picture if isinstance(picture, Row) else self._session.look(lambda snapshot: snapshot.find(picture))
        return thumbnail_of(self._session.store, row)

    def thumbnails(self, rows: Sequence[Row]) -> list[bytes]:
        """Thumbnails of several rows; empty where there is none and the file cannot be read."""
        return thumbnails_of(self._session.store, rows)

    def duplicates(self, kind: str = "exact") -> list[tuple[Path, ...]]:
        """Groups of files that are the same picture: "exact" by their bytes, "near" by sight; see `duplicates.py`."""
        return self._session.look(lambda snapshot: duplicates(self._session.store, snapshot, kind))

    def stats(self) -> Stats:
        """Numbers about the index; `print` shows them."""
        return self._session.look(lambda snapshot: stats(self._session.made(), self.path, snapshot))

    def export(self, path: str | Path) -> Path:
        """Write path, hash, vector and all else that is known of every picture to a Parquet file; the path."""
        return self._session.look(lambda snapshot: export(snapshot, Path(path)))

    @classmethod
    def from_embeddings(
        cls, path: str | Path, vectors: Any, paths: Sequence[str | Path], metadata: Any = None, model: Any = None
    ) -> ImageIndex:
        """A new index of vectors (n, d) that were computed elsewhere; see `exchange.py`."""
        lazy = import_vectors(Path(path), vectors, paths, metadata, model)
        return cls(path, lazy)

    def migrate(self, model: Any, *, batch_size: int = 32, progress: bool = True) -> MigrationReport:
        """Embed all pictures anew with another model, while searches go on with the old one; see `migrate.py`."""
        with writing(self.path, "migrate"):
            return migrate(self._session, model, batch_size=batch_size, progress=progress)
