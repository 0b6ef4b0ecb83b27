"""Temperature and cuts against their definitions, and draws that depend on their own row alone."""

import pytest
import torch

from multimodal.errors import DataError
from multimodal.generation.choosing import Noise, choose, distribution, draw
from multimodal.generation.config import SamplingConfig

P = torch.tensor([[0.05, 0.4, 0.1, 0.3, 0.15], [0.9, 0.02, 0.03, 0.04, 0.01]])


def cut(**fields) -> list[list[float]]:
    return [[round(x, 4) for x in row] for row in distribution(P.log(), SamplingConfig(**fields)).tolist()]


def test_each_cut():
    assert cut() == [[round(x, 4) for x in row] for row in P.tolist()]
    assert cut(top_k=2) == [[0, 0.5714, 0, 0.4286, 0], [0.9574, 0, 0, 0.0426, 0]]
    assert cut(top_k=99) == cut()
    # 0.4 + 0.3 reach 0.65, 0.4 alone does not; the likeliest stays even where it is more than enough.
    assert cut(top_p=0.65) == [[0, 0.5714, 0, 0.4286, 0], [1, 0, 0, 0, 0]]
    assert cut(top_p=0.01)[0] == [0, 1, 0, 0, 0]
    assert cut(min_p=0.3) == [[0, 0.4706, 0, 0.3529, 0.1765], [1, 0, 0, 0, 0]]


def test_the_order_of_cuts():
    """Of the two likeliest (4/7 and 3/7) the first reaches 0.5 by itself, of all five (0.4) it does not."""
    assert cut(top_k=2, top_p=0.5)[0] == [0, 1, 0, 0, 0]
    assert cut(top_p=0.5)[0] == [0, 0.5714, 0, 0.4286, 0]
    # The temperature comes first: squared probabilities are 0.16 and 0.09 of 0.285.
    assert cut(temperature=0.5, top_p=0.56)[0] == [0, 1, 0, 0, 0]
    assert cut(temperature=0.5, min_p=0.3)[0] == [0, 0.64, 0, 0.36, 0]
    hot = distribution(P.log(), SamplingConfig(temperature=2.0))
    torch.testing.assert_close(hot, P.sqrt() / P.sqrt().sum(1, keepdim=True))


def test_top_p_in_a_large_vocabulary():
    """Few tokens reach it in the first row, most are needed in the second; alone or together."""
    scores = torch.randn(2, 5000, generator=torch.Generator().manual_seed(0)) * torch.tensor([[9.0], [0.5]])
    found = distribution(scores, SamplingConfig(top_p=0.8))
    for row in range(2):
        p, ids = scores[row].softmax(-1).sort(descending=True)
        count = int((p.cumsum(0) < 0.8).sum()) + 1
        assert (count < 50) == (row == 0) and (count > 2000) == (row == 1)
        expected = torch.zeros(5000).scatter(0, ids[:count], p[:count] / p[:count].sum())
        torch.testing.assert_close(found[row], expected)
        torch.testing.assert_close(distribution(scores[row : row + 1], SamplingConfig(top_p=0.8))[0], expected)


def test_draws_cover_the_probabilities():
    """Numbers spread evenly over 0 to 1 draw every token in proportion, and never one that was cut off."""
    numbers = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    p = distribution(P[:1].log(), SamplingConfig(top_k=3)).expand(10_000, -1)
    counts = torch.bincount(draw(p, numbers), minlength=5)
    assert (counts - 10_000 * p[0]).abs().max() <= 1
    edge = torch.tensor([0.0, 1.0 - 2**-53], dtype=torch.float64)
    assert draw(torch.tensor([[0.0, 0.5, 0.5, 0.0]]).expand(2, -1), edge).tolist() == [1, 2]


def test_a_large_vocabulary_keeps_its_rare_tokens():
    """The last of 200,000 tokens, whose share float32 sums would lose."""
    p = torch.full((1, 200_000), 1 / 200_000)
    number = torch.tensor([1 - 0.5 / 200_000], dtype=torch.float64)
    assert draw(p, number).tolist() == [199_999]


def test_noise_is_the_rows_own():
    repeats = [0, 0, 1, 2]
    together = Noise(5, repeats)
    first, second = together.draw(3), together.draw(1)
    for row, repeat in enumerate(repeats):
        alone = Noise(5, [repeat])
        assert torch.equal(alone.draw(3)[0], first[row]) and torch.equal(alone.draw(1)[0], second[row])
    assert len({tuple(row) for row in first.tolist()}) == 3, "the same text again draws anew"
    assert not torch.equal(Noise(6, repeats).draw(3)[0], first[2]), "and not as another seed does"
    together.reorder([3, 1])
    again = Noise(5, repeats)
    again.draw(3), again.draw(1)
    assert torch.equal(together.draw(2), again.draw(2)[[3, 1]])
    assert first.min() >= 0 and first.max() < 1


def test_without_a_seed_torch_decides():
    torch.manual_seed(3)
    one, other = Noise(None, [0]).draw(2), Noise(None, [0]).draw(2)
    torch.manual_seed(3)
    assert torch.equal(Noise(None, [0]).draw(2), one) and not torch.equal(one, other)


def test_logprobs_are_before_temperature_and_cuts():
    noise = Noise(0, [0, 0])
    assert choose(P.log(), None, noise).ids.tolist() == [1, 0]
    choice = choose(P.log() + 7, SamplingConfig(temperature=5.0, top_k=1), noise)
    assert choice.ids.tolist() == [1, 0]
    torch.testing.assert_close(choice.logprobs, torch.tensor([0.4, 0.9]).log())


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("sampling", [None, SamplingConfig(seed=0), SamplingConfig(seed=0, top_p=0.5, min_p=0.1)])
def test_nothing_to_choose_is_said(value: float, sampling: SamplingConfig | None):
    given = P.log()
    given[1] = value
    with pytest.raises(DataError, match="No token can be chosen"):
        choose(given, sampling, Noise(0, [0, 0])).read()
