"""What a model sees of images, or hears of recordings: from a file to the pictures that its encoder takes.

An image is one view of the size that the encoder was trained on, or with tiles several: the whole, and its parts at a
higher resolution. A recording is cut into windows of the length that the encoder hears, the last one filled up.

Axes: n views · k channels · H, W pixels, or mel channels and frames · b texts · t their length
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Bool, Num
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.media import MediaError, probe_audio, probe_image, read_audio, read_image
from multimodal.models.chat.tiles import TilesConfig, length, read_tiles
from multimodal.tokenizers.audio_features import SAMPLE_RATE
from multimodal.tokenizers.audio_transform import AudioTransform
from multimodal.tokenizers.image_transform import ImageTransform
from multimodal.tokenizers.transforms import AnyTransformConfig

LONGEST = 600.0  # seconds of a recording; what is longer is refused before all of it is in memory


@dataclass(frozen=True, eq=False)
class Seen:
    """One image or recording.

    Attributes:
        x: bytes (0 to 255) of an image; normalised floats of a recording.
        tokens: how many of the language model's it becomes.
        size: height and width of the image that the tiles were cut from; None: there are no tiles.
    """

    x: Num[Tensor, "n k H W"]
    tokens: int
    size: tuple[int, int] | None = None

    @cached_property
    def key(self) -> str:
        """The same for equal content, and for nothing else."""
        content = self.x.contiguous().flatten().view(torch.uint8).numpy()
        return hashlib.blake2b(content.data, digest_size=16).hexdigest() + str((tuple(self.x.shape), self.size))

    def blank(self) -> Seen:
        """As large, with nothing to see."""
        return replace(self, x=nothing(self.x))


@dataclass(frozen=True, eq=False)
class Views:
    """Those of a batch, in the order in which they stand in its texts, row by row.

    Attributes:
        x: the views of all, one after the other.
        counts: how many of them each image or recording has.
        tokens: how many tokens each becomes.
        sizes: `Seen.size` of each.
    """

    x: Num[Tensor, "n k H W"]
    counts: tuple[int, ...]
    tokens: tuple[int, ...]
    sizes: tuple[tuple[int, int] | None, ...]

    @classmethod
    def of(cls, seen: Sequence[Seen]) -> Views | None:
        """Several as one batch; None where there are none."""
        if not seen:
            return None
        x = torch.cat([one.x for one in seen])
        counts = tuple(len(one.x) for one in seen)
        return cls(x, counts, tuple(one.tokens for one in seen), tuple(one.size for one in seen))

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Views:
        """The same on another device."""
        return replace(self, x=self.x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Views:
        """The same in memory that is copied to a GPU quickly."""
        return replace(self, x=self.x.pin_memory())

    def blank(self) -> Views:
        """The same number of views with nothing to see."""
        return replace(self, x=nothing(self.x))

    def rows(self, placed: Bool[Tensor, "b t"]) -> tuple[int, ...]:
        """In which row of the texts each stands, where `placed` says which ids are its placeholders."""
        found = placed.nonzero()[:, 0].tolist()
        return tuple(found[end - 1] for end in accumulate(self.tokens))

    def turned(self, rows: Sequence[int]) -> tuple[Views, tuple[bool, ...]]:
        """Each with the content of the next of another conversation that looks different and has as many tokens.

        Args:
            rows: in which conversation each stands.

        Returns:
            These views, and which of them show something else now; for the others there is nothing that fits.
        """
        parts = list(self.x.split(list(self.counts)))
        found = []
        for i, part in enumerate(parts):
            own = [other for other, row in zip(parts, rows, strict=True) if row == rows[i]]
            after = (j for j in (*range(i + 1, len(parts)), *range(i)) if rows[j] != rows[i])
            fitting = (parts[j] for j in after if self.sizes[j] == self.sizes[i] and parts[j].shape == part.shape)
            found.append(next((one for one in fitting if not any(torch.equal(one, mine) for mine in own)), None))
        x = torch.cat([part if other is None else other for part, other in zip(parts, found, strict=True)])
        return replace(self, x=x), tuple(other is not None for other in found)


def nothing(x: Num[Tensor, "*shape"]) -> Num[Tensor, "*shape"]:
    """The middle grey of bytes, or the mean of spectrograms, in the shape of `x` but without its memory."""
    return x.new_full((1,), 128 if x.dtype == torch.uint8 else 0).expand(x.shape)


def check_seconds(seconds: float) -> None:
    """Refuse a recording that is too long.

    Raises:
        MediaError: it is.
    """
    if seconds > LONGEST:
        raise MediaError(f"The recording is longer than {LONGEST:g} s, which is the most that is heard; cut it.")


class Reader:
    """Files to `Seen`, on the CPU; it holds no weights and can be sent to other processes.

    Args:
        transform: what the encoder was trained with.
        tiles: how large images are cut; None: they are not.
        length: tokens of one view.
        grid: (h, w) of one view's tokens, as they leave the projector.

    Raises:
        ArgumentError: tiles for recordings, or canvases that are no whole number of views.
    """

    def __init__(
        self, transform: AnyTransformConfig, *, tiles: TilesConfig | None, length: int, grid: tuple[int, int]
    ) -> None:
        self.transform, self.tiles, self.length, self.grid = transform.build(), tiles, length, grid
        if tiles is not None and isinstance(self.transform, AudioTransform):
            raise ArgumentError("tiles are of images, and this model hears recordings: leave them out.")
        if tiles is not None:
            tiles.fits(transform.size)

    @property
    def hears(self) -> bool:
        """Whether it takes recordings in the place of images."""
        return isinstance(self.transform, AudioTransform)

    def count(self, source: Any) -> int:
        """How many tokens `read` would make of it, from the header of its file alone.

        Raises:
            MediaError: the header cannot be read.
        """
        if isinstance(self.transform, AudioTransform):
            seconds = probe_audio(source).seconds or 0.0
            check_seconds(seconds)
            return self.length * max(1, math.ceil(seconds / self.transform.config.seconds))
        if self.tiles is None:
            return self.length
        info = probe_image(source)
        return length(self.tiles, (info.height, info.width), self.grid, self.transform.config.size)

    def read(self, source: Any) -> Seen:
        """One image or recording, in any form that `media` reads; one that was read already, as it is.

        Raises:
            MediaError: it cannot be read.
        """
        if isinstance(source, Seen):
            return source
        if isinstance(self.transform, AudioTransform):
            return self._heard(self.transform, source)
        if self.tiles is None:
            return Seen(self.transform.read(source)[None], self.length)
        return self._tiled(self.transform, self.tiles, source)

    def _heard(self, transform: AudioTransform, source: Any) -> Seen:
        wave = read_audio(source, rate=SAMPLE_RATE, longest=LONGEST + 1)
        check_seconds(len(wave) / SAMPLE_RATE)
        window = round(transform.config.seconds * SAMPLE_RATE)
        pieces = [wave[start : start + window] for start in range(0, max(1, len(wave)), window)]
        x = torch.stack([transform.fit(transform.spectrogram(piece)) for piece in pieces])
        return Seen(x, self.length * len(pieces))

    def _tiled(self, transform: ImageTransform, tiles: TilesConfig, source: Any) -> Seen:
        image = read_image(source)
        size = (image.height, image.width)
        tokens = length(tiles, size, self.grid, transform.config.size)
        return Seen(read_tiles(image, tiles, transform), tokens, size)
