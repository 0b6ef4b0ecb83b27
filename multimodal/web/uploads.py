"""Pictures that were dropped on the page: kept in memory only, the newest ones, under the hash of their bytes.

A picture's name being its hash, an address that was shared finds it again when the same picture is in the index.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from contextlib import suppress
from typing import NamedTuple

from multimodal.errors import ArgumentError
from multimodal.media import MediaError, probe_image, read_reduced
from multimodal.search.index import ImageIndex
from multimodal.search.reading import SIDE, content_hash, read_file, shrunk, thumbnail

MAX_UPLOAD = 32 << 20  # bytes of one picture
_MAX_KEPT = 128 << 20  # bytes of all


class Upload(NamedTuple):
    """A picture that somebody searches with."""

    name: str
    width: int  # px, as shown
    height: int
    data: bytes  # of the file
    jpeg: bytes  # thumbnail


class Uploads:
    """The newest uploads; may be used from several threads."""

    def __init__(self, index: ImageIndex, most: int = _MAX_KEPT) -> None:
        self._index = index
        self._most = most
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, data: bytes) -> Upload:
        """Keep the picture of a file's bytes.

        Raises:
            MediaError: it is no picture that can be read, or has too many pixels.
        """
        try:
            info = probe_image(data)
            jpeg = thumbnail(shrunk(*read_reduced(data, min_side=SIDE // 2)))
        except MediaError as error:
            raise MediaError(re.sub(r"^The image of \d+ bytes", "The picture", str(error))) from error
        found = Upload(content_hash(data), info.width, info.height, data, jpeg)
        with self._lock:
            self._kept[found.name] = found
            self._kept.move_to_end(found.name)
            while len(self._kept) > 1 and sum(len(it.data) for it in self._kept.values()) > self._most:
                self._kept.popitem(last=False)
        return found

    def get(self, name: str) -> Upload:
        """The upload of a name.

        Raises:
            ArgumentError: it is not kept any more, and no picture of the index is the same.
        """
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        if re.fullmatch("[0-9a-f]{32}", name):
            for row in self._index.rows(f"hash = '{name}'"):
                with suppress(MediaError):  # gone or replaced since the last sync
                    data = read_file(str(row.path))
                    if content_hash(data) == name:
                        return Upload(name, row.width or 0, row.height or 0, data, self._index.thumbnail(row))
        raise ArgumentError("The picture that was searched with is not here any more; drop it on the page again.")
