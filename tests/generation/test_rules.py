"""Rules on scores, against plain loops over each row."""

import pytest
import torch

from multimodal.errors import ArgumentError
from multimodal.generation.config import GenerationConfig, RulesConfig, SamplingConfig
from multimodal.generation.rules import NONE, Rules, repeated

V = 12
TEXTS = [[3, 4, 5, 3, 4], [7], [1, 2, 1, 2, 1, 2, 1], [4, 4]]
DOWN = float("-inf")


def scores() -> torch.Tensor:
    return torch.randn(len(TEXTS), V, generator=torch.Generator().manual_seed(1))


def rules(end: tuple[int, ...] = (), **fields) -> Rules:
    return Rules(GenerationConfig(end=end, rules=RulesConfig(**fields)), TEXTS, V, torch.device("cpu"))


def banned(text: list[int], n: int) -> set[int]:
    last = text[len(text) - n + 1 :]
    return {text[i + n - 1] for i in range(len(text) - n + 1) if text[i : i + n - 1] == last}


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_what_would_repeat(n: int):
    longest = max(map(len, TEXTS))
    ids = torch.tensor([text + [NONE] * (longest - len(text)) for text in TEXTS])
    found = repeated(ids, [len(text) for text in TEXTS], n, V)
    assert [set(row.nonzero()[:, 0].tolist()) for row in found] == [banned(text, n) for text in TEXTS]


def test_repetition_penalty_counts_each_token_once_and_no_other_row():
    given = scores()
    found = rules(repetition_penalty=2.0)(given, [0] * 4, [9] * 4)
    for row, text in enumerate(TEXTS):
        for id in range(V):
            value = float(given[row, id])
            expected = (value / 2 if value > 0 else value * 2) if id in text else value
            assert float(found[row, id]) == pytest.approx(expected)


def test_texts_grow_go_back_and_move():
    """After any of these, what is banned is what a fresh start with the same texts bans."""
    made = rules(no_repeat_ngram=2)
    made.append(torch.tensor([5, 7, 2, 0]))
    made.append(torch.tensor([3, 7, 9, 4]))
    made.rewind([6, 3, 8, 4])
    texts = [[*TEXTS[0], 5], [7, 7, 7], [*TEXTS[2], 2], [4, 4, 0, 4]]
    made.reorder([2, 2, 0, 3, 1])
    found = made(torch.zeros(5, V), [0] * 5, [9] * 5)
    expected = [banned(texts[row], 2) for row in (2, 2, 0, 3, 1)]
    assert [set((row == DOWN).nonzero()[:, 0].tolist()) for row in found] == expected
    assert expected[1] == {1}


def test_places():
    """What depends on how many tokens a row has, and may get: here each row stands elsewhere."""
    given, new, room = scores(), [0, 1, 2, 5], [6, 2, 6, 6]
    found = rules(end=(0, 9), min_new_tokens=2)(given, new, room)
    assert (found[:2, [0, 9]] == DOWN).all() and torch.equal(found[2:], given[2:])
    found = rules(forced_last=8)(given, new, room)
    for row in (1, 3):
        assert found[row].argmax() == 8 and (found[row] == DOWN).sum() == V - 1 and found[row, 8] == 0
    assert torch.equal(found[[0, 2]], given[[0, 2]])
    found = rules(forced_first=8, suppress_first=(1,))(given, new, room)
    assert found[0, 8] == 0 and (found[0] == DOWN).sum() == V - 1
    assert found[1, 1] == DOWN, "the first one that the model chooses"
    assert torch.equal(found[2:], given[2:])
    found = rules(suppress=(2, 99), suppress_first=(1,))(given, new, room)
    assert (found[:, 2] == DOWN).all() and (found[:, 1] == DOWN).tolist() == [True, False, False, False]
    assert torch.equal(given, scores()), "the scores that were given are as they were"


def test_no_rules_change_nothing():
    given = scores()
    assert rules(end=(3,))(given, [0] * 4, [9] * 4) is given


def test_forced_tokens_must_exist():
    with pytest.raises(ArgumentError, match="forced_last is 12; the model's vocabulary has 12 tokens"):
        rules(forced_last=V)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SamplingConfig(temperature=0.0), "temperature is 0.0; it must be above 0"),
        (lambda: SamplingConfig(top_k=0), "top_k is 0"),
        (lambda: SamplingConfig(top_p=1.5), "top_p is 1.5"),
        (lambda: SamplingConfig(min_p=-0.1), "min_p is -0.1"),
        (lambda: RulesConfig(repetition_penalty=0.0), "repetition_penalty is 0.0"),
        (lambda: GenerationConfig(max_new_tokens=0), "max_new_tokens is 0"),
        (lambda: GenerationConfig(stop=("a", "")), "stop is"),
    ],
)
def test_wrong_values_are_refused(make, message: str):
    with pytest.raises(ArgumentError, match=message):
        make()
