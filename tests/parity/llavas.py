"""Tiny LLaVAs of transformers as folders: their model, its tokenizer with a chat template, and its processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import transformers
from folders import random_model
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

SIDE, PATCH = 24, 6
WORDS = ("what", "is", "this", "and", "that", ":", "?", "USER", "ASSISTANT", "a", "red", "dog", "cat")
TOKENS = ["<unk>", "<s>", "</s>", "<pad>", *WORDS, "\n", "<image>", *(f"w{i}" for i in range(21))]
IMAGE = TOKENS.index("<image>")
CANVASES = [[24, 48], [48, 24], [48, 48], [24, 72]]
TEMPLATE = (  # as llava-hf's models have it: content in parts
    "{% for message in messages %}{{ message['role'].upper() + ' : ' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image> ' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] + ' ' }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT :' }}{% endif %}"
)
_TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
}
_TEXT: dict[str, Any] = {
    "vocab_size": len(TOKENS),
    "hidden_size": 24,
    "intermediate_size": 44,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "eos_token_id": None,
    "bos_token_id": 1,
}


def tiny(
    *,
    tiled: bool = False,
    tower: str = "CLIP",
    text: str = "Llama",
    tied: bool = False,
    head: bool = True,
    **fields: Any,
) -> Any:
    """Their model with random weights; `fields` are those of its own config."""
    vision = getattr(transformers, f"{tower}VisionConfig")(**_TOWER, **({} if head else {"vision_use_head": False}))
    language = getattr(transformers, f"{text}Config")(**_TEXT, tie_word_embeddings=tied)
    name = "LlavaNext" if tiled else "Llava"
    if tiled:
        fields = {"image_grid_pinpoints": CANVASES, **fields}
    config = getattr(transformers, f"{name}Config")(
        vision_config=vision, text_config=language, image_token_index=IMAGE, **fields
    )
    return random_model(getattr(transformers, f"{name}ForConditionalGeneration"), config)


def processor_of(theirs: Any) -> Any:
    """The processor that belongs to their model."""
    words: Any = Tokenizer(models.WordLevel({token: i for i, token in enumerate(TOKENS)}, unk_token="<unk>"))  # pyright: ignore
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore
    words.add_special_tokens(["<image>", "\n"])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )
    sizes = {"size": {"shortest_edge": SIDE}, "crop_size": SIDE}
    tiled = theirs.config.model_type == "llava_next"
    if tiled:
        pixels: Any = LlavaNextImageProcessorPil(**sizes, image_grid_pinpoints=theirs.config.image_grid_pinpoints)
    else:
        pixels = CLIPImageProcessorPil(**sizes)
    kind = transformers.LlavaNextProcessor if tiled else transformers.LlavaProcessor
    return kind(
        image_processor=pixels,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy=theirs.config.vision_feature_select_strategy,
        num_additional_image_tokens=int(theirs.config.vision_config.model_type == "clip_vision_model"),
        chat_template=TEMPLATE,
    )


def folder_of(theirs: Any, folder: Path) -> Any:
    """All files of their model in `folder`; the processor."""
    theirs.save_pretrained(folder)
    processor = processor_of(theirs)
    processor.save_pretrained(folder)
    return processor


def pictures(*sizes: tuple[int, int]) -> list[Image.Image]:
    """Smooth pictures of noise of these (height, width)."""
    draw, found = np.random.default_rng(0), []
    for height, width in sizes:
        noise = Image.fromarray(draw.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8))
        found.append(noise.resize((width, height), Image.Resampling.BICUBIC))
    return found
