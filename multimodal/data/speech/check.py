"""What is wrong with a set of recordings and texts, before any training: `check_speech(path) -> SpeechReport`.

Every file is read once (inspect.py) and each judge, below or in check_texts.py, turns what was seen into findings: an
error makes results wrong or files unusable, a warning costs accuracy, a note says what training will do. Nothing is
changed or deleted.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from multimodal.data.check_report import Finding, Severity, by_severity, left_out
from multimodal.data.speech.check_report import SpeechReport, SplitCounts
from multimodal.data.speech.check_texts import density, known_characters, likely_texts
from multimodal.data.speech.inspect import Looked, inspect_speech
from multimodal.data.speech.read import read_recordings
from multimodal.tokenizers.text import TextTokenizer

SILENT = 10 ** (-50 / 20)  # 50 dB below the loudest that can be
CLIPPED = 0.001  # share of the samples at the largest value; what is only loud touches it now and then
SHORT, LONG = 0.1, 30.0  # seconds
FEWEST_HERTZ = 16_000  # samples a second that models of speech expect
DIFFERENT = 0.5  # seconds between what a table says and what is there


def check_speech(path: str | Path, *, model: str | Path | None = None) -> SpeechReport:
    """Read every recording at `path` (see `read_recordings`) and report what is wrong.

    Args:
        path: a table or a folder.
        model: a model folder, or its tokenizer.json: characters that it does not know are reported.

    Raises:
        DataError: there is nothing to check, or no tokenizer in `model`.
    """
    tokenizer = None if model is None else TextTokenizer.load(model)
    samples = read_recordings(path)
    pairs = [(clip, split) for split, members in samples.splits.items() for clip in members]
    clips, split = tuple(clip for clip, _ in pairs), tuple(split for _, split in pairs)
    looked = Looked(samples, clips, split, tuple(inspect_speech(clips)), tokenizer)
    judges = (_unreadable, _same_clips, _speakers, _sound, _lengths, _rates, likely_texts, known_characters, _splits)
    found = [*left_out(samples.skipped), *(finding for judge in judges for finding in judge(looked))]
    seconds = [fact.seconds for _, fact in looked.readable]
    return SpeechReport(
        path=samples.root,
        splits={name: _counts(looked, name) for name in samples.splits},
        seconds=(min(seconds), statistics.median(seconds), max(seconds)) if seconds else (0.0, 0.0, 0.0),
        rates=dict(Counter(fact.rate for _, fact in looked.readable).most_common()),
        formats=dict(Counter(fact.format for _, fact in looked.readable).most_common()),
        channels=dict(Counter(fact.channels for _, fact in looked.readable).most_common()),
        characters="".join(sorted({character for clip in clips for character in clip.text})),
        characters_per_second=statistics.median([each for _, each in density(looked)] or [0.0]),
        findings=by_severity(found),
    )


def _unreadable(looked: Looked) -> Iterator[Finding]:
    broken = [(clip.path, fact.error) for clip, fact in zip(looked.clips, looked.facts, strict=True) if fact.error]
    if broken:
        yield Finding(
            "error",
            "unreadable",
            f"{_clips(len(broken))} cannot be read",
            "Replace or delete them; training puts others in their place.",
            files=tuple((path,) for path, _ in broken),
            details=tuple(error for _, error in broken if error),
        )


def _same_clips(looked: Looked) -> Iterator[Finding]:
    """Each group of clips with the same samples once: in two splits, else with two texts, else plain."""
    groups: dict[str, list[int]] = {}
    for place, fact in enumerate(looked.facts):
        if fact.content and fact.peak > SILENT:
            groups.setdefault(fact.content, []).append(place)
    found: dict[str, list[tuple[str, ...]]] = {"splits": [], "texts": [], "": []}
    for group in groups.values():
        if len(group) > 1:
            splits, texts = {looked.split[i] for i in group}, {looked.clips[i].text for i in group}
            place = "splits" if len(splits) > 1 else "texts" if len(texts) > 1 else ""
            found[place].append(tuple(looked.clips[i].path for i in group))
    told: dict[str, tuple[Severity, str, str, str]] = {
        "splits": ("error", "same_clip_in_splits", "the same clip is in two splits: what is measured there is "
                   "overstated", "Delete it from the training split."),
        "texts": ("error", "same_clip_with_texts", "the same clip has different texts", "Keep the right one."),
        "": ("warning", "same_clip", "the same clip is there more than once", "Delete the copies."),
    }  # fmt: skip
    for place, entries in found.items():
        if entries:
            severity, code, message, advice = told[place]
            times = "once" if len(entries) == 1 else f"{len(entries):,} times"
            yield Finding(severity, code, f"{message} ({times})", advice, files=tuple(entries))


def _speakers(looked: Looked) -> Iterator[Finding]:
    heard: dict[str, set[str]] = {}
    for clip, split in zip(looked.clips, looked.split, strict=True):
        if clip.speaker is not None:
            heard.setdefault(clip.speaker, set()).add(split)
    both = sorted(speaker for speaker, splits in heard.items() if "train" in splits and len(splits) > 1)
    if both:
        message = f"{len(both)} of {len(heard)} speakers are heard in training and in another split"
        advice = "Scores there are of known voices; for others, move all clips of a speaker to one side."
        yield Finding("warning", "speaker_in_splits", message, advice, details=tuple(both))


def _sound(looked: Looked) -> Iterator[Finding]:
    silent = [clip.path for clip, fact in looked.readable if fact.peak <= SILENT]
    if silent:
        yield _finding("warning", "silent", silent, "{n} silent: nothing above -50 dB", "Delete them.")
    clipped = [clip.path for clip, fact in looked.readable if fact.full > CLIPPED]
    if clipped:
        advice = "Record or convert them with less gain; what is cut off cannot be mended."
        yield _finding("warning", "clipped", clipped, "{n} cut off at the largest value", advice)


def _lengths(looked: Looked) -> Iterator[Finding]:
    short = [clip.path for clip, fact in looked.readable if fact.seconds < SHORT]
    if short:
        yield _finding("warning", "short", short, f"{{n}} shorter than {SHORT:g} seconds", "Take them out.")
    long = [clip.path for clip, fact in looked.readable if fact.seconds > LONG]
    if long:
        advice = "Training leaves them out, unless `longest` says more; cut them at pauses."
        yield _finding("warning", "long", long, f"{{n}} longer than {LONG:g} seconds", advice)
    said = [
        f"{clip.path}: {clip.seconds:.2f} s in the table, {fact.seconds:.2f} s in the file"
        for clip, fact in looked.readable
        if clip.seconds is not None and abs(clip.seconds - fact.seconds) > max(DIFFERENT, 0.05 * fact.seconds)
    ]
    if said:
        message = f"{_clips(len(said))} not as long as the table says"
        advice = "Correct the table; batches are made by what it says."
        yield Finding("error", "wrong_seconds", message, advice, details=tuple(said))


def _rates(looked: Looked) -> Iterator[Finding]:
    low = [clip.path for clip, fact in looked.readable if fact.rate < FEWEST_HERTZ]
    if low:
        advice = "They are resampled, but above half of their rate nothing is heard; use originals, if there are any."
        yield _finding("warning", "low_rate", low, f"{{n}} recorded at fewer than {FEWEST_HERTZ:,} Hz", advice)
    rates = Counter(fact.rate for _, fact in looked.readable)
    if len(rates) > 1:
        listed = ", ".join(f"{rate:,} Hz {count:,}" for rate, count in rates.most_common())
        advice = "All are resampled. If one speaker or class alone has a rate, a model will hear that."
        yield Finding("note", "mixed_rates", f"the recordings have different rates: {listed}", advice)
    several = [clip.path for clip, fact in looked.readable if fact.channels > 1]
    if several:
        yield _finding("note", "channels", several, "{n} not mono", "Their mean is used.")


def _splits(looked: Looked) -> Iterator[Finding]:
    if "train" in looked.samples.splits and "val" not in looked.samples.splits:
        known = all(clip.speaker is not None for clip in looked.samples.splits["train"])
        advice = f"One tenth of the training {'speakers' if known else 'clips'} will be held out."
        yield Finding("note", "no_validation", "there is no validation split", advice)


def _counts(looked: Looked, split: str) -> SplitCounts:
    here = [i for i, name in enumerate(looked.split) if name == split]
    return SplitCounts(
        clips=len(here),
        unreadable=sum(looked.facts[i].error is not None for i in here),
        hours=sum(looked.facts[i].seconds for i in here) / 3600,
        speakers=len({looked.clips[i].speaker for i in here} - {None}),
        words=sum(len(looked.clips[i].text.split()) for i in here),
    )


def _finding(severity: Severity, code: str, paths: Sequence[str], message: str, advice: str) -> Finding:
    """A finding about single files; `{n}` in the message becomes "3 recordings are"."""
    count = f"{_clips(len(paths))} {'is' if len(paths) == 1 else 'are'}"
    return Finding(severity, code, message.format(n=count), advice, files=tuple((path,) for path in paths))


def _clips(n: int) -> str:
    return f"{n:,} recording{'s' * (n != 1)}"
