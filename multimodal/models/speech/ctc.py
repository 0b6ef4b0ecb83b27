"""From recordings to text with a `CtcRecognizer`: windows of speech, all frames scored at once, words with their times.

A recording streams through: it is cut in its pauses (`activity.py`), and a batch of windows is held at a time.
Every pause ends a window, which so is like the clips that models are trained on: of half a minute with many sentences
and pauses, a model of short clips makes twice as many errors (AN4, its test clips one after the other: 40% and 20%).
Segments end where somebody pauses, so that they read well as subtitles.

Axes: n samples · m mel channels · t frames · s tokens of the encoder · v tokens, the blank included
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.errors import ArgumentError, nearest
from multimodal.generation.ctc import Placed, align, best_path, prefix_beams
from multimodal.models.speech.activity import Chunk, runs
from multimodal.models.speech.options import Timestamps, check_choice
from multimodal.models.speech.result import Segment, Transcription, Word
from multimodal.models.speech.stream import BATCH, Ended, Job, Step, answers, gathered, in_batches, jobs, lengths_of
from multimodal.models.text.input import tokenizer_of
from multimodal.models.watching import evaluating
from multimodal.tokenizers.audio import subsampled
from multimodal.tokenizers.audio_features import FRAMES_PER_SECOND, HOP, frame_keep

LONGEST = 30.0  # seconds of a window; somebody who speaks longer without a pause is cut
PAUSE = 0.6  # seconds between words that end a segment
JUDGE = 0.2  # weight of the decoder's log-probability beside CTC's: best on held-out speakers of AN4
LINE = 84  # characters: two lines of a subtitle, after which a segment ends at the next word


@dataclass(frozen=True)
class Heard:
    """A word, its place in its window in frames of the encoder, and how sure the model is."""

    text: str
    ids: tuple[int, ...]
    start: int
    end: int
    logprobs: tuple[float, ...]


def transcribe(model: Any, audio: Any, *, errors: list[tuple[Any, str]] | None = None, **options: Any) -> Any:
    """The `Transcription` of one recording, or a list of those of several.

    Args:
        model: a `CtcRecognizer` with a tokenizer.
        audio: a path, the bytes of a file, samples at 16 kHz (n,), or (samples, rate); or a list of these.
        errors: where given, an unreadable recording is appended here as (recording, reason) and left out.
        options: see `stream`.

    Raises:
        ArgumentError: as `stream`.
        MediaError: a recording cannot be read, and no `errors` list was given.
    """
    several = isinstance(audio, list)
    return answers(stream(model, audio if several else [audio], errors=errors, **options), several=several)


def stream(
    model: Any,
    sources: Sequence[Any],
    *,
    timestamps: str = "segment",
    batch_size: int | None = None,
    beams: int | None = None,
    errors: list[tuple[Any, str]] | None = None,
    **others: Any,
) -> Iterator[tuple[int, Transcription]]:
    """Each recording's place in `sources` and its transcription, as soon as it is known.

    Args:
        model: a `CtcRecognizer` with a tokenizer.
        sources: as `audio` of `transcribe`.
        timestamps: "word" gives each segment its words; "none" one segment for each window of speech.
        batch_size: windows of up to 30 s, of any of the recordings, that go through the model at a time; None: 8.
        beams: prefixes that are followed in the search for the likeliest text, which a model with a decoder then
            judges too; None: the likeliest path.
        errors: as in `transcribe`.
        others: what only other recognizers can follow, such as `language`; refused unless it is None.

    Raises:
        ArgumentError: an option that CTC cannot follow, numbers below 1, or a model without a tokenizer.
        MediaError: as in `transcribe`.
    """
    tokenizer_of(model)
    if wrong := [name for name, value in others.items() if value is not None]:
        own = ("timestamps", "batch_size", "beams", "errors")
        raise ArgumentError(
            f"{wrong[0]} is no option of a recognizer by CTC, which has {', '.join(own)}.{nearest(wrong[0], own)}"
        )
    check_choice("timestamps", timestamps, get_args(Timestamps))
    for name, value in (("batch_size", batch_size), ("beams", beams)):
        if value is not None and value < 1:
            raise ArgumentError(f"{name} is {value}; it must be at least 1.")
    seconds = lengths_of(sources, errors)
    steps = _steps(model, jobs(sources, list(seconds), longest=LONGEST), timestamps, batch_size or BATCH, beams)
    with evaluating(model):
        for heard in gathered(sources, seconds, steps, errors):
            text = " ".join(segment.text for segment in heard.segments)
            found = Transcription(
                source=sources[heard.place], text=text, language=None, seconds=heard.seconds, segments=heard.segments
            )
            yield heard.place, found


def _steps(
    model: Any, items: Iterable[Job | Ended], timestamps: str, batch_size: int, beams: int | None
) -> Iterator[tuple[int, Step] | Ended]:
    def spoken() -> Iterator[Job | Ended]:
        for item in items:
            if isinstance(item, Job):
                yield from (Job(item.place, part) for part in utterances(item.chunk))
            else:
                yield item

    for batch in in_batches(spoken(), batch_size):
        windows = iter(score_windows(model, [item.chunk.wave for item in batch if isinstance(item, Job)]))
        for item in batch:
            if isinstance(item, Ended):
                yield item
            else:
                segments = _segments(model, item.chunk, next(windows), timestamps, beams)
                yield item.place, Step(tuple(segments), item.chunk.end)


class Window(NamedTuple):
    """What the encoder makes of one window."""

    scores: Float[Tensor, "s v"]  # log-probabilities of the tokens in each frame, on the CPU
    x: Float[Tensor, "s d"]  # what a decoder listens to


def utterances(chunk: Chunk) -> Iterator[Chunk]:
    """The stretches of speech of a chunk; its pauses are in none of them."""
    for start, end in runs(chunk.speech):
        wave = chunk.wave[start * HOP : end * HOP]
        yield Chunk(start=chunk.start + start, wave=wave, speech=chunk.speech[start:end])


@torch.inference_mode()
def score_windows(model: Any, waves: Sequence[np.ndarray]) -> list[Window]:
    """What `model` makes of each window; it must be in eval mode."""
    if not waves:
        return []
    like = next(model.parameters())
    samples = torch.tensor([len(wave) for wave in waves], device=like.device)
    padded = torch.zeros(len(waves), int(samples.max()), device=like.device)
    for row, wave in zip(padded, waves, strict=True):
        row[: len(wave)] = torch.from_numpy(wave).to(like.device)
    mel = model.features(padded)
    keep = frame_keep(model.features, samples, mel.shape[2])
    found = model.score(mel.to(like.dtype), keep)
    scores = found.logits.float().log_softmax(-1).cpu()
    counts = subsampled(keep.sum(1).cpu(), model.config.encoder.stem).tolist()
    return [Window(row[:count], x[:count]) for row, x, count in zip(scores, found.x, counts, strict=True)]


@torch.inference_mode()
def recognize(model: Any, window: Window, beams: int | None = None) -> list[Placed]:
    """The tokens of a window, and where each lies."""
    if beams is None:
        return best_path(window.scores, blank=model.blank)
    texts = prefix_beams(window.scores, blank=model.blank, width=beams)
    merits = torch.tensor([text.logprob for text in texts], dtype=torch.float64)
    if model.decoder is not None:
        merits = merits.lerp(model.judge([text.ids for text in texts], window.x).cpu().double(), JUDGE)
    return align(window.scores, texts[int(merits.argmax())].ids, blank=model.blank)


def _segments(model: Any, chunk: Chunk, window: Window, timestamps: str, beams: int | None) -> list[Segment]:
    """The text of a window, as segments that end in its pauses."""
    second = len(window.scores) / chunk.seconds  # frames
    words = words_of(model, recognize(model, window, beams))
    groups: list[list[Heard]] = []
    for word in words:
        last = groups[-1] if groups else None
        paused = last is None or (word.start - last[-1].end) / second > PAUSE
        long = last is not None and sum(len(each.text) for each in last) >= LINE
        if last is None or (timestamps != "none" and (paused or long)):
            groups.append([word])
        else:
            last.append(word)
    offset = chunk.start / FRAMES_PER_SECOND
    found = []
    for group in groups:
        logprobs = [value for word in group for value in word.logprobs]
        mean = sum(logprobs) / len(logprobs)
        times = tuple(
            Word(
                word.text,
                offset + word.start / second,
                offset + word.end / second,
                math.exp(sum(word.logprobs) / len(word.logprobs)),
            )
            for word in group
        )
        found.append(
            Segment(
                start=times[0].start,
                end=times[-1].end,
                text="".join(word.text for word in group).strip(),
                ids=tuple(id for word in group for id in word.ids),
                words=times if timestamps == "word" else (),
                confidence=math.exp(mean),
                avg_logprob=mean,
                decoded="ctc",
            )
        )
    return found


def words_of(model: Any, placed: Sequence[Placed]) -> list[Heard]:
    """Tokens joined to words: a new one begins where the text has a space."""
    stream = tokenizer_of(model).decode_stream()
    words: list[tuple[str, list[Placed]]] = []
    for token, piece in [*((token, stream.push(token.id)) for token in placed), (None, stream.flush())]:
        if words and token is not None and not piece:
            words[-1][1].append(token)  # a part of a character
            continue
        for place, part in enumerate(_parts(piece)):
            new = not words or (part.startswith(" ") and words[-1][0].strip() != "")
            if new:
                words.append((part, []))
            else:
                words[-1] = (words[-1][0] + part, words[-1][1])
            if token is not None and place == 0:
                words[-1][1].append(token)
    found = []
    for text, tokens in words:
        # A space is heard between words, and is not a part of either.
        spoken = [token for token in tokens if tokenizer_of(model).decode([token.id]).strip()] or tokens
        if text.strip() and spoken:
            logprobs = tuple(token.logprob for token in tokens)
            ids = tuple(token.id for token in tokens)
            found.append(Heard(text, ids, spoken[0].start, spoken[-1].end, logprobs))
    return found


def _parts(piece: str) -> list[str]:
    """A piece of text before each of its spaces: ["a", " b"] of "a b"."""
    places = [0, *(i for i, letter in enumerate(piece) if letter == " " and i > 0), len(piece)]
    return [piece[start:stop] for start, stop in itertools.pairwise(places) if stop > start]
