"""`torch.compile(fullgraph=True)` takes every kind of backbone and mask, without a graph break and with equal outputs.

In a process of its own: the type checks that run under pytest cannot be compiled.
"""

import os
import shutil
import subprocess
import sys

import pytest

SCRIPT = """
import torch
from dataclasses import replace
from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.bias import AlibiConfig, RelativeBiasConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mask import Mask
from multimodal.backbone.mlp import GatedMlpConfig, MlpConfig
from multimodal.backbone.norm import LayerNormConfig, RMSNormConfig
from multimodal.backbone.rotary import RotaryConfig

torch.manual_seed(0)
B, T, D = 2, 6, 16
x = torch.randn(B, T, D)
keep = torch.arange(T) < torch.tensor([4, 6])[:, None]
grid = torch.stack([torch.arange(T) // 3, torch.arange(T) % 3], dim=-1)[None]
masks = [
    Mask(), Mask(causal=True), Mask(causal=True, keep=keep), Mask.prefix(torch.tensor([2, 3]), T),
    Mask(document=torch.tensor([[0, 0, 1, 1, 1, 1]] * B)), Mask(graph=torch.eye(T, dtype=torch.bool)),
]
block = BlockConfig(attention=AttentionConfig(heads=4), mlp=MlpConfig(hidden=24))
plain = BackboneConfig(dim=D, depth=2, block=block)
grouped = AttentionConfig(heads=4, kv_heads=2, bias="", qk_norm=RMSNormConfig(), out_norm=LayerNormConfig())
gated = replace(block, attention=grouped, mlp=GatedMlpConfig(hidden=24), norm=RMSNormConfig())
context = {"context": torch.randn(B, 3, D), "context_keep": torch.tensor([[1, 1, 0], [1, 1, 1]]).bool()}
cross = replace(block, cross_attention=AttentionConfig(heads=2), placement="post")
cases = [
    (plain, {}, masks, "eager"),
    (replace(plain, position=RotaryConfig(axes=2, layout="interleaved")), {"positions": grid}, masks[:1], "eager"),
    (replace(plain, position=AlibiConfig()), {}, masks[1:3], "eager"),
    (replace(plain, position=RelativeBiasConfig(), shared=True), {}, masks[1:3], "eager"),
    (replace(plain, block=cross), context, masks[1:2], "eager"),
    (replace(plain, block=replace(block, layer_scale=0.1)), {}, masks[:1], "aot_eager"),
    (replace(plain, block=gated, position=RotaryConfig()), {}, masks[2:3], "aot_eager"),
]
for config, parts, masks, backend in cases:
    model = config.build()
    model.checkpointing = config.block is gated
    for mask in masks:
        torch._dynamo.reset()
        found = torch.compile(model, fullgraph=True, backend=backend)(x, mask=mask, **parts)
        expected = model(x, mask=mask, **parts)
        real = mask.keep if mask.keep is not None else slice(None)  # padding is left out, and so another zero
        found, expected = found[real], expected[real]
        torch.testing.assert_close(found, expected)
        gradients = [torch.autograd.grad(y.square().sum(), list(model.parameters())) for y in (found, expected)]
        for a, b in zip(*gradients):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
model = replace(plain, drop_path=0.5, block=replace(block, dropout=0.1)).build().train()
torch.compile(model, fullgraph=True, backend="eager")(x).sum().backward()
print("compiled")
"""


INDUCTOR = """
model = replace(plain, block=gated, position=RotaryConfig()).build().eval()
with torch.no_grad():
    found = torch.compile(model, fullgraph=True)(x, mask=Mask(causal=True))
    torch.testing.assert_close(found, model(x, mask=Mask(causal=True)))
print("compiled")
"""


def run(script: str) -> None:
    environment = {**os.environ, "JAXTYPING_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert found.stdout == "compiled\n", found.stderr[-3000:]


def test_every_kind_compiles_without_a_break():
    run(SCRIPT)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_inductor_gives_equal_outputs():
    run(SCRIPT[: SCRIPT.index("context = {")] + INDUCTOR)
