"""Published designs as configs of any size: what a design fixes is written here once, and the sizes are arguments.

text.py    GPT-2, Llama, BERT, T5, the original transformer
dual.py    CLIP, SigLIP
speech.py  Whisper
"""

from multimodal.presets.dual import Stack, ViT, clip, siglip
from multimodal.presets.speech import WHISPER_SIZES, WhisperSize, whisper
from multimodal.presets.text import bert, gpt2, llama, t5, transformer

__all__ = [
    "WHISPER_SIZES",
    "Stack",
    "ViT",
    "WhisperSize",
    "bert",
    "clip",
    "gpt2",
    "llama",
    "siglip",
    "t5",
    "transformer",
    "whisper",
]
