"""A folder of images with a text file beside each: `beach.jpg` and `beach.txt`, of which each line is a caption.

Where there are no images, the same of recordings. They may lie at any depth; folders called train, val and test are the
splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from multimodal.data.images.folders import split_folders
from multimodal.data.images.samples import IMAGES, SOUNDS, Skipped
from multimodal.data.images.shards import LARGEST_LABEL
from multimodal.data.pairs.samples import Found
from multimodal.data.pairs.shards import lines_of
from multimodal.errors import DataError
from multimodal.media import MediaError
from multimodal.media.files import shown


def read_text_files(root: Path, skipped: list[Skipped]) -> Iterator[Found]:
    """Every image, or recording, below `root` that has a text file.

    Raises:
        DataError: a folder cannot be listed, or two folders stand for one split.
    """
    try:
        files = IMAGES.find(root) or SOUNDS.find(root)
    except MediaError as error:
        raise DataError(str(error)) from None
    tops = [path.relative_to(root).parts[:-1][:1] for path in files]
    splits = split_folders(root, sorted({top[0] for top in tops if top}))
    for path, top in zip(files, tops, strict=True):
        split = splits.get(top[0] if top else "") if splits else "train"
        if split is None:
            skipped.append(Skipped(shown(path), "not in a training, validation or test folder"))
        elif captions := _captions(path.with_suffix(".txt"), skipped):
            yield Found(split, str(path), captions)


def _captions(file: Path, skipped: list[Skipped]) -> tuple[str, ...]:
    try:
        if not file.is_file():
            skipped.append(Skipped(shown(file), "no such file, so what it belongs to has no caption"))
            return ()
        if file.stat().st_size > LARGEST_LABEL:
            skipped.append(Skipped(shown(file), "too large to be captions"))
            return ()
        return lines_of(file.read_bytes(), shown(file), skipped)
    except OSError as error:
        skipped.append(Skipped(shown(file), f"cannot be read: {error.strerror}"))
        return ()
