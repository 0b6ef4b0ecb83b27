"""The kernel for short bf16 attention on a CPU equals torch's, forwards and backwards, and is used only there."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from multimodal.backbone import attend as module
from multimodal.backbone.attend import attend


def inputs(dtype, t=9, s=13):
    torch.manual_seed(0)
    return [torch.randn(2, 3, n, 8, dtype=dtype, requires_grad=True) for n in (t, s, s)]


@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("autocast", [False, True])
def test_products_equal_the_definition(scale, autocast):
    q, k, v = inputs(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        ours = attend(q, k, v, scale=scale)
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    reference = ((exact[0] @ exact[1].mT) * (8**-0.5 if scale is None else scale)).softmax(-1) @ exact[2]
    assert ours.dtype == torch.bfloat16
    assert torch.allclose(ours.double(), reference, atol=0.03)
    weight = torch.randn_like(reference)
    (ours.double() * weight).sum().backward()
    (reference * weight).sum().backward()
    for ours_x, exact_x in zip((q, k, v), exact, strict=True):
        assert torch.cosine_similarity(ours_x.grad.double().flatten(), exact_x.grad.flatten(), dim=0) > 0.999


@pytest.mark.parametrize(
    "options",
    [{"is_causal": True}, {"attn_mask": torch.ones(9, 9, dtype=torch.bool)}, {"dropout_p": 0.5}],
    ids=lambda options: next(iter(options)),
)
def test_everything_else_is_torchs_kernel(options, monkeypatch):
    calls = []
    monkeypatch.setattr(
        module, "scaled_dot_product_attention", lambda *a, **o: calls.append(o) or scaled_dot_product_attention(*a, **o)
    )
    attend(*inputs(torch.bfloat16, 9, 9), **options)
    attend(*inputs(torch.float32))
    attend(*inputs(torch.bfloat16, 1, 13))
    monkeypatch.setattr(module, "LONGEST", 4)
    attend(*inputs(torch.bfloat16))
    assert len(calls) == 4


@pytest.mark.parametrize(("t", "s"), [(9, 13), (1, 13)])
def test_many_keys_are_looked_at_head_by_head_where_nothing_is_learned(t, s, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 4)
    monkeypatch.setattr(module, "SCORES", 30)
    monkeypatch.setattr(module, "scaled_dot_product_attention", None)
    q, k, v = (x.detach() for x in inputs(torch.bfloat16, t, s))
    reference = (q.double() @ k.double().mT * 8**-0.5).softmax(-1) @ v.double()
    assert torch.allclose(attend(q, k, v).double(), reference, atol=0.03)
