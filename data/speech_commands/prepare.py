"""Speech Commands v0.02: one second for each of 105,829 spoken words, 35 different ones.

python data/speech_commands/prepare.py [OUT]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from multimodal.data.download import all_or_nothing, download, run_script, unpack, write_manifest

URL = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
CHECKSUM = "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"  # as in torchaudio
LISTS = {"validation_list.txt": "val", "testing_list.txt": "test"}  # the authors'; all others are for training
NOISE = "_background_noise_"


def prepare(out: Path) -> Path:
    """Download and unpack into out/train, out/val and out/test, one folder for each word, with out/manifest.jsonl."""
    with all_or_nothing(out) as folder:
        archive = download(URL, out.parent / "speech_commands_v0.02.tar.gz", checksum=CHECKSUM)
        unpacked = unpack(archive, folder / "unpacked")
        splits = {
            name.strip(): split
            for listing, split in LISTS.items()
            for name in (unpacked / listing).read_text(encoding="utf-8").splitlines()
        }
        rows = []
        for file in unpacked.glob("*/*.wav"):  # marvin/0a2b400e_nohash_0.wav: word, speaker, how often before
            word = file.parent.name
            if word == NOISE:
                continue
            split = splits.get(f"{word}/{file.name}", "train")
            target = folder / split / word / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            file.rename(target)
            speaker = file.name.partition("_nohash_")[0]
            name = target.relative_to(folder).as_posix()
            rows.append({"file": name, "label": word, "split": split, "speaker": speaker})
        if (unpacked / NOISE).is_dir():
            (unpacked / NOISE).rename(folder / "background_noise")
        shutil.rmtree(unpacked)
        write_manifest(folder, rows)
    archive.unlink()
    return out


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "audio", argv)


if __name__ == "__main__":
    sys.exit(main())
