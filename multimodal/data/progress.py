"""`track` by the name that data preparation imports it by; it is made in `multimodal.progress`."""

from multimodal.progress import track

__all__ = ["track"]
