"""What the model card of a speech model says: what it writes down, by what, and what it listens to.

The frame around it is in `card.py`. Nothing here is escaped: it is all ours but the codes of languages.
"""

from __future__ import annotations

from typing import TypeAlias

from multimodal.checkpoint.card_text import Words
from multimodal.models.ctc_recognizer import CtcRecognizer
from multimodal.models.speech_recognizer import SpeechRecognizer

AnyRecognizer: TypeAlias = SpeechRecognizer | CtcRecognizer
_LISTED = 12  # languages that are named


def speech_words(model: AnyRecognizer) -> Words:
    """The words for `model`."""
    tokens = model.tokens if isinstance(model, SpeechRecognizer) else None
    does = "Writes down speech"
    if tokens is not None and tokens.multilingual:
        does += f" in {len(tokens.languages)} languages, or translates it to English"
    return Words(
        "automatic-speech-recognition",
        "Speech recognizer",
        does,
        'print(model.transcribe("recording.mp3").text)',
        "multimodal transcribe recording.mp3 --model PATH/TO/THIS/FOLDER --format srt",
    )


def speech_body(model: AnyRecognizer) -> str:
    """What the model is made of, as a clause."""
    if isinstance(model, CtcRecognizer):
        stack = model.config.encoder.backbone
        kind = "Conformer" if stack.block.convolution else "transformer"
        return f"a {kind} of {stack.depth} layers and width {stack.dim} that scores {model.blank} tokens (CTC)"
    encoder, decoder = model.config.encoder.backbone, model.config.decoder
    return f"a transformer of {encoder.depth} layers that listen and {decoder.depth} that write, of width {decoder.dim}"


def speech_input(model: AnyRecognizer) -> str:
    """The section on what the model listens to."""
    text = (
        f"Sound of any rate and length; `transcribe` makes it mono at 16 kHz, and windows of {model.features.mels} mel "
        "channels."
    )
    if model.tokenizer is None:
        text += " There is no tokenizer in this folder: the model gives token ids."
    if isinstance(model, CtcRecognizer):
        return f"## Input\n\n{text}\n"
    text += f" Of text, a window holds up to {model.config.embedding.max_length} tokens."
    tokens = model.tokens
    if tokens is None:
        return f"## Input\n\n{text}\n"
    if tokens.multilingual:
        codes, more = list(tokens.languages)[:_LISTED], len(tokens.languages) - _LISTED
        text += f" Languages: {', '.join(codes)}{f' and {more} more' if more > 0 else ''}."
    return f"## Input\n\n{text}\n"
