"""A language model that sees or hears: encoder, projector, and the language model that reads their tokens.

LLaVA-1.5 and LLaVA-NeXT are configs of this one class, and so is a speech adapter. In the ids of a text a placeholder
stands for each token of an image; the image's vectors take those places, so any number of images may stand anywhere.
From messages to ids: `chat/messages.py`, `chat/layout.py`; from ids to answers: `chat/answers.py`; from two trained
models to one of these: `joining.py`.

Axes: b batch · t length, placeholders included · n views · k channels · H, W pixels, or mel channels and frames ·
i tokens of all images · d model width · v vocabulary
Refs: LLaVA arXiv:2304.08485 · LLaVA-1.5 arXiv:2310.03744 · speech: SLAM-ASR arXiv:2402.08846 · images that see
themselves both ways: PaliGemma arXiv:2407.07726 §3.2
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Unpack

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn

from multimodal.backbone.cache import Cache
from multimodal.errors import ArgumentError
from multimodal.generation.config import GenerationConfig
from multimodal.generation.rows import Generated
from multimodal.models.chat.answers import complete_chats, stream_chat
from multimodal.models.chat.conversation import Conversation
from multimodal.models.chat.memory import ChatMemory
from multimodal.models.chat.messages import several_chats
from multimodal.models.chat.tiles import TilesConfig, arrange
from multimodal.models.chat.views import Reader, Views
from multimodal.models.features import Features, FeaturesConfig
from multimodal.models.language_model import LanguageModelConfig
from multimodal.models.projector import AnyProjectorConfig, LinearProjectorConfig, MlpProjectorConfig
from multimodal.models.text.options import Options
from multimodal.tokenizers.image_transform import ImageTransformConfig
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.tokenizers.transforms import AnyTransformConfig


@dataclass(frozen=True, kw_only=True)
class VisionLanguageConfig:
    """Hyper-parameters of `VisionLanguageModel`."""

    features: FeaturesConfig
    projector: AnyProjectorConfig = MlpProjectorConfig()
    language: LanguageModelConfig
    placeholder: int  # id that stands for each token of an image; may lie beyond the language model's vocabulary
    transform: AnyTransformConfig = ImageTransformConfig()  # of sound where the encoder is
    tiles: TilesConfig | None = None  # cut larger images into several views (LLaVA-NeXT)
    attention: Literal["causal", "prefix"] = "causal"  # prefix: the tokens of an image see each other both ways

    @property
    def embedding(self) -> TextEmbeddingConfig:
        """What the language model reads: which ids, and how many of them."""
        return self.language.embedding

    @property
    def generation(self) -> GenerationConfig:
        """What `chat` does unless told otherwise."""
        return self.language.generation

    @property
    def vocabulary(self) -> int:
        """How many ids a tokenizer may give: the language model's, and the placeholder."""
        return max(self.embedding.vocabulary, self.placeholder + 1)

    def build(self, tokenizer: TextTokenizer | None = None) -> VisionLanguageModel:
        """A `VisionLanguageModel` with fresh weights; without `tokenizer` it takes ids only.

        Raises:
            ArgumentError: parts that do not fit each other.
        """
        return VisionLanguageModel(self, tokenizer)


class VisionLanguageModel(nn.Module):
    """Images, or recordings, and text to the text that follows."""

    def __init__(self, config: VisionLanguageConfig, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__()
        if config.placeholder < 0:
            raise ArgumentError(f"placeholder is {config.placeholder}; it must be an id, from 0.")
        self.config, self.tokenizer = config, tokenizer
        self.language = config.language.build()
        self.features = config.features.build(config.transform)
        dim = self.language.embedding.words.embedding_dim
        self.projector = config.projector.build(self.features.width, dim)
        self.newline = _newline(config, dim)
        self.reader = _reader(config, self.features)
        self.card: dict[str, Any] = {}  # what is known of the training: data fingerprint, metrics, settings

    def forward(
        self,
        ids: Int[Tensor, "b t"],
        images: Views | Num[Tensor, "n k H W"] | None = None,
        *,
        keep: Bool[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t v"]:
        """Logits of the token after each; arguments as in `hidden`."""
        return self.output(self.hidden(ids, images, keep=keep))

    def hidden(
        self,
        ids: Int[Tensor, "b t"],
        images: Views | Num[Tensor, "n k H W"] | None = None,
        *,
        keep: Bool[Tensor, "b t"] | None = None,
        cache: Cache | None = None,
        only: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b u d"]:
        """The language model's last hidden states, of all tokens (u = t) or one of each row.

        Args:
            ids: token ids, with a placeholder for each token of an image.
            images: of all rows, in the order of their placeholders: what the `reader` gave, or pixels of one view each.
            keep: False at padding, which with a cache must be on the right.
            cache: of earlier tokens, from `language.backbone.new_cache`; extended in place.
            only: the place of the token of each row that is asked for.

        Raises:
            ArgumentError: more or fewer placeholders than tokens of images, or more tokens than the model reads.
        """
        here = ids == self.config.placeholder
        words = self.language.embedding.words(ids.masked_fill(here, 0))  # the placeholder may have no row in the table
        places = here.flatten().nonzero()[:, 0]
        views = self._views(images) if images is not None else None
        encoded = self.encode(views) if views is not None else words.new_empty(0, words.shape[-1])
        if len(places) != len(encoded):
            raise ArgumentError(
                f"The text has places for {len(places):,} tokens of images, and those given make {len(encoded):,}: "
                "repeat each image's placeholder as often as it has tokens, and give all images."
            )
        if len(places):
            words = words.flatten(0, 1).index_copy(0, places, encoded.to(words.dtype)).view_as(words)
        tokens = self.language.tokens(words, keep=keep, cache=cache)
        steps = _steps(here, views.tokens) if self.config.attention == "prefix" and views is not None else None
        return self.language.mix(tokens, steps=steps, cache=cache, only=only)

    def read_as(self, transform: AnyTransformConfig) -> None:
        """Read images by another transform from now on, of another size or other proportions; weights stay as they are.

        Raises:
            ArgumentError: it gives what the encoder does not read.
        """
        config = replace(self.config, transform=transform)
        features = type(self.features)(config.features, self.features.encoder, transform)  # pyright: ignore
        self.reader, self.features, self.config = _reader(config, features), features, config

    def encode(self, views: Views) -> Float[Tensor, "i d"]:
        """The tokens of all images, one after the other, as the language model reads them."""
        x, dtype = views.x, next(self.features.parameters()).dtype
        x = self.reader.transform.normalize(x, dtype=dtype) if x.dtype == torch.uint8 else x.to(dtype)
        grid = self.features.grid
        projected = self.projector(self.features(x), grid)  # n s d
        if self.config.tiles is None or self.newline is None:
            return projected.flatten(0, 1)
        found = []
        for part, size in zip(projected.split(list(views.counts)), views.sizes, strict=True):
            view = self.config.transform.size
            found.append(arrange(part, self.config.tiles, size or view, grid, view, self.newline))
        return torch.cat(found)

    @property
    def output_weight(self) -> Float[Tensor, "v d"]:
        """What hidden states are multiplied with."""
        return self.language.output_weight

    @property
    def output_bias(self) -> Float[Tensor, " v"] | None:
        """What is added to that."""
        return self.language.output_bias

    def output(self, hidden: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape v"]:
        """Logits of hidden states, as many as are given."""
        return self.language.output(hidden)

    def chat(
        self, chats: Any, *, memory: ChatMemory | None = None, batch_size: int = 16, **options: Unpack[Options]
    ) -> Any:
        """The answers to questions: of one a text, of a list a list.

        Args:
            chats: one or a list of: (image, question); (several images, question); a question alone; a list of messages
                {"role": "system" | "user" | "assistant", "content": ...}, whose content is a text or a list of parts
                {"type": "text", "text": ...} and {"type": "image", "image": ...}. An image is a path, the bytes of a
                file, a PIL image or an array; of a model that hears, {"type": "audio", "audio": ...} likewise.
            memory: of what was read before, for one chat at a time: what stands in front as before is not read again.
            batch_size: questions that go through the model at a time. Those about the same images, one after the
                other or not, read these once.
            options: as in `LanguageModel.generate`: `max_new_tokens`, `temperature`, `beams`, `stop` ...

        Raises:
            ArgumentError: no tokenizer or chat template, roles out of order, images without a place or the reverse, a
                conversation that the assistant ended or that is too long, an unknown option.
            MediaError: an image or recording that cannot be read.
        """
        several, single = several_chats(chats)
        found = self.complete(several, memory=memory, batch_size=batch_size, **options)
        lists = options.get("n_best") is not None
        # The space between "ASSISTANT:" and the answer is the template's, not the answer's.
        several_texts = [[(one.text or "").lstrip() for one in answers] for answers in found]
        texts = [answers if lists else answers[0] for answers in several_texts]
        return texts[0] if single else texts

    def complete(
        self,
        chats: Sequence[Any],
        *,
        memory: ChatMemory | None = None,
        batch_size: int = 16,
        **options: Unpack[Options],
    ) -> list[list[Generated]]:
        """What `chat` does, with ids, log-probabilities and why each ended: for each chat the `n_best` best."""
        return complete_chats(self, chats, memory=memory, batch_size=batch_size, options=options)

    def stream(self, chat: Any, *, memory: ChatMemory | None = None, **options: Unpack[Options]) -> Iterator[str]:
        """The answer of one chat in pieces, as soon as they are certain; arguments and errors as for `chat`."""
        return stream_chat(self, chat, memory=memory, options=options)

    def conversation(self, images: Any = (), *, system: str | None = None) -> Conversation:
        """A talk of several turns about images (one or several, or none yet): `.ask(question)`, `.stream(question)`."""
        return Conversation(self, images, system=system)

    def _views(self, images: Views | Tensor) -> Views:
        if isinstance(images, Views):
            return images
        if self.config.tiles is not None:
            raise ArgumentError(
                "This model cuts images into tiles; give `Views.of([...])` of what `reader.read` gives."
            )
        return Views(images, (1,) * len(images), (self.reader.length,) * len(images), (None,) * len(images))


def _reader(config: VisionLanguageConfig, features: Features) -> Reader:
    """What makes views of files, and knows how many tokens they will be."""
    length = config.projector.length(features.grid, features.extra)
    return Reader(config.transform, tiles=config.tiles, length=length, grid=features.grid)


def _newline(config: VisionLanguageConfig, dim: int) -> nn.Parameter | None:
    """The vector that ends each row of tokens of a tiled image."""
    if config.tiles is None:
        return None
    if not isinstance(config.projector, LinearProjectorConfig | MlpProjectorConfig):
        raise ArgumentError("tiles need a projector that keeps the grid of tokens: linear, or of two layers.")
    if config.features.class_token:
        raise ArgumentError("A class token has no place in a grid of tiles: leave class_token out.")
    return nn.Parameter(torch.randn(dim) * dim**-0.5)


def _steps(here: Bool[Tensor, "b t"], tokens: Sequence[int]) -> Int[Tensor, "b t"]:
    """A mask by steps: causal, but for the placeholders of an image, of `tokens` each, which share one step."""
    starts = [sum(tokens[:number]) for number in range(len(tokens))]
    begins = ~here  # a step of its own: each token of text, and the first of each image
    begins.view(-1)[here.flatten().nonzero()[starts, 0]] = True
    return begins.long().cumsum(1)
