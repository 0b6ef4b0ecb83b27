"""Every source of sound is taken, judged by its content, and every bad one refused with one sentence."""

import io
import os
import struct
import sys
import threading

import numpy as np
import pytest
from sounds import encoded, pcm, refused, tone

from multimodal.media import MediaError, find_audio, probe_audio, read_audio, stream_audio


def test_sources_agree(tmp_path):
    data = pcm(tone())
    path = tmp_path / "día 猫.wav"
    path.write_bytes(data)
    stream = io.BytesIO(data)
    stream.seek(5)  # read from its start all the same
    for source in (path, str(path), data, stream):
        assert np.array_equal(read_audio(source), read_audio(data))
    with path.open("rb") as file:
        assert np.array_equal(read_audio(file), read_audio(data))
        assert not file.closed


def test_stream_that_cannot_seek():
    reading, writing = os.pipe()
    data = pcm(tone(seconds=0.5))
    writer = threading.Thread(target=lambda: (os.write(writing, data), os.close(writing)))
    with os.fdopen(reading, "rb") as file:
        writer.start()
        assert np.array_equal(read_audio(file), read_audio(data))
    writer.join()


def test_content_counts_and_not_the_name(tmp_path):
    data = encoded(tone(), "FLAC")
    for name in ("a.wav", "a.mp3", "a.raw", "a.txt", "a"):
        (tmp_path / name).write_bytes(data)
        assert probe_audio(tmp_path / name).format == "FLAC"
        with (tmp_path / name).open("rb") as file:
            assert len(read_audio(file)) == 16_000


def test_things_that_are_not_files(tmp_path):
    assert "folder, not a file" in refused(tmp_path)
    assert "does not exist" in refused(tmp_path / "none.wav")
    assert "device" in refused("/dev/zero")
    os.mkfifo(tmp_path / "pipe.wav")
    messages = []
    reader = threading.Thread(target=lambda: messages.append(refused(tmp_path / "pipe.wav")), daemon=True)
    reader.start()
    reader.join(timeout=5)
    assert messages and "pipe" in messages[0]


def test_what_is_no_sound(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, 5_000, dtype=np.uint8).tobytes()
    silent_header = pcm(np.zeros(0))
    broken = bytearray(pcm(tone()))
    broken[20:22] = b"\x99\x99"  # a codec that does not exist
    for name, data, what in [
        ("empty.wav", b"", "is empty (0 bytes)"),
        ("page.wav", b"<!DOCTYPE html><p>Not found", "is a text file, not sound; it begins with '<!DOCTYPE html>"),
        ("list.m3u8", b"#EXTM3U\nhttp://x.org/a.ts\n", "is a text file"),
        ("noise.mp3", noise, "is not sound in a known format"),
        ("none.wav", silent_header, "holds no samples"),
        ("header.wav", b"RIFF\0\0\0\0WAVE", "header.wav cannot be decoded"),
        ("codec.wav", bytes(broken), "codec.wav cannot be decoded"),
        ("slow.wav", pcm(tone(), 999), "has 999 samples per second; 1,000 to 768,000 can be read"),
        ("fast.wav", pcm(tone(), 10**6), "has 1,000,000 samples per second"),
    ]:
        path = tmp_path / name
        path.write_bytes(data)
        message = refused(path)
        assert message.startswith(str(path)) and what in message
        with pytest.raises(MediaError, match=name):
            next(stream_audio(path))
    assert probe_audio(silent_header).seconds == 0


def test_a_flac_that_breaks_off_gives_no_samples_and_says_where(tmp_path):
    path = tmp_path / "cut.flac"
    data = encoded(tone(seconds=10), "FLAC")
    path.write_bytes(data[: len(data) // 2])
    message = refused(path)
    assert (
        message.startswith(f"{path} breaks off after ") and " s of 10.00 s, the rest is missing or damaged" in message
    )
    assert 3 < float(message.split(" after ")[1].split()[0]) <= 5
    assert probe_audio(path).seconds == 10  # the header is whole
    with pytest.raises(MediaError, match="breaks off"):
        list(stream_audio(path, block=1.0))
    assert len(read_audio(path, longest=2.0)) == 32_000
    damaged = bytearray(data)
    middle = len(data) // 2
    damaged[middle : middle + 3000] = bytes(3000)
    path.write_bytes(damaged)
    assert "breaks off" in refused(path)


def test_an_mp3_that_breaks_off_is_refused(tmp_path):
    data = encoded(tone(seconds=5), "MP3")
    assert "of 5.00 s" in refused(data[: len(data) * 6 // 10])


@pytest.mark.parametrize("form", ["WAV", "AIFF", "OGG"])
def test_what_libsndfile_passes_over_is_refused_too(form):
    data = encoded(tone(seconds=5), form)
    for share in (0.3, 0.6, 0.95):
        message = refused(data[: int(len(data) * share)])
        assert "is cut short: " in message and "bytes are missing" in message
    data += bytes(100)  # something behind is no damage
    assert len(read_audio(data)) == 80_000


def test_a_length_that_counts_the_header_is_no_damage():
    data = bytearray(pcm(tone()))
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", len(data) - at - 4 + 44)
    assert np.array_equal(read_audio(bytes(data)), read_audio(pcm(tone())))


def test_without_pyav_containers_name_the_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "multimodal.media.audio_container", raising=False)
    path = tmp_path / "film.mp4"
    for head, what in [
        (b"\0\0\0\x20ftypisom", "an MP4 or QuickTime file"),
        (b"\x1aE\xdf\xa3", "a WebM or Matroska file"),
        (b"\x30\x26\xb2\x75", "a WMA or ASF file"),
        (b"\xff\xf1\x50\x80", "an AAC file"),
    ]:
        path.write_bytes(head + bytes([0xFF]) * 2000 if head[4:] != b"ftypisom" else head + bytes(20))
        assert refused(path) == f"{path} is {what}, which takes PyAV to decode: pip install 'multimodal[containers]'."
    assert len(read_audio(pcm(tone()))) == 16_000
    path.write_bytes(b"RIFF\0\0\0\0WAVE")
    assert "cannot be decoded" in refused(path)


def test_recordings_are_found_as_pictures_are(tmp_path):
    names = ["b/2.WAV", "b/1.flac", "a/ü.m4a", "film.mp4", "x.opus"]
    for name in [*names, "notes.txt", "a/._x.wav", ".hidden/c.wav", "photo.jpg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [path.relative_to(tmp_path).as_posix() for path in find_audio(tmp_path)] == sorted(names)
    with pytest.raises(MediaError, match=r"none cannot be listed: No such file"):
        find_audio(tmp_path / "none")


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF", "W64", "AU", "NIST"])
def test_damaged_bytes_never_raise_anything_else(form, capfd):
    generator = np.random.default_rng(0)
    data = encoded(tone(seconds=0.3), form)
    refusals = 0
    for case in range(60):
        damaged = bytearray(data)
        for at in generator.integers(0, 64 if case % 2 else len(data), 5):
            damaged[at] = generator.integers(256)
        try:
            assert np.isfinite(read_audio(bytes(damaged), longest=60.0)).all()
        except MediaError as error:
            refusals += 1
            assert str(error).startswith("The sound of ") and len(str(error)) < 300
    assert refusals
    assert "Traceback" not in capfd.readouterr().err


def test_reading_in_several_threads_gives_the_same():
    data = encoded(tone(seconds=3, rate=44_100), "OGG", rate=44_100)
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(read_audio(data))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(wave, results[0]) for wave in results) and len(results) == 4
