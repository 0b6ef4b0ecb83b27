"""Rows to batches: padding, shifting, what is kept."""

import numpy as np

from multimodal.data.text.batches import kept, next_tokens, padded, seq2seq
from multimodal.losses import IGNORE


def test_padding():
    rows = [np.array([1, 2, 3]), np.array([4], dtype=np.uint16), np.array([], dtype=np.int64)]
    assert padded(rows, 9).tolist() == [[1, 2, 3], [4, 9, 9], [9, 9, 9]]
    assert kept(rows).tolist() == [[True] * 3, [True, False, False], [False] * 3]
    assert padded(rows[2:], 9).tolist() == [[9]]
    assert kept(rows[2:]).tolist() == [[False]]


def test_each_id_but_the_first_is_predicted_once():
    batch = next_tokens([np.array([5, 6, 7, 8]), np.array([9, 10]), np.array([11])], pad=0)
    assert batch["ids"].tolist() == [[5, 6, 7], [9, 0, 0], [0, 0, 0]]
    assert batch["targets"].tolist() == [[6, 7, 8], [10, IGNORE, IGNORE], [IGNORE] * 3]


def test_seq2seq_decoder_begins_with_the_start_id():
    batch = seq2seq([np.array([5, 1]), np.array([6, 7, 1])], [np.array([8, 9, 1]), np.array([1])], start=3, pad=0)
    assert batch["ids"].tolist() == [[5, 1, 0], [6, 7, 1]]
    assert batch["keep"].tolist() == [[True, True, False], [True, True, True]]
    assert batch["decoder_ids"].tolist() == [[3, 8, 9], [3, 0, 0]]
    assert batch["decoder_keep"].tolist() == [[True] * 3, [True, False, False]]
    assert batch["targets"].tolist() == [[8, 9, 1], [1, IGNORE, IGNORE]]
