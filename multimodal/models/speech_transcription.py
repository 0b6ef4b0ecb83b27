"""From recordings to text: what `SpeechRecognizer.transcribe` does.

One window after the other (`speech_sequential.py`, equal to openai-whisper), or many at a time, each verified
(`speech_batched.py`). Recordings stream: of ten hours, a minute is held in memory, or a batch of windows.

Axes: n samples
Ref: Whisper arXiv:2212.04356
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from multimodal.media import MediaError, probe_audio, read_audio, stream_audio
from multimodal.models.speech_activity import chunks
from multimodal.models.speech_batched import Ended, Job, batched
from multimodal.models.speech_fallback import COMPRESSION, LOGPROB, NO_SPEECH, TEMPERATURES
from multimodal.models.speech_plan import Plan, plan_of
from multimodal.models.speech_result import Segment, Transcription
from multimodal.models.speech_segments import text_of
from multimodal.models.speech_sequential import Step, sequential
from multimodal.models.speech_windows import WHOLE, StreamedWindows, WholeWindows, window_frames
from multimodal.models.watching import evaluating
from multimodal.progress import track
from multimodal.tokenizers.audio_features import FRAMES_PER_SECOND, SAMPLE_RATE

BATCH = 8  # windows at a time where none are asked for


def transcribe(
    model: Any,
    audio: Any,
    *,
    language: str | None = None,
    task: str = "transcribe",
    timestamps: str = "segment",
    batch_size: int | None = None,
    beams: int | None = None,
    condition: bool = True,
    prompt: str | None = None,
    temperatures: float | Sequence[float] = TEMPERATURES,
    best_of: int | None = 5,
    logprob_threshold: float | None = LOGPROB,
    compression_threshold: float | None = COMPRESSION,
    no_speech_threshold: float | None = NO_SPEECH,
    seed: int | None = None,
    errors: list[tuple[Any, str]] | None = None,
) -> Any:
    """The `Transcription` of one recording, or a list of those of several.

    Args:
        model: a `SpeechRecognizer` with a tokenizer.
        audio: a path (of a video as well), the bytes of a file, samples at 16 kHz (n,), or (samples, rate); or a list
            of these.
        language: a code or an English name, "de" or "German"; None: each recording's own, as the model hears it.
        task: "translate": into English.
        timestamps: "word" gives each segment its words; "none": text alone, one segment for each window.
        batch_size: windows that go through the model at a time, each verified and, where it is suspect, decoded again;
            1: one after the other, each told the text before it, which is openai-whisper's way. None: 1 where all is
            one window, else 8.
        beams: texts that are searched at a time, in place of the likeliest token each time.
        condition: whether a window that is decoded after another is told its text.
        prompt: a text that the model takes for what was said before: names, spelling, style.
        temperatures: of the first and of further tries where a text looks wrong.
        best_of: texts that are drawn of a window at temperatures above 0, of which the likeliest counts.
        logprob_threshold: of a text's mean log-probability, below which it looks wrong; None: never.
        compression_threshold: of a text's compression ratio, above which it repeats itself; None: never.
        no_speech_threshold: of the probability of silence, above which a text that looks wrong is dropped; None: never.
        seed: of what is drawn, at temperatures above 0; None: another one each time.
        errors: where given, an unreadable recording is appended here as (recording, reason) and left out.

    Raises:
        ArgumentError: an option that the model cannot follow, such as a language that it does not know.
        MediaError: a recording cannot be read, and no `errors` list was given.
    """
    several = isinstance(audio, list)
    options: dict[str, Any] = {"task": task, "timestamps": timestamps, "batch_size": batch_size, "beams": beams}
    options |= {"condition": condition, "prompt": prompt, "temperatures": temperatures, "best_of": best_of}
    options |= {"logprob_threshold": logprob_threshold, "compression_threshold": compression_threshold}
    options |= {"no_speech_threshold": no_speech_threshold, "language": language, "seed": seed}
    steps = stream(model, audio if several else [audio], errors=errors, **options)
    found = dict(steps)
    return [found[place] for place in sorted(found)] if several else found.get(0)


def stream(
    model: Any, sources: Sequence[Any], *, errors: list[tuple[Any, str]] | None = None, **options: Any
) -> Iterator[tuple[int, Transcription]]:
    """Each recording's place in `sources` and its transcription, as soon as it is known; arguments as `transcribe`.

    A progress bar counts the seconds of audio.
    """
    plan = plan_of(model, **options)
    seconds, readable = {}, []
    for place, source in enumerate(sources):
        try:
            seconds[place] = probe_audio(sound_of(source)).seconds
            readable.append(place)
        except MediaError as error:
            _refuse(source, error, errors)
    window = window_frames(model) / FRAMES_PER_SECOND
    single = len(readable) == 1 and seconds[readable[0]] <= window
    one_by_one = plan.batch_size == 1 or (plan.batch_size is None and single)
    steps = _one_by_one(model, sources, seconds, plan) if one_by_one else _together(model, sources, readable, plan)
    total = math.ceil(sum(seconds.values()))
    segments: dict[int, list[Segment]] = {place: [] for place in readable}
    languages: dict[int, str | None] = {}
    with evaluating(model):
        for item in track(steps, total, "seconds of audio", size=_Passed(seconds)):
            if not isinstance(item, Ended):
                place, step = item
                segments[place] += step.segments
                languages[place] = step.language or languages.get(place)
            elif item.error is not None:
                _refuse(sources[item.place], item.error, errors)
            else:
                found = tuple(segments.pop(item.place))
                yield (
                    item.place,
                    Transcription(
                        source=sources[item.place],
                        text=text_of(model, itertools.chain.from_iterable(segment.ids for segment in found)),
                        language=languages.get(item.place) or plan.config.decoding.language,
                        task=plan.config.decoding.task,
                        seconds=item.seconds,
                        segments=found,
                    ),
                )


class _Passed:
    """How many further seconds of audio each result stands for, in whole ones."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds, self.at, self.told = seconds, {}, 0

    def __call__(self, item: tuple[int, Step] | Ended) -> int:
        place, seconds = (item.place, item.seconds) if isinstance(item, Ended) else (item[0], item[1].seconds)
        self.at[place] = min(seconds, self.seconds[place])
        before, self.told = self.told, int(sum(self.at.values()))
        return self.told - before


def _one_by_one(model: Any, sources: Sequence[Any], seconds: dict[int, float], plan: Plan) -> Iterator[Any]:
    for place, length in seconds.items():
        source = sound_of(sources[place])
        try:
            windows = WholeWindows(model, read_audio(source)) if length <= WHOLE else None
            windows = windows or StreamedWindows(model, stream_audio(source))
            for step in sequential(model, windows, plan.config, prompt=plan.prompt):
                yield place, step
        except MediaError as error:
            yield Ended(place, length, error)
        else:
            yield Ended(place, windows.seconds)


def _together(model: Any, sources: Sequence[Any], places: Sequence[int], plan: Plan) -> Iterator[Any]:
    longest = window_frames(model) / FRAMES_PER_SECOND

    def jobs() -> Iterator[Job | Ended]:
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

    return batched(model, jobs(), plan.config, batch_size=plan.batch_size or BATCH, prompt=plan.prompt)


def sound_of(source: Any) -> Any:
    """`source` as `media` reads it: a tensor as an array."""
    if isinstance(source, tuple) and len(source) == 2:
        return sound_of(source[0]), source[1]
    return source.detach().cpu().numpy() if isinstance(source, torch.Tensor) else source


def _refuse(source: Any, error: Exception, errors: list[tuple[Any, str]] | None) -> None:
    if errors is None:
        raise error
    errors.append((source, str(error)))
