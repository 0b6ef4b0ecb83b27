"""Folders of recordings in the layouts that are usual: LibriSpeech, LJSpeech, Common Voice, a .txt beside each.

    LibriSpeech    train-clean-100/103/1240/103-1240.trans.txt with lines "103-1240-0000 CHAPTER ONE"; recordings beside
    LJSpeech       metadata.csv with lines "LJ001-0001|as written|as read"; wavs/LJ001-0001.wav
    Common Voice   train.tsv, dev.tsv, test.tsv; clips/
    text files     hello.wav, hello.txt

Which of them a folder is, is found in read.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from multimodal.data.images.folders import split_folders
from multimodal.data.images.samples import Skipped
from multimodal.data.speech.samples import Found, SpeechSample
from multimodal.data.speech.tables import FOLDERS, Columns, read_table, readable
from multimodal.data.text.layouts import split_in
from multimodal.data.text.sources import read_texts
from multimodal.data.text.tables import flaw
from multimodal.errors import DataError
from multimodal.media import AUDIO_SUFFIXES, MediaError, find_audio
from multimodal.media.files import shown

TRANSCRIPTS = ".trans.txt"
METADATA = "metadata.csv"
COMMON_VOICE = ("train", "dev", "test")
VALIDATED = "validated.tsv"  # of Common Voice: what is right, in no split


def read_librispeech(root: Path, files: list[Path], skipped: list[Skipped]) -> Iterator[Found]:
    """The clips that the transcripts `files` below `root` list."""
    for file in files:
        relative = file.relative_to(root)
        split = next((found for part in relative.parts if (found := split_in(Path(part)))), "train")
        for _, line in _lines(file, skipped):
            name, _, text = line.partition(" ")
            path = _beside(file.parent, name)
            if path is None:
                skipped.append(Skipped(shown(file.parent / name), "file not found"))
            elif not text.strip():
                skipped.append(Skipped(shown(path), "empty text"))
            else:
                yield Found(split, SpeechSample(str(path), " ".join(text.split()), speaker=name.partition("-")[0]))


def is_ljspeech(root: Path) -> bool:
    """Whether `root` has a metadata.csv without a header, whose cells stand between bars."""
    try:
        with (root / METADATA).open(encoding="utf-8-sig", errors="replace") as file:
            first = file.readline().split("|")
    except OSError:
        return False
    return len(first) > 1 and any(_beside(root / folder, first[0].strip()) for folder in ("", *FOLDERS))


def read_ljspeech(root: Path, skipped: list[Skipped]) -> Iterator[Found]:
    """The clips of metadata.csv, with the text as it is read (numbers written out) where there is one."""
    for where, line in _lines(root / METADATA, skipped):
        name, *texts = (cell.strip() for cell in line.split("|"))
        text = next((text for text in reversed(texts[:2]) if text), None)
        path = next((found for folder in ("", *FOLDERS) if (found := _beside(root / folder, name))), None)
        if path is None:
            skipped.append(Skipped(shown(root / FOLDERS[2] / name), "file not found"))
        elif text is None:
            skipped.append(Skipped(where, "empty text"))
        else:
            yield Found("train", SpeechSample(str(path), " ".join(text.split())))


def common_voice_tables(root: Path) -> dict[str, Path]:
    """The table of each split where `root` is laid out as Common Voice; those that listeners refused are left."""
    if not (root / "clips").is_dir():
        return {}
    tables = {name: root / f"{name}.tsv" for name in COMMON_VOICE if (root / f"{name}.tsv").is_file()}
    return tables or ({"train": root / VALIDATED} if (root / VALIDATED).is_file() else {})


def read_common_voice(tables: dict[str, Path], columns: Columns, skipped: list[Skipped]) -> Iterator[Found]:
    """The clips of the split tables."""
    for name, table in tables.items():
        yield from read_table(table, columns, skipped, split_in(Path(name)))


def read_text_files(root: Path, skipped: list[Skipped]) -> Iterator[Found]:
    """Every recording below `root` that has a text file; folders called train, val and test are the splits.

    Raises:
        DataError: a folder cannot be listed, or two folders stand for one split.
    """
    for path, split in _recordings(root):
        text = path.with_suffix(".txt")
        if split is None:
            skipped.append(Skipped(shown(path), "not in a training, validation or test folder"))
        elif not text.is_file():
            skipped.append(Skipped(shown(text), "no such file, so its recording has no text"))
        else:
            for said in read_texts(text, skipped=skipped):
                yield Found(split, SpeechSample(str(path), readable(said) or ""))


def read_alone(root: Path) -> Iterator[Found]:
    """Every recording below `root`, without a text; outside of split folders, where there are some, for training."""
    for path, split in _recordings(root):
        yield Found(split or "train", SpeechSample(str(path), ""))


def _recordings(root: Path) -> Iterator[tuple[Path, str | None]]:
    """Every recording below `root` and its split; None beside split folders.

    Raises:
        DataError: a folder cannot be listed, or two folders stand for one split.
    """
    try:
        files = find_audio(root)
    except MediaError as error:
        raise DataError(str(error)) from None
    tops = [path.relative_to(root).parts[:-1][:1] for path in files]
    splits = split_folders(root, sorted({top[0] for top in tops if top}))
    for path, top in zip(files, tops, strict=True):
        yield path, splits.get(top[0] if top else "") if splits else "train"


def _lines(file: Path, skipped: list[Skipped]) -> Iterator[tuple[str, str]]:
    """Where each line that is not blank stands, and the line."""
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                where, reason = f"{shown(file)}, line {number}", flaw(line)
                if reason is None:
                    yield where, line.strip()
                elif line.strip():
                    skipped.append(Skipped(where, reason))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None


def _beside(folder: Path, name: str) -> Path | None:
    """The recording called `name` in `folder`, with its ending or without."""
    whole = folder / name
    if whole.suffix.lower() in AUDIO_SUFFIXES and whole.is_file():
        return whole
    found = (folder / f"{name}{suffix}" for suffix in _LIKELY if (folder / f"{name}{suffix}").is_file())
    return next(found, None)


_LIKELY = (".flac", ".wav", *sorted(AUDIO_SUFFIXES - {".flac", ".wav"}))
