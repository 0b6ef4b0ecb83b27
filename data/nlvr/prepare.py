"""NLVR: sentences about pictures of three boxes with shapes in them, each true or false; the development set.

python data/nlvr/prepare.py [OUT] [--from FOLDER]
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from multimodal.data.download import all_or_nothing, download, run_script
from multimodal.errors import DataError
from multimodal.progress import track

SOURCE = "https://raw.githubusercontent.com/lil-lab/nlvr/18924841aa96d519cfb8584f0945350f07a6d860/nlvr/dev"
CHAT = "chat.jsonl"
SIZE = (400, 100)  # px, width and height of every picture
VAL, TEST = 0.1, 0.25  # shares of the sentences, about
CONNECTIONS = 8  # at once: a thousand pictures of 3 kB are mostly waiting


def prepare(out: Path, copy: Path | None = None) -> Path:
    """Write out/images and out/chat.jsonl, from the network or from the folder `copy`.

    Of the six pictures of an example, which differ in the order of the boxes alone, the first is taken. No sentence is
    in two splits: otherwise one that is mostly true in training would be half answered without looking.
    """
    with all_or_nothing(out) as folder:
        cache = out.parent / "nlvr-dev"
        root, rows = (copy, rows_of(copy)) if copy is not None else (cache, fetch(cache))
        (folder / "images").mkdir()
        for row in track(rows, len(rows), "Copying pictures"):
            picture = root / row["file"]
            try:
                check(picture)
            except DataError:
                (cache / row["file"]).unlink(missing_ok=True)  # so that the next run fetches it again
                raise
            shutil.copyfile(picture, folder / "images" / picture.name)
        with (folder / CHAT).open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(line, ensure_ascii=False)}\n" for line in questions(rows))
    if copy is None:
        table_of(cache).unlink()
        shutil.rmtree(cache)
    return out


def questions(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each of `rows` as a conversation of one question and its answer, "true" or "false"."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"<image>\nTrue or false? {row['sentence']}"},
                {"role": "assistant", "content": row["label"]},
            ],
            "images": [f"images/{Path(row['file']).name}"],
            "split": split_of(row["sentence"]),
            "id": row["identifier"],
        }
        for row in rows
    ]


def split_of(sentence: str) -> str:
    """The split of a sentence, by its words alone: also of one that is written with other capitals and stops."""
    words = "".join(letter for letter in sentence.lower() if letter.isalnum() or letter.isspace()).split()
    chance = int.from_bytes(hashlib.sha256(" ".join(words).encode()).digest()[:4]) / 2**32
    return "test" if chance < TEST else "val" if chance < TEST + VAL else "train"


def rows_of(copy: Path) -> list[dict[str, str]]:
    """The examples of a copy: of the folder nlvr/dev, or of one whose manifest.jsonl names a picture for each."""
    if (copy / "dev.json").is_file():
        return told(copy / "dev.json")
    if (copy / "manifest.jsonl").is_file():
        return told(copy / "manifest.jsonl")
    raise DataError(f"{copy} holds neither dev.json nor manifest.jsonl; give the folder nlvr/dev of NLVR.")


def told(table: Path) -> list[dict[str, str]]:
    """The examples in a table of JSON lines: file (below the table's folder), sentence, label and identifier."""
    rows = []
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
        try:
            given = json.loads(line)
            name, sentence = given["identifier"], " ".join(given["sentence"].split())
            file = given.get("file") or f"images/{given['directory']}/dev-{name}-0.png"
            label = {"true": "true", "false": "false"}[given["label"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"{table}, line {number} is no example of NLVR; copy or download it again.") from None
        rows.append({"file": file, "sentence": sentence, "label": label, "identifier": name})
    if not rows:
        raise DataError(f"{table} is empty; copy or download it again.")
    return rows


def fetch(cache: Path) -> list[dict[str, str]]:
    """The examples, after a download of the pictures that the folder `cache` lacks."""
    rows = told(download(f"{SOURCE}/dev.json", table_of(cache), checksum=None))
    lacking = [row["file"] for row in rows if not (cache / row["file"]).is_file()]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        got = pool.map(lambda file: download(f"{SOURCE}/{file}", cache / file, checksum=None), lacking)
        list(track(got, len(lacking), "Downloading pictures"))
    return rows


def table_of(cache: Path) -> Path:
    """Where dev.json is kept until all is there: beside the pictures' folder, which needs it to be made."""
    return cache.with_suffix(".json")


def check(picture: Path) -> None:
    """Refuse a picture that is missing, damaged (the format has checksums of its own) or of another size."""
    try:
        with Image.open(picture, formats=["PNG"]) as image:
            size = image.size
            image.verify()
    except FileNotFoundError:
        raise DataError(f"{picture} is missing; copy the whole folder again.") from None
    except (OSError, SyntaxError) as error:  # the latter is Pillow's word for a wrong checksum
        raise DataError(f"{picture} is damaged ({error}); copy it again, or run this again to download it.") from None
    if size != SIZE:
        raise DataError(f"{picture} is {size[0]} x {size[1]} pixels and should be {SIZE[0]} x {SIZE[1]}.")


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "images", argv, copies="a copy of nlvr/dev")


if __name__ == "__main__":
    sys.exit(main())
