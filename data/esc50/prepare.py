"""ESC-50: 2,000 sounds of animals, weather, people, rooms and streets, five seconds each, in 50 classes.

python data/esc50/prepare.py [OUT] [--test-fold 5]
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from pathlib import Path

from multimodal.data.download import all_or_nothing, download, exit_code, unpack, write_manifest

COMMIT = "33c8ce9eb2cf0b1c2f8bcf322eb349b6be34dbb6"
URL = f"https://github.com/karolpiczak/ESC-50/archive/{COMMIT}.zip"
CHECKSUM = "sha256:661183a6f53ef04f12c9bd618fed0ddc1713280d6c94a5a5431e844ba6f6a21f"
FOLDS = (1, 2, 3, 4, 5)


def prepare(out: Path, test_fold: int) -> Path:
    """Download and unpack into out/train and out/test, one folder for each class, with out/manifest.jsonl."""
    with all_or_nothing(out) as folder:
        archive = download(URL, out.parent / "esc50.zip", checksum=CHECKSUM)
        unpacked = unpack(archive, folder / "unpacked")
        top = unpacked / f"ESC-50-{COMMIT}"
        rows = []
        with (top / "meta" / "esc50.csv").open(encoding="utf-8", newline="") as table:
            for row in csv.DictReader(table):
                label = row["category"].replace("_", " ")
                split = "test" if int(row["fold"]) == test_fold else "train"
                target = folder / split / label / row["filename"]
                target.parent.mkdir(parents=True, exist_ok=True)
                (top / "audio" / row["filename"]).rename(target)
                name = target.relative_to(folder).as_posix()
                rows.append(
                    {"file": name, "label": label, "split": split, "fold": int(row["fold"]), "source": row["src_file"]}
                )
        shutil.rmtree(unpacked)
        write_manifest(folder, rows)
    archive.unlink()
    return out


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).parent / "audio", metavar="OUT")
    parser.add_argument("--test-fold", type=int, choices=FOLDS, default=5, help="the fold that is test/ (default: 5)")
    arguments = parser.parse_args(argv)
    return exit_code(lambda: prepare(arguments.out, arguments.test_fold))


if __name__ == "__main__":
    sys.exit(main())
