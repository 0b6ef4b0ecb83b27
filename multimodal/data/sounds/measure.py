"""Mean and deviation of the features of a set of recordings: what a fresh model's transform subtracts and divides by.

Axes: m mel channels · t frames
"""

from __future__ import annotations

import math
import random
from pathlib import Path

from multimodal.data.images.read import read_labeled_images
from multimodal.data.images.samples import SOUNDS
from multimodal.data.images.shards import read_bytes
from multimodal.data.pairs.read import read_pairs
from multimodal.errors import DataError
from multimodal.media import MediaError, read_audio
from multimodal.progress import track
from multimodal.tokenizers.audio_features import SAMPLE_RATE, FbankConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig

MOST, LONGEST = 500, 10.0  # clips that are looked at, and seconds of each


def mean_and_deviation(
    root: str | Path, *, mels: int = 128, low: float = 20.0, high: float = 8000.0
) -> tuple[float, float]:
    """Of all values in the spectrograms of the training clips at `root`, labelled or with captions.

    Up to 500 clips are read, their first ten seconds. The other arguments are those of `FbankConfig`.

    Raises:
        ArgumentError: as `FbankConfig`.
        DataError: there are no recordings, or none can be read.
    """
    transform = AudioTransformConfig(features=FbankConfig(mels=mels, low=low, high=high, window="hanning")).build()
    try:
        paths = [sample.path for sample in read_labeled_images(root, kind=SOUNDS).splits["train"]]
    except DataError:
        paths = [pair.path for pair in read_pairs(root).splits["train"]]
    chosen = random.Random(0).sample(paths, min(MOST, len(paths)))
    count, total, squares = 0, 0.0, 0.0
    for path in track(chosen, len(chosen), "Measuring features"):
        try:
            mel = transform.spectrogram(read_audio(read_bytes(path), rate=SAMPLE_RATE, longest=LONGEST)).double()
        except (MediaError, DataError):
            continue
        count, total, squares = count + mel.numel(), total + float(mel.sum()), squares + float(mel.square().sum())
    if not count:
        raise DataError(f"None of {len(chosen)} recordings of {root} can be read.")
    mean = total / count
    return mean, math.sqrt(max(squares / count - mean**2, 0.0))
