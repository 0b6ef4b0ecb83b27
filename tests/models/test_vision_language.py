"""A model that sees and talks, against its language model run on vectors that were put into place by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny_models
import tiny_sounds
import tiny_text_models
import torch
from tiny_vision_language import hearing, picture, seeing
from torch import nn
from torch.nn import functional as F

from multimodal.errors import ArgumentError
from multimodal.models.chat.tiles import TilesConfig, arrange
from multimodal.models.chat.views import Views
from multimodal.models.features import FeaturesConfig
from multimodal.models.perceiver import ResamplerConfig
from multimodal.models.projector import LinearProjectorConfig, MlpProjectorConfig, PixelShuffleProjectorConfig
from multimodal.models.vision_language import VisionLanguageConfig

TILES = TilesConfig(canvases=((32, 64), (64, 32)))
FOLD = PixelShuffleProjectorConfig()


def row(model, *parts):
    """Ids of texts (lists) and of images (how many tokens)."""
    ids = [part if isinstance(part, list) else [model.config.placeholder] * part for part in parts]
    return [id for part in ids for id in part]


def vectors(model, parts, images):
    """What the language model reads: word by word, image by image (t, w)."""
    encoded, found = iter(images), []
    for part in parts:
        found.append(model.language.embedding.words(torch.tensor(part)) if isinstance(part, list) else next(encoded))
    return torch.cat(found)[None]


def one_by_one(model, seen):
    """Projected tokens of each image by itself."""
    found = []
    for one in seen:
        x = one.x if one.x.is_floating_point() else model.reader.transform.normalize(one.x)
        projected = model.projector(model.features(x), model.features.grid)
        if model.newline is None:
            found.append(projected.flatten(0, 1))
        else:
            found.append(arrange(projected, TILES, one.size, model.features.grid, (32, 32), model.newline))
    return found


def written_out(model, x, steps):
    """The last hidden states of vectors (1 t w) under a boolean mask drawn by a loop; keys and scores by hand."""
    language = model.language
    tokens = language.tokens(x)
    t = x.shape[1]
    allowed = torch.tensor([[steps[j] <= steps[i] for j in range(t)] for i in range(t)])
    hidden, stack = tokens.x, language.backbone
    for block in stack.blocks:
        attention = block.attention
        normed = block.attention_branch.norm(hidden)
        layers = (attention.q, attention.k, attention.v)
        q, k, v = (layer(normed).unflatten(-1, (2, -1)).transpose(1, 2) for layer in layers)
        scores = (q @ k.transpose(2, 3)) * q.shape[-1] ** -0.5
        weights = scores.masked_fill(~allowed, -torch.inf).softmax(-1)
        hidden = hidden + attention.out((weights @ v).transpose(1, 2).flatten(2))
        hidden = hidden + block.mlp(block.mlp_branch.norm(hidden))
    return stack.norm(hidden)


A, B = [5, 6, 7], [8, 9]
KINDS = {
    "learned positions": {},
    "rotary positions": {"text": "llama"},
    "class token": {"class_token": True, "projector": LinearProjectorConfig()},
    "fewer tokens": {"projector": FOLD, "layers": ()},
    "resampler": {"projector": ResamplerConfig(latents=3, depth=1, heads=2)},
    "tiles": {"tiles": TILES},
    "wrapped encoder": {"encoder": tiny_models.wrapped(size=64), "layers": (-1,)},
}


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_images_stand_where_their_placeholders_are(kind):
    model = seeing(**KINDS[kind])
    seen = [model.reader.read(picture(seed, size)) for seed, size in enumerate([(40, 48), (30, 90), (64, 64)])]
    counts = [one.tokens for one in seen]
    parts = [[A, counts[0], B, counts[1], counts[2], A], [counts[1], A]]
    images = one_by_one(model, seen)
    assert [len(image) for image in images] == counts
    for given, chosen in zip(parts, ([0, 1, 2], [1]), strict=True):
        x = vectors(model, given, [images[i] for i in chosen])
        expected = model.language.mix(model.language.tokens(x))
        found = model.hidden(torch.tensor([row(model, *given)]), Views.of([seen[i] for i in chosen]))
        torch.testing.assert_close(found, expected)
        logits = model(torch.tensor([row(model, *given)]), Views.of([seen[i] for i in chosen]))
        torch.testing.assert_close(logits, model.language.output(expected))


@torch.no_grad()
@pytest.mark.parametrize("text", ["gpt", "llama"])
@pytest.mark.parametrize("attention", ["causal", "prefix"])
def test_a_ragged_batch_is_each_row_alone(text, attention):
    model = seeing(text=text, attention=attention)
    seen = [model.reader.read(picture(seed)) for seed in range(3)]
    rows = [row(model, A, 16, B), row(model, B), row(model, 16, 16, A)]
    longest = max(map(len, rows))
    ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in rows])
    keep = torch.tensor([[i < len(one) for i in range(longest)] for one in rows])
    together = model.hidden(ids, Views.of(seen), keep=keep)
    for number, (one, its) in enumerate(zip(rows, ([0], [], [1, 2]), strict=True)):
        alone = model.hidden(torch.tensor([one]), Views.of([seen[i] for i in its]))
        torch.testing.assert_close(together[number, : len(one)], alone[0])


@torch.no_grad()
@pytest.mark.parametrize("text", ["gpt", "llama"])
@pytest.mark.parametrize("attention", ["causal", "prefix"])
def test_with_a_cache_as_without(text, attention):
    model = seeing(text=text, attention=attention)
    seen = [model.reader.read(picture(seed)) for seed in range(3)]
    pieces = [[(A, 16), (B, 16, A)], [(B,), (16, B)], [(A,), (B, A)]]
    shown = [[[0], [1]], [[], [2]], [[], []]]
    cache = model.language.backbone.new_cache(3, 64)
    states = []
    for turn in range(2):
        rows = [row(model, *piece[turn]) for piece in pieces]
        longest = max(map(len, rows))
        ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in rows])
        keep = torch.tensor([[i < len(one) for i in range(longest)] for one in rows])
        views = Views.of([seen[i] for each in shown for i in each[turn]])
        states.append((model.hidden(ids, views, keep=keep, cache=cache), [len(one) for one in rows]))
    for number, piece in enumerate(pieces):
        whole = row(model, *piece[0], *piece[1])
        images = Views.of([seen[i] for turn in shown[number] for i in turn])
        expected = model.hidden(torch.tensor([whole]), images)[0]
        found = torch.cat([hidden[number, : lengths[number]] for hidden, lengths in states])
        torch.testing.assert_close(found, expected)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["causal", "prefix"])
def test_who_looks_at_whom_is_the_mask_written_out(attention):
    model = seeing(attention=attention)
    seen = [model.reader.read(picture(seed)) for seed in range(3)]
    parts = [A, 16, B, 16, 16, A]
    x = vectors(model, parts, one_by_one(model, seen))
    steps, step = [], 0
    for part in parts:
        for _ in part if isinstance(part, list) else range(part):
            steps.append(step)
            step += isinstance(part, list) or attention == "causal"
        step += not isinstance(part, list)
    found = model.hidden(torch.tensor([row(model, *parts)]), Views.of(seen))
    torch.testing.assert_close(found, written_out(model, x, steps))


@torch.no_grad()
def test_prefix_attention_differs_from_causal_and_text_stays_causal():
    models = {kind: seeing(attention=kind) for kind in ("causal", "prefix")}
    views = Views.of([models["causal"].reader.read(picture())])
    ids = torch.tensor([row(models["causal"], A, 16, B)])
    found = {kind: model.hidden(ids, views) for kind, model in models.items()}
    assert torch.equal(found["causal"][:, :3], found["prefix"][:, :3])
    assert not torch.allclose(found["causal"][:, 3:], found["prefix"][:, 3:], atol=1e-3)
    text = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(models["causal"].hidden(text), models["prefix"].hidden(text))
    changed = ids.clone()
    changed[0, -1] = 20
    assert torch.equal(models["prefix"].hidden(changed, views)[:, :-1], found["prefix"][:, :-1])


@torch.no_grad()
def test_text_alone_is_the_language_models():
    model = seeing()
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    assert torch.equal(model(ids), model.language(ids))


@torch.no_grad()
def test_pixels_in_place_of_views():
    model = seeing()
    seen = [model.reader.read(picture(seed)) for seed in range(2)]
    ids = torch.tensor([row(model, 16, A), row(model, A, 16)])
    pixels = torch.cat([one.x for one in seen])
    expected = model(ids, images=Views.of(seen))
    assert torch.equal(model(ids, images=pixels), expected)
    torch.testing.assert_close(model(ids, images=model.reader.transform.normalize(pixels)), expected)
    with pytest.raises(ArgumentError, match="cuts images into tiles"):
        seeing(tiles=TILES)(ids, pixels)


@torch.no_grad()
@pytest.mark.parametrize("placeholder", [3, 256, 257, 5000])
def test_the_placeholder_may_lie_anywhere(placeholder):
    model = seeing()
    other = replace(model.config, placeholder=placeholder).build()
    other.load_state_dict(model.state_dict())
    views = Views.of([model.reader.read(picture())])
    expected = model(torch.tensor([row(model, A, 16, B)]), views)
    assert torch.equal(other.eval()(torch.tensor([row(other, A, 16, B)]), views), expected)
    assert other.config.vocabulary == max(257, placeholder + 1)


@torch.no_grad()
def test_a_recording_of_several_windows():
    model = hearing()
    wave = tiny_sounds.tone(440, 1.2)
    one = model.reader.read(wave)
    assert one.tokens == 3 * model.reader.length
    parts = [A, one.tokens, B]
    x = vectors(model, parts, one_by_one(model, [one]))
    found = model.hidden(torch.tensor([row(model, *parts)]), Views.of([one]))
    torch.testing.assert_close(found, model.language.mix(model.language.tokens(x)))


def test_gradients_reach_every_parameter_that_is_used():
    model = seeing(tiles=TILES).train()
    one = model.reader.read(picture(size=(30, 90)))
    ids = torch.tensor([row(model, A, one.tokens, B)])
    logits = model(ids, Views.of([one]))
    F.cross_entropy(logits[0, :-1], ids[0, 1:].clamp(max=256)).backward()
    unused = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    behind = {f"features.encoder.{name}" for name, _ in model.features.encoder.named_parameters()}
    behind = {name for name in behind if ".blocks.1." in name or ".backbone.norm." in name}
    assert unused == behind and behind


def test_half_precision():
    model = seeing().to(torch.bfloat16)
    views = Views.of([model.reader.read(picture())])
    assert model(torch.tensor([row(model, A, 16, B)]), views).dtype == torch.bfloat16


@pytest.mark.parametrize(("places", "images"), [(16, 0), (0, 1), (15, 1), (32, 1), (16, 2)])
def test_placeholders_and_images_that_do_not_match(places, images):
    model = seeing()
    views = Views.of([model.reader.read(picture(seed)) for seed in range(images)])
    message = f"The text has places for {places} tokens of images, and those given make {16 * images}:"
    with pytest.raises(ArgumentError, match=message):
        model(torch.tensor([row(model, A, places, B)]), views)


def test_more_tokens_than_the_model_reads():
    model = seeing(max_length=32)
    views = Views.of([model.reader.read(picture(seed)) for seed in range(2)])
    with pytest.raises(ArgumentError, match="32"):
        model(torch.tensor([row(model, 16, 16, A)]), views)


def test_parts_that_do_not_fit():
    config = seeing().config
    with pytest.raises(ArgumentError, match="tiles need a projector that keeps the grid"):
        replace(config, tiles=TILES, projector=FOLD).build()
    with pytest.raises(ArgumentError, match="no place in a grid of tiles"):
        replace(config, tiles=TILES, features=replace(config.features, class_token=True)).build()
    with pytest.raises(ArgumentError, match=r"cannot be cut into tiles of 32 x 32"):
        replace(config, tiles=TilesConfig(canvases=((32, 48),))).build()
    with pytest.raises(ArgumentError, match="leave class_token out"):
        replace(config, projector=FOLD, features=replace(config.features, class_token=True)).build()
    with pytest.raises(ArgumentError, match=r"placeholder is -200; it must be an id, from 0"):
        replace(config, placeholder=-200).build()
    with pytest.raises(ArgumentError, match="reads pictures of 3 channels"):
        replace(config, transform=tiny_sounds.TRANSFORM).build()


def test_a_model_without_a_tokenizer_takes_ids():
    language = tiny_text_models.llama().config
    encoder = tiny_models.vit().config
    config = VisionLanguageConfig(
        features=FeaturesConfig(encoder=encoder.encoder),
        projector=MlpProjectorConfig(),
        language=language,
        placeholder=49,
        transform=encoder.transform,
    )
    model = config.build().eval()
    assert model(torch.tensor([[49] * 16 + [3]]), torch.rand(1, 3, 32, 32)).shape == (1, 17, 50)
    assert isinstance(model.projector, nn.Module) and model.newline is None
    with pytest.raises(ArgumentError, match="tokenizer"):
        model.chat((picture(), "What?"))
