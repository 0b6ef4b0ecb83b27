"""The sound of MP4, WebM, Matroska, QuickTime, AAC and WMA files, and of videos, through PyAV."""

import io
from fractions import Fraction

import numpy as np
import pytest
from sounds import refused, tone

from multimodal.media import probe_audio, read_audio, stream_audio

av = pytest.importorskip("av")

RATE = 48_000
KINDS = {
    "mp4": ("mp4", "aac"),
    "mov": ("mov", "alac"),
    "webm": ("webm", "libopus"),
    "mkv": ("matroska", "flac"),
    "aac": ("adts", "aac"),
    "wma": ("asf", "wmav2"),
}


def film(kind: str, *, sound: bool = True, picture: bool = False, seconds: float = 3.0) -> bytes:
    """A file of the kind, with two channels of a tone, a black video, or both."""
    form, codec = KINDS[kind]
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        audio = video = None
        if sound:
            audio = container.add_stream(codec, rate=RATE, layout="stereo", bit_rate=128_000)
        if picture:
            video = container.add_stream("mpeg4", rate=10)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            for _ in range(round(seconds * 10)):
                container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
            container.mux(video.encode(None))
        if audio is not None:
            wave = tone(seconds=seconds, rate=RATE)
            samples = np.stack([wave, wave / 2])  # c n
            resampler = av.AudioResampler(format=audio.format, layout="stereo", rate=RATE)
            for start in range(0, len(wave), 1024):
                part = np.ascontiguousarray(samples[:, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
                for ready in resampler.resample(frame):
                    container.mux(audio.encode(ready))
            container.mux(audio.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_containers_give_the_sound_that_was_put_in(kind, tmp_path):
    path = tmp_path / f"clip.{kind}"
    path.write_bytes(film(kind))
    info = probe_audio(path)
    assert (info.rate, info.channels) == (RATE, 2)
    assert abs(info.seconds - 3) < 0.15
    wave = read_audio(path)
    expected = read_audio((tone(seconds=3, rate=RATE) * 0.75, RATE))
    assert wave.dtype == np.float32 and abs(len(wave) - len(expected)) < 0.15 * 16_000
    clip, delay = expected[1_000:9_000], 0
    if kind in ("aac", "wma"):  # they have nowhere to say how much their encoder put before the sound
        delay = int(np.correlate(wave[1_000:12_000], clip, "valid").argmax())
    assert np.corrcoef(wave[delay + 1_000 : delay + 9_000], clip)[0, 1] > 0.99
    assert np.array_equal(np.concatenate(list(stream_audio(path, block=0.7))), wave)
    assert np.array_equal(read_audio(path, longest=1.0), wave[:16_000])


def test_the_sound_of_a_video_is_read_and_a_silent_video_refused(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(film("mp4", picture=True))
    assert np.array_equal(read_audio(path), read_audio(film("mp4")))
    assert probe_audio(path).format == "MP4"
    path.write_bytes(film("mp4", sound=False, picture=True))
    assert refused(path) == f"{path} is a video without sound."
    path.write_bytes(film("mkv", sound=False, picture=True))
    assert refused(path) == f"{path} is a video without sound."


@pytest.mark.parametrize("kind", ["mp4", "webm", "mkv", "aac"])
def test_a_container_cut_short_is_refused(kind, tmp_path):
    path = tmp_path / f"cut.{kind}"
    data = film(kind)
    path.write_bytes(data[: len(data) * 6 // 10])
    message = refused(path)
    assert message.startswith(str(path))
    assert ("breaks off after" if kind == "aac" else "is cut short") in message


def test_damage_inside_is_refused(tmp_path):
    data = bytearray(film("mp4"))
    data[2000:6000] = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8).tobytes()
    assert "breaks off" in refused(bytes(data))
    data = bytearray(film("mp4"))
    without_index = data[: data.index(b"moov") - 4]  # a camera that lost its power
    assert "cannot be decoded: invalid data" in refused(bytes(without_index))


def test_tags_that_are_not_unicode_do_no_harm():
    data = film("mp4")
    changed = data.replace(b"SoundHandler", b"So\xfcndHandler")
    assert changed != data and len(changed) == len(data)
    assert np.array_equal(read_audio(changed), read_audio(data))
    changed = data.replace(b"isom", b"iso\xe9", 1)
    assert np.array_equal(read_audio(changed), read_audio(data))


def test_a_name_says_nothing_about_a_container(tmp_path):
    path = tmp_path / "really.wav"
    path.write_bytes(film("webm"))
    assert probe_audio(path).format == "MATROSKA"
    assert len(read_audio(path)) == 48_000
