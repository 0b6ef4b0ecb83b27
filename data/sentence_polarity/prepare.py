"""Sentence polarity: 10,662 sentences from film reviews, half of them positive.

python data/sentence_polarity/prepare.py [OUT]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from multimodal.data.download import all_or_nothing, download, run_script, unpack

URL = "https://storage.googleapis.com/seldon-datasets/sentence_polarity_v1/rt-polaritydata.tar.gz"
CHECKSUM = "sha256:a05befe52aafda71d458d188a1c54506a998b1308613ba76bbda2e5029409ce9"


def prepare(out: Path) -> Path:
    """Download, and write neg.txt and pos.txt, one sentence a line, as UTF-8."""
    with all_or_nothing(out) as folder:
        archive = download(URL, out.parent / "rt-polaritydata.tar.gz", checksum=CHECKSUM)
        unpacked = unpack(archive, folder / "unpacked")
        for name in ("neg", "pos"):
            text = (unpacked / "rt-polaritydata" / f"rt-polarity.{name}").read_bytes().decode("latin-1")
            # Next-line characters inside sentences would end lines elsewhere.
            plain = text.replace("\r\n", "\n").replace("\x85", " ")
            (folder / f"{name}.txt").write_bytes(plain.encode())
        shutil.rmtree(unpacked)
    archive.unlink()
    return out


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "text", argv)


if __name__ == "__main__":
    sys.exit(main())
