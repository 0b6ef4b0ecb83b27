"""Two processes compare each other's pairs: they train to the same weights as one with the batch of both."""

import pytest
import torch
from fitting import fit

from multimodal.data.pairs.scenes import write_scenes
from multimodal.hub import load

ARGUMENTS = (
    "--model.fresh.image={dim: 32, depth: 1, heads: 2, patch: 8}",
    "--model.fresh.text={dim: 32, depth: 1, heads: 2}",
    "--model.fresh.dim=16",
    "--model.fresh.size=32",
    "--model.fresh.length=16",
    "--model.fresh.vocabulary=200",
    "--model.optimizer.lr=0.001",
    "--model.optimizer.eps=1e-4",
    "--data.augment={scale: 1, flip: 0}",
    "--trainer.max_epochs=2",
    "--trainer.precision=32-true",
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("data") / "scenes", train=64, val=16, test=0, size=32)


@pytest.mark.parametrize("recipe", ["clip", pytest.param("siglip", marks=pytest.mark.slow)])
def test_two_processes_equal_one(recipe, scenes, tmp_path):
    sizes = {"one": ["--data.batch_size=16"], "two": ["--data.batch_size=8", "--trainer.devices=2"]}
    sizes["two"].append("--trainer.strategy=ddp_fork")  # test_text_ddp.py starts the second process anew
    (one, recall, _), (two, both, _) = (
        fit(recipe, scenes, tmp_path / name, *ARGUMENTS, *words, metric="val_recall") for name, words in sizes.items()
    )
    assert len(recall) == 2 and both == pytest.approx(recall, abs=0.1)
    a, b = (load(folder / "model", dtype="float32").state_dict() for folder in (one, two))
    for name in a:
        assert torch.allclose(a[name], b[name], atol=2e-4), name
