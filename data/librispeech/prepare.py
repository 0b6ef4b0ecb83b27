"""LibriSpeech: English audiobooks, read by volunteers, with their texts; 982 hours in seven parts.

python data/librispeech/prepare.py [OUT] [--parts train-clean-100 dev-clean test-clean]
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from multimodal.data.download import all_or_nothing, download, exit_code, unpack, write_manifest
from multimodal.errors import DataError

SOURCE = "https://www.openslr.org/resources/12"
CHECKSUMS = {  # MD5, as published beside the archives
    "train-clean-100": "2a93770f6d5c6c964bc36631d331a522",
    "train-clean-360": "c0e676e450a7ff2f54aeade5171606fa",
    "train-other-500": "d1a0fd59409feb2c614ce4d30c387708",
    "dev-clean": "42e2234ba48799c1f50f24a7926300a1",
    "dev-other": "c8d0bcc9cca99d4f8b62fcc847357931",
    "test-clean": "32fa31d27d2e1cad72775fee3f4849a9",
    "test-other": "fb5a50374b501bb3bac4815ee91d3135",
}
SPLITS = {"train": "train", "dev": "val", "test": "test"}


def prepare(out: Path, parts: Sequence[str]) -> Path:
    """Download and unpack into out/<part>/<speaker>/<chapter>/, with out/manifest.jsonl."""
    with all_or_nothing(out) as folder:
        archives = [
            download(f"{SOURCE}/{part}.tar.gz", out.parent / f"{part}.tar.gz", checksum=f"md5:{CHECKSUMS[part]}")
            for part in parts
        ]
        rows = []
        for part, archive in zip(parts, archives, strict=True):
            unpacked = unpack(archive, folder / "unpacked") / "LibriSpeech"
            (unpacked / part).rename(folder / part)
            rows += clips(folder, part)
            shutil.rmtree(folder / "unpacked")
        write_manifest(folder, rows)
    for archive in archives:
        archive.unlink()
    return out


def clips(folder: Path, part: str) -> Iterator[dict[str, str]]:
    """A row for each line of the part's transcripts, "103-1240-0000 CHAPTER ONE"; the transcripts are deleted."""
    split = SPLITS[part.partition("-")[0]]
    found = 0
    for transcript in (folder / part).rglob("*.trans.txt"):
        for line in transcript.read_text(encoding="utf-8").splitlines():
            name, _, text = line.strip().partition(" ")
            file = (transcript.parent / f"{name}.flac").relative_to(folder).as_posix()
            yield {"file": file, "text": text.strip(), "split": split, "speaker": name.partition("-")[0]}
            found += 1
        transcript.unlink()
    if not found:
        raise DataError(f"The archive of {part} holds no transcripts (*.trans.txt).")


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).parent / "audio", metavar="OUT")
    default = ["train-clean-100", "dev-clean", "test-clean"]
    parser.add_argument(
        "--parts", nargs="+", choices=CHECKSUMS, default=default, help=f"(default: {' '.join(default)})"
    )
    arguments = parser.parse_args(argv)
    return exit_code(lambda: prepare(arguments.out, list(dict.fromkeys(arguments.parts))))


if __name__ == "__main__":
    sys.exit(main())
