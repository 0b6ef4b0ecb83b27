"""Answers beside targets: what is right, the commonest confusions, the worst mistakes first."""

import pytest
import torch
from jaxtyping import TypeCheckError

from multimodal.finetuning.held_out import HeldOut, top_confusions, worst_mistakes

LABELS = ("ant", "bee", "cat")


def single(rows, targets, **changes) -> HeldOut:
    """Rows of probabilities as logits."""
    logits = torch.tensor(rows).log()
    paths = tuple(f"{i}.png" for i in range(len(rows)))
    return HeldOut(split="test", labels=LABELS, logits=logits, targets=torch.tensor(targets), paths=paths, **changes)


@pytest.fixture
def insects() -> HeldOut:
    rows = [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.9, 0.05, 0.05], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.3, 0.1, 0.6]]
    return single(rows, [0, 1, 1, 1, 2, 2])


def test_confusions_by_count_then_share(insects):
    assert insects.right.tolist() == [True, False, False, False, False, True]
    assert insects.score == pytest.approx(2 / 6)
    assert insects.confusion.tolist() == [[1, 0, 0], [2, 0, 1], [0, 1, 1]]
    found = [(pair.true, pair.predicted, pair.count, pair.share) for pair in top_confusions(insects, 5)]
    expected = [("bee", "ant", 2, 2 / 3), ("cat", "bee", 1, 1 / 2), ("bee", "cat", 1, 1 / 3)]
    assert found == [(*names, count, pytest.approx(share)) for *names, count, share in expected]
    assert len(top_confusions(insects, 2)) == 2


def test_the_surest_mistake_comes_first(insects):
    mistakes = worst_mistakes(insects, 3)
    assert [(m.path, m.true, m.label) for m in mistakes] == [
        ("2.png", ("bee",), "ant"),
        ("3.png", ("bee",), "cat"),
        ("1.png", ("bee",), "ant"),
    ]
    assert mistakes[0].predicted == ("ant",)
    assert mistakes[0].probability == pytest.approx(0.9)
    assert len(worst_mistakes(insects, 10)) == 4


def test_the_temperature_is_in_the_probabilities_of_mistakes():
    softened = single([[0.8, 0.2, 1e-9]], [1], temperature=2.0)
    assert worst_mistakes(softened, 1)[0].probability == pytest.approx(2 / 3, abs=1e-4)  # 0.8 : 0.2 becomes 2 : 1
    assert softened.reliability(2.0).error == pytest.approx(2 / 3, abs=1e-4)
    assert softened.reliability(1.0).error == pytest.approx(0.8, abs=1e-4)


def test_several_labels():
    probabilities = torch.tensor([[0.9, 0.2, 0.1], [0.6, 0.4, 0.1], [0.5, 0.1, 0.99]])
    targets = torch.tensor([[True, False, False], [True, True, False], [False, True, False]])
    paths = ("a.png", "b.png", "c.png")
    held_out = HeldOut(split="val", labels=LABELS, logits=probabilities.logit(), targets=targets, paths=paths)
    assert held_out.multi_label
    assert held_out.right.tolist() == [True, False, False]
    mistakes = worst_mistakes(held_out, 5)
    assert [(m.path, m.true, m.predicted, m.label) for m in mistakes] == [
        ("c.png", ("bee",), ("ant", "cat"), "cat"),  # invented with 0.99
        ("b.png", ("ant", "bee"), ("ant",), "bee"),  # missed with 0.4
    ]
    assert mistakes[1].probability == pytest.approx(0.4)
    # ant ranks its two images first and second; bee ranks them first and third; cat has none
    assert held_out.score == pytest.approx((1 + (1 + 2 / 3) / 2) / 2)
    assert int(held_out.reliability(1.0).count.sum()) == 9  # every label of every image is one promise


def test_no_images():
    empty = HeldOut(split="val", labels=LABELS, logits=torch.zeros(0, 3), targets=torch.zeros(0).long(), paths=())
    assert empty.score == 0
    assert worst_mistakes(empty, 3) == []
    assert top_confusions(empty, 3) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paths": ("a.png",)}, r"logits are \(2, 3\); 1 paths and 3 labels need \(1, 3\)"),
        ({"targets": torch.tensor([0])}, "targets"),
        ({"targets": torch.tensor([True, False])}, "targets"),
        ({"logits": torch.tensor([[0.0, 0, 0], [0, float("nan"), 0]])}, "diverged"),
        ({"temperature": 0.0}, "temperature is 0.0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    fits = {
        "split": "val",
        "labels": LABELS,
        "logits": torch.zeros(2, 3),
        "targets": torch.tensor([0, 1]),
        "paths": ("a.png", "b.png"),
    }
    HeldOut(**fits)
    with pytest.raises((ValueError, TypeCheckError), match=message):  # the second under the tests' checking of shapes
        HeldOut(**{**fits, **change})
