"""Whether a file ends before its own headers say: decoders pass over that and give what is there.

Looked at: WAV and AIFF (the chunk of samples), Ogg (the last page), MP4 and QuickTime (the boxes), WebM and Matroska
(the segment). Not here: what the decoders notice themselves (FLAC, MP3 with a length). Lengths that stand for "until
the end", as programs write that do not know it yet, are no fault.
"""

from __future__ import annotations

import io
import struct
from typing import IO

_UNKNOWN = 0x7FFF_0000  # bytes; from here on a 32-bit length of samples means "not known while writing"
_SLOPPY = 64  # bytes by which some programs count their own header as samples
_PAGE = 65_307  # bytes of the longest Ogg page
_MOST_CHUNKS = 10_000


def cut_short(stream: IO[bytes] | io.BufferedIOBase) -> str | None:
    """What is missing, in words: "38,444 of its 96,044 bytes are missing"; None where nothing is known to be."""
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        end = _chunks_end(stream, size, "<I", b"data")
    elif head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        end = _chunks_end(stream, size, ">I", b"SSND")
    elif head[:4] == b"OggS":
        end = _page_end(stream, size)
    elif head[4:8] == b"ftyp":
        end = _box_end(stream, size)
    elif head[:4] == b"\x1aE\xdf\xa3":
        end = _segment_end(stream)
    else:
        end = 0
    return f"{end - size:,} of its {end:,} bytes are missing" if end > size else None


def _chunks_end(stream: IO[bytes] | io.BufferedIOBase, size: int, order: str, samples: bytes) -> int:
    at = 12
    for _ in range(_MOST_CHUNKS):
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            break
        length = struct.unpack(order, head[4:])[0]
        if head[:4] == samples:
            return 0 if length >= _UNKNOWN or at + 8 + length - size <= _SLOPPY else at + 8 + length
        at += 8 + length + length % 2
    return 0


def _page_end(stream: IO[bytes] | io.BufferedIOBase, size: int) -> int:
    start = max(0, size - _PAGE)
    stream.seek(start)
    tail = stream.read()
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:  # 27: the fixed part of a page's header; it ends in the number of lengths
        return size + 1 if at >= 0 else 0
    lengths = tail[at + 27 : at + 27 + tail[at + 26]]
    return start + at + 27 + tail[at + 26] + sum(lengths)


def _box_end(stream: IO[bytes] | io.BufferedIOBase, size: int) -> int:
    at = 0
    for _ in range(_MOST_CHUNKS):
        stream.seek(at)
        head = stream.read(16)
        if len(head) < 8:
            break
        length = struct.unpack(">I", head[:4])[0]
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        if length < 8:  # 0: until the end of the file
            break
        at += length
        if at >= size:
            return at
    return 0


def _segment_end(stream: IO[bytes] | io.BufferedIOBase) -> int:
    stream.seek(4)
    length = _number(stream)
    if length is None:
        return 0
    stream.seek(length, 1)
    if stream.read(4) != b"\x18S\x80g":  # the id of a segment
        return 0
    length = _number(stream)
    return 0 if length is None else stream.tell() + length


def _number(stream: IO[bytes] | io.BufferedIOBase) -> int | None:
    """An EBML number: as many leading zero bits as bytes follow the first. All bits set: not known."""
    first = stream.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + stream.read(more), "big")
    return None if value == (1 << (7 * (more + 1))) - 1 else value
