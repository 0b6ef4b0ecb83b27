"""Preprocessing of pictures as transformers writes it: `preprocessor_config.json` as ours, and back.

Where the middle is cut out of a picture and an odd number of pixels is left over, transformers rounds the other way in
one case of two: the cut may lie one pixel beside ours, which equals torchvision's and open_clip's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from multimodal.errors import ArgumentError, DataError
from multimodal.hub.files import read_json
from multimodal.hub.transformers_family import Fields
from multimodal.models.chat.tiles import TilesConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig, Interpolation

PIXELS = "preprocessor_config.json"
PROCESSOR = "processor_config.json"  # of newer versions: the former is a part of it
_RESAMPLE: dict[int, Interpolation] = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers


def read_pixels(folder: Path, usual: ImageTransformConfig, *, tiles: TilesConfig | None = None) -> ImageTransformConfig:
    """The preprocessing that the files of `folder` state; `usual` where there is none.

    Args:
        folder: with its files.
        usual: what a field means that is not there.
        tiles: into which the model cuts pictures; the files must say the same of it.

    Raises:
        DataError: a damaged file, or something that cannot be done here.
    """
    name, found = PIXELS, read_json(folder / PIXELS) if (folder / PIXELS).exists() else {}
    if not found and (folder / PROCESSOR).exists():
        name, found = PROCESSOR, read_json(folder / PROCESSOR).get("image_processor") or {}
    if not isinstance(found, Mapping):
        raise DataError(f"{folder / name}: image_processor is {found!r}; it must be an object.")
    if not found:
        return usual
    fields = Fields(found, str(folder / name))
    fields.only(do_resize=True, do_rescale=True, do_convert_rgb=True)
    if tiles is None:
        fields.only(do_pad=False)  # of tiles, it fills up batches
    else:
        fields.only(image_grid_pinpoints=[list(canvas) for canvas in tiles.canvases])
    if abs(fields.number("rescale_factor", 1 / 255) - 1 / 255) > 1e-9:
        raise fields.wrong("rescale_factor", "only 1/255 can be done here")
    normal = fields.flag("do_normalize", True)
    resample = fields.whole("resample", 3, least=0)
    if resample not in _RESAMPLE:
        raise fields.wrong("resample", f"of Pillow's numbers, {', '.join(map(str, _RESAMPLE))} can be done here")
    try:
        return replace(
            _shape(fields, usual),
            interpolation=_RESAMPLE[resample],
            mean=_three(fields, "image_mean", usual.mean) if normal else (0.0, 0.0, 0.0),
            std=_three(fields, "image_std", usual.std) if normal else (1.0, 1.0, 1.0),
        )
    except ArgumentError as error:  # a value that our own config refuses
        raise DataError(f"{fields.file}: {error}") from error


def write_pixels(config: ImageTransformConfig, kind: str) -> dict[str, Any]:
    """`preprocessor_config.json` for a model of the model_type `kind`.

    Raises:
        ArgumentError: a preprocessing that transformers does not have.
    """
    height, width = config.size
    both: dict[str, Any] = {"height": height, "width": width}
    if config.resize == "squash":
        shape = {"size": both, "do_center_crop": False}
    elif config.resize == "crop" and height == width:
        edge = math.floor(height / config.crop_fraction)
        shape = {"size": {"shortest_edge": edge}, "do_center_crop": True, "crop_size": both}
    else:
        raise ArgumentError(
            f"transformers cannot prepare pictures with resize={config.resize!r} and size={config.size}; of these "
            "models, it squashes them or cuts out a square."
        )
    return {
        "image_processor_type": "SiglipImageProcessor" if kind == "siglip" else "CLIPImageProcessor",
        **shape,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "resample": next(number for number, name in _RESAMPLE.items() if name == config.interpolation),
        "rescale_factor": 1 / 255,
        "image_mean": list(config.mean),
        "image_std": list(config.std),
    }


def _shape(fields: Fields, usual: ImageTransformConfig) -> ImageTransformConfig:
    """How a picture gets its size."""
    crop = fields.flag("do_center_crop", usual.resize == "crop")
    size = fields.config.get("size", usual.size[0])
    edge = size.get("shortest_edge") if isinstance(size, Mapping) else size
    if isinstance(size, Mapping) and edge is None:
        whole = _sides(fields, "size", size)
        if crop and _sides(fields, "crop_size", fields.config.get("crop_size", size)) != whole:
            raise fields.wrong("crop_size", "after resizing to a fixed size, nothing can be cut off here")
        return replace(usual, size=whole, resize="squash", crop_fraction=1.0)
    if type(edge) is not int or edge < 1 or (isinstance(size, Mapping) and len(size) > 1):
        raise fields.wrong("size", "it must be a number of pixels, {shortest_edge}, or {height, width}")
    if not crop:
        raise fields.wrong("do_center_crop", "without it, pictures of other proportions give no square here")
    height, width = _sides(fields, "crop_size", fields.config.get("crop_size", edge))
    if height != width or height > edge:
        raise fields.wrong("crop_size", f"here, it must be a square of at most {edge} pixels, the size before the cut")
    fraction = height / edge
    if math.floor(height / fraction) != edge:  # rounding
        fraction = math.nextafter(fraction, 0.0)
    return replace(usual, size=(height, width), resize="crop", crop_fraction=fraction)


def _sides(fields: Fields, name: str, value: Any) -> tuple[int, int]:
    """(height, width), given as one number or as two."""
    pair: Any = (value.get("height"), value.get("width")) if isinstance(value, Mapping) else (value, value)
    if any(type(side) is not int or side < 1 for side in pair):
        raise fields.wrong(name, "it must be a number of pixels, or {height, width}")
    return pair


def _three(fields: Fields, name: str, usual: tuple[float, float, float]) -> tuple[float, float, float]:
    found = fields.config.get(name)
    values = list(usual) if found is None else list(found) if isinstance(found, list) else [found] * 3
    if len(values) != 3 or any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        raise fields.wrong(name, "it must be three numbers, for red, green and blue")
    red, green, blue = map(float, values)
    return red, green, blue
