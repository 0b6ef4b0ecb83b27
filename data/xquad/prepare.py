"""XQuAD: 1,190 questions about paragraphs of Wikipedia, answered by a piece of the text; English, German and Spanish.

python data/xquad/prepare.py [OUT]
"""

from __future__ import annotations

import sys
from pathlib import Path

from multimodal.data.download import download_files, run_script

# A commit, so that what the checksums are of stays there.
SOURCE = "https://raw.githubusercontent.com/google-deepmind/xquad/7d30520c717524000f0d9d2f9c10a069acd9d285"
FILES = {  # name here: name there, checksum
    "en.json": ("xquad.en.json", "sha256:e4c57d1c9143aaa1c5d265ba5987a65f4e69528d2a98f29d6e75019b10344f29"),
    "de.json": ("xquad.de.json", "sha256:990b5d746746ed65ed4702ea5f35f99ffa4e2f1c390c07d003642acd937916f9"),
    "es.json": ("xquad.es.json", "sha256:dcbae93ec3a9f4b9e78fd834a171d6f96c1a875e10e15b7530b7e4ef4971e37e"),
}


def prepare(out: Path) -> Path:
    """Download into out/en.json, out/de.json and out/es.json."""
    return download_files(out, SOURCE, FILES)


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "text", argv)


if __name__ == "__main__":
    sys.exit(main())
