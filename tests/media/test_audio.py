"""Every kind of sound becomes the right waveform: rates, channels, kinds of number, whole or in pieces."""

import io
import itertools
import struct
import tracemalloc

import numpy as np
import pytest
import torch
import torchaudio
from sounds import encoded, pcm, plain, refused, tone

from multimodal.media import AudioInfo, MediaError, probe_audio, read_audio, stream_audio


def test_a_wave_file_reads_as_the_standard_library_reads_it():
    for channels in (1, 2, 3, 8):
        data = pcm(np.stack([tone(hertz=220.0 * (c + 1)) for c in range(channels)], axis=1))
        wave = read_audio(data)
        assert wave.dtype == np.float32 and wave.shape == (16_000,)
        assert np.abs(wave - plain(data)).max() < 2e-7
        assert probe_audio(data) == AudioInfo(rate=16_000, channels=channels, seconds=1.0, format="WAV")


def test_lossless_formats_give_equal_samples_and_lossy_ones_the_same_sound():
    samples = tone(seconds=2)
    exact = read_audio(pcm(samples))
    for form, subtype in [
        ("FLAC", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("CAF", "PCM_16"),
        ("W64", "PCM_16"),
        ("NIST", "PCM_16"),
    ]:
        assert np.abs(read_audio(encoded(samples, form, subtype=subtype)) - exact).max() <= 2 / 32768
    for form, subtype in [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)]:
        data = encoded(samples, form, subtype=subtype)
        wave = read_audio(data)
        assert len(wave) == len(exact)
        assert np.corrcoef(wave, exact)[0, 1] > 0.98
        assert probe_audio(data).seconds == 2.0
    for subtype in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"):
        wave = read_audio(encoded(samples, "WAV", subtype=subtype))
        assert np.abs(wave - samples).max() < 0.02


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 192_000])
def test_any_rate_becomes_the_asked_one(rate):
    samples = tone(rate=rate, hertz=1000)
    wave = read_audio(pcm(samples, rate))
    assert len(wave) == 16_000
    reference = torchaudio.functional.resample(
        torch.from_numpy(plain(pcm(samples, rate))), rate, 16_000, lowpass_filter_width=64, rolloff=0.95
    ).numpy()
    inner = slice(200, -200)  # at the ends, filters of different lengths see different amounts of silence
    clean = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    assert np.abs(wave[inner] - reference[inner]).mean() < 0.003
    assert np.abs(wave[inner] - clean[inner]).mean() < 0.02


def test_what_lies_above_the_new_rate_is_removed():
    wave = read_audio((0.5 * np.sin(2 * np.pi * 10_000 * np.arange(44_100) / 44_100), 44_100))
    assert np.abs(wave[500:-500]).max() < 1e-4


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_pieces_joined_are_the_whole(rate):
    data = encoded(
        np.stack([tone(seconds=2.7, rate=rate), tone(seconds=2.7, rate=rate, hertz=300)], 1), "FLAC", rate=rate
    )
    whole = read_audio(data)
    for block in (0.01, 0.5, 1.0, 30.0):
        pieces = list(stream_audio(data, block=block))
        assert {len(piece) for piece in pieces[:-1]} <= {round(block * 16_000)}
        assert 0 < len(pieces[-1]) <= round(block * 16_000)
        assert np.array_equal(np.concatenate(pieces), whole)
    for longest in (0.00001, 0.5, 1.2345, 99.0):
        assert np.array_equal(read_audio(data, longest=longest), whole[: max(1, round(longest * 16_000))])


def test_arrays():
    samples = tone()
    assert np.array_equal(read_audio(samples), samples)
    assert np.array_equal(read_audio(samples.astype(np.float64)), samples)
    integers = np.array([-32768, 0, 16384, 32767], np.int16)
    assert np.array_equal(read_audio(integers), integers / np.float32(32768))
    assert np.array_equal(read_audio(integers.astype(np.int32) << 16), integers / np.float32(32768))
    both = np.stack([samples, np.zeros_like(samples)], axis=1)
    assert np.array_equal(read_audio(both), samples / 2)
    assert np.array_equal(
        read_audio((samples, 8_000)), read_audio(encoded(samples, "WAV", rate=8_000, subtype="FLOAT"))
    )
    assert probe_audio((both, 8_000)) == AudioInfo(rate=8_000, channels=2, seconds=2.0, format=None)
    before = samples.copy()
    wave = read_audio(samples)
    wave[:] = 0
    assert np.array_equal(samples, before)  # the result is the caller's own
    for array, what in [
        (np.zeros(0), "shape 0"),
        (np.zeros((2, 16_000)), "2 x 16000; sound is n samples, or n samples x channels"),
        (np.zeros((1, 2, 3)), "1 x 2 x 3"),
        (np.zeros(5, np.uint8), "uint8"),
        ((np.zeros(5), 500), "500 samples per second"),
        (np.array([0.0, np.nan]), r"NaN or infinite, the first at 0\.000 s"),
    ]:
        with pytest.raises(MediaError, match=what):
            read_audio(array)
    with pytest.raises(TypeError):
        read_audio([0.0, 1.0])  # type: ignore[arg-type]


def test_small_and_strange_sounds_are_still_sounds():
    for rate in (1_000, 8_000, 16_000, 44_100, 192_000, 768_000):
        one = read_audio(encoded(np.array([0.5], np.float32), "WAV", rate=rate, subtype="FLOAT"))
        assert len(one) == max(1, round(16_000 / rate))
        assert np.isfinite(one).all()
    assert not read_audio(pcm(np.zeros(16_000))).any()
    high = np.stack([tone(rate=192_000)] * 8, axis=1)
    data = encoded(high, "FLAC", rate=192_000)
    assert probe_audio(data) == AudioInfo(rate=192_000, channels=8, seconds=1.0, format="FLAC")
    assert np.abs(read_audio(data) - read_audio((high[:, 0], 192_000))).max() < 1e-4


def test_samples_that_are_not_numbers_are_named_by_their_time():
    for bad in (np.nan, np.inf, -np.inf):
        samples = tone(seconds=3)
        samples[32_000] = bad
        message = refused(encoded(samples, "WAV", subtype="FLOAT"))
        assert message.endswith("holds samples that are NaN or infinite, the first at 2.000 s.")


def test_a_wave_of_unknown_length_and_a_flac_without_one_are_read_to_their_end():
    samples = tone(seconds=3)
    data = bytearray(pcm(samples))
    at = data.index(b"data") + 4
    for length in (0xFFFF_FFFF, 0x7FFF_FFFF):  # as programs write that send their output through a pipe
        data[at : at + 4] = struct.pack("<I", length)
        assert np.array_equal(read_audio(bytes(data)), read_audio(pcm(samples)))
    flac = bytearray(encoded(samples, "FLAC"))
    flac[21] &= 0xF0  # the number of samples, 36 bits
    flac[22:26] = bytes(4)
    assert np.array_equal(read_audio(bytes(flac)), read_audio(encoded(samples, "FLAC")))
    assert probe_audio(bytes(flac)).seconds == 3.0


def test_ten_hours_stream_in_bounded_memory(tmp_path):
    rate, seconds = 1_000, 36_000
    path = tmp_path / "long.wav"
    with path.open("wb") as file:  # 8 bits, and nothing but a header on the disk: the file is sparse
        size = rate * seconds
        file.write(
            struct.pack(
                "<4sI4s4sIHHIIHH4sI", b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 1, rate, rate, 1, 8, b"data", size
            )
        )
        file.truncate(size + 44)
    assert probe_audio(path).seconds == seconds
    total = 0
    tracemalloc.start()
    for piece in stream_audio(path, rate=rate, block=60.0):
        total += len(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == rate * seconds
    assert peak < 4e6  # bytes; all of it would be 144 MB


def test_blocks_are_read_when_they_are_asked_for():
    class Counting(io.BytesIO):
        count = 0

        def readinto(self, buffer):
            done = super().readinto(buffer)
            self.count += done
            return done

    data = pcm(tone(seconds=120))
    file = Counting(data)
    pieces = stream_audio(file, block=1.0)
    assert file.count == 0
    assert [len(piece) for piece in itertools.islice(pieces, 3)] == [16_000] * 3
    assert 0 < file.count < len(data) / 10
    file = Counting(data)
    assert len(read_audio(file, longest=2.0)) == 32_000
    assert file.count < len(data) / 10


def test_wrong_arguments_are_refused_at_once():
    for arguments in ({"rate": 10}, {"rate": 10**7}, {"block": 0.0}, {"block": -1.0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            stream_audio(tone(), **arguments)
    with pytest.raises(ValueError, match="longest=0"):
        read_audio(tone(), longest=0.0)
