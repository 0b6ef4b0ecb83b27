"""Recorded speech as waveforms and texts, one clip at a time; batches of them are made in batches.py.

Axes: n samples
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.data.speech.augment import WaveAugment
from multimodal.data.speech.samples import SpeechSample
from multimodal.errors import DataError
from multimodal.media import MediaError, read_audio, stream_audio

SLACK = 1.0  # seconds that a clip may be longer than was said; header and sound differ a little in MP3


class SpeechItem(TypedDict):
    """One clip."""

    wave: Float[Tensor, " n"]
    text: str
    index: int  # of the clip in its split
    failed: list[str]  # what could not be read on the way to this clip


class SpeechDataset(Dataset[SpeechItem]):
    """Reads, and where there is an `augment` randomly changes, the clips of one split."""

    def __init__(
        self,
        samples: Sequence[SpeechSample],
        *,
        rate: int,
        augment: WaveAugment | None = None,
        longest: float | None = None,
        seed: int = 0,
    ) -> None:
        """Clips at `rate` samples a second; `augment` makes none longer than `longest` seconds."""
        self.samples, self.rate, self.augment, self.seed = tuple(samples), rate, augment, seed
        self.longest = longest
        lengths = [sample.seconds or 0.0 for sample in self.samples]
        self.like = sorted(range(len(lengths)), key=lengths.__getitem__)  # neighbours are about as long
        self.place = {index: place for place, index in enumerate(self.like)}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> SpeechItem:
        """The clip at (epoch, index); for one that cannot be read the next shorter one comes, and `failed` names it.

        Where all that are shorter cannot be read either, it is the next longer one.

        Raises:
            DataError: no clip can be read at all.
        """
        epoch, index = key
        failed: list[str] = []
        middle = self.place[index]
        for place in itertools.chain(range(middle, -1, -1), range(middle + 1, len(self.like))):
            at = self.like[place]
            try:
                wave = read_clip(self.samples[at], self.rate)
                if self.augment is not None:
                    wave = self.augment(wave, seed=(self.seed, epoch, at), longest=self.longest)
            except MediaError as error:
                failed.append(str(error))
                continue
            return {"wave": torch.from_numpy(wave), "text": self.samples[at].text, "index": at, "failed": failed}
        raise DataError(f"None of the {len(self.samples)} clips can be read any more; the first: {failed[0]}")


def read_clip(sample: SpeechSample, rate: int) -> Float32[np.ndarray, " n"]:
    """The waveform of a clip: of its file, from `start` to `end`.

    Raises:
        MediaError: the file cannot be read, is empty, or is longer than `seconds` says by more than `SLACK`, which
            would not fit into the batch that was made for it.
    """
    longest = sample.end
    if longest is None and sample.seconds is not None:
        longest = sample.start + sample.seconds + SLACK
    wave = _read_from(sample.path, rate, sample.start, longest)
    if not len(wave):
        raise MediaError(f"{sample.path} ends before the clip begins, at {sample.start:g} s.")
    if sample.end is None and longest is not None and len(wave) >= int((longest - sample.start) * rate):
        raise MediaError(f"{sample.path} is longer than the {sample.seconds:g} seconds that it should have.")
    return np.ascontiguousarray(wave, dtype=np.float32)


def _read_from(path: str, rate: int, start: float, end: float | None) -> np.ndarray:
    """What lies between two times of a file; of what is before them, nothing is kept."""
    if not start:
        return read_audio(path, rate=rate, longest=end)
    first, last = round(start * rate), None if end is None else max(1, round(end * rate))
    done, parts = 0, [np.zeros(0, dtype=np.float32)]
    for piece in stream_audio(path, rate=rate):
        parts.append(piece[max(0, first - done) : None if last is None else max(0, last - done)])
        done += len(piece)
        if last is not None and done >= last:
            break
    return np.concatenate(parts)
