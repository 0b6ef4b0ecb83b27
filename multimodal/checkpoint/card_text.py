"""What the model card of a text model says: what the model does, by what, and how it is called.

The frame around it is in `card.py`. Nothing here is escaped: it is all ours but the special tokens.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from multimodal.checkpoint.kinds import TextModel
from multimodal.models.text_encoder import TextEncoder
from multimodal.models.text_heads import TextClassifier


class Words(NamedTuple):
    """The parts of a card that differ between kinds of models."""

    tag: str  # `pipeline_tag` of the Hugging Face Hub
    title: str
    does: str  # a sentence without its end
    usage: str  # lines of Python, with `model` at hand
    command: str | None = None  # of `multimodal`, if there is one


_WORDS = {
    "LanguageModel": Words(
        "text-generation",
        "Language model",
        "Continues texts",
        'print(model.generate("Once upon a time", max_new_tokens=50))\nprint(model.score(["A text."])[0].perplexity)',
        'multimodal generate PATH/TO/THIS/FOLDER "Once upon a time"',
    ),
    "EncoderDecoder": Words(
        "text2text-generation",
        "Encoder-decoder",
        "Turns texts into other texts",
        'print(model.generate("A text."))',
        'multimodal generate PATH/TO/THIS/FOLDER "A text."',
    ),
    "TextEncoder": Words(
        "feature-extraction",
        "Text encoder",
        "Turns texts into vectors",
        'vectors = model.embed(["A text.", "Another one."])  # unit rows\nprint(vectors @ vectors.T)',
    ),
    "TextClassifier": Words(
        "text-classification",
        "Text classifier",
        "Tells {classes} classes of texts apart",
        'print(model.predict(["A text."])[0].label)',
    ),
    "TokenTagger": Words(
        "token-classification",
        "Token tagger",
        "Gives each word of a text one of {classes} tags",
        'for span in model.tag(["A text about somebody."])[0]:\n    print(span.label, span.text, span.start, span.end)',
    ),
    "QuestionAnswerer": Words(
        "question-answering",
        "Question answerer",
        "Finds the piece of a text that answers a question",
        'print(model.answer("A question?", "A text that answers it.")[0].text)',
    ),
    "MultipleChoice": Words(
        "multiple-choice",
        "Multiple choice",
        "Chooses among several answers to a question",
        'print(model.choose("A question?", ["an answer", "another one"]).label)',
    ),
}


def text_words(model: TextModel) -> Words:
    """The words for `model`."""
    words = _WORDS[type(model).__name__]
    if isinstance(model, TextEncoder) and model.head is not None and model.tokenizer is not None:
        mask = model.tokenizer.special.mask
        usage = f"{words.usage}\nprint(model.fill_mask({f'A {mask}.'!r})[0].text)" if mask else words.usage
        words = words._replace(usage=usage)
    return words._replace(does=words.does.format(classes=len(getattr(model, "labels", ()))))


def text_body(model: TextModel) -> str:
    """What the model is made of, as a clause."""
    config: Any = model.config
    if hasattr(config, "decoder"):
        encoder, decoder = config.encoder, config.decoder
        return (
            f"a transformer of {encoder.depth} layers that read and {decoder.depth} that write, of width {decoder.dim}"
        )
    body = config if hasattr(config, "backbone") else config.encoder
    return f"a transformer of {body.backbone.depth} layers and width {body.backbone.dim}"


def text_calibration(model: TextModel) -> str:
    """A sentence about probabilities, where the model gives calibrated ones."""
    if not isinstance(model, TextClassifier):
        return ""
    many = "Each text may get any number of the labels. " if model.config.output == "sigmoid" else ""
    if model.temperature == 1.0:
        return f"{many}Probabilities are not calibrated."
    return f"{many}Probabilities are calibrated: logits are divided by {model.temperature:.4g} before."


def text_input(model: TextModel) -> str:
    """The section on what the model reads."""
    config: Any = model.config
    embedding = config.embedding if hasattr(config, "embedding") else config.encoder.embedding
    text = f"Up to {embedding.max_length:,} tokens of a vocabulary of {embedding.vocabulary:,}."
    if model.tokenizer is None:
        text += " There is no tokenizer in this folder: the model takes and gives token ids."
    else:
        kind = type(model.tokenizer.tokenizer.model).__name__
        text += f" tokenizer.json ({kind}, {model.tokenizer.vocabulary:,} tokens) turns text into them by itself."
        if model.tokenizer.chat_template is not None:
            text += " It has a chat template: `generate` also takes a list of messages."
    return f"## Input\n\n{text}\n"
