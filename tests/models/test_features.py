"""Tokens inside encoders, against the encoders' blocks run one by one by hand; and what no encoder can give."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_dual_encoders
import tiny_models
import tiny_sounds
import torch
from clip_folders import register
from tiny_speech import shaken, whisper_config

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.cross_block import CrossBlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.errors import ArgumentError
from multimodal.models.features import FeaturesConfig
from multimodal.models.image_encoder import TimmEncoderConfig
from multimodal.models.open_clip_towers import OpenClipImageConfig
from multimodal.models.perceiver import PerceiverConfig
from multimodal.models.perceiver_encoder import PerceiverEncoderConfig
from multimodal.presets.conformer import conformer
from multimodal.tokenizers.audio_features import standardized
from multimodal.tokenizers.audio_transform import AudioTransformConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig

SQUARE = ImageTransformConfig(size=(32, 32), crop_fraction=1.0)
SOUND = AudioTransformConfig(seconds=0.64)


def pixels(n=2, size=32, channels=3):
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(1))


def built(encoder, transform=SQUARE, **fields):
    """Features with weights that all matter, in eval mode."""
    torch.manual_seed(0)
    return shaken(FeaturesConfig(encoder=encoder, **fields).build(transform))


def by_hand(encoder, x):
    """The tokens as they come in, after each block, and after the last norm; prefix tokens in front."""
    tokens = encoder.tokenizer(x)
    found = [tokens.x]
    places = tokens.positions
    for number in range(encoder.config.backbone.depth):
        block = encoder.backbone.blocks[0 if encoder.config.backbone.shared else number]
        rotary = encoder.backbone._positions(places, tokens.x.shape[1], tokens.x.shape[1], 0, tokens.x)[0]
        found.append(block(found[-1], rotary=rotary))
    return [*found, encoder.backbone.norm(found[-1])]


VIT = tiny_models.vit(depth=3).config.encoder
LAYERS = {(): [-1], (-2,): [2], (2,): [2], (-1,): [3], (0,): [0], (1, -1): [1, 3], (3, 1): [3, 1], (-2, -2): [2, 2]}


@torch.no_grad()
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("class_token", [False, True])
def test_layers_of_a_vision_transformer_are_those_of_its_blocks(layers, class_token):
    features = built(VIT, layers=layers, class_token=class_token)
    states = by_hand(features.encoder, pixels())
    wanted = torch.cat([states[place] for place in LAYERS[layers]], dim=-1)
    found = features(pixels())
    torch.testing.assert_close(found, wanted if class_token else wanted[:, 1:])
    assert (features.grid, features.extra, features.width) == ((4, 4), int(class_token), wanted.shape[-1])
    assert found.shape[1] == features.extra + 16


@torch.no_grad()
@pytest.mark.parametrize(
    "encoder",
    [
        tiny_models.vit(prefix=3, position=None, rotary=RotaryConfig(axes=2)).config.encoder,
        tiny_models.vit(shared=True, depth=3).config.encoder,
        tiny_models.vit(prefix=0, pool=tiny_models.MeanPoolConfig()).config.encoder,
    ],
)
def test_register_tokens_rotary_positions_and_shared_layers(encoder):
    features = built(encoder, layers=(-2,))
    wanted = by_hand(features.encoder, pixels())[-3][:, encoder.tokenizer.prefix :]
    torch.testing.assert_close(features(pixels()), wanted)


@torch.no_grad()
def test_blocks_behind_the_last_that_is_read_are_not_computed():
    features = built(VIT, layers=(1,))
    before = features(pixels())
    for block in features.encoder.backbone.blocks[1:]:
        for parameter in block.parameters():
            parameter.fill_(torch.nan)
    features.encoder.backbone.norm.weight.fill_(torch.nan)
    assert torch.equal(features(pixels()), before)
    wrapped = built(TimmEncoderConfig(name="test_vit"), ImageTransformConfig(size=(160, 160)), layers=(1,))
    calls = []
    wrapped.encoder.model.blocks[-1].register_forward_hook(lambda *_: calls.append(1))
    wrapped(pixels(size=160))
    assert not calls


def test_images_of_another_size_than_the_encoders():
    features = built(VIT, ImageTransformConfig(size=(48, 32)), layers=(-2,))
    x = torch.randn(1, 3, 48, 32)
    assert features.grid == (6, 4) and features(x).shape == (1, 24, 16)


@torch.no_grad()
def test_a_wrapped_convolutional_model_gives_its_stages():
    features = built(TimmEncoderConfig(name="test_resnet"), ImageTransformConfig(size=(64, 64)), layers=(-2,))
    x, model = pixels(size=64), features.encoder.model
    stem = model.maxpool(model.act1(model.bn1(model.conv1(x))))
    maps = model.layer3(model.layer2(model.layer1(stem)))  # the last but one of five
    rows = torch.stack([maps[..., i, j] for i in range(maps.shape[2]) for j in range(maps.shape[3])], dim=1)
    torch.testing.assert_close(features(x), rows)
    assert features.grid == maps.shape[2:] and features.width == maps.shape[1] and features.extra == 0


@torch.no_grad()
@pytest.mark.parametrize("layers", [(), (-2,), (4, 2), (2, -1)])
@pytest.mark.parametrize("class_token", [False, True])
def test_a_wrapped_vision_transformer_gives_its_blocks(layers, class_token):
    encoder = TimmEncoderConfig(name="test_vit")
    features = built(encoder, ImageTransformConfig(size=(160, 160)), layers=layers, class_token=class_token)
    x, model = pixels(size=160), features.encoder.model
    states = [model.norm_pre(model._pos_embed(model.patch_embed(x)))]
    for block in model.blocks:
        states.append(block(states[-1]))
    wanted = torch.cat([states[i] for i in layers], dim=-1) if layers else model.norm(states[-1])
    torch.testing.assert_close(features(x), wanted if class_token else wanted[:, 1:])
    assert features.extra == class_token and features.grid == (10, 10)


@torch.no_grad()
def test_a_wrapped_tower_of_open_clip_over_timm(monkeypatch):
    vision = {"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "linear", "image_size": 64}
    register(monkeypatch, "tiny", {"embed_dim": 8, "vision_cfg": vision, "text_cfg": {}})
    features = built(OpenClipImageConfig(architecture="tiny"), ImageTransformConfig(size=(64, 64)), layers=(-2,))
    x, trunk = pixels(size=64), features.encoder.model.trunk
    maps = trunk.stem(x)
    for stage in trunk.stages[:-1]:
        maps = stage(maps)
    torch.testing.assert_close(features(x), maps.flatten(2).transpose(1, 2))


@torch.no_grad()
@pytest.mark.parametrize("class_token", [False, True])
def test_a_wrapped_tower_of_open_clips_own(monkeypatch, class_token):
    vision = {"image_size": 32, "layers": 3, "width": 16, "head_width": 8, "patch_size": 8, "attentional_pool": True}
    vision["attn_pooler_heads"] = 2
    register(monkeypatch, "tiny", {"embed_dim": 16, "vision_cfg": vision, "text_cfg": {}})
    features = built(OpenClipImageConfig(architecture="tiny"), layers=(-2, 1), class_token=class_token)
    tower = features.encoder.model
    states = [tower._embeds(pixels())]
    for block in tower.transformer.resblocks:
        states.append(block(states[-1]))
    wanted = torch.cat([states[2], states[1]], dim=-1)
    torch.testing.assert_close(features(pixels()), wanted if class_token else wanted[:, 1:])


@torch.no_grad()
def test_a_tower_on_the_shared_backbone():
    tower = tiny_dual_encoders.clip_config().image.encoder
    features = built(tower, ImageTransformConfig(size=(16, 16)), layers=(-2,))
    torch.testing.assert_close(features(pixels(size=16)), by_hand(features.encoder, pixels(size=16))[1][:, 1:])


@torch.no_grad()
def test_a_transformer_of_spectrograms_as_pictures():
    features = built(tiny_sounds.encoder(), tiny_sounds.TRANSFORM, layers=(-2,))
    x = torch.randn(2, 1, *tiny_sounds.TRANSFORM.size)
    torch.testing.assert_close(features(x), by_hand(features.encoder, x)[1][:, 2:])
    assert features.grid == tuple(features.encoder.config.tokenizer.grid_of(*tiny_sounds.TRANSFORM.size))


@torch.no_grad()
@pytest.mark.parametrize("layers", [(), (-2,), (1, 3)])
@pytest.mark.parametrize("frames", [64, 37])
def test_whispers_encoder(layers, frames):
    encoder = whisper_config(60, depth=3, positions=32).encoder
    features = built(encoder, AudioTransformConfig(features=SOUND.features, seconds=frames / 100), layers=layers)
    mel = torch.randn(2, 1, SOUND.size[0], frames)
    states = [features.encoder.stem(mel[:, 0], None).x]
    for block in features.encoder.backbone.blocks:
        states.append(block(states[-1]))
    states.append(features.encoder.backbone.norm(states[-1]))
    wanted = {(): states[-1], (-2,): states[2], (1, 3): torch.cat([states[1], states[3]], dim=-1)}[layers]
    torch.testing.assert_close(features(mel), wanted)
    assert features.grid == (1, (frames + 1) // 2) and features.extra == 0 and features.width == wanted.shape[-1]


@torch.no_grad()
@pytest.mark.parametrize("layers", [(), (-2,)])
def test_an_encoder_of_a_ctc_recognizer_hears_as_it_does_there(layers):
    """Clips that fill the window and that do not, against each alone in the recognizer."""
    torch.manual_seed(0)
    recognizer = shaken(conformer(20, dim=16, depth=2, heads=2, kernel=3, mels=8, channels=4, dropout=0.0).build())
    transform = AudioTransformConfig(features=recognizer.config.features, seconds=0.64, mean=0.0, std=0.5)
    features = FeaturesConfig(encoder=recognizer.config.encoder, layers=layers, standardized=True).build(transform)
    features.encoder.load_state_dict(recognizer.encoder.state_dict())
    features.eval()
    noise = np.random.default_rng(0).normal(scale=0.1, size=10_480).astype(np.float32)
    waves = [noise[:count] for count in (10_480, 10_240, 4_800, 720)]
    found = features(torch.stack([transform.build().read(wave) for wave in waves]))
    assert found.shape == (4, *features.grid[1:], features.width) == (4, 16, 16)
    for row, wave in zip(found, waves, strict=True):
        mel = recognizer.features(torch.from_numpy(wave)[None])
        last, state = [], recognizer.score(mel).x[0]
        if layers:
            encoded = recognizer.encoder(standardized(mel), after=lambda block, x, last=last: (last.append(x), x)[1])
            assert torch.equal(encoded.x[0], state)
            state = last[0][0]
        torch.testing.assert_close(row[: len(state)], state, atol=1e-4, rtol=1e-4)
    assert features(torch.zeros(1, 1, *transform.size)).isfinite().all(), "a blank window"


def test_layers_that_are_not_there():
    for layer in (4, -5):
        with pytest.raises(ArgumentError, match=f"layers has {layer}; the encoder has 3 blocks"):
            built(VIT, layers=(-1, layer))
    for layer in (0, 6, -6):
        with pytest.raises(ArgumentError, match=f"layers has {layer}; the encoder has 5 blocks, so from 1 to 5"):
            built(TimmEncoderConfig(name="test_resnet"), layers=(layer,))
    with pytest.raises(ArgumentError, match=r"grids of different size \(4x4, 2x2\)"):
        built(TimmEncoderConfig(name="test_resnet"), ImageTransformConfig(size=(64, 64)), layers=(-2, -1))


def test_a_class_token_that_is_not_there():
    without = tiny_models.vit(prefix=0, pool=tiny_models.MeanPoolConfig()).config.encoder
    for encoder, transform in ((without, SQUARE), (whisper_config(60).encoder, SOUND)):
        with pytest.raises(ArgumentError, match="class_token is True"):
            built(encoder, transform, class_token=True)
    for name in ("test_resnet", "test_convnext"):
        with pytest.raises(ArgumentError, match="does not give the tokens inside it with class_token=True"):
            built(TimmEncoderConfig(name=name), class_token=True)
    bare = TimmEncoderConfig(name="test_vit", arguments=(("class_token", False), ("global_pool", "avg")))
    with pytest.raises(ArgumentError, match="class_token=True"):
        built(bare, ImageTransformConfig(size=(160, 160)), class_token=True)


def test_inputs_of_another_kind_than_the_encoders():
    with pytest.raises(ArgumentError, match="reads pictures of 3 channels, and AudioTransformConfig gives 1"):
        built(VIT, SOUND)
    with pytest.raises(ArgumentError, match="reads pictures of 1 channels, and ImageTransformConfig gives 3"):
        built(tiny_sounds.encoder(), SQUARE)
    with pytest.raises(ArgumentError, match="reads spectrograms, and ImageTransformConfig gives images"):
        built(whisper_config(60).encoder, SQUARE)
    with pytest.raises(ArgumentError, match="standardized is True, and the encoder is none of spectrograms"):
        built(VIT, standardized=True)
    with pytest.raises(ArgumentError, match=r"standardized is True, and the transform's mean is -4\.26774: make it 0"):
        built(whisper_config(60).encoder, SOUND, standardized=True)
    with pytest.raises(ArgumentError, match=r"does not give the tokens inside it .* for inputs of 1 x"):
        built(TimmEncoderConfig(name="test_resnet"), SOUND)


def test_an_encoder_that_shows_nothing_of_its_inside():
    attention = AttentionConfig(heads=2)
    perceiver = PerceiverConfig(
        latents=3,
        dim=16,
        depth=1,
        block=BlockConfig(attention=attention, mlp=MlpConfig(hidden=16)),
        reading=CrossBlockConfig(attention=attention, mlp=MlpConfig(hidden=16)),
    )
    encoder = PerceiverEncoderConfig(tokenizer=VIT.tokenizer, perceiver=perceiver)
    with pytest.raises(ArgumentError, match="PerceiverEncoder does not give the tokens inside it"):
        built(encoder)


def test_frozen_statistics_are_not_moved_by_building():
    torch.manual_seed(0)
    fresh = TimmEncoderConfig(name="test_resnet").build()
    torch.manual_seed(0)
    features = FeaturesConfig(encoder=TimmEncoderConfig(name="test_resnet")).build(SQUARE)
    for name, buffer in fresh.named_buffers():
        assert torch.equal(buffer, dict(features.encoder.named_buffers())[name])
    assert features.training and features.encoder.model.bn1.training
