"""FSDD, the Free Spoken Digit Dataset: ten digits said 50 times each by six people, 3,000 short clips.

python data/fsdd/prepare.py [OUT] [--from FOLDER]
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from multimodal.data.download import all_or_nothing, download, run_script, unpack, write_manifest
from multimodal.errors import DataError

COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
URL = f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/{COMMIT}.tar.gz"
CONTENT = "dbd573d7cafe79c4b49f65718115e1304e24e067fa39eff18a660dc6cb9c360f"  # SHA-256 of what `content` lists
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEST = range(5)  # numbers of the clips that are the official test split
NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")  # digit, speaker, number


def prepare(out: Path, copy: Path | None = None) -> Path:
    """Write out/recordings, from the network or from the folder `copy`, and tables of them.

    out/manifest.jsonl has the official split, and so has out/chat.jsonl, where a question about each is answered
    by a word. In out/without_NAME.jsonl the clips of that speaker are the test split and all others are for training.
    """
    archive = out.parent / "fsdd.tar.gz"
    with all_or_nothing(out) as folder:
        if copy is not None:
            if not (copy / "recordings").is_dir():
                raise DataError(f"{copy} holds no folder recordings; give the folder in which FSDD has it.")
            (folder / "recordings").mkdir()
            for path in (copy / "recordings").glob("*.wav"):
                shutil.copyfile(path, folder / "recordings" / path.name)
        else:
            download(URL, archive, checksum=None)
            top = unpack(archive, folder / "unpacked") / f"free-spoken-digit-dataset-{COMMIT}"
            (top / "recordings").rename(folder / "recordings")
            shutil.rmtree(folder / "unpacked")
        if content(folder / "recordings") != CONTENT:
            archive.unlink(missing_ok=True)
            raise DataError(f"The recordings in {copy or URL} are damaged or not those expected; run this again.")
        write_tables(folder, sorted(path.name for path in (folder / "recordings").glob("*.wav")))
    archive.unlink(missing_ok=True)
    return out


def write_tables(folder: Path, names: Sequence[str]) -> None:
    """The official split, for each speaker the split without, and the questions."""
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
    with (folder / "chat.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(question(row))}\n" for row in rows)


def question(row: Mapping[str, Any]) -> dict[str, Any]:
    """A recording as a conversation: which digit is it, in a word."""
    messages = [
        {"role": "user", "content": "<audio>\nWhich digit is spoken?"},
        {"role": "assistant", "content": WORDS[int(row["label"])]},
    ]
    return {"messages": messages, "audios": [row["file"]], "split": row["split"], "speaker": row["speaker"]}


def content(folder: Path) -> str:
    """SHA-256 of the lines "NAME SHA-256" of all WAV files, by name: GitHub may pack the same files another way."""
    lines = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in sorted(folder.glob("*.wav"))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "audio", argv, copies="a copy of it")


if __name__ == "__main__":
    sys.exit(main())
