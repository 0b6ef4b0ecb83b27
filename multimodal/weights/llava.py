"""LLaVA-1.5 and LLaVA-NeXT of transformers: where each of their tensors lives in a `VisionLanguageModel`.

The names are those that every version writes but some of 4.x; `OLDER` leads from the names of those to these.

Refs: https://github.com/huggingface/transformers, `models/{llava,llava_next}/modeling_*.py`
"""

from __future__ import annotations

from multimodal.weights.keymap import Row, Table, layer

OLDER = (
    (r"^model\.(?=(vision_tower|multi_modal_projector|image_newline)\b)", ""),  # as their modules are called
    (r"^model\.language_model\.", "language_model.model."),
    (r"^lm_head\.", "language_model.lm_head."),
    (r"^vision_tower\.vision_model\.", "vision_tower."),
)


def llava(image: Table, text: Table) -> Table:
    """The table of both: `image` is that of the tower alone, `text` that of the language model alone."""
    return Table(
        *image.under(theirs="vision_tower.", ours="features.encoder.").rows,
        *layer("multi_modal_projector.linear_1", "projector.up"),
        *layer("multi_modal_projector.linear_2", "projector.down"),
        Row("image_newline", "newline"),
        *text.under(theirs="language_model.", ours="language.").rows,
    )
