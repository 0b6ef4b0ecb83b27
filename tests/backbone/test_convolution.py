"""The Conformer's block: written out plainly, equal to torchaudio's, blind to padding."""

import pytest
import torch
from torch.nn import functional as F

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.convolution import BatchNormConfig, ConvolutionConfig
from multimodal.backbone.mask import Mask
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.errors import ArgumentError

B, T, D = 3, 11, 12
X = torch.randn(B, T, D, generator=torch.Generator().manual_seed(0))
KEEP = torch.arange(T) < torch.tensor([T, 7, 4])[:, None]
MLP = MlpConfig(hidden=20, activation="silu")
NORMS = [BatchNormConfig(), LayerNormConfig()]


def conformer(norm=BatchNormConfig(), depth=2, position=None) -> torch.nn.Module:
    """A stack whose every parameter matters, in eval mode."""
    block = BlockConfig(
        attention=AttentionConfig(heads=3),
        mlp=MLP,
        first_mlp=MLP,
        convolution=ConvolutionConfig(kernel=5, norm=norm),
        norm=LayerNormConfig(eps=1e-5),
    )
    stack = BackboneConfig(dim=D, depth=depth, block=block, position=position, final_norm=False).build()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in stack.state_dict().items():
            if value.is_floating_point():
                drawn = torch.randn(value.shape, generator=generator) * 0.3
                value.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return stack.eval()


def test_the_module_written_out():
    module = ConvolutionConfig(kernel=3, norm=LayerNormConfig()).build(D)
    left, gate = module.up(X).chunk(2, -1)
    glu = left / (1 + (-gate).exp())
    kernel, mixed = module.depthwise.weight[:, 0], torch.zeros_like(X)
    for t in range(T):
        for offset in (-1, 0, 1):
            if 0 <= t + offset < T:
                mixed[:, t] += kernel[:, offset + 1] * glu[:, t + offset]
    x = module.norm(mixed + module.depthwise.bias)
    torch.testing.assert_close(module(X), module.out(x * torch.sigmoid(x)))


def test_the_block_is_a_macaron_with_a_convolution():
    block = conformer(depth=1).blocks[0]
    x = X + 0.5 * block.first_mlp(block.first_branch.norm(X))
    x = x + block.attention(block.attention_branch.norm(x))
    x = x + block.convolution(block.convolution_branch.norm(x))
    x = x + 0.5 * block.mlp(block.mlp_branch.norm(x))
    torch.testing.assert_close(block(X), block.norm(x))


def test_equal_to_the_conformer_of_torchaudio():
    from torchaudio.models import Conformer

    ours = conformer()
    theirs = Conformer(D, 3, 20, 2, 5).eval()
    parts = {
        "first_branch.norm": "ffn1.sequential.0",
        "first_mlp.up": "ffn1.sequential.1",
        "first_mlp.down": "ffn1.sequential.4",
        "attention_branch.norm": "self_attn_layer_norm",
        "attention.out": "self_attn.out_proj",
        "convolution_branch.norm": "conv_module.layer_norm",
        "convolution.up": "conv_module.sequential.0",
        "convolution.depthwise": "conv_module.sequential.2",
        "convolution.norm": "conv_module.sequential.3",
        "convolution.out": "conv_module.sequential.5",
        "mlp_branch.norm": "ffn2.sequential.0",
        "mlp.up": "ffn2.sequential.1",
        "mlp.down": "ffn2.sequential.4",
        "norm": "final_layer_norm",
    }
    for mine, other in zip(ours.blocks, theirs.conformer_layers, strict=True):
        state = {}
        for our, their in parts.items():
            shapes = other.get_submodule(their).state_dict()
            values = mine.get_submodule(our).state_dict()
            state |= {f"{their}.{name}": value.reshape(shapes[name].shape) for name, value in values.items()}
        projections = (mine.attention.q, mine.attention.k, mine.attention.v)
        state["self_attn.in_proj_weight"] = torch.cat([layer.weight for layer in projections])
        state["self_attn.in_proj_bias"] = torch.cat([layer.bias for layer in projections])
        other.load_state_dict(state)
    expected, _ = theirs(X, KEEP.sum(1))
    found = ours(X, mask=Mask(keep=KEEP))
    # Theirs lets the convolution see padding, so rows are compared one by one without any.
    torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-5)
    for row, length in enumerate(KEEP.sum(1).tolist()):
        alone, _ = theirs(X[row : row + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(found[row, :length], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("position", [None, RotaryConfig()])
def test_padding_changes_nothing(norm, position):
    stack = conformer(norm, position=position)
    found = stack(X.masked_fill(~KEEP[..., None], 7.0), mask=Mask(keep=KEEP))
    for row, length in enumerate(KEEP.sum(1).tolist()):
        torch.testing.assert_close(found[row, :length], stack(X[row : row + 1, :length])[0], rtol=1e-4, atol=1e-5)


def test_batch_norm_counts_real_tokens_alone():
    module = ConvolutionConfig(kernel=1).build(D).train()
    seen = F.glu(module.up(X), dim=-1)
    seen = (seen * module.depthwise.weight[:, 0, 0] + module.depthwise.bias)[KEEP]
    module(X, keep=KEEP)
    torch.testing.assert_close(module.norm.running_mean, 0.1 * seen.mean(0))
    torch.testing.assert_close(module.norm.running_var, 0.9 + 0.1 * seen.var(0))


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_reach_every_parameter(norm):
    stack = conformer(norm).train()
    stack(X, mask=Mask(keep=KEEP))[KEEP].square().sum().backward()
    silent = [name for name, p in stack.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert all(name.endswith(("attention.k.bias", "depthwise.bias")) for name in silent), silent


def test_what_would_look_across_borders_is_refused():
    stack = conformer()
    with pytest.raises(ArgumentError, match="neither a cache nor packed documents"):
        stack(X, cache=stack.new_cache(B, 20))
    with pytest.raises(ArgumentError, match="neither a cache nor packed documents"):
        stack(X, mask=Mask(document=torch.zeros(B, T, dtype=torch.long)))


def test_an_even_kernel_is_refused():
    with pytest.raises(ArgumentError, match="kernel is 4; it must be odd"):
        ConvolutionConfig(kernel=4).build(D)


def test_what_comes_after_each_block_is_told_its_number():
    stack, seen = conformer(), []

    def after(block, x):
        seen.append(block)
        return x + block

    found = stack(X, after=after)
    assert seen == [1, 2]
    torch.testing.assert_close(found, stack.blocks[1](stack.blocks[0](X) + 1) + 2)
