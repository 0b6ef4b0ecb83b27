"""What the model card of a model that sees or hears and talks says. The frame around it is in `card.py`."""

from __future__ import annotations

from multimodal.checkpoint.card_text import Words
from multimodal.models.vision_language import VisionLanguageModel


def chat_words(model: VisionLanguageModel) -> Words:
    """The words for `model`."""
    thing, file = ("recordings", "clip.wav") if model.reader.hears else ("images", "photo.jpg")
    question = "What is said?" if model.reader.hears else "What is in the picture?"
    return Words(
        "audio-text-to-text" if model.reader.hears else "image-text-to-text",
        f"Language model that {'hears' if model.reader.hears else 'sees'}",
        f"Answers questions about {thing}",
        f'print(model.chat(("{file}", "{question}")))\n'
        f'talk = model.conversation("{file}")\nprint(talk.ask("{question}"), talk.ask("What else?"))',
        f'multimodal chat PATH/TO/THIS/FOLDER {file} "{question}"',
    )


def chat_body(model: VisionLanguageModel) -> str:
    """What the model is made of, as a clause."""
    language = model.config.language.backbone
    projector = type(model.projector).__name__.removesuffix("Projector").lower() or "linear"
    return (
        f"an encoder whose tokens ({model.features.width} numbers) a projector ({projector}) gives to a transformer of "
        f"{language.depth} layers and width {language.dim}"
    )


def chat_input(model: VisionLanguageModel) -> str:
    """The section on what the model reads."""
    config, length = model.config, model.reader.length
    window = " x ".join(map(str, config.transform.size))
    unit = f"window of {config.transform.size[1] / 100:g} s" if model.reader.hears else f"view of {window} pixels"
    cut = " Larger images are cut into several views." if config.tiles is not None else ""
    text = (
        f"Up to {config.embedding.max_length:,} tokens. Each {unit} takes {length} of them.{cut} In a text, the token "
        f"of id {config.placeholder} stands for what is seen or heard there."
    )
    if model.tokenizer is None:
        text += " There is no tokenizer in this folder: the model takes and gives token ids."
    elif model.tokenizer.chat_template is None:
        text += " There is no chat template in tokenizer_config.json, so `chat` cannot be used."
    return f"## Input\n\n{text}\n"
