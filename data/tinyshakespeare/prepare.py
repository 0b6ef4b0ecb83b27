"""Tiny Shakespeare: 1.1 million characters of plays in one file, for language models that train in minutes.

python data/tinyshakespeare/prepare.py [OUT]
"""

from __future__ import annotations

import sys
from pathlib import Path

from multimodal.data.download import all_or_nothing, download, run_script

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
CHECKSUM = "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def prepare(out: Path) -> Path:
    """Download into out/tinyshakespeare.txt."""
    with all_or_nothing(out) as folder:
        download(URL, out.parent / "input.txt", checksum=CHECKSUM).rename(folder / "tinyshakespeare.txt")
    return out


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "text", argv)


if __name__ == "__main__":
    sys.exit(main())
