"""A validation split of recorded speech: where speakers are known, nobody is heard on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from multimodal.data.speech.samples import SpeechSample, SpeechSamples
from multimodal.errors import ArgumentError, DataError

FEWEST = 3  # speakers, for some of them to be held out: of two, half of the data would be


def hold_out(samples: SpeechSamples, fraction: float, seed: int) -> SpeechSamples:
    """`samples` with part of the training clips as "val", where they have no such split.

    Where all clips have a speaker, and there are three or more, whole speakers are held out, about `fraction` of the
    clips; else clips by a hash of path and seed, so that what is added later moves none.

    Args:
        samples: what `read_speech` gave; without a training part they stay as they are.
        fraction: part of the training clips to hold out, above 0 and below 1.
        seed: of the choice.

    Raises:
        ArgumentError: `fraction` out of range.
        DataError: there is a single clip.
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"val_fraction is {fraction}; it must lie between 0 and 1.")
    clips = samples.splits.get("train", ())
    if not clips or "val" in samples.splits:
        return samples
    if len(clips) < 2:
        raise DataError(
            f"{samples.root} has a single clip to train on, so none can be held out; give a validation part."
        )
    speakers = {clip.speaker for clip in clips}
    by_speaker = None not in speakers and len(speakers) >= FEWEST
    groups: dict[str, list[SpeechSample]] = {}
    for clip in clips:
        name = str(clip.speaker) if by_speaker else f"{clip.path.removeprefix(samples.root)}:{clip.start}"
        groups.setdefault(name, []).append(clip)
    held_out = set(_chosen(list(groups.values()), list(groups), fraction * len(clips), seed))
    train = tuple(clip for clip in clips if clip not in held_out)
    val = tuple(clip for clip in clips if clip in held_out)
    rest = {split: members for split, members in samples.splits.items() if split != "train"}
    return replace(samples, splits={"train": train, "val": val, **rest})


def _chosen(groups: Sequence[list[SpeechSample]], names: Sequence[str], wanted: float, seed: int) -> list[SpeechSample]:
    """Whole groups in the order of their names' hashes, until as many clips as `wanted` are as near as can be."""
    order = sorted(range(len(groups)), key=lambda i: hashlib.blake2b(f"{seed}:{names[i]}".encode()).digest())
    chosen: list[SpeechSample] = []
    for place in order[:-1]:  # one always remains to train on
        group = groups[place]
        if chosen and abs(len(chosen) + len(group) - wanted) > abs(len(chosen) - wanted):
            continue
        chosen += group
        if len(chosen) >= wanted:
            break
    return chosen
