"""Whisper on the shared backbone: equal logits with openai-whisper and transformers, cache, beams, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_speech import clips, openai_twin, tiny_whisper, transformers_twin, whisper_config

from multimodal.errors import ArgumentError
from multimodal.models.speech_recognizer import SpeechRecognizer

SHORT: dict[str, Any] = {"positions": 50}  # one second


def ids_for(model: SpeechRecognizer, t: int = 9) -> torch.Tensor:
    return torch.randint(model.config.embedding.vocabulary, (2, t), generator=torch.Generator().manual_seed(1))


def scale_of_difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


CASES = [
    ("multilingual", {}),
    ("v3", {"mels": 128, "depth": 3, "decoder_depth": 2}),
    ("en", {"dim": 24, "heads": 2}),
]


@torch.no_grad()
@pytest.mark.parametrize(("vocabulary", "sizes"), CASES)
def test_logits_equal_openai(vocabulary: Any, sizes: dict[str, Any]) -> None:
    model = tiny_whisper(vocabulary, **sizes)
    mel, ids = clips(mels=model.features.mels), ids_for(model)
    assert scale_of_difference(model(mel, ids), openai_twin(model)(mel, ids)) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize(("vocabulary", "sizes"), CASES)
def test_logits_equal_transformers(vocabulary: Any, sizes: dict[str, Any]) -> None:
    model = tiny_whisper(vocabulary, **sizes, **SHORT)
    mel, ids = clips(mels=model.features.mels, frames=100), ids_for(model)
    theirs = transformers_twin(model)(input_features=mel, decoder_input_ids=ids).logits
    assert scale_of_difference(model(mel, ids), theirs) < 1e-5


def test_gradients_equal_openai() -> None:
    model = tiny_whisper(**SHORT)
    theirs, mel, ids = openai_twin(model), clips(frames=100), ids_for(model)
    for each in (model, theirs):
        loss = torch.nn.functional.cross_entropy(each(mel, ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
    ours = model.encoder.stem.conv1.weight.grad
    assert ours is not None and scale_of_difference(ours, theirs.encoder.conv1.weight.grad) < 1e-4
    assert all(parameter.grad is not None for parameter in model.parameters())


@torch.no_grad()
def test_a_cache_changes_nothing() -> None:
    model = tiny_whisper(**SHORT)
    context, ids = model.encode(clips(frames=100)), ids_for(model)
    whole = model.decode(ids, context)
    cache, parts = model.decoder.new_cache(2, 9), []
    for part in ids.split([4, 1, 1, 3], dim=1):
        parts.append(model.decode(part, context, cache=cache))
    assert scale_of_difference(torch.cat(parts, dim=1), whole) < 1e-5


@torch.no_grad()
def test_beams_share_what_they_listen_to() -> None:
    model = tiny_whisper(**SHORT)
    context = model.encode(clips(frames=100))
    ids = torch.randint(51_865, (6, 5), generator=torch.Generator().manual_seed(2))
    apart = model.decode(ids, context.repeat_interleave(3, dim=0))
    cache = model.decoder.new_cache(6, 5)
    together = torch.cat([model.decode(part, context, cache=cache) for part in ids.split([2, 3], dim=1)], dim=1)
    assert scale_of_difference(together, apart) < 1e-5
    kept = cache.layers[0].context
    assert kept is not None and kept[0].shape[0] == 2  # the keys of each clip exist once


@torch.no_grad()
def test_prompts_of_different_length() -> None:
    model = tiny_whisper(**SHORT)
    context, ids = model.encode(clips(frames=100)), ids_for(model)
    keep = torch.arange(9) < torch.tensor([9, 4])[:, None]
    padded = model.decode(ids, context, decoder_keep=keep)
    alone = model.decode(ids[1:, :4], context[1:])
    assert scale_of_difference(padded[1:, :4], alone) < 1e-5


@torch.no_grad()
def test_a_shorter_window_is_read_as_it_is() -> None:
    model = tiny_whisper(**SHORT)
    assert model.encode(clips(frames=60)).shape == (2, 30, 32)
    with pytest.raises(ArgumentError, match=r"102 frames, 51 tokens; this model reads 50 tokens \(1 s\)"):
        model.encode(clips(frames=102))
    with pytest.raises(ArgumentError, match="128 mel channels; this model takes 80"):
        model.encode(clips(mels=128, frames=60))


@torch.no_grad()
def test_the_longest_text() -> None:
    model = tiny_whisper(length=6, **SHORT)
    context, ids = model.encode(clips(frames=60)), ids_for(model, 7)
    model.decode(ids[:, :6], context)
    with pytest.raises(ArgumentError, match="7 tokens were given; the model reads up to 6"):
        model.decode(ids, context)
    cache = model.decoder.new_cache(2, 9)
    model.decode(ids[:, :6], context, cache=cache)
    with pytest.raises(ArgumentError, match="7 tokens are needed and the model has positions for 6"):
        model.decode(ids[:, 6:], context, cache=cache)


def test_heads_that_align_are_those_of_the_last_half_unless_said() -> None:
    model = tiny_whisper(depth=3, heads=2, **SHORT)
    assert model.alignment_heads == ((1, 0), (1, 1), (2, 0), (2, 1))
    theirs = openai_twin(model).alignment_heads.to_dense().nonzero().tolist()
    assert theirs == [list(pair) for pair in model.alignment_heads]
    assert tiny_whisper(alignment_heads=((0, 3),), **SHORT).alignment_heads == ((0, 3),)


def test_parts_that_do_not_fit() -> None:
    config = whisper_config(60, **SHORT)
    assert config.build().tokens is None
    narrow = replace(config.encoder, backbone=replace(config.encoder.backbone, dim=16))
    deaf = replace(config.decoder, block=replace(config.decoder.block, cross_attention=None))
    for wrong, words in (
        (replace(config, encoder=narrow), "encoder.backbone.dim is 16 and the decoder expects a context of width 32"),
        (replace(config, decoder=deaf), "cross_attention is missing"),
        (replace(config, alignment_heads=((2, 0),)), "names head 0 of layer 2; the decoder has 2 layers of 4 heads"),
        (replace(config, suppress=(60,)), "suppress has 60; it must hold token ids, from 0 to 59"),
        (replace(config, suppress_first=(-1,)), "suppress_first has -1"),
    ):
        with pytest.raises(ArgumentError, match=words):
            wrong.build()


def test_a_decoder_of_another_width_than_the_encoder() -> None:
    config = whisper_config(60, **SHORT)
    wide = replace(config.encoder, backbone=replace(config.encoder.backbone, dim=48))
    model = replace(config, encoder=wide, decoder=replace(config.decoder, context_dim=48)).build().eval()
    assert model(clips(frames=100), torch.tensor([[1, 2], [3, 4]])).shape == (2, 2, 60)
