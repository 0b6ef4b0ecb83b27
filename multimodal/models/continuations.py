"""Language models and encoder-decoders as `Continuation`s: what `generation/` decodes from.

Axes: b batch · n sources: b, or b / beams · t new tokens · s source length · d model width · v vocabulary
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

from multimodal.backbone.cache import Cache
from multimodal.models.encoder_decoder import EncoderDecoder
from multimodal.models.language_model import LanguageModel


class TextContinuation:
    """A `LanguageModel` in the middle of its texts."""

    def __init__(self, model: LanguageModel, cache: Cache) -> None:
        self.model, self.cache = model, cache

    def logits(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t v"]:
        """Logits of the token after each of `ids`."""
        return self.model(ids, keep=keep, cache=self.cache)

    def next_logits(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b v"]:
        """Logits of the token after the last real one of each row."""
        return self.model.output(last_real(self.model.hidden(ids, keep=keep, cache=self.cache), keep))


class TargetContinuation:
    """An `EncoderDecoder` in the middle of its targets."""

    def __init__(
        self,
        model: EncoderDecoder,
        cache: Cache,
        context: Float[Tensor, "n s d"],
        context_keep: Bool[Tensor, "n s"] | None,
    ) -> None:
        self.model, self.cache, self.context, self.context_keep = model, cache, context, context_keep

    def logits(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t v"]:
        """Logits of the token after each of `ids`."""
        return self.model.output(self._hidden(ids, keep))

    def next_logits(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b v"]:
        """Logits of the token after the last real one of each row."""
        return self.model.output(last_real(self._hidden(ids, keep), keep))

    def _hidden(self, ids: Tensor, keep: Tensor | None) -> Float[Tensor, "b t d"]:
        return self.model.decode(ids, self.context, context_keep=self.context_keep, decoder_keep=keep, cache=self.cache)


def last_real(hidden: Float[Tensor, "b t d"], keep: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b d"]:
    """The hidden state of each row's last real token."""
    if keep is None:
        return hidden[:, -1]
    last = keep.sum(1).clamp(min=1) - 1
    return hidden[last.new_tensor(range(len(last))), last]
