"""AN4: 1,078 short utterances of letters, numbers and names, read by 84 people; small enough to train on a CPU.

python data/an4/prepare.py [OUT]
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import soundfile

from multimodal.data.download import all_or_nothing, download, run_script, unpack, write_manifest
from multimodal.errors import DataError

SOURCES = (
    "http://www.speech.cs.cmu.edu/databases/an4/an4_sphere.tar.gz",
    "https://dldata-public.s3.us-east-2.amazonaws.com/an4_sphere.tar.gz",  # a copy: the first is often unreachable
)
CHECKSUM = "sha256:a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12"
FOLDERS = {"train": "an4_clstk", "test": "an4test_clstk"}
LINE = re.compile(r"(?:<s>)?\s*(.*?)\s*(?:</s>)?\s*\(([\w-]+)\)")  # <s> YES </s> (an251-fash-b)


def prepare(out: Path) -> Path:
    """Download, and recode without loss into out/train and out/test (FLAC), with out/manifest.jsonl."""
    with all_or_nothing(out) as folder:
        archive = fetch(out.parent / "an4_sphere.tar.gz")
        top = unpack(archive, folder / "unpacked") / "an4"
        rows = []
        for split, part in FOLDERS.items():
            (folder / split).mkdir()
            for line in (top / "etc" / f"an4_{split}.transcription").read_text(encoding="ascii").splitlines():
                found = LINE.fullmatch(line.strip())
                if not line.strip():
                    continue
                if found is None:
                    raise DataError(f"A transcript of AN4 is not as expected: {line!r:.80}.")
                text, name = found.groups()
                speaker = name.split("-")[1]
                file = f"{split}/{name}.flac"
                recode(top / "wav" / part / speaker / f"{name}.sph", folder / file)
                rows.append({"file": file, "text": text, "split": split, "speaker": speaker})
        shutil.rmtree(folder / "unpacked")
        write_manifest(folder, rows)
    archive.unlink()
    return out


def fetch(file: Path) -> Path:
    """The archive, from the first source that gives it."""
    *others, last = SOURCES
    for url in others:
        try:
            return download(url, file, checksum=CHECKSUM)
        except DataError:
            continue
    return download(last, file, checksum=CHECKSUM)


def recode(source: Path, target: Path) -> None:
    """A NIST SPHERE file, 16 bits, as FLAC with the same samples."""
    try:
        samples, rate = soundfile.read(source, dtype="int16")
    except (soundfile.LibsndfileError, OSError) as error:
        raise DataError(f"{source.name} cannot be read: {error}.") from None
    soundfile.write(target, samples, rate, format="FLAC", subtype="PCM_16")


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "audio", argv)


if __name__ == "__main__":
    sys.exit(main())
