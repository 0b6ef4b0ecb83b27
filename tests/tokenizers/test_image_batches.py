"""Batches: complete, in order, errors apart, decoding ahead but not far."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from multimodal.errors import ArgumentError
from multimodal.media import MediaError
from multimodal.tokenizers.image_batches import read_batches


def read(source):
    """A picture filled with its number; odd hundreds are unreadable, and later ones arrive sooner."""
    if source >= 100:
        raise MediaError(f"{source} is broken.")
    time.sleep(0.002 * (source % 3 == 0))
    return torch.full((3, 2, 2), source, dtype=torch.uint8)


def numbers(batches):
    return [batch.pixels[:, 0, 0, 0].tolist() for batch in batches]


@pytest.mark.parametrize("count", [0, 1, 4, 5, 12, 13])
@pytest.mark.parametrize("batch_size", [1, 4, 50])
@pytest.mark.parametrize("threads", [1, 5, None])
def test_order_and_sizes(count, batch_size, threads):
    batches = list(read_batches(range(count), read, batch_size=batch_size, threads=threads))
    expected = [list(range(start, min(start + batch_size, count))) for start in range(0, count, batch_size)]
    assert numbers(batches) == expected
    assert [list(batch.sources) for batch in batches] == expected


BROKEN = {
    "first": ([100, 1, 2, 3, 4], [[1, 2], [3, 4]]),
    "last": ([1, 2, 3, 100], [[1, 2], [3]]),
    "behind a full batch": ([1, 2, 100], [[1, 2]]),
    "in between": ([1, 100, 101, 2, 102, 3, 103], [[1, 2], [3]]),
    "all": ([100, 101, 102, 103, 104, 105], []),
}


@pytest.mark.parametrize("case", BROKEN.keys())
def test_unreadable_sources_are_left_out_and_batches_stay_full(case):
    sources, expected = BROKEN[case]
    errors = []
    assert numbers(read_batches(sources, read, batch_size=2, errors=errors)) == expected
    assert errors == [(source, f"{source} is broken.") for source in sources if source >= 100]


def test_without_a_list_the_first_error_is_raised():
    batches = read_batches([1, 2, 3, 100, 101], read, batch_size=2)
    assert numbers([next(batches)]) == [[1, 2]]
    with pytest.raises(MediaError, match="100 is broken"):
        next(batches)


def test_a_fault_of_the_reader_is_no_unreadable_image():
    def faulty(source):
        raise KeyError(source)

    with pytest.raises(KeyError):
        list(read_batches([1], faulty, batch_size=1, errors=[]))


def test_decoding_runs_ahead_by_two_batches_and_no_further():
    started = []

    def noting(source):
        started.append(source)
        return read(source % 100)

    batches = read_batches(iter(range(1000)), noting, batch_size=4, threads=2)
    next(batches)
    deadline = time.monotonic() + 5
    while len(started) < 12 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(started) == 12, "four given, eight ahead"
    batches.close()
    assert len(started) == 12


def test_several_threads_decode_at_once():
    barrier = threading.Barrier(3, timeout=5)

    def meeting(source):
        barrier.wait()  # breaks unless three are here together
        return read(source)

    assert numbers(read_batches(range(6), meeting, batch_size=3, threads=3)) == [[0, 1, 2], [3, 4, 5]]


def test_threads_end_with_the_batches():
    before = threading.active_count()
    batches = read_batches(range(100), read, batch_size=4, threads=4)
    next(batches)
    batches.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("batch_size", [0, -3])
def test_batch_size(batch_size):
    with pytest.raises(ArgumentError, match=f"batch_size is {batch_size}; it must be at least 1"):
        list(read_batches([1], read, batch_size=batch_size))
