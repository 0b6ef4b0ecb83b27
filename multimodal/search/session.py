"""An index that is open: its manifest as it stands on the disk, its model once needed, and the newest snapshot."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from multimodal.errors import ArgumentError, DataError
from multimodal.search.embedder import Embedder, LazyModel, ModelInfo, check_same
from multimodal.search.manifest import Manifest, read_manifest, signature, write_manifest
from multimodal.search.snapshot import Snapshot
from multimodal.search.table import Store

Answer = TypeVar("Answer")


class Session:
    """What the methods of `ImageIndex` share; may be used from several threads."""

    def __init__(self, path: str | Path, model: Any, *, device: Any, dtype: Any, memory: int) -> None:
        self.path = Path(os.path.realpath(path))
        self.memory = memory
        self.placing = {"device": device, "dtype": dtype}
        self.store = Store(self.path)
        self._lock = threading.RLock()
        self._signature = signature(self.path)
        self._manifest = read_manifest(self.path)
        self._snapshot: Snapshot | None = None
        if self._manifest is None and model is None:
            raise ArgumentError(
                f"There is no index at {path}; to make one, say which model: ImageIndex({str(path)!r}, "
                "model='open_clip:ViT-B-32/openai')."
            )
        stored = self._manifest.model if self._manifest else None
        self._given = model is not None
        self._lazy = LazyModel(model, stored, **self.placing)
        self._checked: ModelInfo | None = None  # what the model was found to agree with
        if stored is not None and model is not None and (self._lazy.loaded or self._lazy.source != stored.source):
            self.model()

    @property
    def manifest(self) -> Manifest | None:
        """What the index is now; None before it was made."""
        with self._lock:
            now = signature(self.path)
            if now != self._signature:
                self._manifest, self._signature = read_manifest(self.path), now
            return self._manifest

    def made(self) -> Manifest:
        """The manifest of an index that has been made.

        Raises:
            DataError: it has not.
        """
        manifest = self.manifest
        if manifest is None or not self.store.has(manifest.table):
            raise DataError(
                f"{self.path} holds no pictures yet: call index.sync('photos') with a folder of them first."
            )
        return manifest

    def model(self) -> Embedder:
        """The model, loaded by the first call and compared with what the index was made with.

        Raises:
            ArgumentError: another model, or nobody has said which.
            DataError: it cannot be loaded.
        """
        with self._lock:
            manifest = self.manifest
            stored = manifest.model if manifest else None
            if stored is not None and self._checked not in (None, stored) and not self._given:
                self._lazy = LazyModel(None, stored, **self.placing)  # a migration of another process changed it
            found = self._lazy.get()
            if stored is not None and self._checked != stored:
                check_same(str(self.path), stored, self._lazy.info())
                self._checked = stored
            return found

    def model_source(self) -> str | None:
        """What `mm.load` takes for the model, also elsewhere; None: it is an object of this process."""
        with self._lock:
            return self._lazy.source

    def change_model(self, lazy: LazyModel) -> None:
        """From now on the index has vectors of another model."""
        with self._lock:
            self._lazy, self._checked = lazy, None

    def prepare(self, roots: tuple[str, ...]) -> Manifest:
        """Make the index if there is none, and remember `roots`; while it is locked for writing.

        The manifest goes first: a process killed before the tables are there leaves an index without pictures.
        """
        manifest = self.manifest
        if manifest is None or manifest.model.fingerprint is None:
            self.model()
            info = self._lazy.info()
            manifest = replace(manifest, model=info) if manifest else Manifest(table="images-1", model=info)
        changed = replace(manifest, folders=tuple(dict.fromkeys((*manifest.folders, *roots))))
        if changed != self.manifest:
            write_manifest(self.path, changed)
        self.store.create(changed.table, changed.model.width)
        return changed

    def look(self, work: Callable[[Snapshot], Answer]) -> Answer:
        """`work` on the newest version; once more, if that version was replaced while it worked."""
        snapshot = self.snapshot()
        try:
            return work(snapshot)
        except DataError:
            self.forget_snapshot()
            newest = self.snapshot()
            if (newest.name, newest.version) == (snapshot.name, snapshot.version):
                raise
        return work(self.snapshot())

    def snapshot(self) -> Snapshot:
        """The index with everything that was committed so far.

        Raises:
            DataError: nothing was synced yet, or it is damaged.
        """
        with self._lock:
            for last in (False, True):
                manifest = self.made()
                try:
                    version = self.store.newest(manifest.table).version
                    held = self._snapshot
                    if held is None or (held.name, held.version) != (manifest.table, version):
                        held = Snapshot(self.store, manifest.table, manifest.model.width, self.memory)
                        self._snapshot = held
                    return held
                except DataError:
                    if last or self.manifest == manifest:  # else a migration has put another table in force
                        raise
            raise AssertionError

    def forget_snapshot(self) -> None:
        """Let go of memory and open files."""
        with self._lock:
            self._snapshot = None
            self.store = Store(self.path)
