"""A speech recognizer: an encoder of spectrograms and a decoder that writes text. Whisper, in all sizes, is a config.

The rules by which text is written (timestamps, suppression, beams, fallback) are in `speech/decoding.py`, the way from
a recording to a transcription in `speech/transcription.py`.

Axes: b batch · n contexts: b, or b / beams · m mel channels · t frames, or text length · l text length beside frames ·
s encoder tokens · c their width · d width of the decoder · v vocabulary
Refs: Whisper arXiv:2212.04356 · Distil-Whisper arXiv:2311.00430
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Unpack

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.cache import Cache
from multimodal.backbone.mask import Mask
from multimodal.backbone.packed import project
from multimodal.errors import ArgumentError
from multimodal.models.audio_encoder import AudioEncoderConfig
from multimodal.models.speech.options import TranscribeOptions
from multimodal.models.speech.tokens import SpeechTokens
from multimodal.tokenizers.audio_features import LogMelConfig
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig, positions_after


@dataclass(frozen=True, kw_only=True)
class SpeechRecognizerConfig:
    """Hyper-parameters of `SpeechRecognizer`."""

    features: LogMelConfig
    encoder: AudioEncoderConfig
    embedding: TextEmbeddingConfig  # of the text; the output layer is its word table
    decoder: BackboneConfig
    alignment_heads: tuple[tuple[int, int], ...] = ()  # (layer, head) that follow the sound; (): those of the last half
    suppress: tuple[int, ...] = ()  # ids that are never written
    suppress_first: tuple[int, ...] = ()  # ids that are not written first

    def build(self, tokenizer: TextTokenizer | None = None) -> SpeechRecognizer:
        """A `SpeechRecognizer` with fresh weights; without `tokenizer` it takes and gives ids only.

        Raises:
            ArgumentError: encoder and decoder that do not fit each other, a head or id that there is not, or a
                tokenizer that is none of a Whisper model.
        """
        return SpeechRecognizer(self, tokenizer)


class SpeechRecognizer(nn.Module):
    """Spectrograms to text."""

    def __init__(self, config: SpeechRecognizerConfig, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__()
        _check(config)
        self.config, self.tokenizer = config, tokenizer
        self.tokens = SpeechTokens.of(tokenizer) if tokenizer is not None else None
        self.features = config.features.build()
        self.encoder = config.encoder.build(config.features.mels)
        self.embedding = config.embedding.build(config.decoder.dim)
        self.decoder = config.decoder.build()
        self.card: dict[str, Any] = {}  # what is known of the training: data fingerprint, metrics, settings

    @property
    def alignment_heads(self) -> tuple[tuple[int, int], ...]:
        """(layer, head) of the cross-attention that tells when a word was spoken."""
        depth, heads = self.config.decoder.depth, self.config.decoder.block.attention.heads
        last_half = ((layer, head) for layer in range(depth // 2, depth) for head in range(heads))
        return self.config.alignment_heads or tuple(last_half)

    @property
    def output_weight(self) -> Float[Tensor, "v d"]:
        """What hidden states are multiplied with; `chunked_cross_entropy` takes it."""
        return self.embedding.words.weight

    def forward(self, mel: Float[Tensor, "b m t"], ids: Int[Tensor, "b l"]) -> Float[Tensor, "b l v"]:
        """Logits of the token after each of `ids`, which begin as `tokens.start` says."""
        return self.output(self.decode(ids, self.encode(mel)))

    def encode(self, mel: Float[Tensor, "b m t"]) -> Float[Tensor, "b s c"]:
        """What the decoder listens to: of `features(wave)`, where wave is 30 s with silence at its end; in any dtype.

        Raises:
            ArgumentError: another number of mel channels, or more frames than the model has positions for.
        """
        return self.encoder(mel.to(self.output_weight.dtype)).x

    def decode(
        self,
        ids: Int[Tensor, "b t"],
        context: Float[Tensor, "n s c"],
        *,
        cache: Cache | None = None,
        decoder_keep: Bool[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The decoder's last hidden states.

        Args:
            ids: the text so far; with a cache, what is new of it.
            context: from `encode`; with a cache, several rows (beams) may share each.
            cache: of earlier tokens, from `decoder.new_cache`; extended in place.
            decoder_keep: False at padding, which with a cache must be on the right.

        Raises:
            ArgumentError: more tokens than the model has positions for, or than the cache has room for.
        """
        positions = None
        if cache is not None:
            positions = positions_after(cache, ids.shape[1], longest=self.config.embedding.positions)
        x = self.embedding(ids, positions=positions)
        return self.decoder(x, mask=Mask(causal=True, keep=decoder_keep), cache=cache, context=context)

    def output(self, hidden: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape v"]:
        """Logits of hidden states, as many as are given."""
        return project(hidden, self.output_weight)

    def transcribe(
        self, audio: Any, *, errors: list[tuple[Any, str]] | None = None, **options: Unpack[TranscribeOptions]
    ) -> Any:
        """What is said in a recording: a `Transcription`; of a list, a list of them.

        Args:
            audio: a path (of a video as well), the bytes of a file, samples at 16 kHz (n,), or (samples, rate); or a
                list of these.
            errors: where given, an unreadable recording is appended here as (recording, reason) and left out.
            options: `language`, `task`, `timestamps`, `batch_size`, `beams`, `condition`, `prompt` and rarer ones; see
                `TranscribeOptions`.

        Raises:
            ArgumentError: an unknown option, or one that the model cannot follow, such as a language that it does not
                know.
            MediaError: a recording cannot be read, and no `errors` list was given.
        """
        from multimodal.models.speech.transcription import transcribe

        return transcribe(self, audio, errors=errors, **options)


def _check(config: SpeechRecognizerConfig) -> None:
    """Refuse parts that do not fit each other."""
    decoder, vocabulary = config.decoder, config.embedding.vocabulary
    width, looked_at = config.encoder.backbone.dim, decoder.context_dim or decoder.dim
    if decoder.block.cross_attention is None:
        raise ArgumentError("decoder.block.cross_attention is missing; by it the decoder listens to the encoder.")
    if width != looked_at:
        raise ArgumentError(
            f"encoder.backbone.dim is {width} and the decoder expects a context of width {looked_at}; set its "
            "context_dim, or change one of them."
        )
    for layer, head in config.alignment_heads:
        if not (0 <= layer < decoder.depth and 0 <= head < decoder.block.cross_attention.heads):
            raise ArgumentError(
                f"alignment_heads names head {head} of layer {layer}; the decoder has {decoder.depth} layers of "
                f"{decoder.block.cross_attention.heads} heads, counted from 0."
            )
    for name in ("suppress", "suppress_first"):
        if wrong := [id for id in getattr(config, name) if not 0 <= id < vocabulary]:
            raise ArgumentError(f"{name} has {wrong[0]}; it must hold token ids, from 0 to {vocabulary - 1:,}.")
