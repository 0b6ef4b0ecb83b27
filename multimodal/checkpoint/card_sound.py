"""What a model card says of a model of sound where one of images speaks of pictures; the frame of it is in `card.py`.

Recognizers of speech have cards of their own, see `card_speech.py`.
"""

from __future__ import annotations

from multimodal.checkpoint.card_text import Words
from multimodal.tokenizers.audio_features import SAMPLE_RATE, LogMelConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig

CLASSIFIER = Words(
    "audio-classification",
    "Classifier of sound",
    "classes of sound",
    'print(model.predict(["clip.wav"])[0].label)',
    "multimodal classify PATH/TO/THIS/FOLDER clip.wav",
)
DUAL_ENCODER = Words(
    "zero-shot-audio-classification",
    "Sound and text encoder",
    "Turns recordings and texts into vectors",
    'print(model.classify(["clip.wav"], ["a dog", "rain"])[0])\n'
    'print(model.embed_audio(["clip.wav"]) @ model.embed_texts(["a dog barks"]).T)',
    None,
)


def sound_preprocessing(config: AudioTransformConfig, method: str) -> str:
    """The section on what becomes of a recording before the model hears it."""
    features = config.features
    kind = "Whisper's logarithms" if isinstance(features, LogMelConfig) else "Kaldi's filterbanks"
    return (
        f"## Preprocessing\n\nA recording of any rate is made mono at {SAMPLE_RATE / 1000:g} kHz and a spectrogram of "
        f"{features.mels} mel channels ({kind}), a frame every 10 ms. The first {config.seconds:g} seconds are heard, "
        f"what is shorter is filled up with zeros, and all is normalised with mean ({config.mean:.4g}) and twice the "
        f"deviation ({config.std:.4g}). {method} does all of it.\n"
    )
