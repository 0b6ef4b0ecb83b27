"""Parameter groups, the schedule, and what AdamW is given."""

import math

import pytest
import torch
from torch import nn

from multimodal.errors import ArgumentError
from multimodal.tasks.optimizer import OptimizerConfig, adamw, parameter_groups, scheduled


def stages():
    layers = [nn.Linear(3, 3) for _ in range(3)]
    return layers, [list(layer.parameters()) for layer in layers]


def test_rates_fall_towards_the_input_and_vectors_do_not_decay():
    layers, parts = stages()
    groups = parameter_groups(parts, OptimizerConfig(lr=1.0, layer_decay=0.5, weight_decay=0.1))
    settings = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(settings) == 6, "every parameter once"
    for depth, layer in enumerate(layers):
        assert settings[id(layer.weight)] == (0.5 ** (2 - depth), 0.1)
        assert settings[id(layer.bias)] == (0.5 ** (2 - depth), 0.0)


def test_tokens_and_positions_do_not_decay():
    position = nn.Parameter(torch.zeros(4, 3))
    groups = parameter_groups([[position]], OptimizerConfig(weight_decay=0.1), undecayed=[position])
    assert [group["weight_decay"] for group in groups] == [0.0]


def test_schedule_against_the_formula():
    config = OptimizerConfig(lr=2.0, warmup=0.2, final_lr=0.1)
    optimizer = adamw(parameter_groups(stages()[1], config), config)
    schedule = scheduled(optimizer, 10, config)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    expected = [1.0, 2.0] + [2 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * i / 8))) for i in range(9)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("linear", lambda i: 0.1 + 0.9 * (1 - i / 8)),
        ("inverse_sqrt", lambda i: math.sqrt(2 / (i + 3))),
        ("constant", lambda i: 1.0),
    ],
)
def test_other_schedules_against_their_formulas(kind, after):
    config = OptimizerConfig(lr=2.0, warmup=0.2, final_lr=0.1, schedule=kind, eps=1e-6)
    optimizer = adamw(parameter_groups(stages()[1], config), config)
    assert optimizer.defaults["eps"] == 1e-6
    schedule = scheduled(optimizer, 10, config)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([1.0, 2.0] + [2 * after(i) for i in range(8)])


def test_layer_decay_survives_the_schedule():
    config = OptimizerConfig(lr=1.0, layer_decay=0.5, warmup=0.5)
    optimizer = adamw(parameter_groups(stages()[1], config), config)
    schedule = scheduled(optimizer, 8, config)
    for _ in range(6):
        optimizer.step()
        schedule.step()
        rates = sorted({group["lr"] for group in optimizer.param_groups})
        assert rates[1] / rates[0] == pytest.approx(2) and rates[2] / rates[1] == pytest.approx(2)


@pytest.mark.parametrize(("name", "value"), [("lr", 0.0), ("lr", -1.0), ("layer_decay", 1.5), ("warmup", 1.0)])
def test_impossible_values_are_named(name, value):
    with pytest.raises(ArgumentError, match=name):
        OptimizerConfig(**{name: value})
