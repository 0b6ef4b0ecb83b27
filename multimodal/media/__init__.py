"""Media files to plain pictures, safely; imports nothing of ours.

`files.py`: finding files, opening them without surprises. `opening.py`: any source to a Pillow image whose header has
been read and judged. `images.py`: its pixels, upright and RGB. Resizing to a model's input is not here
(`tokenizers/image_transform.py`), nor is what is wrong with a whole data set (`data/images/check.py`).

No setting of Pillow is changed, and every function may be called from several threads.
"""

from multimodal.media.files import IMAGE_SUFFIXES, MediaError, find_images, is_junk
from multimodal.media.images import ImageInfo, probe_image, read_image, read_reduced
from multimodal.media.opening import MAX_PIXELS, ImageSource

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "ImageInfo",
    "ImageSource",
    "MediaError",
    "find_images",
    "is_junk",
    "probe_image",
    "read_image",
    "read_reduced",
]
