"""Where a text ends, and what of it may be shown before that."""

from __future__ import annotations

import pytest
from tiny_text_models import bytelevel

from multimodal.errors import ArgumentError
from multimodal.generation.config import GenerationConfig
from multimodal.generation.rows import GrowingRow, first_stop, growing_rows

TOKENIZER = bytelevel()  # a token a byte, 0 is <|endoftext|>


def grow(text: str, *, free: int = 99, end: bool = False, **config) -> tuple[list[str], str | None, int]:
    """The pieces that are shown, why it ended, and how many tokens were taken."""
    row = GrowingRow(0, GenerationConfig(end=(0,), **config), free, TOKENIZER)
    pieces = []
    for id in [*TOKENIZER.encode(text, special=False).ids, *([0] if end else [])]:
        step = row.take(id, -0.5)
        pieces.append(step.text)
        if step.finish is not None:
            break
    return pieces, row.finish, len(pieces)


def test_an_end_token_ends():
    pieces, finish, taken = grow("ab", end=True)
    assert (pieces, finish, taken) == (["a", "b", ""], "end", 3)


def test_length_and_context():
    assert grow("abcdef", max_new_tokens=4) == (list("abcd"), "length", 4)
    assert grow("abcdef", max_new_tokens=4, free=4)[1:] == ("length", 4)
    assert grow("abcdef", max_new_tokens=4, free=3) == (list("abc"), "context", 3)
    assert grow("ab")[1] is None


def test_a_stop_string_over_several_tokens():
    """Nothing of it is ever shown; what only begins like it is shown as soon as that is certain."""
    pieces, finish, taken = grow("x\ny\n\nz", stop=("\n\n",))
    assert pieces == ["x", "", "\ny", "", ""] and (finish, taken) == ("stop", 5)


def test_overlapping_beginnings():
    pieces, finish, _ = grow("ababac-", stop=("abac",))
    assert "".join(pieces) == "ab" and finish == "stop"
    assert "".join(grow("aaab", stop=("ab", "aac"))[0]) == "aa"
    assert "".join(grow("one END two", stop=("STOP", "END"))[0]) == "one "


@pytest.mark.parametrize("how", [{"end": True}, {"max_new_tokens": 3}])
def test_what_was_held_back_is_shown_when_nothing_follows(how):
    """The text ends in what could have become a stop string and did not."""
    pieces, finish, _ = grow("aST", stop=("STOP",), **how)
    assert "".join(pieces) == "aST" and finish == ("end" if "end" in how else "length")


def test_characters_are_whole():
    pieces, _, _ = grow("aß€😀b")
    assert [piece for piece in pieces if piece] == ["a", "ß", "€", "😀", "b"]
    pieces, finish, _ = grow("a€", max_new_tokens=3)  # one byte of three is missing
    assert pieces[0] == "a" and finish == "length" and "€" not in "".join(pieces)
    assert grow("1€2", stop=("€",))[:2] == (["1", "", "", ""], "stop")


def test_every_cut_shows_the_same_text():
    """However the stop string lies, the shown text is the text before it."""
    text = "The quick brown fox jumps.\n\nOver the lazy dog"
    for start in range(len(text) - 3):
        stop = text[start : start + 3]
        shown = "".join(grow(text, stop=(stop,))[0])
        assert shown == text[: text.index(stop)]


def test_rows_without_room_or_tokenizer():
    with pytest.raises(ArgumentError, match="Prompt 2 of 3 fills all that the model reads"):
        growing_rows(GenerationConfig(), [4, 0, 2], None)
    with pytest.raises(ArgumentError, match="Stop strings need the model's tokenizer"):
        growing_rows(GenerationConfig(stop=("x",)), [4], None)
    assert [row.room for row in growing_rows(GenerationConfig(max_new_tokens=3), [4, 1], None)] == [3, 1]


def test_first_stop():
    assert first_stop("abcabc", ("c", "b")) == 1 and first_stop("abc", ("x",)) is None and first_stop("abc", ()) is None
