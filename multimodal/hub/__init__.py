"""Models by name: `load` from a folder or a published checkpoint, and back again.

`loading.py`: which source it is, and putting the model on a device. `placing.py`: devices and number formats.
`files.py`, `safetensors_folder.py`: what all sources share. Folders of our own are read by `checkpoint`; `parts.py`
puts a projector or adapters onto their bases, `part_saving.py` writes them.

timm: `timm_source.py` finds a timm model, downloads included; `timm_convert.py` makes a `Classifier` of it;
`timm_export.py` goes back.

open_clip: `open_clip_source.py` finds a model, `open_clip_config.py` says what its config means (parts of it in
`open_clip_parts.py`, the tokenizer in `open_clip_tokenizer.py`), `open_clip_convert.py` makes a `DualEncoder` of it.
Back: `save_open_clip` in `open_clip_export.py`, to be imported from there, since open_clip takes a second to import.

transformers: `transformers_hub.py` downloads, `transformers_source.py` reads a folder, `transformers_export.py` writes
one. `transformers_family.py` is the contract of the families in the other files `transformers_*.py`; beside a model's
config, `transformers_generation.py` reads how texts are written, `transformers_pixels.py` how pictures are prepared,
and `transformers_processor.py` what LLaVA's processor says.
"""

from multimodal.hub.loading import load, load_part
from multimodal.hub.part_saving import save_part
from multimodal.hub.placing import best_dtype, find_device, find_dtype
from multimodal.hub.timm_export import export_timm, save_timm
from multimodal.hub.transformers_export import export_transformers, save_transformers

__all__ = [
    "best_dtype",
    "export_timm",
    "export_transformers",
    "find_device",
    "find_dtype",
    "load",
    "load_part",
    "save_part",
    "save_timm",
    "save_transformers",
]
