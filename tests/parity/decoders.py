"""What every decoder-only family is held to: equal logits however rows are cut, padded or cached, and the way back."""

from pathlib import Path
from typing import Any

import torch
from folders import exported, load, published
from torch import Tensor

from multimodal.generation.config import BeamConfig, GenerationConfig
from multimodal.generation.decoding import generate
from multimodal.models.continuations import begin_texts

VOCABULARY = 50


@torch.no_grad()
def assert_parity(theirs: Any, folder: Path, equal: Any) -> Any:
    """Our model of theirs, after whole rows, padded rows and a cache gave equal logits, and the folders equal bits."""
    ours = published(theirs, folder / "given")
    assert not ours.training
    ids = torch.randint(VOCABULARY, (3, 17))
    expected = theirs(ids).logits
    equal(ours(ids), expected)
    keep = torch.arange(17) < torch.tensor([17, 5, 11])[:, None]
    equal(ours(ids, keep=keep)[keep], theirs(ids, attention_mask=keep.long()).logits[keep])
    assert_cache(ours, theirs, ids, equal)
    back = exported(ours, theirs, folder)
    assert torch.equal(back(ids).logits, expected)
    again = load(folder / "back")
    assert again.config.backbone == ours.config.backbone and again.config.window == ours.config.window
    return ours


def assert_cache(ours: Any, theirs: Any, ids: Tensor, equal: Any) -> None:
    """Both in parts, each with its own cache."""
    cache, past = ours.backbone.new_cache(len(ids), ids.shape[1]), None
    for part in ids.split([8, 1, ids.shape[1] - 9], dim=1):
        output = theirs(part, past_key_values=past, use_cache=True)
        past = output.past_key_values
        equal(ours(part, cache=cache), output.logits)


def assert_same_texts(ours: Any, theirs: Any) -> None:
    """Greedy and beam search go on with the same tokens; test_generation.py has the many ways of asking."""
    prompts = torch.randint(VOCABULARY, (2, 7))
    for beams in (None, BeamConfig(width=3)):
        config = GenerationConfig(max_new_tokens=9, beams=beams)
        found = generate(*begin_texts(ours, prompts.tolist(), max_new_tokens=9), config)
        expected = theirs.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=9,
            num_beams=beams.width if beams else 1,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        assert [list(row[0].ids) for row in found] == expected[:, 7:].tolist()
