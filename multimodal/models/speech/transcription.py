"""From recordings to text: what `SpeechRecognizer.transcribe` does.

One window after the other (`sequential.py`, equal to openai-whisper), or many at a time, each verified
(`batched.py`). Recordings stream (`stream.py`): of ten hours, a minute is held in memory, or a batch of
windows.

Ref: Whisper arXiv:2212.04356
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Unpack

from multimodal.media import MediaError, read_audio, stream_audio
from multimodal.models.speech.batched import batched
from multimodal.models.speech.options import TranscribeOptions
from multimodal.models.speech.plan import Plan, plan_of
from multimodal.models.speech.result import Transcription
from multimodal.models.speech.segments import text_of
from multimodal.models.speech.sequential import sequential
from multimodal.models.speech.stream import BATCH, Ended, answers, gathered, jobs, lengths_of, sound_of
from multimodal.models.speech.windows import WHOLE, StreamedWindows, WholeWindows, window_frames
from multimodal.models.watching import evaluating
from multimodal.tokenizers.audio_features import FRAMES_PER_SECOND


def transcribe(
    model: Any, audio: Any, *, errors: list[tuple[Any, str]] | None = None, **options: Unpack[TranscribeOptions]
) -> Any:
    """The `Transcription` of one recording, or a list of those of several.

    Args:
        model: a `SpeechRecognizer` with a tokenizer.
        audio: a path (of a video as well), the bytes of a file, samples at 16 kHz (n,), or (samples, rate); or a list
            of these.
        errors: where given, an unreadable recording is appended here as (recording, reason) and left out.
        options: see `TranscribeOptions`.

    Raises:
        ArgumentError: an unknown option, or one that the model cannot follow, such as a language that it does not know.
        MediaError: a recording cannot be read, and no `errors` list was given.
    """
    several = isinstance(audio, list)
    return answers(stream(model, audio if several else [audio], errors=errors, **options), several=several)


def stream(
    model: Any,
    sources: Sequence[Any],
    *,
    errors: list[tuple[Any, str]] | None = None,
    **options: Unpack[TranscribeOptions],
) -> Iterator[tuple[int, Transcription]]:
    """Each recording's place in `sources` and its transcription, as soon as it is known; arguments as `transcribe`."""
    plan = plan_of(model, options)
    seconds = lengths_of(sources, errors)
    longest = window_frames(model) / FRAMES_PER_SECOND
    single = len(seconds) == 1 and max(seconds.values()) <= longest
    if plan.batch_size == 1 or (plan.batch_size is None and single):
        steps = _one_by_one(model, sources, seconds, plan)
    else:
        windows = jobs(sources, list(seconds), longest=longest)
        steps = batched(model, windows, plan.config, batch_size=plan.batch_size or BATCH, prompt=plan.prompt)
    decoding = plan.config.decoding
    with evaluating(model):
        for heard in gathered(sources, seconds, steps, errors):
            found = Transcription(
                source=sources[heard.place],
                text=text_of(model, itertools.chain.from_iterable(segment.ids for segment in heard.segments)),
                language=heard.language or decoding.language,
                task=decoding.task,
                seconds=heard.seconds,
                segments=heard.segments,
            )
            yield heard.place, found


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
