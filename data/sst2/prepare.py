"""SST-2: sentences from film reviews with the labels positive and negative, as in the GLUE benchmark.

python data/sst2/prepare.py [OUT]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from multimodal.data.download import all_or_nothing, download, run_script, unpack

URL = "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip"
CHECKSUM = "sha256:d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa"
FILES = {"train": "train.tsv", "val": "dev.tsv"}  # the labels of test.tsv are not public


def prepare(out: Path) -> Path:
    """Download, and write train.tsv and val.tsv with the columns sentence and label (0 negative, 1 positive)."""
    with all_or_nothing(out) as folder:
        archive = download(URL, out.parent / "SST-2.zip", checksum=CHECKSUM)
        unpacked = unpack(archive, folder / "unpacked")
        for split, name in FILES.items():
            (unpacked / "SST-2" / name).rename(folder / f"{split}.tsv")
        shutil.rmtree(unpacked)
    archive.unlink()
    return out


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "text", argv)


if __name__ == "__main__":
    sys.exit(main())
