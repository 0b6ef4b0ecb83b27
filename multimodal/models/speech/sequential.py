"""A recording from its start to its end, window after window: Whisper's long form, segments as openai-whisper's.

Each window begins where the last segment of the one before ended, so nothing is cut in two, and is told what was said
before, unless that was guessed at a high temperature. What looks wrong is decoded again at higher temperatures, a
window without speech is skipped, segments without text or length are dropped. Beyond that, a window of digital silence
is not decoded at all: there is nothing in it to recognise, and the model would make something up.

Ref: Whisper arXiv:2212.04356 §3.8, §4.5
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from multimodal.models.speech.aligned import with_words
from multimodal.models.speech.decoding import detect_language
from multimodal.models.speech.fallback import COMPRESSION, LOGPROB, NO_SPEECH, TEMPERATURES, decode_with_fallback
from multimodal.models.speech.options import Decoded, DecodingConfig
from multimodal.models.speech.result import Segment
from multimodal.models.speech.segments import cut, kept, segment_of
from multimodal.models.speech.stream import Step
from multimodal.models.speech.windows import Windows
from multimodal.tokenizers.audio_features import FRAMES_PER_SECOND

_GUESSED = 0.5  # text of a higher temperature is not told to the next window


@dataclass(frozen=True, kw_only=True)
class LongFormConfig:
    """How a recording is decoded; thresholds as in `decode_with_fallback`."""

    decoding: DecodingConfig = DecodingConfig()  # its language None: found in the first window
    temperatures: tuple[float, ...] = TEMPERATURES
    best_of: int | None = None  # texts that are drawn of a window at temperatures above 0
    logprob: float | None = LOGPROB
    compression: float | None = COMPRESSION
    no_speech: float | None = NO_SPEECH
    condition: bool = True  # whether a window is told the text before it
    words: bool = False  # whether the times of words are found


@torch.inference_mode()
def sequential(
    model: Any,
    windows: Windows,
    config: LongFormConfig,
    *,
    prompt: Sequence[int] = (),
    how: Literal["sequential", "again"] = "sequential",
    why: str | None = None,
) -> Iterator[Step]:
    """Decode `windows` one after the other.

    Args:
        model: a `SpeechRecognizer` in eval mode.
        windows: of the recording.
        config: how.
        prompt: tokens of a text that the first window is told and, with `condition`, later ones while there is room.
        how: noted in the segments.
        why: noted in the segments.
    """
    said, told = list(prompt), 0  # tokens so far, and from where on they are told
    frame, last_word = 0, 0.0  # where the window begins; where the last word ended, in seconds
    while (window := windows.at(frame)) is not None:
        mel, frames = window
        language, offset = config.decoding.language, frame / FRAMES_PER_SECOND
        if windows.silent(frame):
            frame += frames
            yield Step((), frame / FRAMES_PER_SECOND, language)
            continue
        context = model.encode(mel)
        if language is None:
            language = likeliest_language(model, context)
            config = replace(config, decoding=replace(config.decoding, language=language))
        (decoded,) = decode(model, context, config, prompts=[said[told:]])
        if is_silence(decoded, config):
            frame += frames
            yield Step((), frame / FRAMES_PER_SECOND, language)
            continue
        pieces, advance, closed = cut(decoded.ids, model.tokens.timestamp_begin, frames=frames)
        segments = [segment_of(model, decoded, piece, offset=offset, how=how, why=why) for piece in pieces]
        after = frame + (advance or frames)
        if config.words:
            options: dict[str, Any] = {"frames": frames, "offset": offset, "last": last_word, "config": config.decoding}
            segments = with_words(model, context, segments, **options)
            last_word = end_of(segments)
            if not closed and last_word > offset:
                after = max(frame + 1, round(last_word * FRAMES_PER_SECOND))
        frame = after
        segments = kept(segments)
        said += [id for segment in segments for id in segment.ids]
        if not config.condition or decoded.temperature > _GUESSED:
            told = len(said)
        yield Step(tuple(segments), frame / FRAMES_PER_SECOND, language)


def decode(model: Any, context: Any, config: LongFormConfig, *, prompts: Sequence[Sequence[int]]) -> list[Decoded]:
    """The text of windows, with fallback."""
    return decode_with_fallback(
        model,
        context,
        config.decoding,
        temperatures=config.temperatures,
        logprob_threshold=config.logprob,
        compression_threshold=config.compression,
        no_speech_threshold=config.no_speech,
        best_of=config.best_of,
        prompts=prompts,
    )


def is_silence(decoded: Decoded, config: LongFormConfig) -> bool:
    """Whether the model hears no speech in a window and is not sure of its text."""
    if config.no_speech is None or not decoded.no_speech > config.no_speech:
        return False
    return config.logprob is None or not decoded.avg_logprob > config.logprob


def likeliest_language(model: Any, context: Any) -> str:
    """The language of the first window; English where the model knows no other."""
    if not model.tokens.multilingual:
        return "en"
    odds = detect_language(model, context[:1])[0]
    return max(odds, key=odds.__getitem__)


def end_of(segments: Sequence[Segment]) -> float:
    """When the last word ends or, without words, the last segment."""
    words = [word for segment in segments for word in segment.words]
    return words[-1].end if words else segments[-1].end
