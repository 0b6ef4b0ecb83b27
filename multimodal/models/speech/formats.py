"""A transcription as text, subtitles, a table or JSON.

SubRip (srt) and WebVTT (vtt) are what players read: cues with times to the millisecond that follow each other and
never overlap. With `words`, srt has one cue a word, because SubRip knows no times inside a cue; vtt keeps the lines and
writes the time of each word inside them, which players highlight as it is spoken and older ones leave out.

Refs: WebVTT, W3C Candidate Recommendation 2019-04-04 §4 (timestamps in hours, `&`, `<` and `>` escaped in the text)
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from multimodal.errors import ArgumentError, nearest
from multimodal.models.speech.result import Segment, Transcription, Word

FORMATS = ("txt", "srt", "vtt", "tsv", "json")

Cue = tuple[int, int, str]  # start and end in milliseconds, and the text


def render(transcription: Transcription, format: str, *, words: bool = False) -> str:
    """`transcription` as the contents of a file; it ends with a line break.

    - txt: one segment a line
    - srt, vtt: subtitles
    - tsv: start, end (whole milliseconds) and text under a header
    - json: all that is known: language, times, confidence, how each segment was decoded and why

    Args:
        format: one of `FORMATS`.
        words: srt: one word a cue; vtt: word times inside the lines; tsv: one word a row; json: the words of each
            segment. It has no meaning for txt.

    Raises:
        ArgumentError: an unknown format, or `words` of a transcription that has no word times.
    """
    if format not in FORMATS:
        close = nearest(format.lower().lstrip("."), FORMATS) or f" Give one of {', '.join(FORMATS)}."
        raise ArgumentError(f"format is {format!r}, which is none that a transcription can be written in.{close}")
    segments = [segment for segment in transcription.segments if segment.text.strip()]
    if words and segments and not any(segment.words for segment in segments):
        raise ArgumentError("words is set, but this transcription has none; transcribe with timestamps='word'.")
    if format == "json":
        return _json(transcription, words=words)
    if format == "txt":
        return "".join(f"{_line(segment.text)}\n" for segment in segments)
    if format == "vtt":
        return _vtt(segments, words=words)
    parts: list[Segment | Word] = [part for segment in segments for part in ((words and segment.words) or (segment,))]
    if format == "tsv":
        rows = [f"{_milliseconds(part.start)}\t{_milliseconds(part.end)}\t{_line(part.text)}\n" for part in parts]
        return "".join(["start\tend\ttext\n", *rows])
    cues = apart((_milliseconds(part.start), _milliseconds(part.end), _line(part.text)) for part in parts)
    blocks = [
        f"{number}\n{clock(start, ',')} --> {clock(end, ',')}\n{text.replace('-->', '->')}\n"
        for number, (start, end, text) in enumerate(cues, start=1)
    ]
    return "\n".join(blocks)


def clock(milliseconds: int, point: str = ".") -> str:
    """Hours, minutes, seconds and thousandths: 01:02:03.004."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{thousandths:03d}"


def apart(cues: Iterable[Cue]) -> list[Cue]:
    """`cues` by their start, none empty, each at least a millisecond long and over before the next one starts."""
    ordered = sorted((cue for cue in cues if cue[2]), key=lambda cue: cue[0])
    done: list[Cue] = []
    for (start, end, text), following in itertools.zip_longest(ordered, ordered[1:]):
        start = max(start, done[-1][1]) if done else start
        end = max(end, start + 1)
        if following is not None and start < following[0] < end:
            end = following[0]
        done.append((start, end, text))
    return done


def _vtt(segments: list[Segment], *, words: bool) -> str:
    # Each text starts with its segment's number, so that the words are found after the cues were put in order.
    numbered = [(_milliseconds(s.start), _milliseconds(s.end), str(i)) for i, s in enumerate(segments)]
    blocks = ["WEBVTT\n"]
    for start, end, number in apart(numbered):
        segment = segments[int(number)]
        text = _timed(segment.words, start, end) if words and segment.words else _escaped(_line(segment.text))
        blocks.append(f"{clock(start)} --> {clock(end)}\n{text}\n")
    return "\n".join(blocks)


def _timed(words: tuple[Word, ...], start: int, end: int) -> str:
    """The line of a cue with the time of each word before it, where that lies inside the cue and after the last."""
    line, last = "", start
    for word in words:
        text = _escaped(" ".join(word.text.split()))
        at = _milliseconds(word.start)
        space = " " if word.text[:1].isspace() and line else ""
        stamp = f"<{clock(at)}>" if last < at < end else ""
        last = max(last, at) if stamp else last
        line += f"{space}{stamp}{text}"
    return line


def _json(transcription: Transcription, *, words: bool) -> str:
    source = transcription.source
    record: dict[str, Any] = {
        "source": str(source) if isinstance(source, str | Path) else None,
        "language": transcription.language,
        "task": transcription.task,
        "seconds": round(transcription.seconds, 3),
        "text": transcription.text,
        "segments": [_record(number, segment, words=words) for number, segment in enumerate(transcription.segments)],
    }
    return json.dumps(record, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _record(number: int, segment: Segment, *, words: bool) -> dict[str, Any]:
    fields = asdict(segment)
    fields["words"] = [{name: _rounded(value) for name, value in word.items()} for word in fields["words"]]
    if not words:
        del fields["words"]
    return {"id": number} | {name: _rounded(value) for name, value in fields.items()}


def _rounded(value: Any) -> Any:
    """Numbers to four places; JSON has no NaN and no infinity, so that these are null."""
    if not isinstance(value, float):
        return value
    return round(value, 4) if math.isfinite(value) else None


def _milliseconds(seconds: float) -> int:
    return max(0, round(1000 * seconds))


def _line(text: str) -> str:
    """`text` on one line: a blank line would end a cue, a tab a cell."""
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
