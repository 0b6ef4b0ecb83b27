"""Images, or recordings, with captions as pixels and text, one at a time; batches of them are made in batches.py.

Axes: k channels · h, w pixels
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from jaxtyping import Num
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.data.images.dataset import Reader, read_pixels
from multimodal.data.pairs.samples import Pair
from multimodal.data.text.noise import noise_generator
from multimodal.errors import DataError
from multimodal.media import MediaError


class PairItem(TypedDict):
    """One image, or spectrogram, and what is said of it."""

    pixels: Num[Tensor, "k h w"]  # bytes of three channels; or of one, normalised already
    captions: tuple[str, ...]  # one for training, all for evaluation
    index: int  # of the pair in its split
    failed: list[str]  # what could not be read on the way to this image


class PairDataset(Dataset[PairItem]):
    """Reads, and where `transform` is an augmentation randomly changes, the files of one split."""

    def __init__(self, pairs: Sequence[Pair], transform: Reader, *, training: bool, seed: int = 0) -> None:
        """Items for training have one caption, which differs from epoch to epoch; those for evaluation have all."""
        self.pairs, self.transform = tuple(pairs), transform
        self.training, self.seed = training, seed

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, place: tuple[int, int]) -> PairItem:
        """The pair at (epoch, index); one whose file has become unreadable is replaced by the next and named.

        Raises:
            DataError: no file can be read at all.
        """
        epoch, index = place
        failed: list[str] = []
        for step in range(len(self.pairs)):
            at = (index + step) % len(self.pairs)
            try:
                pixels = read_pixels(self.pairs[at].path, self.transform, seed=(self.seed, epoch, at))
            except (MediaError, DataError) as error:
                failed.append(str(error))
                continue
            return {"pixels": pixels, "captions": self._captions(at, epoch), "index": at, "failed": failed}
        raise DataError(f"None of the {len(self.pairs)} files can be read any more; the first: {failed[0]}")

    def _captions(self, index: int, epoch: int) -> tuple[str, ...]:
        captions = self.pairs[index].captions
        if not self.training or len(captions) == 1:
            return captions
        # In n epochs each of n captions comes once, in an order that follows from the seed.
        turn, step = divmod(epoch, len(captions))
        order = noise_generator(self.seed, turn, index).permutation(len(captions))
        return (captions[order[step]],)
