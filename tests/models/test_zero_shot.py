"""Class names into caption templates, and their vectors averaged."""

from __future__ import annotations

import pytest
import torch

from multimodal.errors import ArgumentError
from multimodal.models.zero_shot import TEMPLATES, class_vectors, filled


def test_every_template_with_every_name_class_by_class():
    found = filled(["cat", "red {dog}"], ["a {}.", "{} and {}"])
    assert found.labels == ("cat", "red {dog}")
    assert found.texts == ["a cat.", "cat and cat", "a red {dog}.", "red {dog} and red {dog}"]
    assert filled("cat", TEMPLATES).texts == ["a photo of a cat."]
    assert filled(("cat",), "one {}").texts == ["one cat"]


def test_the_mean_of_unit_vectors_made_a_unit_vector():
    vectors = torch.nn.functional.normalize(torch.randn(6, 5), dim=-1)
    found = class_vectors(vectors, 2)
    for place in range(2):
        mean = sum(vectors[3 * place + i] for i in range(3)) / 3
        assert torch.allclose(found[place], mean / mean.norm(), atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "templates", "message"),
    [
        ([], ["{}"], r"labels is \[\]; give the name of at least one class"),
        (["cat", " "], ["{}"], "none that is empty"),
        (["cat", "dog", "cat"], ["{}"], "labels has 'cat' twice"),
        (["cat"], [], "templates is empty; each needs '{}' where the name goes"),
        (["cat"], ["{}", "a photo"], "templates has 'a photo'; each needs"),
    ],
)
def test_what_names_no_classes(labels, templates, message):
    with pytest.raises(ArgumentError, match=message):
        filled(labels, templates)
