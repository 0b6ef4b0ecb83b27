"""What every parity test does: their tiny model with weights that all matter, ours filled from it, outputs compared."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from multimodal.weights.keymap import Table


@pytest.fixture
def shaken() -> Callable[[nn.Module], nn.Module]:
    """Their model in eval mode, with noise on every parameter: biases of zero and norms of one would hide errors."""

    def shake(model: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        return model.eval()

    return shake


@pytest.fixture
def fill() -> Callable[[nn.Module, nn.Module, Table], None]:
    """Copies their weights into ours by the table, after seeing that the table leads back bit for bit."""

    def copy(ours: nn.Module, theirs: nn.Module, table: Table) -> None:
        state = theirs.state_dict()
        found = table.convert(state, ours.state_dict())
        ours.load_state_dict(found)
        ours.eval()
        back = table.export(ours.state_dict())
        assert back.keys() == state.keys()
        assert all(torch.equal(back[name], state[name]) for name in state)

    return copy


@pytest.fixture
def equal() -> Callable[[Tensor, Tensor], None]:
    """Asserts a maximal difference of 1e-5 of the output's scale."""

    def compare(ours: Tensor, theirs: Tensor) -> None:
        assert ours.shape == theirs.shape
        difference, scale = (ours - theirs).abs().max(), theirs.abs().max()
        assert difference <= 1e-5 * scale, f"differs by {difference / scale:.1e} of the scale"

    return compare
