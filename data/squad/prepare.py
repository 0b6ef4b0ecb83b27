"""SQuAD 1.1: 98,000 questions about Wikipedia articles, each answered by a piece of the text.

python data/squad/prepare.py [OUT]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from multimodal.data.download import all_or_nothing, download, exit_code

SOURCE = "https://rajpurkar.github.io/SQuAD-explorer/dataset"
FILES = {  # split: file, checksum
    "train": (
        "train-v1.1.json",
        "sha256:3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955",
    ),
    "val": (
        "dev-v1.1.json",
        "sha256:95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9",
    ),
}


def prepare(out: Path) -> Path:
    """Download into out/train.json and out/val.json."""
    with all_or_nothing(out) as folder:
        files = {
            split: download(f"{SOURCE}/{name}", out.parent / name, checksum=checksum)
            for split, (name, checksum) in FILES.items()
        }
        for split, file in files.items():
            file.rename(folder / f"{split}.json")
    return out


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).parent / "text", metavar="OUT")
    arguments = parser.parse_args(argv)
    return exit_code(lambda: prepare(arguments.out), "texts")


if __name__ == "__main__":
    sys.exit(main())
