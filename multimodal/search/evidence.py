"""What a model itself says about how well a text fits a picture, beside how it fits others: for contrastive models.

Training makes scale · cosine an estimate of log p(text | picture) / p(text), up to a number that depends on the picture
alone (InfoNCE, arXiv:1807.03748 §2.3). That number is found by asking what everyday captions score with the picture:

    evidence = scale · cosine(query, picture) - log mean over captions of exp(scale · cosine(caption, picture))

in nats. A picture that any text fits has little evidence for any one; "a dog on a beach" and a drawing of a star have
none, however near the star comes among drawings. Of N pictures, about N · exp(-evidence) reach so much by chance.

Axes: k results · p captions · d width of a vector
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float


def trained_scale(model: Any) -> float | None:
    """What `model` multiplies cosines by; None: it was not trained to compare, or does not say."""
    scale = getattr(getattr(model, "similarity", None), "scale", None)
    return float(scale.detach()) if scale is not None else None


def evidence(
    scores: Float[np.ndarray, " k"],
    pictures: Float[np.ndarray, "k d"],
    captions: Float[np.ndarray, "p d"],
    scale: float,
) -> Float[np.ndarray, " k"]:
    """Nats by which the query fits each picture better than the captions do.

    Args:
        scores: cosines of the query with the pictures.
        pictures: their unit vectors.
        captions: unit vectors of everyday captions.
        scale: what the model multiplies cosines by.
    """
    from scipy.special import logsumexp

    usual: Any = logsumexp(scale * (pictures @ captions.T), axis=1, b=1 / len(captions)) if len(pictures) else 0.0
    return scale * scores - usual
