"""What the index needs of a model, what it remembers of it, and loading it no sooner than it is needed.

Any object with the members of `Embedder` will do; the real one is `multimodal.models.dual_encoder.DualEncoder`.

Axes: b batch · n texts · d width of a vector · h, w pixels
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from jaxtyping import Float, UInt8
from torch import Tensor

from multimodal.config import to_plain
from multimodal.errors import ArgumentError


@runtime_checkable
class Embedder(Protocol):
    """Pictures and texts to unit vectors of one space."""

    transform: Any  # `.read(source)` gives uint8 pixels (3, h, w); `.config` says what it does
    card: dict[str, Any]  # what is known of the model; "source": what `mm.load` takes, where known
    tokenizer: Any  # None: the model knows no texts

    @property
    def width(self) -> int:
        """d, the length of a vector."""
        ...

    def embed_pixels(self, pixels: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Unit vectors in float32 on the CPU."""
        ...

    def embed_texts(self, texts: list[str]) -> Float[Tensor, "n d"]:
        """Unit vectors in float32 on the CPU."""
        ...

    def fingerprint(self) -> str:
        """Hexadecimal digits that tell this model's vectors from another's."""
        ...


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What an index remembers of the model that made its vectors."""

    source: str | None  # what `mm.load` takes; None: only the person who made the index has the model
    fingerprint: str | None  # None: vectors came from elsewhere, and the model has not been seen yet
    transform: str | None  # hash of what is done to a picture before the model sees it
    width: int  # d

    @property
    def name(self) -> str:
        """How the model is called in a sentence."""
        known = self.fingerprint[:8] if self.fingerprint else "not seen yet"
        return f"{self.source or 'a model object'} ({known})"

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def describe(model: Embedder, source: str | None = None) -> ModelInfo:
    """What to remember of `model`, which was loaded from `source` or says so itself.

    Raises:
        ArgumentError: a model of sound.
    """
    if getattr(model, "hears", False):
        raise ArgumentError("An index of images takes models of images, and this one is a model of sound.")
    known = source or model.card.get("source")
    return ModelInfo(
        source=str(known) if known else None,
        fingerprint=model.fingerprint(),
        transform=transform_hash(model.transform.config),
        width=model.width,
    )


def transform_hash(config: Any) -> str:
    """Of everything that decides which pixels the model sees."""
    return hashlib.blake2b(json.dumps(to_plain(config), sort_keys=True).encode(), digest_size=8).hexdigest()


def absolute_source(source: str | Path) -> str:
    """`source` so that it means the same in another working folder."""
    named = isinstance(source, str) and re.match(r"[A-Za-z][\w-]+:", source) and not Path(source).exists()
    return str(source) if named else str(Path(source).absolute())


class LazyModel:
    """The model of an index: given as an object, or loaded from its source on first use, and then checked."""

    def __init__(self, model: Any, info: ModelInfo | None, *, device: Any, dtype: Any) -> None:
        self._lock = threading.Lock()
        self._device, self._dtype = device, dtype
        self._known: tuple[Embedder, ModelInfo] | None = None
        self.source = absolute_source(model) if isinstance(model, str | Path) else None
        if model is not None and self.source is None:
            found = _checked(model)
            self._known = found, describe(found)
        elif self.source is None and info is not None:
            self.source = info.source

    @property
    def given(self) -> bool:
        """Whether there is a model, or a source that it can be loaded from."""
        return self._known is not None or self.source is not None

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._known is not None

    def get(self) -> Embedder:
        """The model, which the first call loads.

        Raises:
            ArgumentError: nobody has said which model.
            DataError: it cannot be loaded.
        """
        return self._load()[0]

    def info(self) -> ModelInfo:
        """What is to be remembered of it; loads it."""
        return self._load()[1]

    def _load(self) -> tuple[Embedder, ModelInfo]:
        with self._lock:
            if self._known is None:
                if self.source is None:
                    raise ArgumentError(
                        "This index does not know where its model can be loaded from: open it with "
                        "ImageIndex(path, model=...), which takes the model that made it or the name of that model."
                    )
                from multimodal.hub.loading import load

                model = _checked(load(self.source, device=self._device, dtype=self._dtype))
                self._known = model, describe(model, self.source)
            return self._known


def check_same(index: str, stored: ModelInfo, given: ModelInfo) -> None:
    """Refuse a model whose vectors cannot be compared with those of the index.

    Raises:
        ArgumentError: another model, another width or another transform.
    """
    if stored.width != given.width:
        problem = f"vectors of {stored.width} numbers, and the model given makes {given.width}"
    elif stored.fingerprint not in (None, given.fingerprint):
        problem = "other weights"
    elif stored.transform not in (None, given.transform):
        problem = "pictures prepared in another way"
    else:
        return
    raise ArgumentError(
        f"{index} was made with {stored.name}, and the model given is {given.name}: {problem}. Vectors of different "
        "models cannot be compared. Open the index with its own model, or call index.migrate(model) to embed its "
        "pictures anew."
    )


def _checked(model: Any) -> Embedder:
    needed = ("transform", "embed_pixels", "embed_texts", "fingerprint", "width")
    lacking = [name for name in needed if not hasattr(model, name)]
    if lacking:
        raise ArgumentError(
            f"model is a {type(model).__name__}, which has no {lacking[0]}: an index needs a DualEncoder, for example "
            "mm.load('open_clip:ViT-B-32/openai')."
        )
    return cast(Embedder, model)
