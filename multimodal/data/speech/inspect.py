"""One pass over recordings: what can be read, how long and how loud it is, and a hash by which the same clip is found.

Each file is read once, as it was recorded and in pieces, in threads. The facts are judged in check.py.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from multimodal.data.speech.samples import SpeechSample, SpeechSamples
from multimodal.media import MediaError, probe_audio, stream_audio
from multimodal.progress import track
from multimodal.tokenizers.text import TextTokenizer

BLOCK = 30.0  # seconds in memory
FULL = 0.999  # of the largest value: where a recording that was too loud is cut off


@dataclass(frozen=True, kw_only=True)
class SpeechFacts:
    """What one pass over a clip tells. Where `error` is set, nothing else is known."""

    error: str | None = None  # a sentence that says why it cannot be used
    rate: int = 0  # samples a second, as recorded
    channels: int = 0
    format: str = ""
    seconds: float = 0.0
    peak: float = 0.0  # largest value, of 1
    full: float = 0.0  # share of the samples at the largest value that can be
    content: str = ""  # hash of the samples as 16-bit numbers: the same for WAV and FLAC


@dataclass(frozen=True)
class Looked:
    """What the judges of a check see: clips, their splits and facts, in one order."""

    samples: SpeechSamples
    clips: tuple[SpeechSample, ...]
    split: tuple[str, ...]
    facts: tuple[SpeechFacts, ...]
    tokenizer: TextTokenizer | None

    @property
    def readable(self) -> list[tuple[SpeechSample, SpeechFacts]]:
        """Clips that can be read, and what is known of them."""
        return [(clip, fact) for clip, fact in zip(self.clips, self.facts, strict=True) if fact.error is None]


def inspect_speech(samples: Sequence[SpeechSample], *, threads: int | None = None) -> list[SpeechFacts]:
    """The facts of every clip, in order, with a progress bar on stderr where it takes long."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(threads or cores)
    try:
        facts = list(track(pool.map(_inspect, samples), len(samples), "Reading recordings"))
    except BaseException:  # Ctrl-C must not wait for the files still queued
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return facts


def _inspect(sample: SpeechSample) -> SpeechFacts:
    try:
        info = probe_audio(sample.path)
        count, peak, full = 0, 0.0, 0
        content = hashlib.blake2b(digest_size=16)
        for wave in _clip(sample, info.rate):
            loud = np.abs(wave)
            count, peak, full = count + len(wave), max(peak, float(loud.max())), full + int((loud >= FULL).sum())
            content.update(np.round(np.clip(wave, -1, 1) * 32767).astype("<i2").tobytes())
    except MediaError as error:
        return SpeechFacts(error=str(error))
    if not count:
        return SpeechFacts(error=f"{sample.path} ends before the clip begins, at {sample.start:g} s.")
    return SpeechFacts(
        rate=info.rate,
        channels=info.channels,
        format=info.format or "",
        seconds=count / info.rate,
        peak=peak,
        full=full / count,
        content=content.hexdigest(),
    )


def _clip(sample: SpeechSample, rate: int) -> Iterator[np.ndarray]:
    """The samples of a clip, without what lies before and after it."""
    start = round(sample.start * rate)
    end = None if sample.end is None else round(sample.end * rate)
    done = 0
    for wave in stream_audio(sample.path, rate=rate, block=BLOCK):
        if end is not None and done >= end:
            return
        part = wave[max(0, start - done) : None if end is None else end - done]
        done += len(wave)
        if len(part):
            yield part
