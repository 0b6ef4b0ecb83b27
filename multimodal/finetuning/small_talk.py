"""Small things to talk about, for the smoke forms of recipes: drawn scenes, and two models that know little of them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from multimodal.checkpoint import save
from multimodal.data.chat.scene_questions import TEXTS, write_questions
from multimodal.data.pairs.scenes import write_scenes
from multimodal.finetuning.dual_start import FreshTowersConfig, fresh_clip
from multimodal.models.language_model import LanguageModel
from multimodal.presets import Stack, ViT, llama
from multimodal.tokenizers.text_training import train_tokenizer

STEPS, ROWS, WIDTH = 120, 48, 64


def write_small_talk(folder: Path) -> tuple[Path, Path, Path]:
    """The folders of an image encoder with fresh weights, of a language model, and of questions about scenes of 32 px.

    The language model has read the questions and answers without the scenes: it knows how to answer, but not what.
    """
    torch.manual_seed(0)
    scenes = write_scenes(folder / "scenes", train=500, val=60, test=0, size=32)
    questions = write_questions(scenes, folder / "questions")
    texts = [json.loads(line)["text"] for line in (questions / TEXTS).read_text(encoding="utf-8").splitlines()]
    sizes = FreshTowersConfig(
        image=ViT(dim=WIDTH, depth=2, heads=2, patch=8),
        text=Stack(dim=32, depth=1, heads=2),
        dim=32,
        size=32,
        length=24,
        vocabulary=300,
    )
    return save(fresh_clip(texts, sizes), folder / "encoder"), save(_talker(texts), folder / "language"), questions


def _talker(texts: list[str]) -> LanguageModel:
    tokenizer = train_tokenizer(iter(texts), "bpe", vocabulary=320)
    config = llama(tokenizer.vocabulary, length=96, dim=WIDTH, depth=2, heads=2, multiple=32, tied=True)
    model = config.build(tokenizer)
    end = tokenizer.eos_id
    assert end is not None
    rows = [torch.tensor([*row, end]) for row in tokenizer.rows(texts, special=False)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(STEPS):
        chosen = [rows[(step * ROWS * 7 + i * 7) % len(rows)] for i in range(ROWS)]
        ids = nn.utils.rnn.pad_sequence(chosen, batch_first=True, padding_value=end)
        keep = nn.utils.rnn.pad_sequence([torch.ones(len(row)) for row in chosen], batch_first=True).bool()
        logits = model(ids[:, :-1], keep=keep[:, 1:])
        loss = F.cross_entropy(logits[keep[:, 1:]], ids[:, 1:][keep[:, 1:]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model
