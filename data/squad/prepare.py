"""SQuAD 1.1: 98,000 questions about Wikipedia articles, each answered by a piece of the text.

python data/squad/prepare.py [OUT]
"""

from __future__ import annotations

import sys
from pathlib import Path

from multimodal.data.download import download_files, run_script

SOURCE = "https://rajpurkar.github.io/SQuAD-explorer/dataset"
FILES = {  # name here: name there, checksum
    "train.json": ("train-v1.1.json", "sha256:3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955"),
    "val.json": ("dev-v1.1.json", "sha256:95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9"),
}


def prepare(out: Path) -> Path:
    """Download into out/train.json and out/val.json."""
    return download_files(out, SOURCE, FILES)


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "text", argv)


if __name__ == "__main__":
    sys.exit(main())
