"""The tokens of a window cut into segments at their timestamps, as openai-whisper cuts them.

A window ends either in one timestamp, after which there is no speech, or in two, which say that the next segment begins
there and does not end in the window; decoding goes on from there.

Ref: Whisper arXiv:2212.04356 §3.8
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from multimodal.models.speech.options import Decoded
from multimodal.models.speech.result import Segment
from multimodal.models.speech.tokens import TIMESTAMP_STEP
from multimodal.tokenizers.audio_features import FRAMES_PER_SECOND

_STEP = round(TIMESTAMP_STEP * FRAMES_PER_SECOND)  # frames from one timestamp to the next: 2


class Piece(NamedTuple):
    """A part of a window's tokens; times in seconds from the start of the window."""

    start: float
    end: float
    first: int  # ids[first:last]
    last: int


class Cut(NamedTuple):
    """A window's parts, and how many frames further the next window begins."""

    pieces: list[Piece]
    advance: int
    closed: bool  # it ended in one timestamp


def cut(ids: Sequence[int], timestamp_begin: int, *, frames: int) -> Cut:
    """Where the segments of a window of `frames` real frames are.

    Args:
        ids: text and timestamps, without what stands before and after.
        timestamp_begin: the id of <|0.00|>.
        frames: how many frames of the window belong to the recording.
    """
    times = [id >= timestamp_begin for id in ids]
    closed = times[-2:] == [False, True]
    edges = [i for i in range(1, len(ids)) if times[i] and times[i - 1]]
    if not edges:
        last = next((id - timestamp_begin for id in reversed(ids) if id >= timestamp_begin), 0)
        end = last * TIMESTAMP_STEP if last else frames / FRAMES_PER_SECOND
        return Cut([Piece(0.0, end, 0, len(ids))], frames, closed)
    ends = [*edges, len(ids)] if closed else edges
    pieces = [
        Piece((ids[a] - timestamp_begin) * TIMESTAMP_STEP, (ids[b - 1] - timestamp_begin) * TIMESTAMP_STEP, a, b)
        for a, b in zip([0, *ends[:-1]], ends, strict=True)
    ]
    return Cut(pieces, frames if closed else (ids[ends[-1] - 1] - timestamp_begin) * _STEP, closed)


def segment_of(
    model: Any,
    decoded: Decoded,
    piece: Piece,
    *,
    offset: float,
    how: Literal["sequential", "batched", "again"],
    why: str | None = None,
) -> Segment:
    """A segment of the result; `offset` is the start of its window in seconds."""
    ids, logprobs = decoded.ids[piece.first : piece.last], decoded.logprobs[piece.first : piece.last]
    spoken = [logprob for id, logprob in zip(ids, logprobs, strict=True) if id < model.tokens.eot]
    return Segment(
        start=offset + piece.start,
        end=offset + piece.end,
        text=text_of(model, ids),
        ids=ids,
        confidence=math.exp(sum(spoken) / len(spoken)) if spoken else None,
        avg_logprob=decoded.avg_logprob,
        no_speech=decoded.no_speech,
        compression_ratio=decoded.compression_ratio,
        temperature=decoded.temperature,
        decoded=how,
        why=why,
    )


def kept(segments: Iterable[Segment]) -> list[Segment]:
    """Those that say something and take some time."""
    return [segment for segment in segments if segment.text and segment.start != segment.end]


def text_of(model: Any, ids: Iterable[int]) -> str:
    """The text of tokens, among which may be timestamps."""
    return model.tokenizer.decode([id for id in ids if id < model.tokens.eot]).strip()
