"""Media files to plain pictures and waveforms, safely; imports nothing of ours.

`files.py`: finding files, opening them without surprises. `opening.py`: any source to a Pillow image whose header has
been read and judged. `images.py`: its pixels, upright and RGB. `audio_opening.py`: any source to blocks of samples, by
`audio_soundfile.py` or `audio_container.py`, unless `audio_cut.py` finds it cut short. `audio.py`: its waveform, mono,
at the asked rate. Resizing to a model's input and features of sound are not here (`tokenizers/`), nor is what is wrong
with a whole data set (`data/`).

No setting of Pillow is changed, the libraries for sound are imported at the first sound, and every function may be
called from several threads.
"""

from multimodal.media.audio import AudioInfo, probe_audio, read_audio, stream_audio
from multimodal.media.audio_opening import AudioSource
from multimodal.media.files import AUDIO_SUFFIXES, IMAGE_SUFFIXES, MediaError, find_audio, find_images, is_junk
from multimodal.media.images import ImageInfo, probe_image, read_image, read_reduced
from multimodal.media.opening import MAX_PIXELS, ImageSource

__all__ = [
    "AUDIO_SUFFIXES",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "AudioInfo",
    "AudioSource",
    "ImageInfo",
    "ImageSource",
    "MediaError",
    "find_audio",
    "find_images",
    "is_junk",
    "probe_audio",
    "probe_image",
    "read_audio",
    "read_image",
    "read_reduced",
    "stream_audio",
]
