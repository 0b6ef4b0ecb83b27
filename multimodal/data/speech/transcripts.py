"""What was said and what was heard, from two files, utterance by utterance.

Files of text lines, of lines "id<TAB>text", trn files ("text (id)", as NIST's sclite takes them), tables (CSV, TSV,
JSONL, Parquet) with a column of text and, as a rule, one of ids or files, and folders of a .txt, or of a .json of
`multimodal transcribe`, for each recording.
Where both have ids, these say what belongs together; else the order does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from multimodal.data.images.samples import Skipped
from multimodal.data.speech.tables import USUAL
from multimodal.data.text.sources import existing
from multimodal.data.text.tables import TABLE_SUFFIXES, find_column, read_rows
from multimodal.errors import DataError, nearest

IDS = ("id", "utt_id", "utterance", "utterance_id", "key")
TEXTS = {"reference": ("reference", "ref"), "hypothesis": ("hypothesis", "hyp", "prediction", "pred_text")}
_TRN = re.compile(r"^(.*?)\s*\(([^()\s]+)\)\s*$")


@dataclass(frozen=True)
class Utterances:
    """The utterances of two files, in the order of the references."""

    ids: tuple[str, ...]
    references: tuple[str, ...]
    hypotheses: tuple[str, ...]  # "" where there is none
    speakers: tuple[str, ...] | None  # where the table of the references has all
    missing: tuple[str, ...]  # ids that only the references have
    extra: tuple[str, ...]  # ids that only the hypotheses have, which are left out


@dataclass(frozen=True)
class _Lines:
    file: Path
    texts: list[str]
    ids: list[str] | None = None
    speakers: list[str] | None = None


def read_utterances(references: str | Path, hypotheses: str | Path, *, split: str | None = None) -> Utterances:
    """Each reference with its hypothesis; of a table of references with several parts, those of `split`.

    Raises:
        DataError: a file cannot be read or holds nothing, an id is there twice, no id is in both, files without ids
            differ in length, or the references have no such `split`.
    """
    ours, theirs = _read(existing(references), "reference", split), _read(existing(hypotheses), "hypothesis")
    speakers = None if ours.speakers is None else tuple(ours.speakers)
    if ours.ids is None or theirs.ids is None:
        if len(ours.texts) != len(theirs.texts):
            raise DataError(
                f"{ours.file} has {len(ours.texts)} utterances and {theirs.file} {len(theirs.texts)}; without ids in "
                "both, each must have one on every line, in the same order."
            )
        ids = ours.ids or theirs.ids or [str(number) for number in range(1, len(ours.texts) + 1)]
        return Utterances(tuple(ids), tuple(ours.texts), tuple(theirs.texts), speakers, (), ())
    keys, heard = _matched(ours, theirs)
    missing = tuple(key for key in keys if key not in heard)
    if len(missing) == len(keys):
        raise DataError(
            f"No id of {ours.file} (for example {keys[0]!r}) is in {theirs.file} (for example {next(iter(heard))!r})."
        )
    known = set(keys)
    return Utterances(
        tuple(keys),
        tuple(ours.texts),
        tuple(heard.get(key, "") for key in keys),
        speakers,
        missing,
        tuple(key for key in heard if key not in known),
    )


def _matched(ours: _Lines, theirs: _Lines) -> tuple[list[str], dict[str, str]]:
    """The ids of both as they are, or without folders and endings where they agree only then."""
    keys, others = list(ours.ids or []), list(theirs.ids or [])
    if not set(keys) & set(others):
        stems, other_stems = [Path(key).stem for key in keys], [Path(key).stem for key in others]
        if set(stems) & set(other_stems) and len(set(stems)) == len(stems):
            keys, others = stems, other_stems
    for file, names in ((ours.file, keys), (theirs.file, others)):
        _once(file, names)
    return keys, dict(zip(others, theirs.texts, strict=True))


def _once(file: Path, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{file} has the id {name!r} more than once; each utterance needs one of its own.")
        seen.add(name)


def _read(file: Path, side: str, split: str | None = None) -> _Lines:
    tabular = file.suffix.lower() in TABLE_SUFFIXES
    if split is not None and not tabular:
        raise DataError(f"{file} is no table, so it has no split {split!r}.")
    lines = _folder(file) if file.is_dir() else _table(file, side, split) if tabular else None
    lines = lines or _plain(file)
    if not lines.texts:
        raise DataError(f"{file} holds no utterance.")
    return lines


def _folder(folder: Path) -> _Lines:
    """The texts of the .txt files below a folder, each one utterance; where there are none, of its .json files."""
    files = sorted(folder.rglob("*.txt"))
    if files:
        texts = [" ".join(line for line in _plain(file).texts if line.strip()) for file in files]
    elif files := sorted(folder.rglob("*.json")):
        texts = [_transcription(file) for file in files]
    else:
        raise DataError(f"{folder} is a folder without .txt or .json files; give such a folder, or a file of texts.")
    return _Lines(folder, texts, [file.relative_to(folder).as_posix() for file in files])


def _transcription(file: Path) -> str:
    """The text of what `multimodal transcribe --format json` wrote."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as JSON: {error}.") from None
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise DataError(f"{file} holds no text; it should be what `multimodal transcribe --format json` writes.")
    return found["text"]


def _plain(file: Path) -> _Lines:
    """Lines of text: trn where the file is called so, with ids where all have a tab."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None
    lines = text.replace("\r\n", "\n").split("\n")
    lines = lines[:-1] if not lines[-1] else lines
    if file.suffix.lower() == ".trn":
        found = [(number, _TRN.match(line)) for number, line in enumerate(lines, 1) if line.strip()]
        for number, match in found:
            if match is None:
                raise DataError(f"{file}, line {number} does not end with an id in parentheses, as lines of .trn do.")
        return _Lines(file, [match[1] for _, match in found if match], [match[2] for _, match in found if match])
    filled = [line for line in lines if line.strip()]
    if filled and all("\t" in line for line in filled):
        cells = [line.partition("\t") for line in filled]
        return _Lines(file, [text.strip() for _, _, text in cells], [name.strip() for name, _, _ in cells])
    return _Lines(file, lines)  # an empty line is an utterance without words


def _table(file: Path, side: str, split: str | None) -> _Lines | None:
    """The rows of a table, of one split; None for a .tsv without a header, whose lines are ids and texts."""
    skipped: list[Skipped] = []
    rows = list(read_rows(file, skipped))
    if split is not None:
        parts = list(dict.fromkeys(str(row.get("split")) for _, row in rows))
        rows = [(number, row) for number, row in rows if str(row.get("split")) == split]
        if not rows:
            known = ", ".join(part for part in parts if part != "None") or "none: there is no column called split"
            raise DataError(
                f"{file} has no rows of the split {split!r}; its splits are {known}.{nearest(split, parts)}"
            )
    if skipped:
        raise DataError(f"{skipped[0].path}: {skipped[0].reason}; every row must be readable to be counted.")
    if not rows:
        return None if file.suffix.lower() == ".tsv" else _Lines(file, [])
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    own = find_column(str(file), names, None, TEXTS[side], f"the {side}", required=False)
    if (
        not own
        and file.suffix.lower() == ".tsv"
        and not find_column(str(file), names, None, USUAL["text"], "the texts", required=False)
    ):
        return None  # fmt: skip
    column = own or find_column(str(file), names, None, USUAL["text"], f"the {side}")
    key = find_column(str(file), names, None, IDS, "the ids", required=False)
    key = key or find_column(str(file), names, None, USUAL["audio"], "the ids", required=False)
    if not key and side == "hypothesis":  # lines of `multimodal transcribe --format json`
        key = find_column(str(file), names, None, ("source",), "the ids", required=False)
    speaker = find_column(str(file), names, None, USUAL["speaker"], "the speaker", required=False)
    texts = ["" if row.get(column) is None else str(row[column]) for _, row in rows]
    ids = [str(row.get(key)) for _, row in rows] if key else None
    speakers = [row.get(speaker) for _, row in rows] if speaker else []
    known = [str(name) for name in speakers] if speakers and all(speakers) else None
    return _Lines(file, texts, ids, known)
