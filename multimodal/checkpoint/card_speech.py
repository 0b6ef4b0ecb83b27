"""What the model card of a speech model says: what it writes down, by what, and what it listens to.

The frame around it is in `card.py`. Nothing here is escaped: it is all ours but the codes of languages.
"""

from __future__ import annotations

from multimodal.checkpoint.card_text import Words
from multimodal.models.speech_recognizer import SpeechRecognizer

_LISTED = 12  # languages that are named


def speech_words(model: SpeechRecognizer) -> Words:
    """The words for `model`."""
    tokens = model.tokens
    does = "Writes down speech"
    if tokens is not None and tokens.multilingual:
        does += f" in {len(tokens.languages)} languages, or translates it to English"
    return Words(
        "automatic-speech-recognition",
        "Speech recognizer",
        does,
        'print(model.transcribe("recording.mp3").text)',
        "multimodal transcribe PATH/TO/THIS/FOLDER recording.mp3 --format srt",
    )


def speech_body(model: SpeechRecognizer) -> str:
    """What the model is made of, as a clause."""
    encoder, decoder = model.config.encoder.backbone, model.config.decoder
    return f"a transformer of {encoder.depth} layers that listen and {decoder.depth} that write, of width {decoder.dim}"


def speech_input(model: SpeechRecognizer) -> str:
    """The section on what the model listens to."""
    text = (
        f"Sound of any rate and length; `transcribe` makes it mono at 16 kHz, and windows of {model.features.mels} mel "
        f"channels. Of text, a window holds up to {model.config.embedding.max_length} tokens."
    )
    tokens = model.tokens
    if tokens is None:
        text += " There is no tokenizer in this folder: the model gives token ids."
    elif tokens.multilingual:
        codes, more = list(tokens.languages)[:_LISTED], len(tokens.languages) - _LISTED
        text += f" Languages: {', '.join(codes)}{f' and {more} more' if more > 0 else ''}."
    return f"## Input\n\n{text}\n"
