"""Sound of any source as a mono waveform at the asked rate, whole or in pieces; and what a file's header says.

Channels are averaged in float32, then resampled by soxr ("HQ": flat to 0.91 of the new Nyquist frequency).
Loudness is left as it is: full scale is 1, and a file of floats may go beyond. Not here: how a source is opened and
refused (`audio_opening.py`), and features of a waveform (`tokenizers/audio_features.py`).

Axes: n samples · c channels
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from multimodal.media.audio_opening import HIGHEST_RATE, LOWEST_RATE, AudioSource, Sound, opened_sound
from multimodal.media.files import MediaError


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What the header of a recording says; of a video, about its first sound track."""

    rate: int  # samples per second and channel, as stored
    channels: int
    seconds: float
    format: str | None  # "WAV", "FLAC", "MP3", "MP4" ...; None: an array


def probe_audio(source: AudioSource) -> AudioInfo:
    """What the header says; samples are not decoded, so a damaged body is not noticed.

    A bare array is taken to be at 16 kHz. Where the header does not say how long the sound is (a stream that was
    written to a pipe, raw AAC, a recording of a browser), the samples are decoded and counted.

    Raises:
        MediaError: not readable sound, or cut short as the header shows.
    """
    with opened_sound(source, rate=16_000) as sound:
        frames = sound.frames
        if frames is None:
            frames = sum(len(block) for block in sound.blocks)
        return AudioInfo(rate=sound.rate, channels=sound.channels, seconds=frames / sound.rate, format=sound.format)


def read_audio(source: AudioSource, *, rate: int = 16_000, longest: float | None = None) -> np.ndarray:
    """The waveform, float32 (n,), mono, at `rate` samples per second; always at least one sample.

    Args:
        source: a path, the bytes of a file, a binary file object (read from its start), an array (n,) or (n, c) that
            is already at `rate`, or such an array and its rate. Arrays are floats with full scale 1, int16 or int32.
        rate: of the result, 1,000 to 768,000 Hz.
        longest: seconds from the start that are read at most. The rest is not decoded, so damage in it goes unnoticed.

    Raises:
        MediaError: not readable sound, no samples, damaged before `longest`, or samples that are NaN or infinite.
    """
    if longest is None:
        return np.concatenate(list(stream_audio(source, rate=rate)))
    if not longest > 0:
        raise ValueError(f"longest={longest}: it is a time in seconds, above 0.")
    most = max(1, round(longest * rate))
    read, pieces = 0, []
    for piece in stream_audio(source, rate=rate, block=max(min(longest, 30.0), 1 / rate)):
        pieces.append(piece)
        read += len(piece)
        if read >= most:
            break
    return np.concatenate(pieces)[:most]


def stream_audio(source: AudioSource, *, rate: int = 16_000, block: float = 30.0) -> Iterator[np.ndarray]:
    """The waveform of `read_audio` in pieces of `block` seconds, the last one shorter; memory stays at a few pieces.

    The pieces joined are equal to what `read_audio` gives. A source is opened when the first piece is asked for,
    and what is wrong with it is raised when the reading comes to it.

    Raises:
        MediaError: as `read_audio`.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ValueError(f"rate={rate}: sound is read at {LOWEST_RATE:,} to {HIGHEST_RATE:,} samples per second.")
    size = round(block * rate)
    if size < 1:
        raise ValueError(f"block={block}: it is a time in seconds that holds at least one sample.")
    return _stream(source, rate, size)


def _stream(source: AudioSource, rate: int, size: int) -> Iterator[np.ndarray]:
    with opened_sound(source, rate=rate) as sound:
        yield from _pieces(_resampled(_mono(sound), sound.rate, rate), size)


def _mono(sound: Sound) -> Iterator[np.ndarray]:
    """Blocks (n, c) averaged to (n,); at least one sample, all of them finite."""
    weights = np.full(sound.channels, 1 / sound.channels, dtype=np.float32)
    done = 0
    for block in sound.blocks:
        wave = block[:, 0] if sound.channels == 1 else block @ weights
        finite = np.isfinite(wave)
        if not finite.all():
            at = (done + int(finite.argmin())) / sound.rate
            raise MediaError(f"{sound.name} holds samples that are NaN or infinite, the first at {at:.3f} s.")
        done += len(wave)
        if len(wave):
            yield wave
    if not done:
        raise MediaError(f"{sound.name} holds no samples.")


def _resampled(blocks: Iterable[np.ndarray], old: int, new: int) -> Iterator[np.ndarray]:
    if old == new:
        yield from blocks
        return
    import soxr  # here: whoever reads images needs no resampler

    resampler = soxr.ResampleStream(old, new, 1, dtype="float32")
    first, made = np.zeros(0, dtype=np.float32), 0
    for block in blocks:
        first = first if len(first) else block[:1].copy()
        wave = resampler.resample_chunk(block)
        made += len(wave)
        yield wave
    rest = resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
    yield rest if made + len(rest) else first  # a sound shorter than half a new sample is still a sound


def _pieces(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in arrays of `size`, the last one shorter."""
    waiting: list[np.ndarray] = []
    held = 0
    for block in blocks:
        waiting.append(block)
        held += len(block)
        if held >= size:
            joined = np.concatenate(waiting)
            whole = held - held % size
            for start in range(0, whole, size):
                yield joined[start : start + size].copy()
            waiting, held = [joined[whole:].copy()], held - whole
    if held:
        yield np.concatenate(waiting)
