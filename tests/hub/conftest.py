"""A folder as timm writes it, and a hub to download from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from stand_ins import TINY, Hub, use_hub
from timm.models import save_for_hf


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    """A folder as timm writes it, of a vision transformer with other sizes than its name says, and its model."""
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3, **TINY).eval()
    torch.nn.init.normal_(model.head.weight)
    labels = {"label_names": ["n1", "n2", "n3"], "label_descriptions": {"n1": "cat", "n2": "dog", "n3": "cow"}}
    data = {"input_size": (3, 16, 24), "mean": (0.1, 0.2, 0.3), "crop_pct": 0.8}
    save_for_hf(model, str(tmp_path / "theirs"), model_config=labels, safe_serialization=True, data_config=data)
    return tmp_path / "theirs", model


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    found = Hub()
    use_hub(monkeypatch, found.address, tmp_path / "cache")
    yield found
    found.server.shutdown()
    found.server.server_close()
