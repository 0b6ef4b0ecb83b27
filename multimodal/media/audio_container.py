"""Decoding by PyAV (FFmpeg's libraries): m4a, mp4, mov, webm, mkv, aac, wma and the sound of videos.

The demuxer is given by the caller, who looked at the first bytes: FFmpeg does not guess, so no playlist is taken for
a film and no other file or address is opened. Delays that encoders put before the sound are cut off, as FFmpeg does.
Of several sound tracks the first is read. This file imports PyAV (the extra `containers`): import it when needed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

import av
import numpy as np

from multimodal.media.files import MediaError

_FORMATS = {"mov": "MP4"}  # the demuxers' names are not what people call the files


def demuxed(
    stream: IO[bytes] | io.BufferedIOBase, name: str, demuxer: str
) -> tuple[dict[str, Any], Iterator[np.ndarray]]:
    """What the header says (rate, channels, format, frames), and the samples, float32 (n, c), in blocks.

    Raises:
        MediaError: here or from the blocks: no sound in a video, or damage.
    """
    stream.seek(0)
    try:
        container = av.open(stream, mode="r", format=demuxer, metadata_errors="replace")  # old tags are Latin-1
    except av.FFmpegError as error:
        raise MediaError(f"{name} cannot be decoded: {_reason(error)}.") from error
    if not container.streams.audio:
        what = "is a video without sound" if container.streams.video else "holds no sound"
        container.close()
        raise MediaError(f"{name} {what}.")
    track = container.streams.audio[0]
    seconds = None
    if demuxer != "aac" and track.duration is not None and track.time_base is not None:
        seconds = float(track.duration * track.time_base)
    elif demuxer != "aac" and container.duration is not None:  # of AAC without a container it is guessed from the size
        seconds = container.duration / av.time_base
    blocks = _blocks(container, track, name)
    rate, channels = next(blocks)
    frames = None if seconds is None else round(seconds * rate)
    form = _FORMATS.get(demuxer, demuxer.upper())
    return {"rate": rate, "channels": channels, "format": form, "frames": frames}, blocks


def _blocks(container: Any, track: Any, name: str) -> Iterator[Any]:
    """First (rate, channels) as decoded: of HE-AAC the header gives half of the rate. Then the samples."""
    resampler = av.AudioResampler(format="flt")  # only the kind of number; refuses a change of rate or layout
    done = rate = channels = 0
    with container:
        try:
            for frame in container.decode(track):
                if not rate:
                    rate, channels = frame.sample_rate, frame.layout.nb_channels
                    yield rate, channels
                for part in resampler.resample(frame):
                    block = part.to_ndarray().reshape(-1, channels)  # n c
                    done += len(block)
                    yield block
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, MediaError):
                raise
            what = f"breaks off after {done / rate:.2f} s" if rate else "cannot be decoded"
            raise MediaError(f"{name} {what}: {_reason(error)}.") from error
    if not rate:
        raise MediaError(f"{name} holds no samples.")


def _reason(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return (reason[:1].lower() + reason[1:]).rstrip(".")
