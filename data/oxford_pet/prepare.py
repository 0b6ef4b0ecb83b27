"""Oxford-IIIT Pet: 37 breeds of cats and dogs, 7,349 photos, as a folder of images.

python data/oxford_pet/prepare.py [OUT]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from multimodal.data.download import all_or_nothing, download, run_script, unpack

SOURCE = "https://www.robots.ox.ac.uk/~vgg/data/pets/data"
ARCHIVES = {
    "images.tar.gz": "sha256:67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
    "annotations.tar.gz": "sha256:52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
}
SPLITS = {"train": "trainval.txt", "test": "test.txt"}  # the authors' lists


def prepare(out: Path) -> Path:
    """Download and unpack into out/train and out/test, one folder for each breed."""
    with all_or_nothing(out) as folder:
        archives = [
            download(f"{SOURCE}/{name}", out.parent / f"oxford_pet-{name}", checksum=checksum)
            for name, checksum in ARCHIVES.items()
        ]
        unpacked = folder / "unpacked"
        for archive in archives:
            unpack(archive, unpacked)
        for split, listing in SPLITS.items():
            for line in (unpacked / "annotations" / listing).read_text(encoding="utf-8").splitlines():
                name = line.split()[0]  # "american_bulldog_100 2 2 1": file, breed, species, number within the species
                breed = name.rpartition("_")[0].replace("_", " ")
                target = folder / split / breed / f"{name}.jpg"
                target.parent.mkdir(parents=True, exist_ok=True)
                (unpacked / "images" / f"{name}.jpg").rename(target)
        shutil.rmtree(unpacked)
    for archive in archives:
        archive.unlink()
    return out


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "images", argv)


if __name__ == "__main__":
    sys.exit(main())
