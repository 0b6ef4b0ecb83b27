"""A tiny made language, for tests and smoke runs: six words that are tones, chirps and hisses, in several voices.

    low, mid, high    a tone that stays
    rise, fall        a chirp
    hiss              noise

Everything follows from the seed. No voice is in two splits, so that what is validated is another timbre, tempo and
pitch than what was trained on. The files are `manifest.jsonl` and `wav/`; clips of one word each have a `label` too.
"""

from __future__ import annotations

import json
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from multimodal.errors import ArgumentError

WORDS = {  # Hz at the beginning and at the end; None: noise
    "low": (250.0, 250.0),
    "mid": (600.0, 600.0),
    "high": (1400.0, 1400.0),
    "rise": (300.0, 1300.0),
    "fall": (1300.0, 300.0),
    "hiss": None,
}
RATE = 16_000  # samples a second
TABLE = "manifest.jsonl"
HARMONICS = 4
EDGE = 0.01  # seconds in which a word becomes loud, and silent again


@dataclass(frozen=True)
class Voice:
    """How one "speaker" sounds."""

    name: str
    pitch: float  # times that of `WORDS`
    word: float  # seconds of a word
    pause: float  # seconds between words
    loudness: tuple[float, ...]  # of each harmonic

    @classmethod
    def drawn(cls, name: str, generator: Generator) -> Voice:
        """A voice like no other."""
        pitch, word, pause = generator.uniform((0.9, 0.16, 0.04), (1.1, 0.26, 0.1))
        loudness = (1.0, *generator.uniform(0.05, 0.6, HARMONICS - 1))
        return cls(name, float(pitch), float(word), float(pause), tuple(map(float, loudness)))


def write_tones(
    folder: str | Path,
    *,
    train: int = 200,
    val: int = 40,
    test: int = 40,
    words: tuple[int, int] = (1, 4),
    voices: int = 4,
    seed: int = 0,
) -> Path:
    """Write the clips into `folder`; the folder.

    Args:
        folder: is made where it is not there; files of the same names are replaced.
        train: clips of the training part.
        val: clips of the validation part.
        test: clips of the test part.
        words: fewest and most words of a clip.
        voices: how many speak in the training part; the other parts have one each.
        seed: of everything.

    Raises:
        ArgumentError: a negative number of clips, or no word or voice.
    """
    if not 1 <= words[0] <= words[1]:
        raise ArgumentError(f"words is {words}; a clip has at least 1 word, and the fewest come first.")
    if voices < 1 or min(train, val, test) < 0:
        raise ArgumentError(f"voices is {voices}, train {train}, val {val}, test {test}; at least 1 voice, 0 clips.")
    root = Path(folder)
    (root / "wav").mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    cast = [Voice.drawn(f"voice{number}", generator) for number in range(voices + 2)]
    parts = (("train", train, cast[:voices]), ("val", val, cast[voices:-1]), ("test", test, cast[-1:]))
    rows = []
    for split, count, speakers in parts:
        for number in range(count):
            voice = speakers[number % len(speakers)]
            said = [str(word) for word in generator.choice(list(WORDS), generator.integers(words[0], words[1] + 1))]
            sound = spoken(said, voice, generator)
            name = f"wav/{split}{number:04d}.wav"
            _write(root / name, sound)
            row = {"file": name, "text": " ".join(said), "speaker": voice.name, "split": split}
            label = {"label": said[0]} if words == (1, 1) else {}
            rows.append(json.dumps({**row, **label, "seconds": round(len(sound) / RATE, 3)}))
    (root / TABLE).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return root


def spoken(words: list[str], voice: Voice, generator: Generator) -> Float[np.ndarray, " n"]:
    """The sound of `words`, from -1 to 1, with a little noise below all of it."""
    parts = [np.zeros(round(voice.pause * RATE))]
    for word in words:
        parts += [_word(word, voice, generator), np.zeros(round(voice.pause * generator.uniform(0.8, 1.2) * RATE))]
    sound = np.concatenate(parts) * generator.uniform(0.3, 0.8)
    return np.clip(sound + 0.003 * generator.standard_normal(len(sound)), -1, 1)


def _word(word: str, voice: Voice, generator: Generator) -> Float[np.ndarray, " n"]:
    count = round(voice.word * generator.uniform(0.9, 1.1) * RATE)
    edge = np.minimum(np.arange(count), np.arange(count)[::-1]) / (EDGE * RATE)
    ends = WORDS[word]
    if ends is None:
        return np.minimum(edge, 1) * np.clip(0.3 * generator.standard_normal(count), -1, 1)
    hertz = np.linspace(ends[0], ends[1], count) * voice.pitch * generator.uniform(0.97, 1.03)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    tones = sum(loud * np.sin(times * phase) for times, loud in enumerate(voice.loudness, 1))
    return np.minimum(edge, 1) * tones / sum(voice.loudness)


def _write(path: Path, sound: Float[np.ndarray, " n"]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(sound * 32767).astype("<i2").tobytes())
