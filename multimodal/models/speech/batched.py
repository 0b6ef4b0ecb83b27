"""Recordings as windows that are decoded together, each verified, the suspect ones decoded again one after the other.

Windows are the chunks of `activity.py`: they hold speech and end in pauses, so none needs to know the one
before. Windows of several recordings share a batch. A window is suspect when its segments leave speech out, its text
repeats a phrase, the prompt or the window before, it is longer than can be said, the model is not sure of it, it is in
unusual letters, or it sounds like another language. Then `sequential` decodes it, with temperature fallback and with
the text before it as its prompt; its segments are marked "again" and say why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from multimodal.models.speech.aligned import with_words
from multimodal.models.speech.decoding import detect_language
from multimodal.models.speech.fallback import failure
from multimodal.models.speech.options import Decoded
from multimodal.models.speech.result import Segment
from multimodal.models.speech.segments import Cut, Piece, cut, kept, segment_of, text_of
from multimodal.models.speech.sequential import LongFormConfig, decode, end_of, is_silence, sequential
from multimodal.models.speech.stream import Ended, Job, Step, in_batches
from multimodal.models.speech.tokens import TIMESTAMP_STEP
from multimodal.models.speech.verification import flipped, missed, repeated, scripts, strange_script, too_much
from multimodal.models.speech.windows import WholeWindows, window_features
from multimodal.tokenizers.audio_features import FRAMES_PER_SECOND, HOP


@dataclass
class _Recording:
    """What is known of a recording so far."""

    language: str | None
    text: str = ""  # of the last window
    told: list[int] = field(default_factory=list)  # tokens of the last window, where that was trusted
    scripts: Counter[str] = field(default_factory=Counter)  # of the trusted windows
    last_word: float = 0.0  # when it ended


@dataclass(frozen=True)
class _Heard:
    """A window of a batch, decoded."""

    job: Job
    context: torch.Tensor  # (1 s d)
    odds: dict[str, float] | None  # of each language
    decoded: Decoded
    cut: Cut  # without parts where the model hears silence


@torch.inference_mode()
def batched(
    model: Any,
    jobs: Iterable[Job | Ended],
    config: LongFormConfig,
    *,
    batch_size: int,
    prompt: Sequence[int] = (),
) -> Iterator[tuple[int, Step] | Ended]:
    """Decode the windows of `jobs`, `batch_size` at a time, in their order.

    Args:
        model: a `SpeechRecognizer` in eval mode.
        jobs: the windows of each recording in order, then its `Ended`, which is handed on.
        config: how.
        batch_size: windows at a time.
        prompt: tokens of a text that every window is told.
    """
    decoder = _Decoder(model, config, prompt)
    for items in in_batches(jobs, batch_size):
        yield from decoder.run(items)


class _Decoder:
    """A model and what it has heard so far."""

    def __init__(self, model: Any, config: LongFormConfig, prompt: Sequence[int]) -> None:
        self.model, self.config, self.prompt = model, config, list(prompt)
        self.recordings: dict[int, _Recording] = {}
        self.prompt_text = text_of(model, prompt)

    def run(self, items: Sequence[Job | Ended]) -> Iterator[tuple[int, Step] | Ended]:
        """The results of `items`, all windows of which are decoded together."""
        heard = self._hear([item for item in items if isinstance(item, Job)])
        texts = [scripts(window.decoded.text) for window in heard]
        places = [window.job.place for window in heard]
        number = 0
        for item in items:
            if isinstance(item, Ended):
                self.recordings.pop(item.place, None)
                yield item
                continue
            others = [t for i, t in enumerate(texts) if places[i] == item.place and i > number]
            yield item.place, self._judge(heard[number], sum(others, Counter()))
            number += 1

    def _hear(self, jobs: Sequence[Job]) -> list[_Heard]:
        """Windows decoded as one batch, or as one for each language."""
        if not jobs:
            return []
        context = self.model.encode(window_features(self.model, [job.chunk.wave for job in jobs]))
        odds = detect_language(self.model, context) if self.model.tokens.multilingual else None
        self._know_languages(jobs, odds)
        languages = [self.recordings[job.place].language for job in jobs]
        found: dict[int, Decoded] = {}
        for language in dict.fromkeys(languages):
            rows = [i for i, other in enumerate(languages) if other == language]
            once = replace(self._of(language), temperatures=self.config.temperatures[:1])
            prompts = [self.prompt for _ in rows] if self.prompt else ()
            some = context if len(rows) == len(jobs) else context[rows]
            found |= zip(rows, decode(self.model, some, once, prompts=prompts), strict=True)
        heard = []
        for i, job in enumerate(jobs):
            frames = len(job.chunk.wave) // HOP
            parts = cut(found[i].ids, self.model.tokens.timestamp_begin, frames=frames)
            end = frames / FRAMES_PER_SECOND  # what the model places behind it would lie over the next window
            inside = [piece._replace(end=min(piece.end, end)) for piece in parts.pieces if piece.start < end]
            if inside and found[i].ids[0] >= self.model.tokens.timestamp_begin:  # `cut` begins with the window
                first = (found[i].ids[0] - self.model.tokens.timestamp_begin) * TIMESTAMP_STEP
                inside[0] = inside[0]._replace(start=min(first, inside[0].end))
            parts = parts._replace(pieces=[] if is_silence(found[i], self.config) else inside)
            heard.append(_Heard(job, context[i : i + 1], odds[i] if odds else None, found[i], parts))
        return heard

    def _know_languages(self, jobs: Sequence[Job], odds: list[dict[str, float]] | None) -> None:
        """The language of each new recording: the likeliest one over its windows in this batch."""
        for place in dict.fromkeys(job.place for job in jobs):
            if place in self.recordings:
                continue
            language = self.config.decoding.language
            if language is None:
                rows = [row for job, row in zip(jobs, odds or [], strict=False) if job.place == place]
                language = max(rows[0], key=lambda code: sum(row[code] for row in rows)) if rows else "en"
            self.recordings[place] = _Recording(language)

    def _of(self, language: str | None) -> LongFormConfig:
        return replace(self.config, decoding=replace(self.config.decoding, language=language))

    def _judge(self, heard: _Heard, others: Counter[str]) -> Step:
        """The segments of a window; `others` are the scripts of later windows of its recording."""
        recording, chunk = self.recordings[heard.job.place], heard.job.chunk
        offset = chunk.start / FRAMES_PER_SECOND
        why = self._suspicion(heard, recording, others)
        if why is None:
            segments = [self._segment(heard, piece, offset) for piece in heard.cut.pieces]
            if self.config.words and segments:
                options: dict[str, Any] = {"frames": len(chunk.wave) // HOP, "offset": offset}
                options |= {"last": recording.last_word, "config": self._of(recording.language).decoding}
                timed = with_words(self.model, heard.context, segments, **options)
                # Words that the alignment squeezes into one moment do not take their segment with them.
                segments = [a if a.start < a.end else b for a, b in zip(timed, segments, strict=True)]
            recording.scripts += scripts(heard.decoded.text)
        else:
            told = recording.told if self.config.condition and recording.told else self.prompt
            told = [] if "prompt" in why else told
            windows = WholeWindows(self.model, chunk.wave)
            steps = sequential(self.model, windows, self._of(recording.language), prompt=told, how="again", why=why)
            segments = [_moved(segment, offset) for step in steps for segment in step.segments]
        segments = kept(segments)
        ids = [id for segment in segments for id in segment.ids]
        recording.text, recording.told = text_of(self.model, ids), ids if why is None else []
        recording.last_word = end_of(segments) if segments else recording.last_word
        return Step(tuple(segments), chunk.end, recording.language)

    def _segment(self, heard: _Heard, piece: Piece, offset: float) -> Segment:
        return segment_of(self.model, heard.decoded, piece, offset=offset, how="batched")

    def _suspicion(self, heard: _Heard, recording: _Recording, others: Counter[str]) -> str | None:
        """Why the text of a window is not trusted; None: it is."""
        decoded, speech, config = heard.decoded, heard.job.chunk.speech, self.config
        pieces = heard.cut.pieces
        spans = [(p.start, p.end) for p in pieces if text_of(self.model, decoded.ids[p.first : p.last])]
        text = decoded.text if pieces else ""
        thresholds = {"logprob": config.logprob, "compression": config.compression, "no_speech": config.no_speech}
        return (
            repeated(text, before=recording.text, prompt=self.prompt_text)
            or failure(decoded, **thresholds)
            or missed(speech, spans)
            or (None if heard.cut.closed or not pieces else _open(heard.cut, speech))
            or too_much(text, speech)
            or strange_script(text, recording.scripts + others)
            or flipped(heard.odds, recording.language)
        )


def _open(parts: Cut, speech: Any) -> str | None:
    """What is wrong where the text breaks off although there is speech to come."""
    left = speech[parts.advance :].sum() / FRAMES_PER_SECOND
    return f"no text for the last {left:.1f} s of speech" if left >= 0.5 else None


def _moved(segment: Segment, seconds: float) -> Segment:
    words = tuple(replace(word, start=word.start + seconds, end=word.end + seconds) for word in segment.words)
    return replace(segment, start=segment.start + seconds, end=segment.end + seconds, words=words)
