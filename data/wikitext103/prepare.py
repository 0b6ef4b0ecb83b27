"""WikiText-103: 28,000 good and featured articles of the English Wikipedia, one article a row.

python data/wikitext103/prepare.py [OUT]
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from multimodal.data.download import all_or_nothing, download, run_script, unpack

URL = "https://wikitext.smerity.com/wikitext-103-raw-v1.zip"
CHECKSUM = "sha256:91c00ae287f0d699e18605c84afc9e45c192bc6b7797ff8837e5474655a33794"
FILES = {"train": "wiki.train.raw", "val": "wiki.valid.raw", "test": "wiki.test.raw"}
_TITLE = re.compile(r" = ([^=].*[^=]|[^=]) = \n?")  # sections have more signs on both sides


def prepare(out: Path) -> Path:
    """Download, and write train.jsonl, val.jsonl and test.jsonl with the columns title and text."""
    with all_or_nothing(out) as folder:
        archive = download(URL, out.parent / "wikitext-103-raw-v1.zip", checksum=CHECKSUM)
        unpacked = unpack(archive, folder / "unpacked")
        for split, name in FILES.items():
            with (
                (unpacked / "wikitext-103-raw" / name).open(encoding="utf-8", newline="\n") as lines,
                (folder / f"{split}.jsonl").open("w", encoding="utf-8", newline="\n") as rows,
            ):
                for title, text in articles(lines):
                    rows.write(json.dumps({"title": title, "text": text}, ensure_ascii=False) + "\n")
        shutil.rmtree(unpacked)
    archive.unlink()
    return out


def articles(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Title and text of each article; a title stands between two blank lines, or at the very beginning."""
    title, body = "", list[str]()
    for line in lines:
        match = _TITLE.fullmatch(line)
        if match and (not body or not body[-1].strip()):
            if title:
                yield title, "".join(body).strip() + "\n"
            title, body = match[1], []
        body.append(line)
    if title:
        yield title, "".join(body).strip() + "\n"


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "text", argv)


if __name__ == "__main__":
    sys.exit(main())
