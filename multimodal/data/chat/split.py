"""A validation split of conversations: what is validated with shows no image or recording that is trained on."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from multimodal.data.chat.samples import ChatSample, ChatSamples
from multimodal.data.pairs.split import copies
from multimodal.errors import ArgumentError, DataError


def hold_out(samples: ChatSamples, fraction: float, seed: int) -> ChatSamples:
    """`samples` with part of the training conversations as "val", where they have no such split.

    Conversations that show the same file, or copies of it byte for byte, stay on one side.

    Args:
        samples: what `read_chats` gave; without a training part they stay as they are.
        fraction: part of the training conversations to hold out, above 0 and below 1.
        seed: of the choice, which is made by hashes of names: what is added later moves none.

    Raises:
        ArgumentError: `fraction` out of range.
        DataError: none can be held out, as all show the same, or there is a single one.
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"val_fraction is {fraction}; it must lie between 0 and 1.")
    chats = samples.splits.get("train", ())
    if not chats or "val" in samples.splits:
        return samples
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(_together(chats, samples.root)):
        groups.setdefault(name, []).append(place)
    if len(groups) < 2:
        raise DataError(
            f"{samples.root} has too few different conversations to train on ({len(chats)}) to hold any out; give a "
            "validation part."
        )
    wanted = fraction * len(chats)
    held: set[int] = set()
    for name in sorted(groups, key=lambda name: hashlib.blake2b(f"{seed}:{name}".encode(errors="replace")).digest()):
        if held and len(held) + len(groups[name]) > wanted:
            continue
        if len(held) + len(groups[name]) < len(chats):
            held.update(groups[name])
    parts = {
        "train": tuple(chat for place, chat in enumerate(chats) if place not in held),
        "val": tuple(chat for place, chat in enumerate(chats) if place in held),
    }
    return replace(samples, splits={**parts, **{k: v for k, v in samples.splits.items() if k != "train"}})


def _together(chats: tuple[ChatSample, ...], root: str) -> list[str]:
    """A name for each conversation; the same for those that share a file, or share one with one that does."""
    numbers = copies([path for chat in chats for path in chat.media])
    leader: dict[str, str] = {}

    def lead(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = name = leader[leader[name]]
        return name

    firsts: dict[int, str] = {}
    names = []
    for chat in chats:
        files = [firsts.setdefault(numbers[path], path) if path in numbers else path for path in chat.media]
        shown = [file.removeprefix(root) for file in files] or [chat.where.removeprefix(root)]
        for other in shown[1:]:
            leader[lead(other)] = lead(shown[0])
        names.append(shown[0])
    return [lead(name) for name in names]
