"""Where a classifier looked: relevance of each place of an image, or of a spectrogram, for a label.

Three published methods. For our transformer: attention rollout, which follows attention alone, and its
gradient-weighted form, which follows what counts for one label. For wrapped timm models: Grad-CAM on their last feature
map. None of them is the truth about a network; all are good at showing that it looked at the background.
What is done with the relevance, the picture, is in `explanation.py`.

Axes: t tokens · h heads · d width · y, x rows and columns of the grid of patches or features
Refs: rollout arXiv:2005.00928 §3 · gradient-weighted arXiv:2103.15679 §3 · Grad-CAM arXiv:1610.02391 §3
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.backbone.pool import ClassMeanPool, ClassPool, LastPool
from multimodal.errors import ArgumentError, nearest
from multimodal.media import read_image
from multimodal.models.explanation import Explanation
from multimodal.models.image_encoder import ImageEncoder, TimmEncoder
from multimodal.models.perceiver_encoder import PerceiverEncoder
from multimodal.models.watching import evaluating, recorded
from multimodal.tokenizers.audio_transform import AudioTransform

METHODS = ("gradient", "rollout")


def explain(classifier: Any, image: Any, *, label: str | None = None, method: str = "gradient") -> Explanation:
    """What of `image` speaks for `label` (default: the likeliest) in the eyes of `classifier`, a `Classifier`.

    Of a recording it is the spectrogram that is looked at, high frequencies at the top.

    The classifier is the same afterwards: mode, gradients and kernels.

    Raises:
        ArgumentError: an unknown label or method, one that does not fit the model, or a Perceiver.
        MediaError: the image or recording cannot be read.
    """
    if method not in METHODS:
        known = " or ".join(map(repr, METHODS))
        raise ArgumentError(f"method is {method!r}; it must be {known}.{nearest(method, METHODS)}")
    if label is not None and label not in classifier.labels:
        raise ArgumentError(f"{label!r} is not a label of this model.{nearest(label, classifier.labels)}")
    if method == "rollout" and not isinstance(classifier.encoder, ImageEncoder):
        raise ArgumentError("method 'rollout' follows attention, which this model does not show; use 'gradient'.")
    if isinstance(classifier.encoder, PerceiverEncoder):
        raise ArgumentError("A Perceiver mixes all places in its latents, and none of the methods here undoes that.")
    if hasattr(image, "read") and not image.seekable():
        image = image.read()  # it is read twice: once as the model sees it, once for the picture
    pixels = classifier.transform.read(image)[None]
    heard = isinstance(classifier.transform, AudioTransform)
    photo = classifier.transform.picture(pixels[0]) if heard else read_image(image)
    like = next(classifier.encoder.parameters())
    with evaluating(classifier), torch.inference_mode(False), torch.enable_grad():
        # The pixels ask for gradients, so that there are some even where every weight is frozen.
        x = classifier.transform.normalize(pixels.to(like.device), dtype=like.dtype).requires_grad_()
        find = _attention_relevance if isinstance(classifier.encoder, ImageEncoder) else _grad_cam
        grid, logits, index = find(classifier, x, label, method)
        chances = classifier.probabilities(logits.detach())[0]
    grid, cells = _cells(classifier.encoder, grid.detach().cpu(), x, each=heard)
    return Explanation(
        grid=_to_unit(grid.flip(0) if heard else grid).float(),
        cells=cells,
        box=(0.0, 0.0, float(photo.width), float(photo.height)) if heard else classifier.transform.box(*photo.size),
        photo=photo,
        label=classifier.labels[index],
        probability=float(chances[index]),
        method=method,
    )


def rollout_step(weights: Float[Tensor, "h t t"], gradient: Float[Tensor, "h t t"]) -> Float[Tensor, "t t"]:
    """How one layer mixes its tokens: half by attention, averaged over heads, and half by its residual branch.

    The gradient does not matter.
    """
    return (weights.mean(0) + torch.eye(weights.shape[-1])) / 2


def gradient_step(weights: Float[Tensor, "h t t"], gradient: Float[Tensor, "h t t"]) -> Float[Tensor, "t t"]:
    """How one layer moves relevance: where more attention would raise the score; and every token keeps its own."""
    return (weights * gradient).clamp(min=0).mean(0) + torch.eye(weights.shape[-1])


def _attention_relevance(
    classifier: Any, x: Tensor, label: str | None, method: str
) -> tuple[Float[Tensor, "y x"], Float[Tensor, "1 c"], int]:
    encoder: ImageEncoder = classifier.encoder
    with recorded(encoder.backbone) as weights, recorded(encoder.pool) as last:
        logits = classifier(x)
    index = _index(classifier, logits, label)
    weights += last  # of each layer 1 h t t; of a pool with attention 1 h 1 t
    if method == "rollout":
        slopes, step = [torch.ones_like(w) for w in weights], rollout_step
    else:
        slopes, step = torch.autograd.grad(logits[0, index], weights), gradient_step
    # In float64: next to the ones of the identity, what gradients add is small.
    pairs = [(w[0].detach().cpu().double(), g[0].cpu().double()) for w, g in zip(weights, slopes, strict=True)]
    row = torch.zeros(weights[0].shape[-2], dtype=torch.float64)  # what the answer takes from each token
    prefix = encoder.tokenizer.config.prefix
    if last:
        taken = (pairs[-1][0] * pairs[-1][1]).clamp(min=0).mean(0)[0]
        row[len(row) - len(taken) :] = taken
        pairs.pop()
    elif isinstance(encoder.pool, ClassPool | ClassMeanPool):
        row[: encoder.pool.config.tokens] = 1.0
    elif isinstance(encoder.pool, LastPool):
        row[-1] = 1.0
    else:
        row[prefix:] = 1.0
    for pair in reversed(pairs):  # back from the last layer to the first
        row = row @ step(*pair)
    return row[prefix:].unflatten(0, encoder.tokenizer.config.grid_of(*x.shape[-2:])), logits, index


def _grad_cam(
    classifier: Any, x: Tensor, label: str | None, method: str
) -> tuple[Float[Tensor, "y x"], Float[Tensor, "1 c"], int]:
    encoder: TimmEncoder = classifier.encoder
    with _feature_maps(encoder.model) as found:
        logits = classifier(x)
    index = _index(classifier, logits, label)
    for features in found:
        slope = torch.autograd.grad(logits[0, index], features, retain_graph=True, allow_unused=True)[0]
        values = _as_map(features, x, encoder.model)
        slopes = None if slope is None else _as_map(slope, x, encoder.model)
        if values is not None and slopes is not None and slopes.any():  # none where only a class token is read
            importance = slopes.float().mean((-2, -1), keepdim=True)  # d 1 1
            return (importance * values.float()).sum(0).clamp(min=0), logits, index
    raise ArgumentError(f"{encoder.config.name} makes no map of features, so it cannot be shown where it looks.")


@contextmanager
def _feature_maps(model: nn.Module) -> Iterator[list[Tensor]]:
    """What may show where a timm model looks: what its `forward_features` gives, then what its last block takes."""
    found: list[Tensor] = []
    forward_features: Any = model.forward_features
    own = "forward_features" in model.__dict__  # somebody replaced it before us

    def watched(*arguments: Any, **options: Any) -> Any:
        result = forward_features(*arguments, **options)
        found.insert(0, result)
        return result

    blocks = getattr(model, "blocks", None)
    last = blocks[-1] if isinstance(blocks, nn.ModuleList | nn.Sequential) and len(blocks) else nn.Identity()
    try:
        model.forward_features = watched  # type: ignore[assignment]
        with _entering(last, found):
            yield found
        found[:] = [x for x in found if isinstance(x, Tensor)]
    finally:
        del model.forward_features
        if own:
            model.forward_features = forward_features


def _as_map(features: Tensor, x: Tensor, model: nn.Module) -> Float[Tensor, "d y x"] | None:
    """The feature map of one image, from however timm has it; None where tokens do not fill a grid.

    Tokens are laid out in the proportions of the pixels; those that are left over stand in front.
    """
    if features.ndim == 4:
        return features[0].movedim(-1, 0) if getattr(model, "output_fmt", "NCHW") == "NHWC" else features[0]
    if features.ndim == 3:
        ratio = x.shape[-2] / x.shape[-1]
        for t in range(features.shape[1], max(features.shape[1] - 17, 1), -1):
            rows, columns = round((t * ratio) ** 0.5), round((t / ratio) ** 0.5)
            if rows * columns == t:
                return features[0, -t:].t().unflatten(1, (rows, columns))
    return None


@contextmanager
def _entering(module: nn.Module, found: list[Tensor]) -> Iterator[None]:
    """Append to `found` the first argument of each call of `module`."""
    handle = module.register_forward_pre_hook(lambda _, arguments: found.append(arguments[0]))
    try:
        yield
    finally:
        handle.remove()


def _index(classifier: Any, logits: Tensor, label: str | None) -> int:
    return int(logits[0].argmax()) if label is None else classifier.labels.index(label)


def _cells(encoder: nn.Module, grid: Tensor, x: Tensor, *, each: bool) -> tuple[Tensor, tuple[float, float]]:
    """`grid`, and how many of its rows and columns the pixels cover: fewer than it has where the last patches are
    padded. Where patches overlap, or with `each`, it is of pixels: the mean over the patches that hold each.
    """
    height, width = x.shape[-2:]
    if not isinstance(encoder, ImageEncoder):
        return grid, (float(grid.shape[0]), float(grid.shape[1]))
    patch, step = encoder.tokenizer.config.patch, encoder.tokenizer.config.step
    if step == patch and not each:
        return grid, (height / patch[0], width / patch[1])
    whole = (grid.shape[0] - 1) * step[0] + patch[0], (grid.shape[1] - 1) * step[1] + patch[1]
    holding = torch.stack([grid.flatten(), torch.ones(grid.numel(), dtype=grid.dtype)])[:, None]  # 2 1 t
    total, count = F.fold(holding.expand(-1, patch[0] * patch[1], -1), whole, patch, stride=step)[:, 0]
    found = F.pad(total / count.clamp(min=1), (0, max(0, width - whole[1]), 0, max(0, height - whole[0])))
    return found[:height, :width], (float(height), float(width))


def _to_unit(grid: Tensor) -> Float[Tensor, "y x"]:
    """The smallest value to 0, the largest to 1; all 0 where there is no difference."""
    low, high = grid.min(), grid.max()
    return (grid - low) / (high - low) if high > low else torch.zeros_like(grid)
