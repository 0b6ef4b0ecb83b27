"""Pixels to patch tokens, against patches cut out by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.position import LearnedPositionConfig, SinusoidalPositionConfig
from multimodal.errors import ArgumentError
from multimodal.tokenizers.image import ImageTokenizerConfig

D = 12


def tokenizer(**fields):
    config = ImageTokenizerConfig(**{"size": (8, 12), "patch": (4, 2), "prefix": 2, **fields})
    model = config.build(D)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def by_hand(model, pixels):
    """The patch tokens before positions: each patch cut out, flattened and multiplied by the weight."""
    ph, pw = model.config.patch
    weight = model.patches.weight.flatten(1)
    rows = []
    for y in range(0, pixels.shape[2], ph):
        for x in range(0, pixels.shape[3], pw):
            patch = pixels[:, :, y : y + ph, x : x + pw].flatten(1)
            token = patch @ weight.T
            rows.append(token if model.patches.bias is None else token + model.patches.bias)
    return torch.stack(rows, 1)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_patches_row_by_row_behind_the_prefix(bias, channels):
    model, pixels = tokenizer(bias=bias, channels=channels), torch.randn(2, channels, 8, 12)
    tokens = model(pixels)
    patches = by_hand(model, pixels) + model.position.weight
    prefix = (model.prefix + model.prefix_position).expand(2, -1, -1)
    torch.testing.assert_close(tokens.x, torch.cat([prefix, patches], 1))
    assert tokens.runs == ((14, False),) and tokens.prefix == 2 and tokens.keep is None
    assert model.config.grid == (2, 6)


def test_no_prefix_no_positions():
    model, pixels = tokenizer(prefix=0, position=None), torch.randn(1, 3, 8, 12)
    tokens = model(pixels)
    torch.testing.assert_close(tokens.x, by_hand(model, pixels))
    assert model.prefix is None and model.prefix_position is None and tokens.prefix == 0


def test_prefix_without_positions_of_its_own():
    model, pixels = tokenizer(prefix_positions=False), torch.randn(1, 3, 8, 12)
    assert model.prefix_position is None
    assert torch.equal(model(pixels).x[:, :2], model.prefix[None])


@pytest.mark.parametrize("size", [(7, 11), (5, 12), (8, 9), (1, 1)])
def test_odd_sizes_are_padded_with_black_at_the_right_and_the_bottom(size):
    model, pixels = tokenizer(position=None), torch.randn(2, 3, *size)
    h, w = -(-size[0] // 4), -(-size[1] // 2)
    padded = torch.zeros(2, 3, 4 * h, 2 * w)
    padded[:, :, : size[0], : size[1]] = pixels
    torch.testing.assert_close(model(pixels).x[:, 2:], by_hand(model, padded))


def test_or_cut():
    model, pixels = tokenizer(position=None, remainder="cut"), torch.randn(2, 3, 11, 13)
    torch.testing.assert_close(model(pixels).x[:, 2:], by_hand(model, pixels[:, :, :8, :12]))
    assert ImageTokenizerConfig(size=(11, 13), patch=(4, 2), remainder="cut").grid == (2, 6)
    assert ImageTokenizerConfig(size=(11, 13), patch=(4, 2)).grid == (3, 7)


def test_learned_positions_are_resized_to_another_grid():
    model, pixels = tokenizer(), torch.randn(1, 3, 16, 10)  # 4 x 5 patches; learned: 2 x 6
    picture = model.position.weight.T.reshape(1, D, 2, 6)
    resized = F.interpolate(picture, size=(4, 5), mode="bicubic", antialias=True)[0].flatten(1).T
    expected = by_hand(model, pixels) + resized
    torch.testing.assert_close(model(pixels).x[:, 2:], expected)


def test_sinusoidal_positions_at_any_grid():
    model = tokenizer(position=SinusoidalPositionConfig())
    for pixels in (torch.randn(1, 3, 8, 12), torch.randn(1, 3, 16, 4)):
        grid = (pixels.shape[2] // 4, pixels.shape[3] // 2)
        added = model(pixels).x[:, 2:] - by_hand(model, pixels)
        other = ImageTokenizerConfig(size=tuple(pixels.shape[2:]), patch=(4, 2), position=SinusoidalPositionConfig())
        assert other.grid == grid
        torch.testing.assert_close(added[0], other.build(D).position.table, atol=1e-5, rtol=1e-5)


def test_the_norm_comes_last():
    model, pixels = tokenizer(norm=LayerNormConfig()), torch.randn(1, 3, 8, 12)
    inner = torch.cat([(model.prefix + model.prefix_position)[None], by_hand(model, pixels) + model.position.weight], 1)
    expected = F.layer_norm(inner, (D,), model.norm.weight, model.norm.bias)
    torch.testing.assert_close(model(pixels).x, expected)


def test_places_for_rotary_positions():
    places = tokenizer()(torch.randn(1, 3, 8, 12)).positions
    expected = [[0.0, 0.0]] * 2 + [[float(y), float(x)] for y in range(2) for x in range(6)]
    assert places.tolist() == [expected], "prefix tokens stand at the origin"
    stretched = tokenizer(reference_grid=(4, 3))(torch.randn(1, 3, 8, 12)).positions[0, 2:].unflatten(0, (2, 6))
    torch.testing.assert_close(stretched[:, 0, 0], torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(stretched[0, :, 1], torch.arange(6) * 0.5)


def test_wrong_channels_and_sizes():
    with pytest.raises(ArgumentError, match="pixels have 1 channels; the model takes 3"):
        tokenizer()(torch.randn(1, 1, 8, 12))
    for fields in ({"size": (0, 8)}, {"patch": (4, 0)}, {"channels": 0}):
        with pytest.raises(ArgumentError, match="must be positive"):
            tokenizer(**fields)


def test_bfloat16():
    model = tokenizer(position=LearnedPositionConfig())
    x = torch.randn(1, 3, 8, 12)
    half = model(x).x
    low = model.to(torch.bfloat16)(x.to(torch.bfloat16)).x
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), half, atol=0.2, rtol=0.05)


def overlapping(model, pixels):
    """The patch tokens before positions, each patch cut out at multiples of the stride."""
    (ph, pw), (sh, sw) = model.config.patch, model.config.step
    h, w = model.config.grid_of(*pixels.shape[-2:])
    rows = [
        pixels[:, :, y * sh : y * sh + ph, x * sw : x * sw + pw].flatten(1) @ model.patches.weight.flatten(1).T
        for y in range(h)
        for x in range(w)
    ]
    return torch.stack(rows, 1) + model.patches.bias


@pytest.mark.parametrize("stride", [(4, 2), (3, 1), (2, 2), (5, 3)])
@pytest.mark.parametrize("size", [(8, 12), (11, 13), (4, 2), (3, 1)])
def test_strided_patches_row_by_row_with_zeros_behind_the_image(stride, size):
    model = tokenizer(stride=stride, channels=1, prefix=0)
    pixels = torch.randn(2, 1, *size)
    h, w = model.config.grid_of(*size)
    filled = F.pad(pixels, (0, 20, 0, 20))
    for cut, (ph, sh) in (((h, size[0]), (4, stride[0])), ((w, size[1]), (2, stride[1]))):
        count, side = cut
        assert (count - 1) * sh + ph >= side, "the patches reach the end"
        assert count == 1 or (count - 2) * sh + ph < side, "and one fewer would not"
    (ph, pw), (sh, sw) = model.config.patch, stride
    whole = filled[:, :, : (h - 1) * sh + ph, : (w - 1) * sw + pw]
    config = model.config
    expected = overlapping(model, whole) + model.position((h, w))
    torch.testing.assert_close(model(pixels).x, expected)
    assert config.grid == config.grid_of(8, 12)


def test_strided_patches_may_leave_out_the_rest():
    model = tokenizer(stride=(3, 2), channels=1, prefix=2, remainder="cut", size=(9, 13))
    assert model.config.grid == (2, 6)
    pixels = torch.randn(1, 1, 9, 13)
    tokens = model(pixels)
    torch.testing.assert_close(tokens.x[:, 2:], overlapping(model, pixels[:, :, :7, :12]) + model.position.weight)
    assert tokens.positions.shape == (1, 14, 2)


def test_a_stride_of_the_patch_is_none_at_all():
    plain, strided = tokenizer(), tokenizer(stride=(4, 2))
    strided.load_state_dict(plain.state_dict())
    pixels = torch.randn(2, 3, 7, 9)
    assert torch.equal(plain(pixels).x, strided(pixels).x)
    assert plain.config.grid_of(7, 9) == strided.config.grid_of(7, 9) == (2, 5)


def test_a_stride_must_be_positive():
    with pytest.raises(ArgumentError, match=r"stride=\(0, 2\)"):
        tokenizer(stride=(0, 2))
