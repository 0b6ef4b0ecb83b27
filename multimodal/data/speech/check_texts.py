"""Judges of the texts of recordings: are they as long as their sound, and of which characters are they?

The judges of sounds, and the check itself, are in check.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from multimodal.data.check_report import Finding, Severity
from multimodal.data.speech.inspect import Looked
from multimodal.data.speech.samples import SpeechSample
from multimodal.errors import ArgumentError
from multimodal.tokenizers.text import TextTokenizer

LEAST = 0.1  # seconds; shorter clips do not tell how fast somebody speaks
MUCH, LITTLE = 3.0, 0.25  # times the median of characters a second
SPELLED = 25.0  # characters a second; a recognizer by CTC has as many frames
ENOUGH = 20  # clips, for a median to mean something


def density(looked: Looked) -> list[tuple[SpeechSample, float]]:
    """Characters a second, spaces left out, of clips that have a text and are not too short to tell."""
    return [
        (clip, len("".join(clip.text.split())) / fact.seconds)
        for clip, fact in looked.readable
        if clip.text and fact.seconds >= LEAST
    ]


def likely_texts(looked: Looked) -> Iterator[Finding]:
    """Clips with far more or far less text than others of their length."""
    rates = density(looked)
    if not any(clip.text for clip in looked.clips):
        yield Finding("note", "no_texts", "there are no texts", "Only the sound was checked.")
    median = statistics.median([each for _, each in rates]) if len(rates) >= ENOUGH else None
    for code, unlike, advice in (
        ("much_text", [(clip, each) for clip, each in rates
                       if each > SPELLED or (median and each > MUCH * median)],
         "The text may be of another clip, or the recording cut short."),
        ("little_text", [(clip, each) for clip, each in rates if median and each < LITTLE * median],
         "The text may lack something, or the clip hold long pauses."),
    ):  # fmt: skip
        if unlike:
            often = "more" if code == "much_text" else "less"
            usual = "" if median is None else f" (median {median:.1f} characters a second)"
            details = tuple(f"{clip.path}: {each:.1f} a second: {clip.text[:60]}" for clip, each in unlike)
            count = f"{len(unlike):,} recording{'s' * (len(unlike) != 1)}"
            message = f"{count} with much {often} text than others of their length{usual}"
            yield Finding("warning", code, message, advice, details=details)


def known_characters(looked: Looked) -> Iterator[Finding]:
    """Characters that a vocabulary lacks; without one, those that training never shows."""
    known = {c for clip, split in zip(looked.clips, looked.split, strict=True) if split == "train" for c in clip.text}
    where: dict[str, list[str]] = {}
    for clip in looked.clips:
        for character in set(clip.text):
            where.setdefault(character, []).append(clip.path)
    if looked.tokenizer is not None:
        lacking = {c for c in where if not c.isspace() and not _knows(looked.tokenizer, c)}
        severity: Severity = "error"
        code, message = "outside_vocabulary", "characters are not in the vocabulary of the model"
        advice = "Normalise the texts, or train a vocabulary on them."
    else:
        lacking = set(where) - known if known else set()
        severity, code, message = "warning", "unseen_characters", "characters are not in any training text"
        advice = "A vocabulary made from training texts lacks them; normalise the texts."
    if lacking:
        details = tuple(f"{c!r} in {len(where[c]):,} texts, for example of {where[c][0]}" for c in sorted(lacking))
        yield Finding(severity, code, f"{len(lacking)} {message}: {' '.join(sorted(lacking))}", advice, details=details)


def _knows(tokenizer: TextTokenizer, character: str) -> bool:
    try:
        ids = tokenizer.encode(character, special=False).ids
    except ArgumentError:  # there is no token for what is unknown
        return False
    return bool(ids) and tokenizer.unk_id not in ids
