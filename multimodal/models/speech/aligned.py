"""Segments with their words: the times of `words.py`, shared out and mended where a pause spoils them.

The alignment gives a pause to the word before or after it. So at the borders of sentences, and after a pause, a word
that is more than twice as long as usual is shortened; and a segment starts and ends with its words, unless its own
timestamp is the more likely. As openai-whisper's `add_word_timestamps`, number for number.

Axes: s encoder tokens · d model width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from multimodal.models.speech.options import DecodingConfig
from multimodal.models.speech.result import Segment, Word
from multimodal.models.speech.words import WordTime, merge_punctuation, word_times

_SENTENCE_ENDS = ".。!！?？"
_LONGEST = 0.7  # seconds; a word of usual length is no longer
_EDGE = 0.5  # seconds that the first or last word may stand out of its segment
_PAUSE = 4  # usual words: a longer gap before a word is a pause


def with_words(
    model: Any,
    context: Float[Tensor, "1 s d"],
    segments: Sequence[Segment],
    *,
    frames: int,
    offset: float,
    last: float,
    config: DecodingConfig,
) -> list[Segment]:
    """The segments of one window with their words and, where those are clearer, with the words' times.

    Args:
        model: a `SpeechRecognizer` in eval mode.
        context: the window, encoded.
        segments: all of the window, in order.
        frames: how many frames of the window belong to the recording.
        offset: seconds from the start of the recording to the window.
        last: when the last word before the window ended, in seconds.
        config: language and task of the window.
    """
    spoken = [[id for id in segment.ids if id < model.tokens.eot] for segment in segments]
    ids = [id for part in spoken for id in part]
    times = word_times(model, context, ids, frames=frames, language=config.language, task=config.task)
    lengths = [time.end - time.start for time in times if time.end != time.start]
    usual = min(_LONGEST, float(np.median(lengths))) if lengths else 0.0
    times = merge_punctuation(_shortened(times, 2 * usual) if lengths else times)
    done, place = [], 0
    for segment, part in zip(segments, spoken, strict=True):
        words, count = [], 0
        while place < len(times) and count < len(part):
            time = times[place]
            if time.text:
                start, end = round(offset + time.start, 2), round(offset + time.end, 2)
                words.append(Word(time.text, start, end, float(time.probability)))
            count += len(time.tokens)
            place += 1
        if words:
            segment = _fitted(segment, words, usual=usual, last=last)
            last = segment.end
        done.append(segment)
    return done


def _shortened(times: Sequence[WordTime], longest: float) -> list[WordTime]:
    """Sentence ends, and words after them, are at most `longest` seconds long."""
    done = list(times)
    for i in range(1, len(done)):
        if done[i].end - done[i].start > longest:
            if done[i].text in _SENTENCE_ENDS:
                done[i] = replace(done[i], end=done[i].start + longest)
            elif done[i - 1].text in _SENTENCE_ENDS:
                done[i] = replace(done[i], start=done[i].end - longest)
    return done


def _fitted(segment: Segment, words: list[Word], *, usual: float, last: float) -> Segment:
    """`segment` and its words, made to fit each other."""
    longest, first = 2 * usual, words[0]
    second = words[1] if len(words) > 1 else None
    far = second is not None and second.end - first.start > 2 * longest
    if first.end - last > _PAUSE * usual and (first.end - first.start > longest or far):
        if second is not None and second.end - second.start > longest:
            border = max(second.end / 2, second.end - longest)
            first, words[1] = replace(first, end=border), replace(second, start=border)
        first = replace(first, start=max(0.0, first.end - longest))
    start, end = segment.start, segment.end
    if start < first.end and start - _EDGE > first.start:
        first = replace(first, start=max(0.0, min(first.end - usual, start)))
    else:
        start = first.start
    words[0] = first
    final = words[-1]
    if end > final.start and end + _EDGE < final.end:
        words[-1] = replace(final, end=max(final.start + usual, end))
    else:
        end = final.end
    return replace(segment, start=start, end=end, words=tuple(words))
