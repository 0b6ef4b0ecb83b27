"""Where a recording has speech, and its cutting into windows of at most 30 s in the pauses.

No model: the energy of each 10 ms frame in bands of the mel scale, against a noise floor that follows the recording.
Dividing each band by its own floor makes steady noise flat, so that a voice stands out of it. The floor falls at once
and rises slowly, and what is in doubt counts as speech: a window too many costs time, a window too few costs text.

Everything streams: of a recording of hours a minute is held.

Axes: n samples · t frames of 10 ms · m mel bands
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Float32

from multimodal.tokenizers.audio_features import FRAMES_PER_SECOND, HOP, SAMPLE_RATE

BLOCK = 10 * FRAMES_PER_SECOND  # frames: the noise floor is measured over 10 s
WIDTH = SAMPLE_RATE // 40  # samples that a frame looks at: 25 ms


@dataclass(frozen=True, kw_only=True)
class ActivityConfig:
    """What counts as speech."""

    above: float = 6.0  # dB over the noise floor
    quietest: float = -80.0  # dB of a full-scale sine in one band: below it there is nothing, however still the rest
    rise: float = 3.0  # dB that the noise floor may rise in 10 s
    padding: float = 0.2  # seconds of speech added on both sides of what was found: soft beginnings and ends
    pause: float = 0.3  # seconds; what is shorter is a part of the speech around it
    shortest: float = 0.05  # seconds; what is shorter is a click
    few: float = 3.0  # seconds; where a shorter recording has nothing that stands out, all of it may be one voice

    def build(self) -> Activity:
        """A detector that knows no noise yet."""
        return Activity(self)


class Activity:
    """Finds speech in consecutive pieces of one recording."""

    def __init__(self, config: ActivityConfig) -> None:
        self.config = config
        self.floor: np.ndarray | None = None  # (m,), power

    def __call__(self, wave: Float32[np.ndarray, " n"]) -> Bool[np.ndarray, " t"]:
        """Which frames of the next piece stand out of the noise; not smoothed.

        In a short recording, where nothing does, all that is sound: a voice may fill it from end to end.
        """
        power = band_power(wave)
        found = np.zeros(len(power), dtype=bool)
        quietest = 10 ** (self.config.quietest / 10)
        for start in range(0, len(power), BLOCK):
            block = power[start : start + BLOCK]
            floor, first = np.maximum(np.percentile(block, 10, axis=0), quietest), self.floor is None
            if self.floor is not None:
                floor = np.minimum(floor, self.floor * 10 ** (self.config.rise / 10))
            self.floor = floor
            ratio = _smooth((block / floor).mean(axis=1), 5)
            loud = block.max(axis=1) > quietest
            out = loud & (10 * np.log10(np.maximum(ratio, 1e-10)) > self.config.above)
            alone = first and len(block) < self.config.few * FRAMES_PER_SECOND
            found[start : start + BLOCK] = loud if alone and not _lasting(out, self.config) else out
        return found


def band_power(wave: Float32[np.ndarray, " n"], bands: int = 24) -> Float[np.ndarray, "t m"]:
    """Power of each frame in `bands` bands of equal mel width from 100 Hz to 7 kHz; of a full-scale sine about 1."""
    frames = -(-len(wave) // HOP)
    if frames == 0:
        return np.zeros((0, bands))
    padded = np.pad(wave, (0, frames * HOP + WIDTH - len(wave)))
    window = np.hanning(WIDTH)
    edges = 700 * (10 ** (np.linspace(_mel(100.0), _mel(7000.0), bands + 1) / 2595) - 1)
    bins = np.round(edges / SAMPLE_RATE * WIDTH).astype(int)
    bins = np.maximum.accumulate(bins + (np.arange(bands + 1) if np.any(np.diff(bins) < 1) else 0))
    powers = []
    for start in range(0, frames, BLOCK):
        part = padded[start * HOP : (min(start + BLOCK, frames) - 1) * HOP + WIDTH]
        cut = np.lib.stride_tricks.sliding_window_view(part, WIDTH)[::HOP]
        spectrum = np.abs(np.fft.rfft(cut * window)) ** 2 * (4 / window.sum() ** 2)
        powers.append(np.add.reduceat(spectrum[:, : bins[-1]], bins[:-1], axis=1))
    return np.concatenate(powers)


def smooth(found: Bool[np.ndarray, " t"], config: ActivityConfig) -> Bool[np.ndarray, " t"]:
    """Without clicks, without pauses that are none, and with some room around the speech."""
    room = round(config.padding * FRAMES_PER_SECOND)
    done = np.zeros(len(found), dtype=bool)
    for start, end in _lasting(found, config):
        done[max(0, start - room) : end + room] = True
    for start, end in runs(~done):
        if start > 0 and end < len(done) and end - start < config.pause * FRAMES_PER_SECOND:
            done[start:end] = True
    return done


def _lasting(found: Bool[np.ndarray, " t"], config: ActivityConfig) -> list[tuple[int, int]]:
    return [(a, b) for a, b in runs(found) if b - a >= config.shortest * FRAMES_PER_SECOND]


def runs(found: Bool[np.ndarray, " t"]) -> list[tuple[int, int]]:
    """Start and end of each stretch of frames that are True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A stretch of a recording that is decoded as one window."""

    start: int  # frames from the start of the recording
    wave: np.ndarray = field(repr=False)  # (n,)
    speech: np.ndarray = field(repr=False)  # (t,) bool

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.wave) / SAMPLE_RATE

    @property
    def end(self) -> float:
        """Seconds from the start of the recording at which it ends."""
        return (self.start + len(self.wave) // HOP) / FRAMES_PER_SECOND


def chunks(
    pieces: Iterable[np.ndarray], *, longest: float = 30.0, config: ActivityConfig | None = None
) -> Iterator[Chunk]:
    """The speech of a recording as windows of at most `longest` seconds; what has no speech is in none of them.

    A window starts with speech and ends in the longest pause of its second half or, where nobody pauses, at the
    quietest moment there.

    Args:
        pieces: the recording in consecutive pieces of any length, (n,) each, at 16 kHz.
    """
    config = config or ActivityConfig()
    activity, most = config.build(), round(longest * FRAMES_PER_SECOND)
    wave, found, start = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=bool), 0
    for piece, last in _blocks(pieces, BLOCK * HOP):
        wave, found = np.concatenate([wave, piece]), np.concatenate([found, activity(piece)])
        while len(found):
            speech = smooth(found, config)
            # Until there is more than a window and the room that speech gets, the end is not known.
            begin = int(speech.argmax()) if speech.any() else len(found)
            known = len(found) - (0 if last else round(2 * config.padding * FRAMES_PER_SECOND))
            enough = last or known - begin > most
            if not enough or begin >= len(found):
                drop = begin if begin < len(found) else max(0, known)
                wave, found, start = wave[drop * HOP :], found[drop:], start + drop
                break
            end = _cut(speech, wave, begin, most)
            sound = speech[begin:end]
            size = len(sound) - int(sound[::-1].argmax())  # what is silent at the end is left out
            yield Chunk(start=start + begin, wave=wave[begin * HOP : (begin + size) * HOP], speech=sound[:size])
            wave, found, start = wave[end * HOP :], found[end:], start + end


def _cut(speech: np.ndarray, wave: np.ndarray, begin: int, most: int) -> int:
    """The frame before which the window from `begin` on ends."""
    if len(speech) - begin <= most:
        return len(speech)
    half = begin + most // 2
    pauses = [(a + half, b + half) for a, b in runs(~speech[half : begin + most])]
    if pauses:
        a, b = max(pauses, key=lambda pause: (pause[1] - pause[0], pause[0]))
        return (a + b + 1) // 2
    level = _smooth(band_power(wave[half * HOP : (begin + most) * HOP]).sum(axis=1), 11)
    return half + int(level.argmin()) + 1


def _blocks(pieces: Iterable[np.ndarray], size: int) -> Iterator[tuple[np.ndarray, bool]]:
    """`pieces` in blocks of `size`, the last one shorter; and whether it is the last one."""
    held: list[np.ndarray] = []
    for piece in pieces:
        held.append(piece)
        while sum(map(len, held)) > size:
            joined = np.concatenate(held)
            yield joined[:size], False
            held = [joined[size:]]
    yield np.concatenate([np.zeros(0, dtype=np.float32), *held]), True


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """The mean over `width` frames around each."""
    room = width // 2
    sums = np.cumsum(np.pad(values, (room + 1, room), mode="edge"))
    sums[:] -= sums[0]
    return (sums[width:] - sums[:-width]) / width


def _mel(hertz: float) -> float:
    return 2595 * np.log10(1 + hertz / 700)
