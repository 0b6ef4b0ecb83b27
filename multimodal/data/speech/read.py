"""A path to recorded speech: which of the layouts is it?

A table (tables.py), or a folder: Common Voice, LJSpeech, LibriSpeech, a folder with tables in it, a folder with a text
file beside each recording (layouts.py). No recording is opened, but for the headers that `with_seconds` reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from multimodal.data.images.samples import Skipped
from multimodal.data.pairs.read import tables_in
from multimodal.data.speech import layouts
from multimodal.data.speech.samples import Found, SpeechSample, SpeechSamples, assemble
from multimodal.data.speech.tables import FOLDERS, Columns, read_table
from multimodal.data.text.sources import existing, find_files
from multimodal.data.text.tables import TABLE_SUFFIXES
from multimodal.errors import DataError
from multimodal.media import AUDIO_SUFFIXES, MediaError, probe_audio
from multimodal.media.files import shown
from multimodal.progress import track

READERS = 8  # threads that read headers; they wait for the disk more than they work


def read_speech(
    source: str | Path,
    *,
    audio: str | None = None,
    text: str | None = None,
    split: str | None = None,
    speaker: str | None = None,
) -> SpeechSamples:
    """The recordings at `source` with their texts. What cannot be used is named in `skipped` and left out.

    Args:
        source: a CSV, TSV, JSONL or Parquet table, or a folder that holds one; LibriSpeech, LJSpeech or Common Voice
            as they are unpacked; a folder with a .txt beside each recording.
        audio: of tables, the column with the file; None: the one called file, audio, path, audio_filepath ...
        text: the column with what is said; None: the one called text, sentence, transcript ...
        split: the column with the split; None: the one called split, if there is one.
        speaker: the column with the speaker; None: the one called speaker, speaker_id or client_id, if there is one.

    Raises:
        ArgumentError: a column of a table that was asked for is not there.
        DataError: there is nothing, or nothing that can be used.
    """
    root, columns = existing(source), Columns(audio=audio, text=text, split=split, speaker=speaker)
    skipped: list[Skipped] = []
    if root.is_dir():
        found, hint = _folder(root, columns, skipped)
        return assemble(str(root), found, skipped, hint)
    suffix = root.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        found = list(read_table(root, columns, skipped))
        missing = any(one.reason == "file not found" for one in skipped)
        beside = ", ".join(f"{name}/" for name in FOLDERS)
        return assemble(
            str(root), found, skipped, f"; files are looked for in {root.parent} and in {beside} there" * missing
        )
    what = "a single recording" if suffix in AUDIO_SUFFIXES else "no table"
    raise DataError(
        f"{root} is {what}; give a table ({', '.join(TABLE_SUFFIXES)}) of recordings and texts, or a folder."
    )


def read_recordings(path: str | Path) -> SpeechSamples:
    """As `read_speech`; where nothing has a text, the recordings alone, with "" as their texts.

    Raises:
        DataError: there are none.
    """
    root = existing(path)
    try:
        return read_speech(root)
    except DataError:
        skipped: list[Skipped] = []
        tables = [root] if not root.is_dir() else [table for table, _ in tables_in(root)]
        if any(table.suffix.lower() not in TABLE_SUFFIXES for table in tables):
            raise
        found = [one for table in tables for one in read_table(table, Columns(), skipped, needed=("audio",))]
        found = found or list(layouts.read_alone(root))
        if not found:
            raise
        return assemble(str(root), found, skipped)


def with_seconds(samples: SpeechSamples) -> SpeechSamples:
    """`samples` with the length of every clip, from the header where it is not known; unreadable ones are skipped.

    Raises:
        DataError: none can be read.
    """
    every = [(split, sample) for split, members in samples.splits.items() for sample in members]
    unknown = [sample for _, sample in every if sample.seconds is None]
    with ThreadPoolExecutor(READERS) as pool:
        looked = iter(list(track(pool.map(_probed, unknown), len(unknown), "Reading headers")) if unknown else [])
    found: list[Found] = []
    skipped = list(samples.skipped)
    for split, sample in every:
        known = sample if sample.seconds is not None else next(looked)
        if isinstance(known, Skipped):
            skipped.append(known)
        else:
            found.append(Found(split, known))
    return assemble(samples.root, found, skipped)


def _probed(sample: SpeechSample) -> SpeechSample | Skipped:
    try:
        seconds = probe_audio(sample.path).seconds
    except MediaError as error:
        return Skipped(shown(sample.path), str(error).rstrip("."))
    if not seconds:
        return Skipped(shown(sample.path), "it holds no samples")
    seconds = (seconds if sample.end is None else min(seconds, sample.end)) - sample.start
    if seconds <= 0:
        return Skipped(shown(sample.path), f"nothing is left after its start at {sample.start:g} s")
    return replace(sample, seconds=seconds)


def _folder(root: Path, columns: Columns, skipped: list[Skipped]) -> tuple[Sequence[Found], str]:
    """What is in a folder, and a clause for the message that it is nothing."""
    if tables := layouts.common_voice_tables(root):
        return list(layouts.read_common_voice(tables, columns, skipped)), ""
    if layouts.is_ljspeech(root):
        return list(layouts.read_ljspeech(root, skipped)), ""
    if transcripts := [file for file in find_files(root) if file.name.endswith(layouts.TRANSCRIPTS)]:
        return list(layouts.read_librispeech(root, transcripts, skipped)), ""
    found: list[Found] = []
    fault: DataError | None = None
    tables = list(tables_in(root))
    for table, default in tables:
        try:
            found += read_table(table, columns, skipped, default)
        except DataError as error:
            fault = fault or error
            skipped.append(Skipped(shown(table), str(error).rstrip(".")))
    if not found and not tables:
        found = list(layouts.read_text_files(root, skipped))
    if not found and fault is not None:
        raise fault
    return found, "" if tables or found else "; give a table of recordings and texts, or put a .txt beside each"
