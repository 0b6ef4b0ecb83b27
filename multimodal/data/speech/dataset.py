"""Recorded speech as waveforms and texts, one clip at a time; batches of them are made in batches.py.

Axes: n samples
"""

from __future__ import annotations

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
from multimodal.media import MediaError, read_audio

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
        self, samples: Sequence[SpeechSample], *, rate: int, augment: WaveAugment | None = None, seed: int = 0
    ) -> None:
        """Clips at `rate` samples a second."""
        self.samples, self.rate, self.augment, self.seed = tuple(samples), rate, augment, seed
        lengths = [sample.seconds or 0.0 for sample in self.samples]
        self.like = sorted(range(len(lengths)), key=lengths.__getitem__)  # neighbours are about as long
        self.place = {index: place for place, index in enumerate(self.like)}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, place: tuple[int, int]) -> SpeechItem:
        """The clip at (epoch, index); for one that cannot be read the next shorter one comes, and `failed` names it.

        Raises:
            DataError: no clip can be read at all.
        """
        epoch, index = place
        failed: list[str] = []
        for step in range(len(self.samples)):
            at = self.like[self.place[index] - step]
            try:
                wave = read_clip(self.samples[at], self.rate)
                if self.augment is not None:
                    wave = self.augment(wave, seed=(self.seed, epoch, at))
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
    wave = read_audio(sample.path, rate=rate, longest=longest)[round(sample.start * rate) :]
    if not len(wave):
        raise MediaError(f"{sample.path} ends before the clip begins, at {sample.start:g} s.")
    if sample.end is None and longest is not None and len(wave) >= int((longest - sample.start) * rate):
        raise MediaError(f"{sample.path} is longer than the {sample.seconds:g} seconds that it should have.")
    return np.ascontiguousarray(wave, dtype=np.float32)
