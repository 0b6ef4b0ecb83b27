"""Text models through folders: theirs as `save_pretrained` writes it, ours as `mm.load` reads it, and back again."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import multimodal as mm
from multimodal.hub.transformers_export import save_transformers

T, LENGTHS = 11, (11, 4, 7)  # tokens of the longest row, and real ones of each


def random_model(kind: Callable[[Any], Any], config: Any) -> Any:
    """Their model in eval mode; every weight matters: biases of zero and norms of one would hide errors."""
    model, generator = kind(config).eval(), torch.Generator().manual_seed(0)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    learned += [buffer for name, buffer in model.named_buffers() if name == "final_logits_bias"]
    with torch.no_grad():
        for tensor in learned:
            tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.1)
    return model


def published(theirs: Any, folder: Path) -> Any:
    """Our model of theirs, through a folder."""
    theirs.save_pretrained(folder)
    return load(folder)


def load(folder: Path) -> Any:
    """Our model of a folder, on the CPU in float32."""
    return mm.load(folder, device="cpu", dtype="float32")


def change_config(folder: Path, **fields: Any) -> None:
    """Change fields of the config.json in `folder`."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def rewrite(folder: Path, *, rename: Callable[[str], str] = str, more: Mapping[str, Tensor] | None = None) -> None:
    """Change the file of weights in `folder`: names, and tensors beside those that are there."""
    path = folder / "model.safetensors"
    tensors = {rename(name): tensor for name, tensor in load_file(path).items()}
    save_file({**tensors, **{name: tensor.clone() for name, tensor in (more or {}).items()}}, path, {"format": "pt"})


def exported(ours: nn.Module, theirs: Any, folder: Path) -> Any:
    """Their model of ours, through a folder that holds the tensors of `folder / "theirs"`, bit for bit."""
    theirs.save_pretrained(folder / "theirs")
    save_transformers(ours, folder / "back")
    there, back = (load_file(folder / name / "model.safetensors") for name in ("theirs", "back"))
    assert back.keys() == there.keys()
    assert all(back[name].dtype == there[name].dtype and torch.equal(back[name], there[name]) for name in there)
    found, info = type(theirs).from_pretrained(folder / "back", output_loading_info=True)
    assert not any(info.values())
    return found.eval()


def padded_rows(vocabulary: int, *, pad: int, t: int = T) -> tuple[Tensor, Tensor]:
    """Random ids and which of them are real."""
    keep = torch.arange(t) < torch.tensor(LENGTHS).clamp(max=t)[:, None]
    return torch.randint(4, vocabulary, keep.shape).masked_fill(~keep, pad), keep
