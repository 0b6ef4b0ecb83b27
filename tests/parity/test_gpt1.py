"""GPT of transformers ("openai-gpt"): normalised after each branch, no norm at the end, "gelu" is its tanh form."""

from pathlib import Path
from typing import Any

import pytest
import torch
from decoders import assert_same_texts
from folders import change_config, exported, load, published, random_model, rewrite

from multimodal.errors import DataError

transformers = pytest.importorskip("transformers")


def gpt(**fields: Any) -> Any:
    sizes = {"vocab_size": 50, "n_positions": 24, "n_embd": 32, "n_layer": 3, "n_head": 4}
    return random_model(transformers.OpenAIGPTLMHeadModel, transformers.OpenAIGPTConfig(**{**sizes, **fields}))


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@torch.no_grad()
def test_logits_there_and_back(activation: str, tmp_path: Path, equal: Any) -> None:
    theirs = gpt(afn=activation)
    theirs.save_pretrained(tmp_path)
    ours = load(tmp_path)
    ids = torch.randint(50, (3, 17))
    equal(ours(ids), theirs(ids).logits)
    keep = torch.arange(17) < torch.tensor([17, 5, 11])[:, None]
    equal(ours(ids, keep=keep)[keep], theirs(ids, attention_mask=keep.long()).logits[keep])
    cache = ours.backbone.new_cache(3, 17)  # theirs has none
    parts = [ours(part, cache=cache) for part in ids.split([8, 1, 8], dim=1)]
    equal(torch.cat(parts, dim=1), theirs(ids).logits)
    assert_same_texts(ours, theirs)


@torch.no_grad()
def test_export(tmp_path: Path) -> None:
    theirs = gpt()
    back = exported(published(theirs, tmp_path / "given"), theirs, tmp_path)
    ids = torch.randint(50, (3, 17))
    assert torch.equal(back(ids).logits, theirs(ids).logits)


@torch.no_grad()
def test_the_names_of_the_first_files(tmp_path: Path, equal: Any) -> None:
    theirs = gpt()
    theirs.save_pretrained(tmp_path)
    rewrite(
        tmp_path, rename=lambda name: name.removeprefix("transformer."), more={"h.0.attn.bias": torch.ones(1, 1, 4, 4)}
    )
    ids = torch.randint(50, (2, 9))
    equal(load(tmp_path)(ids), theirs(ids).logits)


def test_what_cannot_be_done_is_named(tmp_path: Path) -> None:
    gpt().save_pretrained(tmp_path)
    change_config(tmp_path, afn="tanh")
    with pytest.raises(DataError, match=r"afn is 'tanh'; it must be one of gelu, relu, silu, swish"):
        load(tmp_path)
    change_config(tmp_path, afn={})
    with pytest.raises(DataError, match=r"afn is \{\}; it must be one of"):
        load(tmp_path)
    change_config(tmp_path, afn="gelu", architectures=["OpenAIGPTDoubleHeadsModel"])
    with pytest.raises(DataError, match=r"architectures is \['OpenAIGPTDoubleHeadsModel'\]; .*OpenAIGPTLMHeadModel"):
        load(tmp_path)
