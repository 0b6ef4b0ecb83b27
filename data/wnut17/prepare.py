"""WNUT-17: names of people, places and things in noisy text, most of them never seen in training.

python data/wnut17/prepare.py [OUT]
"""

from __future__ import annotations

import sys
from pathlib import Path

from multimodal.data.download import download_files, run_script

SOURCE = "https://raw.githubusercontent.com/leondz/emerging_entities_17/master"
FILES = {  # name here: name there, checksum
    "train.conll": ("wnut17train.conll", "sha256:731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5"),
    "val.conll": ("emerging.dev.conll", "sha256:e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8"),
    "test.conll": (
        "emerging.test.annotated",
        "sha256:2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0",
    ),
}


def prepare(out: Path) -> Path:
    """Download into out/train.conll, out/val.conll and out/test.conll."""
    return download_files(out, SOURCE, FILES)


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "text", argv)


if __name__ == "__main__":
    sys.exit(main())
