"""Decoding by libsndfile: WAV, FLAC, Ogg (Vorbis, Opus, FLAC), MP3, AIFF, CAF, AU, W64, NIST SPHERE and others.

Not here: what is done with a file that it does not know (`audio_opening.py`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import soundfile

from multimodal.media.files import MediaError

_BLOCK = 1 << 14  # values decoded at a time: 1 s of mono at 16 kHz; what is left in a block that breaks off is lost
_UNRECOGNISED = 1  # libsndfile's error code
_ENDLESS = 1 << 62  # libsndfile's length of a stream whose header gives none lies above


class Unknown(Exception):
    """Libsndfile cannot decode the file; the message has its reason."""

    def __init__(self, reason: str, *, known: bool):
        super().__init__(reason)
        self.known = known  # it recognised the format, and its reason means something


class _Forwards(soundfile.SoundFile):
    """Read from start to end: the seek after each read fails in a FLAC without a length, and its last block is lost."""

    def seekable(self) -> bool:
        return False


class _Nameless:
    """A stream without its name, from which soundfile would take a format (`.raw`: samples without a header)."""

    def __init__(self, stream: IO[bytes] | io.BufferedIOBase):
        self.stream = stream
        self.tell, self.read = stream.tell, stream.read
        if hasattr(stream, "readinto"):
            self.readinto = stream.readinto  # type: ignore[attr-defined]

    def seek(self, offset: int, whence: int = 0) -> int:
        """Stays in place where a damaged header sends it before the start: libsndfile notices by `tell`."""
        try:
            return self.stream.seek(offset, whence)
        except (ValueError, OSError):
            return self.stream.tell()


def decoded(stream: IO[bytes] | io.BufferedIOBase, name: str) -> tuple[dict[str, Any], Iterator[np.ndarray]]:
    """What the header says (rate, channels, format, frames), and the samples, float32 (n, c), in blocks.

    Raises:
        Unknown: here; the blocks raise MediaError where the file breaks off.
    """
    stream.seek(0)
    try:
        file = _Forwards(_Nameless(stream))  # type: ignore[arg-type]
    except soundfile.LibsndfileError as error:
        reason = error.error_string.removeprefix("Error : ").rstrip(".") or f"error {error.code} of libsndfile"
        raise Unknown(reason, known=error.code != _UNRECOGNISED) from error
    frames = file.frames if file.frames < _ENDLESS else None
    info = {"rate": file.samplerate, "channels": file.channels, "format": file.format, "frames": frames}
    return info, _blocks(file, name, frames)


def _blocks(file: soundfile.SoundFile, name: str, frames: int | None) -> Iterator[np.ndarray]:
    size = max(1, _BLOCK // file.channels)
    done, broken = 0, None
    with file:
        while broken is None:
            try:
                block = file.read(size, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                broken = error
                break
            if not len(block):
                break
            done += len(block)
            yield block
    if broken is not None or done < (frames or 0):
        where = f"breaks off after {done / file.samplerate:.2f} s"
        whole = "" if frames is None else f" of {frames / file.samplerate:.2f} s"
        cure = "fetch it again, or re-encode what is left of it"
        raise MediaError(f"{name} {where}{whole}, the rest is missing or damaged; {cure}.") from broken
