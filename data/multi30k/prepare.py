"""Multi30k: descriptions of photos in English, German, French and Czech, for small translators.

python data/multi30k/prepare.py [OUT] [--languages en de]
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Sequence
from pathlib import Path

from multimodal.data.download import all_or_nothing, download, exit_code

SOURCE = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
SPLITS = {"train": "train", "val": "val", "test": "test_2016_flickr"}
CHECKSUMS = {  # MD5, as in torchtext
    "train.cs": "d9a5fc268917725a2b0efce3a0cc8607",
    "train.de": "81ff90b99829c0cd4b1b587d394afd39",
    "train.en": "0065d13af80720a55ca8153d126e6627",
    "train.fr": "6cb767741dcad3931f966fefbc05203f",
    "val.cs": "83cdc082f646b769095615384cf5c0ca",
    "val.de": "6e0e229eb049e3fc99a1ef02fb2d5f91",
    "val.en": "2b69aa9253948ac9f67e94917272dd40",
    "val.fr": "93fc564584b7e5ba410c761ea5a1c682",
    "test_2016_flickr.cs": "3104872229daa1bef3b401d44dd2220b",
    "test_2016_flickr.de": "efd67d314d98489b716b145475101932",
    "test_2016_flickr.en": "ff2c0fcb4893a13bd73414306bc250ae",
    "test_2016_flickr.fr": "08dc7cd4a662f31718412de95ca9bfe3",
}


def prepare(out: Path, languages: Sequence[str]) -> Path:
    """Download, and write train, val and test of each language, line beside line."""
    with all_or_nothing(out) as folder:
        packed = []
        for split, name in SPLITS.items():
            for language in languages:
                file, checksum = out.parent / f"{name}.{language}.gz", f"md5:{CHECKSUMS[f'{name}.{language}']}"
                packed.append(download(f"{SOURCE}/{file.name}", file, checksum=checksum))
                (folder / f"{split}.{language}").write_bytes(gzip.decompress(file.read_bytes()))
    for file in packed:
        file.unlink()
    return out


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).parent / "text", metavar="OUT")
    languages = ("en", "de", "fr", "cs")
    parser.add_argument("--languages", nargs="+", choices=languages, default=["en", "de"], help="(default: en de)")
    arguments = parser.parse_args(argv)
    return exit_code(lambda: prepare(arguments.out, arguments.languages))


if __name__ == "__main__":
    sys.exit(main())
