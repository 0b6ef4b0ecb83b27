"""scikit-learn's handwritten digits as a folder of images; nothing is downloaded.

python data/digits/prepare.py [OUT]
"""

from __future__ import annotations

import sys
from pathlib import Path

from multimodal.data.download import run_script
from multimodal.data.images.digits import write_digits


def main(argv: list[str] | None = None) -> int:
    """Write OUT/train and OUT/test, one folder of PNGs for each digit."""
    return run_script(write_digits, __doc__, Path(__file__).parent / "images", argv)


if __name__ == "__main__":
    sys.exit(main())
