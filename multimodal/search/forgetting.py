"""Taking a folder of pictures out of an index."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from multimodal.errors import ArgumentError
from multimodal.search.known import known_files, remember_skipped, skipped_files
from multimodal.search.manifest import write_manifest
from multimodal.search.rows import text_of
from multimodal.search.scan import below
from multimodal.search.session import Session
from multimodal.search.table import SKIPPED, THUMBNAILS, Store


def forget(session: Session, folder: str | Path) -> int:
    """Remove the pictures of a synced folder from the index, while it is locked; how many they were.

    Raises:
        ArgumentError: it was never synced.
    """
    root = os.path.realpath(folder)
    manifest = session.made()
    if root not in manifest.folders:
        known = ", ".join(map(text_of, manifest.folders)) or "none"
        raise ArgumentError(f"{folder} is not one of the folders that were synced: {known}.")
    store = Store(session.path)
    kept = tuple(other for other in manifest.folders if other != root)
    inside = tuple(map(below, kept))  # folders that are within others stay
    files = known_files(store, manifest.table)
    gone = [row.id for path, row in files.items() if path.startswith(below(root)) and not path.startswith(inside)]
    write_manifest(session.path, replace(manifest, folders=kept))
    store.delete(manifest.table, "id", gone)
    store.forget_thumbnails(manifest.table)
    noted = skipped_files(store)
    remember_skipped(store, [it for it in noted if it.startswith(below(root)) and not it.startswith(inside)], {})
    for name in (manifest.table, THUMBNAILS, SKIPPED):
        store.tidy(name)
    return len(gone)
