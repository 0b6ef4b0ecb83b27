"""What is wrong with a set of conversations, before any training: `check_chat(path, model=...) -> ChatReport`.

Every row and every file is read once. With a model every conversation is laid out by its template as training will do,
so that what training would leave out or cut off is known by name. Nothing is changed or deleted.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from multimodal.data.chat.check_report import ChatReport, SplitCounts
from multimodal.data.chat.prepared import Prepared, longest_of, prepared
from multimodal.data.chat.read import read_chats
from multimodal.data.chat.samples import ChatSample
from multimodal.data.check_report import Finding, by_severity, left_out
from multimodal.data.images.samples import Skipped
from multimodal.data.images.shards import source_of
from multimodal.data.pairs.split import copies
from multimodal.errors import ArgumentError, DataError
from multimodal.hub.loading import load
from multimodal.media import AUDIO_SUFFIXES, MediaError, read_image, stream_audio
from multimodal.models.chat.views import check_seconds
from multimodal.models.text.input import tokenizer_of
from multimodal.models.vision_language import VisionLanguageModel
from multimodal.progress import track
from multimodal.tokenizers.audio_features import SAMPLE_RATE

FREQUENT = 0.5  # share of the answers that are one and the same
FEW = 20  # answers, below which their shares say nothing


@dataclass(frozen=True)
class Looked:
    """What the judges see: conversations with their splits, and which files are broken or copies of each other."""

    chats: tuple[tuple[str, ChatSample], ...]
    broken: dict[str, str]  # file to what is wrong with it
    same: dict[str, int]  # equal for copies; files without one are not in it

    def shown(self, chat: ChatSample) -> tuple[int | str, ...]:
        """What a conversation shows: equal for equal content."""
        return tuple(self.same.get(path, path) for path in chat.media)


def check_chat(
    path: str | Path,
    *,
    images: str | Path | None = None,
    model: Any = None,
    longest: int | None = None,
) -> ChatReport:
    """Read every conversation and every file at `path` (see `read_chats`) and report what is wrong.

    Args:
        path: a .json or .jsonl file of conversations, a folder that holds one, or images with captions.
        images: the folder of the files that conversations name; None: beside them, or in images/ or audio/ there.
        model: a vision-language model, or what `mm.load` takes: whether its template takes each conversation, and
            whether its tokens fit.
        longest: tokens that training will read of a conversation; None: as many as the model was made for.

    Raises:
        ArgumentError: `model` is another kind of model, or has no chat template.
        DataError: there is nothing to check.
    """
    known = None if model is None else _model(model)
    samples = read_chats(path, images=images)
    chats = tuple((split, chat) for split, members in samples.splits.items() for chat in members)
    files = list(dict.fromkeys(file for _, chat in chats for file in chat.media))
    looked = Looked(chats, _broken(files), copies(files))
    judges = (_unreadable, _same, _shared, _frequent, _no_validation)
    findings = [replace(finding, severity="error") for finding in left_out(samples.skipped)]
    findings += [finding for judge in judges for finding in judge(looked)]
    rows: dict[str, tuple[Prepared, ...]] = {}
    limit = None if known is None else longest_of(known, longest)
    if known is not None and limit is not None:
        unusable: list[Skipped] = []
        rows = {split: prepared(members, known, limit, unusable) for split, members in samples.splits.items()}
        long = [(samples.splits[split][row.index].where, row.whole)
                for split, found in rows.items() for row in found if row.length < row.whole]  # fmt: skip
        ended = any(int(one.row.ids[-1]) in tokenizer_of(known).special_ids for found in rows.values() for one in found)
        findings += [*_unusable(unusable), *_cut(long, len(chats), limit), *(() if ended else _endless(rows))]
    lengths = [row.whole for split in rows.values() for row in split]
    words = [len(answer.split()) for _, chat in chats for answer in chat.answers]
    return ChatReport(
        path=samples.root,
        splits={split: _counts(members, rows.get(split)) for split, members in samples.splits.items()},
        words=(min(words), int(statistics.median(words)), max(words)),
        tokens=(min(lengths), int(statistics.median(lengths)), max(lengths)) if lengths else None,
        longest=limit,
        findings=by_severity(findings),
    )


def _model(given: Any) -> VisionLanguageModel:
    """The model that conversations shall be checked for.

    Raises:
        ArgumentError: it is of another kind.
    """
    model = load(given, device="cpu") if isinstance(given, str | Path) else given
    if not isinstance(model, VisionLanguageModel) or model.tokenizer is None:
        what = "has no tokenizer" if isinstance(model, VisionLanguageModel) else "reads no images beside text"
        raise ArgumentError(
            f"model is a {type(model).__name__} that {what}; give a VisionLanguageModel with a tokenizer."
        )
    return model


def _broken(files: Sequence[str]) -> dict[str, str]:
    """What is wrong with each file that cannot be read."""
    with ThreadPoolExecutor() as pool:
        told = list(track(pool.map(_fault, files), len(files), "Reading files"))
    return {file: fault for file, fault in zip(files, told, strict=True) if fault}


def _fault(file: str) -> str | None:
    try:
        source = source_of(file)
        if Path(file).suffix.lower() in AUDIO_SUFFIXES:
            counts = accumulate(len(block) for block in stream_audio(source, rate=SAMPLE_RATE))
            for samples in counts:
                check_seconds(samples / SAMPLE_RATE)
        else:
            read_image(source)
    except (MediaError, DataError) as error:
        return str(error) if file in str(error) else f"{file}: {error}"
    return None


def _unreadable(looked: Looked) -> Iterator[Finding]:
    if looked.broken:
        count = len(looked.broken)
        yield Finding(
            "error",
            "unreadable",
            f"{count:,} {'file' if count == 1 else 'files'} cannot be read",
            "Replace them; training puts other conversations in the place of those that show them.",
            files=tuple((file,) for file in looked.broken),
            details=tuple(looked.broken.values()),
        )


def _same(looked: Looked) -> Iterator[Finding]:
    """Conversations that are there twice: in two splits, or in one."""
    places: dict[Any, list[tuple[str, str]]] = {}
    for split, chat in looked.chats:
        said = repr(chat.chat.messages)
        places.setdefault((said, looked.shown(chat)), []).append((split, chat.where))
    several = [found for found in places.values() if len(found) > 1]
    apart = [tuple(where for _, where in found) for found in several if len({split for split, _ in found}) > 1]
    within = [tuple(where for _, where in found) for found in several if len({split for split, _ in found}) == 1]
    if apart:
        message = f"the same conversation is in two splits ({_times(len(apart))}): what is measured there is overstated"
        yield Finding("error", "same_chat_in_splits", message, "Delete it from the training split.", files=tuple(apart))
    if within:
        message = f"the same conversation is there more than once ({_times(len(within))})"
        yield Finding("warning", "same_chat", message, "Delete the copies.", files=tuple(within))


def _shared(looked: Looked) -> Iterator[Finding]:
    """Images of the training split that another one shows, too."""
    splits: dict[int | str, dict[str, str]] = {}
    for split, chat in looked.chats:
        for content, path in zip(looked.shown(chat), chat.media, strict=True):
            splits.setdefault(content, {}).setdefault(split, path)
    both = [tuple(dict.fromkeys(found.values())) for found in splits.values() if "train" in found and len(found) > 1]
    if both:
        message = f"{len(both):,} of {len(splits):,} files are shown in training and in another split"
        advice = "Scores there are of pictures that were seen; for others, move all about a file to one side."
        yield Finding("warning", "same_file_in_splits", message, advice, files=tuple(both))


def _frequent(looked: Looked) -> Iterator[Finding]:
    answers = Counter(answer.strip() for _, chat in looked.chats for answer in chat.answers)
    (answer, count), total = answers.most_common(1)[0], answers.total()
    if total >= FEW and count >= FREQUENT * total:
        message = f"{count / total:.0%} of all answers are the same: {answer[:60]!r}"
        advice = "Whoever always says it is right as often without looking; compare scores with that."
        yield Finding("note", "frequent_answer", message, advice)


def _no_validation(looked: Looked) -> Iterator[Finding]:
    splits = {split for split, _ in looked.chats}
    if "train" in splits and "val" not in splits:
        advice = "One tenth of the training conversations will be held out, those about one image together."
        yield Finding("note", "no_validation", "there is no validation split", advice)


def _unusable(skipped: Sequence[Skipped]) -> Iterator[Finding]:
    """What the model cannot learn from, by reason."""
    for finding in left_out(skipped):
        message = finding.message.replace(" left out: ", " cannot be learned from: ")
        yield replace(finding, severity="error", code="unusable", message=message)


def _endless(rows: Mapping[str, Sequence[Prepared]]) -> Iterator[Finding]:
    if any(rows.values()):
        message = "the model's chat template puts no special token behind an answer"
        advice = "A model that learns from these would not know where to stop; give its tokenizer another template."
        yield Finding("warning", "no_end", message, advice)


def _cut(long: Sequence[tuple[str, int]], total: int, longest: int) -> Iterator[Finding]:
    if long:
        message = f"{len(long):,} of {total:,} conversations are longer than {longest:,} tokens and are cut off"
        advice = "Split them into shorter ones, or have fewer tokens an image: nothing behind the cut is learned."
        details = tuple(f"{where}: {tokens:,} tokens" for where, tokens in long)
        yield Finding(
            "warning", "cut_off", message, advice, files=tuple((where,) for where, _ in long), details=details
        )


def _counts(chats: Sequence[ChatSample], rows: Sequence[Prepared] | None) -> SplitCounts:
    return SplitCounts(
        conversations=len(chats),
        answers=sum(len(chat.answers) for chat in chats),
        images=len({file for chat in chats for file in chat.media}),
        cut=sum(row.length < row.whole for row in rows or ()),
        unusable=0 if rows is None else len(chats) - len(rows),
    )


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n:,} times"
