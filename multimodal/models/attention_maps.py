"""Who looks at whom in a text: the weights of every head of every layer, as numbers and as one picture.

A weight says where a head took its input from, not what mattered for the output. Where a classifier of images looked is
in `explain.py`.

Axes: l layers · h heads · t tokens that look · s tokens that are looked at
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from multimodal.errors import ArgumentError
from multimodal.models.png import png_bytes, write_png
from multimodal.models.text.input import device_of, tokenizer_of
from multimodal.models.watching import evaluating, recorded
from multimodal.tokenizers.encoded import Encoded

_WIDEST, _LARGEST = 6000, 10**8  # pixels of the picture: aimed at, and at most in all
_CELL, _FONT = 16, 12  # pixels of a token where there is room, and of its label
_GAP, _CAPTION = 12, 18  # between grids, and above each
_LONGEST = 14  # characters of a label
_COLOURS = "magma"  # of matplotlib: brightness grows evenly, also in print and for the colour-blind


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """The attention weights of one text; each row of a map sums to 1."""

    maps: Float[Tensor, "l h t s"]  # float32, on the CPU
    tokens: tuple[str, ...]  # those that look: the rows of each map
    keys: tuple[str, ...]  # those that are looked at: the columns

    def image(self, *, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None) -> Image.Image:
        """A grid of maps, a row for each layer and a column for each head, all or those given (from 0).

        Brightness is the square root of the weight, so that small ones are seen.

        Raises:
            ArgumentError: a layer or head that there is not, or a picture that would be too large.
        """
        chosen = [
            _chosen(given, count, what)
            for given, count, what in ((layers, self.maps.shape[0], "layer"), (heads, self.maps.shape[1], "head"))
        ]
        return _Grid(self, *chosen).draw()

    def save(
        self, path: str | Path, *, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
    ) -> Path:
        """Write the picture as a PNG, in full or not at all; the path.

        Raises:
            ArgumentError: as `image`.
            DataError: it cannot be written.
        """
        return write_png(self.image(layers=layers, heads=heads), path)

    def _repr_png_(self) -> bytes:
        """The picture, for notebooks."""
        return png_bytes(self.image())


def text_maps(model: Any, text: str, pair: str | None) -> AttentionMaps:
    """The maps of a `LanguageModel` or `TextEncoder` that reads `text`, or a pair of texts.

    Raises:
        ArgumentError: no tokenizer, or a text that is too long or has no tokens.
    """
    row = _row(model, text, pair)
    ids, types = torch.tensor([row.ids, row.types], device=device_of(model))[:, None]
    options = {"types": types} if getattr(model.config.embedding, "types", 0) else {}
    read = model.hidden if hasattr(model, "hidden") else model
    labels = _labels(model, row, text, pair)
    return AttentionMaps(torch.cat(_watched(model, lambda: read(ids, **options))), labels, labels)


def target_maps(model: Any, text: str, target: str) -> AttentionMaps:
    """Where an `EncoderDecoder` that writes `target` looks in `text`; row i is the state that token i is written from.

    Raises:
        ArgumentError: no tokenizer, or a text that is too long or has no tokens.
    """
    source, written = _row(model, text, None), _row(model, target, None)
    ids = torch.tensor([source.ids], device=device_of(model))
    decoder_ids = torch.tensor([[model.config.start, *written.ids[:-1]]], device=device_of(model))
    found = _watched(
        model.decoder, lambda: model(ids, decoder_ids)
    )  # each layer looks at the target, then at the source
    return AttentionMaps(
        torch.cat(found[1::2]), _labels(model, written, target, None), _labels(model, source, text, None)
    )


def _watched(model: nn.Module, run: Callable[[], Any]) -> list[Tensor]:
    """The weights (1 h t s) of every attention inside `model` while `run` runs, in the order of use."""
    with evaluating(model), torch.inference_mode(), recorded(model) as found:
        run()
    return [weights.float().cpu() for weights in found]


def _row(model: Any, text: str, pair: str | None) -> Encoded:
    longest = model.config.embedding.max_length
    row = tokenizer_of(model).encode(text, pair, max_length=longest, truncation="refuse")
    if not row.ids:
        raise ArgumentError("The text is empty: it has no tokens that could look at each other.")
    return row


def _labels(model: Any, row: Encoded, text: str, pair: str | None) -> tuple[str, ...]:
    """What each token stands for in its text; special tokens as the vocabulary spells them."""
    labels = []
    for id, (start, end), part in zip(row.ids, row.offsets, row.parts, strict=True):
        piece = "" if part is None else (text, pair or "")[part][start:end]
        labels.append(piece.strip() or piece.replace(" ", "␣") or model.tokenizer.token_of(id))
    return tuple(labels)


def _chosen(given: Sequence[int] | None, count: int, what: str) -> list[int]:
    if given is None:
        return list(range(count))
    for number in given:
        if not 0 <= number < count:
            raise ArgumentError(f"There is no {what} {number}; they are counted from 0 to {count - 1}.")
    if not given:
        raise ArgumentError(f"{what}s is empty; give at least one, or None for all.")
    return list(given)


class _Grid:
    """The layout of a picture, in pixels: labels on the left and below, a caption over each map."""

    def __init__(self, maps: AttentionMaps, layers: Sequence[int], heads: Sequence[int]) -> None:
        import matplotlib
        from matplotlib.ft2font import FT2Font

        path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
        self.font, known = ImageFont.truetype(path, _FONT), FT2Font(str(path)).get_charmap()
        self.maps, self.layers, self.heads = maps.maps, layers, heads
        t, s = self.maps.shape[2:]
        self.rows, self.columns = ([_shown(label, known) for label in labels] for labels in (maps.tokens, maps.keys))
        self.left = _GAP + math.ceil(max(self.font.getlength(label) for label in self.rows)) + 6
        self.below = _GAP + math.ceil(max(self.font.getlength(label) for label in self.columns)) + 6
        room = (_WIDEST - self.left) / len(heads) - _GAP
        self.cell = max(1, min(_CELL, int(room / s)))
        self.width, self.height = s * self.cell, t * self.cell
        across, down = self.width + _GAP, self.height + _CAPTION + _GAP
        self.size = self.left + across * len(heads), 2 * _CAPTION + down * len(layers) + self.below
        if self.size[0] * self.size[1] > _LARGEST:
            raise ArgumentError(
                f"The picture would have {self.size[0]:,} x {self.size[1]:,} pixels: choose fewer layers or heads, or "
                "a shorter text."
            )

    def draw(self) -> Image.Image:
        """The picture."""
        from matplotlib import colormaps

        across, down = self.width + _GAP, self.height + _CAPTION + _GAP
        notice = "Each row of a map is a token, bright where it looks: "
        canvas = Image.new("RGB", (max(self.size[0], 620), self.size[1]), "white")
        pen = ImageDraw.Draw(canvas)
        pen.text((_GAP, _GAP), notice, font=self.font, fill="black")
        self._scale(canvas, pen, _GAP + round(self.font.getlength(notice)))
        for i, layer in enumerate(self.layers):
            y = 2 * _CAPTION + i * down + _CAPTION
            self._row_labels(pen, y)
            for j, head in enumerate(self.heads):
                x = self.left + j * across
                caption = f"layer {layer} · head {head}"
                if self.font.getlength(caption) > self.width:
                    caption = f"{layer} · {head}"
                pen.text((x, y - 4), caption, font=self.font, fill="black", anchor="ls")
                weights = self.maps[layer, head].clamp(0, 1).sqrt().numpy()
                colours = (colormaps[_COLOURS](weights)[..., :3] * 255).astype(np.uint8)
                tile = Image.fromarray(colours).resize((self.width, self.height), Image.Resampling.NEAREST)
                canvas.paste(tile, (x, y))
        for j in range(len(self.heads)):
            self._column_labels(canvas, self.left + j * across, self.size[1] - self.below - _GAP + 4)
        return canvas

    def _scale(self, canvas: Image.Image, pen: ImageDraw.ImageDraw, x: int) -> None:
        """Weights 0 to 1 and their colours."""
        from matplotlib import colormaps

        bar = (colormaps[_COLOURS](np.linspace(0, 1, 160) ** 0.5)[None, :, :3] * 255).astype(np.uint8)
        pen.text((x, _GAP), "0", font=self.font, fill="black")
        canvas.paste(Image.fromarray(bar).resize((160, _FONT)), (x + 12, _GAP + 1))
        pen.text((x + 178, _GAP), "1", font=self.font, fill="black")

    def _row_labels(self, pen: ImageDraw.ImageDraw, y: int) -> None:
        for i in range(0, len(self.rows), self._every()):
            middle = y + round((i + 0.5) * self.cell)
            pen.text((self.left - 6, middle), self.rows[i], font=self.font, fill="black", anchor="rm")

    def _column_labels(self, canvas: Image.Image, x: int, y: int) -> None:
        for i in range(0, len(self.columns), self._every()):
            label = Image.new("L", (math.ceil(self.font.getlength(self.columns[i])) + 2, _FONT + 4))
            ImageDraw.Draw(label).text((0, (_FONT + 4) // 2), self.columns[i], font=self.font, fill=255, anchor="lm")
            turned = label.rotate(-90, expand=True)
            canvas.paste("black", (x + round((i + 0.5) * self.cell) - turned.width // 2, y), turned)

    def _every(self) -> int:
        """Which labels there is room for: each, or every second, and so on."""
        return math.ceil((_FONT + 1) / self.cell)


def _shown(label: str, known: Container[int]) -> str:
    """A label that the font can draw, not too long."""
    drawn = "".join(c if c.isprintable() and ord(c) in known else f"\\u{ord(c):04x}" for c in label)
    return drawn if len(drawn) <= _LONGEST else drawn[: _LONGEST - 1] + "…"
