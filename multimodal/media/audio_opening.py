"""Any source of sound to blocks of samples as stored, lazily, and every bad one refused with one sentence.

A file is judged by its content, not by its name: libsndfile is asked first, then, where the first bytes are those of a
container that it does not know, PyAV. Not here: the decoders (`audio_soundfile.py`, `audio_container.py`), files cut
short (`audio_cut.py`), mixing and resampling (`audio.py`).

Axes: n samples · c channels
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from multimodal.media.audio_cut import cut_short
from multimodal.media.files import MediaError, open_file, shown, text_start

LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # samples per second
MOST_CHANNELS = 256  # an array with more has its axes exchanged

AudioSource = str | Path | bytes | IO[bytes] | io.BufferedIOBase | np.ndarray | tuple[np.ndarray, int]

# What a file begins with that libsndfile cannot decode: (offset, bytes, what it is, PyAV's name for it)
_CONTAINERS = [
    *((4, kind, "an MP4 or QuickTime file", "mov") for kind in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (0, b"\x1aE\xdf\xa3", "a WebM or Matroska file", "matroska"),
    (0, b"\x30\x26\xb2\x75", "a WMA or ASF file", "asf"),
    *(
        (0, sync, "an AAC file", "aac")
        for sync in (b"\xff\xf0", b"\xff\xf1", b"\xff\xf8", b"\xff\xf9", b"ID3", b"ADIF")
    ),
    (8, b"AVI ", "an AVI video", "avi"),
    (8, b"WAVE", "a WAV file of a rare codec", "wav"),
    (0, b"caff", "a CAF file of a rare codec", "caf"),
    (0, b"FLV", "a Flash video", "flv"),
    (0, b"#!AMR", "an AMR file", "amr"),
    (0, b"\0\0\x01\xba", "an MPEG video", "mpeg"),
    (188, b"\x47", "an MPEG transport stream", "mpegts"),
]


@dataclass(frozen=True, kw_only=True)
class Sound:
    """An opened source. `blocks` is read once, forwards."""

    name: str  # as it stands in messages
    rate: int
    channels: int
    format: str | None
    frames: int | None  # samples per channel, as the header says; None: it does not
    blocks: Iterator[np.ndarray]  # float32 (n, c), full scale 1


@contextmanager
def opened_sound(source: AudioSource, *, rate: int) -> Iterator[Sound]:
    """The sound of `source`, lazily: its blocks can be read while the context lasts; a bare array is at `rate`.

    What goes wrong inside the context, decoding included, is raised as `MediaError` under the source's name.

    Raises:
        MediaError: not readable sound.
        TypeError: `source` is none of the kinds above.
    """
    if isinstance(source, np.ndarray):
        yield _from_array(source, rate)
    elif isinstance(source, tuple):
        yield _from_array(*source)
    elif isinstance(source, str | Path):
        with open_file(Path(source)) as stream, _decoded(stream, shown(source)) as sound:
            yield sound
    elif isinstance(source, bytes):
        with _decoded(io.BytesIO(source), f"The sound of {len(source)} bytes") as sound:
            yield sound
    elif hasattr(source, "read"):
        label = getattr(source, "name", None)
        stream: Any = source if source.seekable() else io.BytesIO(source.read())
        with _decoded(stream, shown(label) if isinstance(label, str) else "The sound stream") as sound:
            yield sound
    else:
        kind = type(source).__name__
        raise TypeError(f"Sound is a path, bytes, a binary file object or a numpy array (and its rate), not {kind}.")


@contextmanager
def _decoded(stream: IO[bytes] | io.BufferedIOBase, name: str) -> Iterator[Sound]:
    try:
        sound = _identified(stream, name)
        if not LOWEST_RATE <= sound.rate <= HIGHEST_RATE:
            least, most = f"{LOWEST_RATE:,}", f"{HIGHEST_RATE:,}"
            raise MediaError(f"{name} has {sound.rate:,} samples per second; {least} to {most} can be read.")
        yield sound
    except (MediaError, MemoryError):
        raise
    except OSError as error:
        raise MediaError(f"{name} cannot be read: {error.strerror or error}.") from error


def _identified(stream: IO[bytes] | io.BufferedIOBase, name: str) -> Sound:
    from multimodal.media.audio_soundfile import Unknown, decoded  # here: images need no libsndfile

    stream.seek(0)
    prefix = stream.read(1024)
    if not prefix:
        raise MediaError(f"{name} is empty (0 bytes).")
    problem = cut_short(stream)
    if problem:
        raise MediaError(f"{name} is cut short: {problem}; fetch it again, or re-encode what is left of it.")
    try:
        info, blocks = decoded(stream, name)
        return Sound(name=name, blocks=blocks, **info)
    except Unknown as error:
        known, reason = error.known, str(error)
    text = text_start(prefix)
    if text is not None:
        raise MediaError(f"{name} is a text file, not sound; it begins with {text!r}.")
    kind, demuxer = next((row[2:] for row in _CONTAINERS if prefix.startswith(row[1], row[0])), (None, ""))
    if kind is None:
        raise MediaError(f"{name} {f'cannot be decoded: {reason}' if known else 'is not sound in a known format'}.")
    try:
        from multimodal.media.audio_container import demuxed
    except ImportError as error:
        if error.name != "av":  # PyAV is there and broken
            raise
        if known:
            raise MediaError(f"{name} cannot be decoded: {reason}.") from error
        cure = "pip install 'multimodal[containers]'"
        raise MediaError(f"{name} is {kind}, which takes PyAV to decode: {cure}.") from error
    info, blocks = demuxed(stream, name, demuxer)
    return Sound(name=name, blocks=blocks, **info)


def _from_array(array: np.ndarray, rate: int) -> Sound:
    """(n,) or (n, c), of floats, int16 or int32."""
    shape = " x ".join(map(str, array.shape))
    if array.ndim not in (1, 2) or 0 in array.shape or (array.ndim == 2 and array.shape[1] > MOST_CHANNELS):
        raise MediaError(f"The array has the shape {shape}; sound is n samples, or n samples x channels.")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        most = f"{HIGHEST_RATE:,}"
        raise MediaError(f"The array is said to have {rate} samples per second; {LOWEST_RATE:,} to {most} can be read.")
    if array.dtype in (np.int16, np.int32):
        scale = np.float32(1 / -float(np.iinfo(array.dtype).min))
    elif np.issubdtype(array.dtype, np.floating):
        scale = None
    else:
        raise MediaError(f"The array ({shape}) is of type {array.dtype}; sound is floats, int16 or int32.")
    wave = array.reshape(len(array), -1)  # n c

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(wave), 1 << 18):
            block = wave[start : start + (1 << 18)].astype(np.float32)
            yield block if scale is None else block * scale

    return Sound(
        name="The array", rate=int(rate), channels=wave.shape[1], format=None, frames=len(wave), blocks=blocks()
    )
