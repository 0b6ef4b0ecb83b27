"""Whether the text of a window may be trusted that was decoded in a batch, without knowing what was said before.

Batches are fast, and their known faults are that they lose speech, fall into another language, and repeat a phrase or
the prompt. Each of these can be seen in the result; what is suspect is decoded again on its own.

Axes: t frames of 10 ms
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from multimodal.models.speech.activity import runs
from multimodal.tokenizers.audio_features import FRAMES_PER_SECOND

MISSED = 2.0  # seconds of speech in a row without a segment
MISSED_SHARE = 0.3  # of all speech of the window, where that is half a second at least
FASTEST = 35.0  # letters that a second of speech can hold: twice as fast as people talk
SURE_OF_OTHER, SURE_OF_OWN = 0.8, 0.1  # probabilities of the other language, above, and of the recording's, below

_EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC"}  # Japanese mixes them


def missed(speech: Bool[np.ndarray, " t"], spans: Sequence[tuple[float, float]]) -> str | None:
    """What is wrong where segments with text, of `spans` in seconds, leave speech out."""
    left = speech.copy()
    for start, end in spans:
        left[max(0, round(start * FRAMES_PER_SECOND)) : round(end * FRAMES_PER_SECOND)] = False
    longest = max((b - a for a, b in runs(left)), default=0) / FRAMES_PER_SECOND
    total, share = left.sum() / FRAMES_PER_SECOND, left.sum() / max(speech.sum(), 1)
    if longest >= MISSED or (share > MISSED_SHARE and total >= 0.5):
        return f"no text for {total:.1f} of {speech.sum() / FRAMES_PER_SECOND:.1f} s of speech"
    return None


def too_much(text: str, speech: Bool[np.ndarray, " t"]) -> str | None:
    """What is wrong with a text that is longer than can be said in so little speech."""
    seconds = speech.sum() / FRAMES_PER_SECOND
    if len(text) > 20 + FASTEST * seconds:
        return f"{len(text)} letters in {seconds:.1f} s of speech"
    return None


def repeated(text: str, *, before: str = "", prompt: str = "") -> str | None:
    """What is wrong with a text that says a phrase over and over, the text `before` again, or the prompt."""
    words = _words(text)
    for size in range(1, min(12, len(words) // 4) + 1):
        needed = size * (5 if size == 1 else 3)  # words in a row that are those `size` places before
        same = 0
        for i in range(size, len(words)):
            same = same + 1 if words[i] == words[i - size] else 0
            if same >= needed:
                return f"repeats {' '.join(words[i - size + 1 : i + 1])!r}"
    told, last = _words(prompt), _words(before)
    if len(told) >= 3 and f" {' '.join(told)} " in f" {' '.join(words)} ":
        return "repeats the prompt"
    if len(words) >= 4 and words == last:
        return "repeats the window before"
    return None


def flipped(odds: Mapping[str, float] | None, language: str | None) -> str | None:
    """What is wrong where a window sounds like another language than the recording's, by the model's own `odds`."""
    if not odds or language is None or language not in odds:
        return None
    best = max(odds, key=odds.__getitem__)
    if best != language and odds[best] > SURE_OF_OTHER and odds[language] < SURE_OF_OWN:
        return f"sounds like {best!r} ({odds[best]:.2f}), the recording like {language!r}"
    return None


def strange_script(text: str, usual: Counter[str]) -> str | None:
    """What is wrong with a text in letters that the rest of the recording, whose `scripts` are `usual`, hardly has."""
    own = scripts(text)
    if own.total() < 10 or usual.total() < 20:
        return None
    main, count = usual.most_common(1)[0]
    if count >= 0.8 * usual.total() and own[main] < 0.3 * own.total():
        return f"written in {own.most_common(1)[0][0].title()} letters, the rest in {main.title()}"
    return None


def scripts(text: str) -> Counter[str]:
    """How many letters of each script are in a text: LATIN, CYRILLIC, HAN (with the Japanese syllables) ..."""
    found: Counter[str] = Counter()
    for letter in filter(str.isalpha, text):
        name = unicodedata.name(letter, "UNKNOWN").split()[0]
        found["HAN" if name in _EAST_ASIAN else name] += 1
    return found


def _words(text: str) -> list[str]:
    """Words without case and punctuation; each character for itself where a script has no spaces."""
    words = re.findall(r"\w+", text.casefold())
    return [part for word in words for part in (list(word) if scripts(word)["HAN"] else [word])]
