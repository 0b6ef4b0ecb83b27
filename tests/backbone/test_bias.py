"""Positions as a bias: ALiBi by the paper's formula, T5's buckets by a loop."""

import math

import pytest
import torch

from multimodal.backbone.bias import AlibiConfig, RelativeBiasConfig, alibi_slopes


def test_slopes_for_powers_of_two():
    assert alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]  # the paper's example
    assert alibi_slopes(2).tolist() == [2.0**-4, 2.0**-8]
    assert alibi_slopes(1).tolist() == [2.0**-8]


@pytest.mark.parametrize("heads", [3, 6, 12, 20, 25])
def test_slopes_for_other_counts(heads: int):
    """As in the paper's code: those of the power below, then every second one of the power above."""

    def of_power(n: int) -> list[float]:
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start ** (i + 1) for i in range(n)]

    below = 2 ** math.floor(math.log2(heads))
    expected = of_power(below) + of_power(2 * below)[::2][: heads - below]
    torch.testing.assert_close(alibi_slopes(heads), torch.tensor(expected))


@pytest.mark.parametrize("heads", [4, 6])
def test_alibi(heads: int):
    alibi = AlibiConfig().build(heads, 8)
    query = torch.tensor([[3, 4], [0, 7]])
    found = alibi(query, torch.arange(9))
    assert found.shape == (2, heads, 2, 9)
    for b in range(2):
        for h in range(heads):
            for i in range(2):
                for j in range(9):
                    expected = -float(alibi_slopes(heads)[h]) * abs(int(query[b, i]) - j)
                    assert float(found[b, h, i, j]) == pytest.approx(expected)


def test_alibi_stays_exact_in_a_bfloat16_model():
    query, key = torch.arange(500, 504)[None], torch.arange(504)
    exact, cast = (AlibiConfig().build(6, 8).to(dtype)(query, key) for dtype in (torch.float32, torch.bfloat16))
    assert torch.equal(cast.float(), exact)


def bucket(offset: int, buckets: int, max_distance: int, bidirectional: bool) -> int:
    """T5: half of the buckets exact, the others logarithmic up to `max_distance`; two such sets when bidirectional."""
    base = 0
    if bidirectional:
        buckets //= 2
        base = buckets if offset > 0 else 0
        distance = abs(offset)
    else:
        distance = max(-offset, 0)
    exact = buckets // 2
    if distance < exact:
        return base + distance
    share = math.log(distance / exact) / math.log(max_distance / exact)
    return base + min(exact + int(share * (buckets - exact) + 1e-9), buckets - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (8, 20), (16, 1000)])
def test_relative_buckets(bidirectional: bool, buckets: int, max_distance: int):
    bias = RelativeBiasConfig(buckets=buckets, max_distance=max_distance, bidirectional=bidirectional).build(4, 8)
    offsets = torch.arange(-300, 301)
    expected = [bucket(offset, buckets, max_distance, bidirectional) for offset in offsets.tolist()]
    assert bias.bucket(offsets).tolist() == expected


def test_relative_bias_looks_up_its_table():
    bias = RelativeBiasConfig(buckets=8, max_distance=20).build(4, 8)
    query, key = torch.tensor([[2, 5]]), torch.arange(7)
    found = bias(query, key)
    assert found.shape == (1, 4, 2, 7)
    for h in range(4):
        for i in range(2):
            for j in range(7):
                row = bucket(j - int(query[0, i]), 8, 20, bidirectional=True)
                assert found[0, h, i, j] == bias.table.weight[row, h]
