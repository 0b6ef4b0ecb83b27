"""Packed linear layers give what plain ones give, only while they are asked for, and never hide a changed weight."""

import copy

import pytest
import torch
from torch import nn

from multimodal.backbone.packed import packed_rows, project

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")


def model(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(24, 40), nn.GELU(), nn.Linear(40, 24, bias=False)).to(dtype)


@needs_onednn
@pytest.mark.parametrize("shape", [(1, 24), (3, 1, 24), (2, 50, 24)])
def test_the_same_outputs(shape):
    net, x = model(), torch.randn(shape)
    expected = net(x)
    with torch.no_grad(), packed_rows(net):
        assert "forward" in vars(net[0])
        found = net(x)
    assert torch.allclose(found, expected, atol=1e-6)
    assert "forward" not in vars(net[0])


@needs_onednn
def test_bfloat16():
    net, x = model(torch.bfloat16), torch.randn(4, 24, dtype=torch.bfloat16)
    with torch.no_grad(), packed_rows(net):
        found = net(x)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), net(x).float(), atol=2e-2)


@needs_onednn
def test_a_changed_weight_is_packed_anew():
    net, x = model(), torch.randn(1, 24)
    with torch.no_grad():
        with packed_rows(net):
            net(x)
        net[0].weight.mul_(2)
        expected = net(x)
        with packed_rows(net):
            assert torch.allclose(net(x), expected, atol=1e-6)


@needs_onednn
def test_a_fused_optimizer_changes_weights_without_counting_and_is_noticed():
    net, x = model(), torch.randn(1, 24)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, fused=True)
    with torch.no_grad(), packed_rows(net):
        before = net(x)
    net(x).sum().backward()
    optimizer.step()
    with torch.no_grad():
        expected = net(x)
        with packed_rows(net):
            found = net(x)
    assert not torch.allclose(before, expected, atol=1e-2)
    assert torch.allclose(found, expected, atol=1e-6)


@needs_onednn
def test_a_weight_of_no_layer():
    table, x = nn.Parameter(torch.randn(30, 24)), torch.randn(2, 24)
    with torch.no_grad(), packed_rows(model(), table):
        assert torch.allclose(project(x, table), x @ table.t(), atol=1e-5)


@needs_onednn
def test_gradients_pass_also_while_packed():
    net, x = model(), torch.randn(2, 24)
    with packed_rows(net):
        net(x).sum().backward()
    assert net[0].weight.grad is not None


@needs_onednn
def test_two_at_once_leave_nothing_behind():
    net, x = model(), torch.randn(1, 24)
    first, second = packed_rows(net), packed_rows(net)
    with torch.no_grad():
        expected = net(x)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.allclose(net(x), expected, atol=1e-6)  # the second goes on, by plain products
        second.__exit__(None, None, None)
    assert "forward" not in vars(net[0])
    copy.deepcopy(net)


def test_other_dtypes_stay_as_they_are():
    net = model(torch.float64)
    with packed_rows(net):
        assert "forward" not in vars(net[0])
