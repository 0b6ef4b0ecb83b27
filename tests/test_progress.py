from __future__ import annotations

import time

import pytest

import multimodal.progress as progress
from multimodal.progress import track


def test_short_work_prints_nothing(capfd):
    assert list(track(iter("abc"), 3, "Reading")) == ["a", "b", "c"]
    assert capfd.readouterr() == ("", "")


def test_long_work_shows_a_bar_on_stderr(capfd, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # rich: treat the captured stream as a terminal
    monkeypatch.setenv("COLUMNS", "100")

    def slow():
        time.sleep(0.3)  # the first item alone takes longer than the patience
        yield from range(3)

    assert list(track(slow(), 3, "Reading images")) == [0, 1, 2]
    out, err = capfd.readouterr()
    assert out == ""
    assert "Reading images" in err


def test_an_error_passes_through():
    def items():
        yield 1
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        list(track(items(), 2, "Reading"))
