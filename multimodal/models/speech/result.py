"""What a transcription is: text with times, how sure the model was of each part, and how that part was decoded.

Plain data, the same from every speech model. How it is written as subtitles is in `formats.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Word:
    """One word with the punctuation that clings to it.

    `text` keeps the space before it where the language writes one, so that the words of a segment join to its text.
    """

    text: str
    start: float  # seconds from the start of the audio
    end: float
    probability: float | None = None  # the mean over its tokens


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A few seconds of speech, about one sentence; a figure that a kind of model does not have is None."""

    start: float  # seconds from the start of the audio
    end: float
    text: str  # without spaces around it
    ids: tuple[int, ...] = ()  # the tokens, timestamps among them
    words: tuple[Word, ...] = ()  # where word times were asked for
    confidence: float | None = None  # 0 to 1: exp(avg_logprob)
    avg_logprob: float | None = None  # mean log-probability of a token, over the window that the segment is from
    no_speech: float | None = None  # the probability that the window holds no speech
    compression_ratio: float | None = None  # of the window's text under zlib; above 2.4 it repeats itself
    temperature: float | None = None  # that its tokens were drawn with; 0: the likeliest ones
    decoded: Literal["sequential", "batched", "again", "ctc"] = "sequential"  # "again": the batch's was not trusted
    why: str | None = None  # of "again": what was wrong with the batch's


@dataclass(frozen=True, kw_only=True)
class Transcription:
    """The text of one recording."""

    source: Any  # what was given: a path, an array
    text: str
    language: str | None  # a code such as "en"; None where the model does not know languages
    task: Literal["transcribe", "translate"] = "transcribe"
    seconds: float  # length of the audio
    segments: tuple[Segment, ...] = ()
