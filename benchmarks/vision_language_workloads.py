"""The workloads of vision_language.py: a LLaVA of chance weights, and steps that answer questions with it.

Axes: b questions · t tokens
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SIDE, PATCH = 224, 16  # pixels
PATCHES = (SIDE // PATCH) ** 2
PROMPT, NEW = 32, 32  # tokens of text besides the image's, and of an answer
VOCABULARY = 32_000
PLACEHOLDER = VOCABULARY - 1


def write_llava(folder: Path) -> None:
    """A folder as transformers writes it: a ViT-S/16, two layers, and a Llama of 12 layers and width 768."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=384,
        intermediate_size=1536,
        num_hidden_layers=12,
        num_attention_heads=6,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=384,
    )
    text = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=PLACEHOLDER)
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)


def questions(count: int) -> Tensor:
    """Ids (b t) of so many questions about one image, which stands in the middle of the first half of their words."""
    chance = torch.Generator().manual_seed(1)
    words = torch.randint(0, PLACEHOLDER, (count, PROMPT), generator=chance)
    words[:, : PROMPT // 4] = words[:1, : PROMPT // 4]
    image = torch.full((count, PATCHES), PLACEHOLDER)
    return torch.cat([words[:, : PROMPT // 4], image, words[:, PROMPT // 4 :]], dim=1)


def image() -> Tensor:
    """Normalised pixels (1 3 H W)."""
    return torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


def answers(
    folder: str, library: str, *, count: int = 1, new: int = NEW, dtype: str = "float32", together: bool = True
):
    """A step that gives the ids (b, new) of the answers to `count` questions about one image.

    `together`: in one batch; else one after the other.
    """
    make: Callable[..., Any] = _ours if library == "ours" else _transformers
    return make(folder, count, new, dtype, together)


def first_logits(folder: str, library: str, *, dtype: str = "float32"):
    """A step that gives the logits (b v) after one question."""
    ids, pixels = questions(1), image()
    model: Any = _load(folder, library, dtype)

    @torch.inference_mode()
    def step() -> Tensor:
        if library == "ours":
            return model(ids, pixels)[:, -1].float()
        return model(input_ids=ids, pixel_values=pixels).logits[:, -1].float()

    return step


def _load(folder: str, library: str, dtype: str) -> Any:
    if library == "ours":
        import multimodal

        return multimodal.load(folder, dtype=dtype, device="cpu")
    from transformers import LlavaForConditionalGeneration

    return LlavaForConditionalGeneration.from_pretrained(folder).eval()


def _ours(folder: str, count: int, new: int, dtype: str, together: bool) -> Callable[[], Tensor]:
    from multimodal.generation.config import GenerationConfig
    from multimodal.models.chat.answers import answer_prompts
    from multimodal.models.chat.memory import ChatPrompt
    from multimodal.models.chat.views import Seen

    model = _load(folder, "ours", dtype)
    seen = Seen(image(), PATCHES)
    rows = [tuple(row.tolist()) for row in questions(count)]
    config = GenerationConfig(max_new_tokens=new)

    def step() -> Tensor:
        prompts = [ChatPrompt(row, (seen,), PLACEHOLDER) for row in rows]
        parts = [prompts] if together else [[prompt] for prompt in prompts]
        found = [one for part in parts for one in answer_prompts(model, part, config)]
        return torch.tensor([one[0].ids for one in found])

    return step


def _transformers(folder: str, count: int, new: int, dtype: str, together: bool) -> Callable[[], Tensor]:
    model = _load(folder, "transformers", dtype)
    ids, pixels = questions(count), image()

    @torch.inference_mode()
    def step() -> Tensor:
        parts = [ids] if together else ids.split(1)
        options = {"max_new_tokens": new, "do_sample": False}
        found = [
            model.generate(
                input_ids=part,
                attention_mask=torch.ones_like(part),
                pixel_values=pixels.expand(len(part), -1, -1, -1),
                **options,
            )
            for part in parts
        ]
        return torch.cat(found)[:, ids.shape[1] :]

    return step
