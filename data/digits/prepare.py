"""scikit-learn's handwritten digits as a folder of images; nothing is downloaded.

python data/digits/prepare.py [OUT]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from multimodal.data.download import exit_code
from multimodal.data.images.digits import write_digits


def main(argv: list[str] | None = None) -> int:
    """Write OUT/train and OUT/test, one folder of PNGs for each digit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).parent / "images", metavar="OUT")
    arguments = parser.parse_args(argv)
    return exit_code(lambda: write_digits(arguments.out))


if __name__ == "__main__":
    sys.exit(main())
