"""Small things to talk about, for the smoke forms of recipes: drawn scenes, and two models that know little of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.pool import MeanPoolConfig
from multimodal.checkpoint import save
from multimodal.data.chat.scene_questions import CHAT, TEXTS, write_questions
from multimodal.data.pairs.scene_parts import COLOURS, SHAPES
from multimodal.data.pairs.scenes import TABLE, write_scenes
from multimodal.models.classifier import Classifier, ClassifierConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.language_model import LanguageModel
from multimodal.presets import llama
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig
from multimodal.tokenizers.text_training import train_tokenizer

SCENES, SIDE, WIDTH = 1000, 32, 64  # pictures; pixels; of both models
LOOKS, READS = 150, 120  # steps of the encoder and of the language model
ROWS = 48  # examples of a step


def write_small_talk(folder: Path) -> tuple[Path, Path, Path]:
    """An image encoder and a language model as folders, and the folder of questions about colours in scenes.

    The encoder has learned which colours and shapes there are; the language model has read questions and answers
    without the scenes: it knows how to answer, but not what.
    """
    torch.manual_seed(0)
    scenes = write_scenes(folder / "scenes", train=SCENES, val=100, test=0, size=SIDE)
    questions = write_questions(scenes, folder / "questions")
    rows = [json.loads(line) for line in (questions / CHAT).read_text(encoding="utf-8").splitlines()]
    asked = [row for row in rows if row["kind"].startswith("colour")]
    (questions / CHAT).write_text("".join(f"{json.dumps(row)}\n" for row in asked), encoding="utf-8")
    texts = [json.loads(line)["text"] for line in (questions / TEXTS).read_text(encoding="utf-8").splitlines()]
    return save(_looker(scenes), folder / "encoder"), save(small_language_model(texts), folder / "language"), questions


def _looker(scenes: Path) -> Classifier:
    """A vision transformer that tells which colours and shapes a scene holds."""
    block = BlockConfig(attention=AttentionConfig(heads=2), mlp=MlpConfig(hidden=4 * WIDTH))
    encoder = ImageEncoderConfig(
        tokenizer=ImageTokenizerConfig(size=(SIDE, SIDE), patch=(8, 8), prefix=0),
        backbone=BackboneConfig(dim=WIDTH, depth=2, block=block),
        pool=MeanPoolConfig(),
    )
    names = (*COLOURS, *SHAPES)
    transform = ImageTransformConfig(size=(SIDE, SIDE), crop_fraction=1.0)
    config = ClassifierConfig(encoder=encoder, classes=len(names), transform=transform, output="sigmoid")
    model = config.build(names)
    table = [json.loads(line) for line in (scenes / TABLE).read_text(encoding="utf-8").splitlines()]
    train = [row for row in table if row["split"] == "train"]
    pixels = torch.stack([model.transform.read(scenes / row["path"]) for row in train])
    there = [{word for thing in row["scene"]["things"] for word in (thing["colour"], thing["shape"])} for row in train]
    labels = torch.tensor([[float(name in words) for name in names] for words in there])

    def loss(chosen: list[int]) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(pixels[chosen]), labels[chosen])

    learn(model, loss, len(train), steps=LOOKS, rate=3e-3)
    return model


def small_language_model(texts: list[str]) -> LanguageModel:
    """One of two layers that has read `texts`."""
    tokenizer = train_tokenizer(iter(texts), "bpe", vocabulary=400)
    config = llama(tokenizer.vocabulary, length=96, dim=WIDTH, depth=2, heads=2, multiple=32, tied=True)
    model, end = config.build(tokenizer), tokenizer.eos_id
    assert end is not None
    rows = [torch.tensor([*row, end]) for row in tokenizer.rows(texts, special=False)]

    def loss(chosen: list[int]) -> Tensor:
        ids = nn.utils.rnn.pad_sequence([rows[i] for i in chosen], batch_first=True, padding_value=-1)
        keep = ids >= 0
        logits = model(ids[:, :-1].clamp(min=0), keep=keep[:, 1:])
        return F.cross_entropy(logits[keep[:, 1:]], ids[:, 1:][keep[:, 1:]])

    learn(model, loss, len(rows), steps=READS, rate=5e-3)
    return model


def learn(model: nn.Module, loss: Callable[[list[int]], Tensor], count: int, *, steps: int, rate: float) -> None:
    """Steps of AdamW on examples drawn at random from `count`."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    chance = torch.Generator().manual_seed(0)
    for _ in range(steps):
        found = loss(torch.randint(count, (ROWS,), generator=chance).tolist())
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
