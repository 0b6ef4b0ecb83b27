"""FSDD, the Free Spoken Digit Dataset: ten digits said 50 times each by six people, 3,000 short clips.

python data/fsdd/prepare.py [OUT]
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multimodal.data.download import all_or_nothing, download, run_script, unpack, write_manifest
from multimodal.errors import DataError

COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
URL = f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/{COMMIT}.tar.gz"
CONTENT = "dbd573d7cafe79c4b49f65718115e1304e24e067fa39eff18a660dc6cb9c360f"  # SHA-256 of what `content` lists
TEST = range(5)  # numbers of the clips that are the official test split
NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")  # digit, speaker, number


def prepare(out: Path) -> Path:
    """Download into out/recordings, with out/manifest.jsonl (the official split), and a table for each speaker.

    In out/without_NAME.jsonl the clips of that speaker are the test split and all others are for training.
    """
    with all_or_nothing(out) as folder:
        archive = download(URL, out.parent / "fsdd.tar.gz", checksum=None)
        top = unpack(archive, folder / "unpacked") / f"free-spoken-digit-dataset-{COMMIT}"
        (top / "recordings").rename(folder / "recordings")
        shutil.rmtree(folder / "unpacked")
        if content(folder / "recordings") != CONTENT:
            archive.unlink()
            raise DataError(f"The recordings in {URL} are damaged or not those expected; run this again.")
        write_tables(folder, sorted(path.name for path in (folder / "recordings").glob("*.wav")))
    archive.unlink()
    return out


def write_tables(folder: Path, names: Sequence[str]) -> None:
    """The official split, and for each speaker the split without."""
    rows: list[dict[str, Any]] = []
    for name in names:
        found = NAME.fullmatch(name)
        if found is None:
            raise DataError(f"A recording of FSDD is called {name!r}, not DIGIT_SPEAKER_NUMBER.wav.")
        digit, speaker, number = found.groups()
        split = "test" if int(number) in TEST else "train"
        rows.append({"file": f"recordings/{name}", "label": digit, "speaker": speaker, "split": split})
    for speaker in sorted({row["speaker"] for row in rows}):
        held = [{**row, "split": "test" if row["speaker"] == speaker else "train"} for row in rows]
        write_manifest(folder, held).rename(folder / f"without_{speaker}.jsonl")
    write_manifest(folder, rows)


def content(folder: Path) -> str:
    """SHA-256 of the lines "NAME SHA-256" of all WAV files, by name: GitHub may pack the same files another way."""
    lines = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in sorted(folder.glob("*.wav"))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "audio", argv)


if __name__ == "__main__":
    sys.exit(main())
