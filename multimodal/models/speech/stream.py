"""Recordings to windows, and windows back to recordings, whatever model hears them: what all `transcribe` share.

A recording gives a `Job` for each window with speech, then `Ended`. A model makes a `Step` of each window. `gathered`
brings the steps of a recording together, with one progress bar in seconds of audio over all of them. Windows of several
recordings may share a batch, and a recording that cannot be read stops none of the others.

Axes: n samples
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from multimodal.media import MediaError, probe_audio, stream_audio
from multimodal.models.speech.activity import Chunk, chunks
from multimodal.models.speech.result import Segment
from multimodal.progress import track
from multimodal.tokenizers.audio_features import SAMPLE_RATE

Result = TypeVar("Result")
BATCH = 8  # windows at a time where none are asked for


@dataclass(frozen=True)
class Job:
    """A window of the recording number `place`."""

    place: int
    chunk: Chunk


@dataclass(frozen=True)
class Ended:
    """The recording number `place` has no more windows."""

    place: int
    seconds: float  # its length
    error: Exception | None = None  # why it could not be read to its end


@dataclass(frozen=True)
class Step:
    """What one window gave."""

    segments: tuple[Segment, ...]
    seconds: float  # how far the recording is done
    language: str | None = None


class Heard(NamedTuple):
    """A recording that was heard to its end."""

    place: int
    seconds: float
    segments: tuple[Segment, ...]
    language: str | None


def lengths_of(sources: Sequence[Any], errors: list[tuple[Any, str]] | None) -> dict[int, float]:
    """The seconds of each recording that can be read, by its place in `sources`.

    Raises:
        MediaError: one cannot be read, and there is no list of `errors` for it.
    """
    found = {}
    for place, source in enumerate(sources):
        try:
            found[place] = probe_audio(sound_of(source)).seconds
        except MediaError as error:
            _refuse(source, error, errors)
    return found


def jobs(sources: Sequence[Any], places: Iterable[int], *, longest: float) -> Iterator[Job | Ended]:
    """The windows of at most `longest` seconds of the recordings at `places`, one recording after the other."""
    for place in places:
        samples = 0

        def pieces(source: Any) -> Iterator[np.ndarray]:
            nonlocal samples
            for piece in stream_audio(source):
                samples += len(piece)
                yield piece

        try:
            for chunk in chunks(pieces(sound_of(sources[place])), longest=longest):
                yield Job(place, chunk)
        except MediaError as error:
            yield Ended(place, samples / SAMPLE_RATE, error)
        else:
            yield Ended(place, samples / SAMPLE_RATE)


def in_batches(items: Iterable[Job | Ended], size: int) -> Iterator[list[Job | Ended]]:
    """`items` in lists with `size` windows each; the last has fewer."""
    waiting: list[Job | Ended] = []
    for item in items:
        waiting.append(item)
        if sum(isinstance(each, Job) for each in waiting) >= size:
            yield waiting
            waiting = []
    yield waiting


def gathered(
    sources: Sequence[Any],
    seconds: dict[int, float],
    steps: Iterable[tuple[int, Step] | Ended],
    errors: list[tuple[Any, str]] | None,
) -> Iterator[Heard]:
    """Each recording as soon as its last step is there.

    Args:
        sources: the recordings.
        seconds: as `lengths_of` gave them.
        steps: a place and a step for each window, and an `Ended` for each recording.
        errors: as in `lengths_of`.

    Raises:
        MediaError: as `lengths_of`.
    """
    segments: dict[int, list[Segment]] = {place: [] for place in seconds}
    languages: dict[int, str | None] = {}
    total = math.ceil(sum(seconds.values()))
    for item in track(steps, total, "seconds of audio", size=_Passed(seconds)):
        if not isinstance(item, Ended):
            place, step = item
            segments[place] += step.segments
            languages[place] = step.language or languages.get(place)
        elif item.error is not None:
            _refuse(sources[item.place], item.error, errors)
        else:
            yield Heard(item.place, item.seconds, tuple(segments.pop(item.place)), languages.get(item.place))


def answers(results: Iterable[tuple[int, Result]], *, several: bool) -> Any:
    """The results in the order of their places; where there are not `several`, the one, or None."""
    found = dict(results)
    return [found[place] for place in sorted(found)] if several else found.get(0)


def sound_of(source: Any) -> Any:
    """`source` as `media` reads it: a tensor as an array."""
    if isinstance(source, tuple) and len(source) == 2:
        return sound_of(source[0]), source[1]
    return source.detach().cpu().numpy() if isinstance(source, torch.Tensor) else source


class _Passed:
    """How many further seconds of audio each result stands for, in whole ones."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds, self.at, self.told = seconds, {}, 0

    def __call__(self, item: tuple[int, Step] | Ended) -> int:
        place, seconds = (item.place, item.seconds) if isinstance(item, Ended) else (item[0], item[1].seconds)
        self.at[place] = min(seconds, self.seconds[place])
        before, self.told = self.told, int(sum(self.at.values()))
        return self.told - before


def _refuse(source: Any, error: Exception, errors: list[tuple[Any, str]] | None) -> None:
    if errors is None:
        raise error
    errors.append((source, str(error)))
