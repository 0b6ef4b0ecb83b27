"""Where there is speech: bursts of sound in silence and noise, pieces of any length, windows that cut in pauses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from multimodal.models.speech.activity import ActivityConfig, band_power, chunks, runs, smooth

RATE = 16_000


def voice(seconds: float, *, seed: int = 0, loud: float = 0.3) -> np.ndarray:
    """Harmonics of a gliding tone that swell and fade four times a second, as syllables do."""
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * t + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    wave = sum(np.sin(k * phase) / k for k in range(1, 12))
    return (loud / 2 * wave * (0.55 - 0.45 * np.cos(2 * np.pi * 4 * t))).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def noise(seconds: float, loud: float) -> np.ndarray:
    return (loud * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


def spans(wave: np.ndarray) -> list[tuple[float, float]]:
    found = smooth(ActivityConfig().build()(wave), ActivityConfig())
    return [(a / 100, b / 100) for a, b in runs(found)]


def test_power_of_a_band_is_that_of_a_sine():
    wave = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    power = band_power(wave)
    assert power.shape == (100, 24) and power[:97].max(axis=1) == pytest.approx(1.0, rel=0.5)
    assert band_power(0.1 * wave)[:97].max() == pytest.approx(0.01 * power[:97].max())
    assert band_power(wave[:1]).shape == (1, 24) and band_power(wave[:0]).shape == (0, 24)


@pytest.mark.parametrize("background", [0.0, 0.003, 0.03])
def test_speech_is_found_in_silence_and_in_noise(background):
    wave = np.concatenate([silence(3), voice(2), silence(4), voice(3, seed=1), silence(2)]) + noise(14, background)
    found = spans(wave.astype(np.float32))
    assert found == [pytest.approx((2.8, 5.2), abs=0.15), pytest.approx((8.8, 12.2), abs=0.15)]


@pytest.mark.parametrize("wave", [silence(40), noise(40, 0.1), noise(40, 1e-4), silence(0), noise(0.00007, 1.0)])
def test_silence_and_steady_noise_are_no_speech(wave):
    assert list(chunks([wave])) == []


def test_a_short_sound_that_fills_its_recording_may_be_a_voice():
    t = np.arange(RATE) / RATE
    vowel = (0.1 * sum((np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12)), np.zeros(RATE))).astype(np.float32)
    for n in (1600, 8000, RATE):
        (chunk,) = chunks([vowel[:n]])
        assert chunk.start == 0 and np.array_equal(chunk.wave, vowel[:n])
    (chunk,) = chunks([np.concatenate([silence(1), vowel, silence(0.9)]) + noise(2.9, 1e-3)])
    assert chunk.start == pytest.approx(80, abs=5) and chunk.seconds == pytest.approx(1.4, abs=0.1)


def test_a_click_is_no_speech():
    wave = silence(4)
    wave[2 * RATE : 2 * RATE + 20] = 1.0
    assert spans(wave) == []


def test_noise_that_grows_louder_is_forgotten_after_a_while():
    wave = np.concatenate([noise(20, 0.001), noise(60, 0.004)])
    found = spans(wave)
    assert all(start >= 19 for start, _ in found) and not any(end > 60 for _, end in found)


def test_smoothing():
    config = ActivityConfig(padding=0.02, pause=0.1, shortest=0.03)
    found = np.zeros(100, dtype=bool)
    found[[10, *range(20, 25), *range(33, 40), *range(60, 99)]] = True
    assert runs(smooth(found, config)) == [(18, 42), (58, 100)]
    assert runs(found) == [(10, 11), (20, 25), (33, 40), (60, 99)] and runs(found[:10]) == []


def test_windows_cut_in_the_longest_pause():
    parts = [silence(5), voice(12), silence(1), voice(6), silence(1.5), voice(8), silence(0.8), voice(20)]
    wave = np.concatenate(parts)
    found = list(chunks([wave]))
    times = [(chunk.start / 100, chunk.start / 100 + chunk.seconds) for chunk in found]
    assert times == [pytest.approx((4.8, 24.2), abs=0.1), pytest.approx((25.3, 54.3), abs=0.1)]
    assert all(len(chunk.speech) == -(-len(chunk.wave) // 160) for chunk in found)
    for chunk in found:
        assert np.array_equal(chunk.wave, wave[chunk.start * 160 :][: len(chunk.wave)])


def test_without_a_pause_a_window_ends_at_a_quiet_moment():
    wave = voice(100)
    found = list(chunks([wave]))
    assert sum(len(chunk.wave) for chunk in found) == pytest.approx(len(wave), abs=RATE)
    for chunk, following in itertools.pairwise(found):
        assert 15 <= chunk.seconds <= 30 and chunk.start + len(chunk.speech) == following.start
        edge = following.start * 160
        assert np.abs(wave[edge - 160 : edge + 160]).max() < 0.15 * np.abs(wave).max()


@pytest.mark.parametrize("size", [7_777, RATE * 30, RATE * 45 + 1])
def test_the_pieces_of_a_stream_make_no_difference(size):
    wave = np.concatenate([voice(14), silence(2), voice(25, seed=2), silence(40), voice(31, seed=3)])
    whole = list(chunks([wave]))
    pieces = list(chunks(wave[i : i + size] for i in range(0, len(wave), size)))
    assert [(chunk.start, len(chunk.wave)) for chunk in pieces] == [(chunk.start, len(chunk.wave)) for chunk in whole]


def test_of_a_long_recording_little_is_held():
    taken = 0

    def pieces():
        nonlocal taken
        for i in range(10):
            taken += 1
            yield voice(30, seed=i)

    for chunk in chunks(pieces()):
        assert taken * 30 - chunk.start / 100 < 100, "seconds read ahead of the window"
    assert taken == 10
