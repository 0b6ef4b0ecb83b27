"""What a reader of recorded speech gives: clips with their texts, in splits, and what was left out.

How each layout is read is in tables.py and layouts.py; a validation split is drawn in split.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from multimodal.data.images.samples import SPLIT_NAMES, Skipped
from multimodal.errors import DataError
from multimodal.media.files import shown


@dataclass(frozen=True)
class SpeechSample:
    """One clip and what is said in it; nothing of it has been opened yet."""

    path: str
    text: str  # not blank, where the data have texts
    seconds: float | None = None  # of the clip; None: not known until its header is read
    speaker: str | None = None
    language: str | None = None
    start: float = 0.0  # seconds into the file at which the clip begins
    end: float | None = None  # seconds into the file; None: at its end


@dataclass(frozen=True)
class SpeechSamples:
    """A set of recorded speech, as read."""

    root: str
    splits: dict[str, tuple[SpeechSample, ...]]  # of "train", "val" and "test" those that the data have
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class Found:
    """A clip as it stands in one place."""

    split: str
    sample: SpeechSample


def assemble(root: str, found: Iterable[Found], skipped: Sequence[Skipped], hint: str = "") -> SpeechSamples:
    """The clips by split, in the order given; one that is there twice is kept once in each split.

    Args:
        root: what was read, for messages.
        found: all clips.
        skipped: what was left out until here.
        hint: a clause that says what was looked at, for the message that nothing was found.

    Raises:
        DataError: nothing was found.
    """
    splits: dict[str, dict[SpeechSample, None]] = {split: {} for split in SPLIT_NAMES}
    left_out = list(skipped)
    for one in found:
        members = splits[one.split]
        if one.sample in members:
            left_out.append(Skipped(shown(one.sample.path), "listed twice with the same text"))
        members[one.sample] = None
    if not any(splits.values()):
        first = f" {len(left_out)} entries were left out, the first: {left_out[0].path}: {left_out[0].reason}."
        raise DataError(f"{root} holds no recording with a text{hint}.{first if left_out else ''}")
    return SpeechSamples(root, {split: tuple(members) for split, members in splits.items() if members}, tuple(left_out))
