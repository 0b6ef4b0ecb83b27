"""Small text models of every kind, with tokenizers made here, for tests that need a whole model."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.bias import RelativeBiasConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import GatedMlpConfig, MlpConfig
from multimodal.backbone.norm import LayerNormConfig, RMSNormConfig
from multimodal.backbone.position import SinusoidalPositionConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.generation.config import GenerationConfig
from multimodal.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from multimodal.models.language_model import LanguageModel, LanguageModelConfig
from multimodal.models.text.summary import FirstTokenHeadConfig, PooledHeadConfig
from multimodal.models.text_encoder import MaskedHeadConfig, PoolerConfig, TextEncoder, TextEncoderConfig
from multimodal.models.text_heads import (
    MultipleChoiceConfig,
    QuestionAnswererConfig,
    TextClassifierConfig,
    TokenTaggerConfig,
)
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.tokenizers.text_settings import SpecialTokens, TextSettings

DIM = 16
CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
WORDS = "the cat sat on a mat and dog ran to paris where anna lives in a big red house of stone s ##s ##ing . , ?"


def wordpiece() -> TextTokenizer:
    """BERT-like: lower case, words of the list above, single letters for the rest."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [mark + letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789" for mark in ("", "##")]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*special, *WORDS.split(), *letters]))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # pyright: ignore
    tokenizer.normalizer = normalizers.BertNormalizer()  # pyright: ignore
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # pyright: ignore
    tokenizer.decoder = decoders.WordPiece()  # pyright: ignore
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    roles = SpecialTokens(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]")
    return TextTokenizer(tokenizer, TextSettings(special=roles, clean_up=True))


def bytelevel(**settings: Any) -> TextTokenizer:
    """GPT-2-like, without merges: 256 bytes and <|endoftext|>, which also begins texts."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|endoftext|>": 0, **{letter: i + 1 for i, letter in enumerate(letters)}}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore
    settings = {"special": SpecialTokens(bos="<|endoftext|>", eos="<|endoftext|>"), "chat_template": CHAT, **settings}
    return TextTokenizer(tokenizer, TextSettings(**settings))


def backbone(*, depth: int = 2, cross: bool = False, placement: Any = "pre", **parts: Any) -> BackboneConfig:
    """A stack of width 16 with two heads."""
    attention = AttentionConfig(heads=2)
    block = BlockConfig(
        attention=attention,
        mlp=parts.pop("mlp", MlpConfig(hidden=32)),
        cross_attention=attention if cross else None,
        norm=parts.pop("norm", LayerNormConfig()),
        placement=placement,
    )
    return BackboneConfig(dim=DIM, depth=depth, block=block, **parts)


def randomized(model: Any) -> Any:
    """`model` in eval mode with every weight drawn anew, large enough that outputs differ."""
    generator = torch.Generator().manual_seed(7)
    assert isinstance(model, nn.Module)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise if parameter.ndim > 1 else parameter + noise)
    return model.eval()


def gpt(*, max_length: int = 64, **parts: Any) -> LanguageModel:
    """Learned positions, tied, byte level."""
    embedding = TextEmbeddingConfig(vocabulary=257, max_length=max_length)
    config = LanguageModelConfig(embedding=embedding, backbone=backbone(), **parts)
    return randomized(config.build(bytelevel()))


def llama() -> LanguageModel:
    """Rotary positions, RMS norms, gated, untied; no tokenizer."""
    embedding = TextEmbeddingConfig(vocabulary=50, max_length=64, position=None)
    stack = backbone(position=RotaryConfig(), norm=RMSNormConfig(), mlp=GatedMlpConfig(hidden=24))
    return randomized(LanguageModelConfig(embedding=embedding, backbone=stack, tied=False).build())


def bert_config(*, max_length: int = 64, **parts: Any) -> TextEncoderConfig:
    """Post-norm, two segments, no norm behind the last layer."""
    embedding = TextEmbeddingConfig(
        vocabulary=wordpiece().vocabulary, max_length=max_length, types=2, norm=LayerNormConfig()
    )
    return TextEncoderConfig(embedding=embedding, backbone=backbone(placement="post", final_norm=False), **parts)


def bert() -> TextEncoder:
    """With a pooler and a masked-word head."""
    config = bert_config(pooler=PoolerConfig(next_sentence=True), head=MaskedHeadConfig())
    return randomized(config.build(wordpiece()))


def t5(**parts: Any) -> EncoderDecoder:
    """Relative positions, byte level, ids end with <|endoftext|>."""
    embedding = TextEmbeddingConfig(vocabulary=257, max_length=64, position=None)
    relative = {"norm": RMSNormConfig(), "mlp": MlpConfig(hidden=32, bias=False)}
    config = EncoderDecoderConfig(
        embedding=embedding,
        encoder=backbone(position=RelativeBiasConfig(bidirectional=True), **relative),
        decoder=backbone(position=RelativeBiasConfig(bidirectional=False), cross=True, **relative),
        start=0,
        generation=GenerationConfig(max_new_tokens=8, end=(0,)),
        **parts,
    )
    return randomized(config.build(bytelevel()))


def marian() -> EncoderDecoder:
    """Sinusoidal positions, post-norm, an output bias."""
    embedding = TextEmbeddingConfig(vocabulary=257, max_length=64, position=SinusoidalPositionConfig(), scale=DIM**0.5)
    stack = {"placement": "post", "final_norm": False}
    config = EncoderDecoderConfig(
        embedding=embedding,
        encoder=backbone(**stack),
        decoder=backbone(cross=True, **stack),
        start=0,
        output_bias=True,
    )
    return randomized(config.build(bytelevel()))


LABELS = ("bad", "good", "odd")
TAGS = ("O", "B-person", "I-person", "B-place", "I-place")

CLASSIFIER = TextClassifierConfig(encoder=bert_config(), classes=3)
KINDS = {
    "gpt": gpt,
    "llama": llama,
    "bert": bert,
    "t5": t5,
    "marian": marian,
    "text classifier": lambda: randomized(CLASSIFIER.build(LABELS, wordpiece())),
    "text classifier on a language model": lambda: randomized(
        TextClassifierConfig(encoder=gpt().config, classes=3, head=PooledHeadConfig(bias=False)).build(
            LABELS, bytelevel()
        )
    ),
    "tagger": lambda: randomized(TokenTaggerConfig(encoder=bert_config(), classes=5).build(TAGS, wordpiece())),
    "question answerer": lambda: randomized(QuestionAnswererConfig(encoder=bert_config()).build(wordpiece())),
    "multiple choice": lambda: randomized(
        MultipleChoiceConfig(encoder=bert_config(), head=FirstTokenHeadConfig(activation="relu")).build(wordpiece())
    ),
}
