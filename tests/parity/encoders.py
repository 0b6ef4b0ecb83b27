"""What holds for each encoder (BERT, RoBERTa, DistilBERT, ALBERT) and each class that transformers has of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from folders import LENGTHS, exported, load, padded_rows, published, random_model
from torch import Tensor

from multimodal.models.text_encoder import TextEncoder

Equal = Callable[[Tensor, Tensor], None]
HEADS = {  # class of theirs, behind the name of the model, to class of ours
    "Model": "TextEncoder",
    "ForMaskedLM": "TextEncoder",
    "ForSequenceClassification": "TextClassifier",
    "ForTokenClassification": "TokenTagger",
    "ForQuestionAnswering": "QuestionAnswerer",
    "ForMultipleChoice": "MultipleChoice",
}


def rows_of(theirs: Any) -> tuple[dict[str, Any], dict[str, Any], Tensor]:
    """Three padded rows as ours and as theirs takes them, and which tokens are real; segments where there are any."""
    ids, keep = padded_rows(theirs.config.vocab_size, pad=theirs.config.pad_token_id or 0)
    if type(theirs).__name__.endswith("MultipleChoice"):
        ids, keep = ids[:, None].repeat(1, 2, 1), keep[:, None].repeat(1, 2, 1)
        ids[:, 1, 1] = 3
    ours, them = {"ids": ids, "keep": keep}, {"input_ids": ids, "attention_mask": keep.long()}
    if getattr(theirs.config, "type_vocab_size", 1) > 1:
        types = torch.randint(theirs.config.type_vocab_size, ids.shape)
        ours["types"], them["token_type_ids"] = types, types
    return ours, them, keep


def outputs(ours: Any, theirs: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """What both compute of the same rows, ours and theirs by name, padding left out."""
    ours_in, theirs_in, keep = rows_of(theirs)
    found, expected = ours(**ours_in), theirs(**theirs_in, output_hidden_states=True)
    name, pairs = type(theirs).__name__, {}
    if name.endswith("QuestionAnswering"):
        spans = torch.stack([expected.start_logits, expected.end_logits], dim=-1)
        return {"spans": (found[keep], spans[keep])}
    if name.endswith("TokenClassification"):
        return {"tags": (found[keep], expected.logits[keep])}
    if name.endswith(("SequenceClassification", "MultipleChoice")):
        return {"logits": (found, expected.logits)}
    pairs["hidden"] = (found[keep], expected.hidden_states[-1][keep])
    if "pooler_output" in expected:
        pairs["pooled"] = (ours.pooled(found), expected.pooler_output)
    words = expected.get("prediction_logits", expected.get("logits") if name.endswith("MaskedLM") else None)
    if words is not None:
        pairs["words"] = (ours.mask_logits(found)[keep], words[keep])
    order = expected.get("seq_relationship_logits", expected.get("sop_logits"))
    order = expected.logits if name.endswith("NextSentencePrediction") else order
    if order is not None:
        pairs["order"] = (ours.pooler.next_sentence(ours.pooled(found)), order)
    return pairs


@torch.no_grad()
def assert_parity(kind: Any, config: Any, folder: Path, equal: Equal, *, ours: str, computed: set[str]) -> None:
    """Equal outputs through a folder, and back through another one: the same file and the same outputs."""
    theirs = random_model(kind, config)
    model = published(theirs, folder / "read")
    assert type(model).__name__ == ours
    pairs = outputs(model, theirs)
    assert pairs.keys() == computed
    for found, expected in pairs.values():
        equal(found, expected)
    again = exported(model, theirs, folder)
    for found, expected in outputs(model, again).values():
        equal(found, expected)


@torch.no_grad()
def assert_packing(kind: Any, config: Any, folder: Path, equal: Equal) -> None:
    """Documents in one row give the hidden states that each has in a row of its own."""
    model: TextEncoder = published(random_model(kind, config), folder)
    rows = [torch.randint(4, config.vocab_size, (1, length)) for length in LENGTHS]
    document = torch.cat([torch.full((1, length), i) for i, length in enumerate(LENGTHS)], dim=1)
    positions = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    packed = model(torch.cat(rows, dim=1), document=document, positions=positions)
    equal(packed, torch.cat([model(row) for row in rows], dim=1))


def assert_labels(kind: Any, config: Any, folder: Path) -> None:
    """Names of classes travel there and back."""
    names = ("sad", "so so", "glad")
    config.id2label, config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
    theirs = random_model(kind, config)
    model = published(theirs, folder / "read")
    assert model.labels == names
    assert model.config == replace(model.config, classes=3)
    assert exported(model, theirs, folder).config.id2label == dict(enumerate(names))
    assert load(folder / "back").labels == names
