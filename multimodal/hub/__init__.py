"""Models by name: `load` from a folder or a published checkpoint, and back again for timm.

`loading.py`: which source it is, and putting the model on a device. `placing.py`: devices and number formats.
`timm_source.py`: a timm name or folder to a timm model, downloads included. `timm_convert.py`: a timm model to a
`Classifier`. `timm_export.py`: a `Classifier` back to timm. Folders of our own are read by `checkpoint`.
"""

from multimodal.hub.loading import load
from multimodal.hub.placing import best_dtype, find_device, find_dtype
from multimodal.hub.timm_export import export_timm, save_timm

__all__ = ["best_dtype", "export_timm", "find_device", "find_dtype", "load", "save_timm"]
