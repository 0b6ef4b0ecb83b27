"""The conversion engine: every kind of row both ways, bit for bit, and every kind of misfit named."""

import pytest
import torch

from multimodal.errors import ArgumentError, DataError
from multimodal.weights.keymap import Ignore, Row, Table, layer

D = 6


def tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def both_ways(
    table: Table, theirs: dict[str, torch.Tensor], ours: dict[str, tuple[int, ...]]
) -> dict[str, torch.Tensor]:
    """What `convert` gives, after export of it was seen to give `theirs` again."""
    found = table.convert(theirs, ours)
    assert {name: tuple(value.shape) for name, value in found.items()} == ours
    back = table.export(found)
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[name], theirs[name]) and back[name].dtype == theirs[name].dtype for name in theirs)
    return found


def test_same_tensor_shares_memory():
    theirs = {"norm.weight": tensor(D)}
    found = both_ways(Table(Row("norm.weight", "last.weight")), theirs, {"last.weight": (D,)})
    assert found["last.weight"].data_ptr() == theirs["norm.weight"].data_ptr()


def test_numbers_are_the_same_on_both_sides():
    table = Table(Row("h.{i}.w.{j}", "layers.{j}.of.{i}"))
    theirs = {f"h.{i}.w.{j}": tensor(2, seed=10 * i + j) for i in (0, 11) for j in (2, 3)}
    found = both_ways(table, theirs, {f"layers.{j}.of.{i}": (2,) for i in (0, 11) for j in (2, 3)})
    assert torch.equal(found["layers.3.of.11"], theirs["h.11.w.3"])


@pytest.mark.parametrize("shape", [(8 + 4 + 4, D), (8 + 4 + 4,)], ids=["weight", "bias"])
def test_fused_qkv_is_split_by_our_sizes(shape: tuple[int, ...]):
    rest = shape[1:]
    theirs = {"0.qkv": tensor(*shape)}
    ours = {"blocks.0.q": (8, *rest), "blocks.0.k": (4, *rest), "blocks.0.v": (4, *rest)}
    found = both_ways(Table(Row("{i}.qkv", "blocks.{i}.{q,k,v}")), theirs, ours)
    assert torch.equal(found["blocks.0.k"], theirs["0.qkv"][8:12])
    assert found["blocks.0.v"].data_ptr() == theirs["0.qkv"][12:].data_ptr()


def test_transposed_and_fused_as_in_gpt2():
    theirs = {"c_attn.weight": tensor(D, 3 * D)}
    ours = dict.fromkeys(("q", "k", "v"), (D, D))
    found = both_ways(Table(Row("c_attn.weight", "{q,k,v}", transpose=True)), theirs, ours)
    assert torch.equal(found["v"], theirs["c_attn.weight"][:, 2 * D :].t())


def test_transposed_with_other_shape():
    found = both_ways(
        Table(Row("proj", "w", transpose=True, shape=(1, D, -1))), {"proj": tensor(1, D, 4)}, {"w": (4, D)}
    )
    assert torch.equal(found["w"], tensor(1, D, 4)[0].t())


def test_leading_axis_split_into_prefix_and_grid():
    theirs = {"pos_embed": tensor(1, 2 + 9, D)}
    found = both_ways(
        Table(Row("pos_embed", "{prefix,grid}", shape=(1, -1, D))), theirs, {"prefix": (2, D), "grid": (9, D)}
    )
    assert torch.equal(found["grid"], theirs["pos_embed"][0, 2:])


def test_pieces_of_one_of_ours():
    table = Table(Row("{cls,reg}", "prefix", axis=1, shape=(1, -1, D), pieces=(1, 3)))
    theirs = {"cls": tensor(1, 1, D), "reg": tensor(1, 3, D, seed=1)}
    found = both_ways(table, theirs, {"prefix": (4, D)})
    assert torch.equal(found["prefix"], torch.cat([theirs["cls"][0], theirs["reg"][0]]))
    assert "'cls' and 'reg' has shape [1, 1, 6] and [1, 2, 6], but the model needs [1, 1, 6] and [1, 3, 6]" in misfit(
        {"cls": tensor(1, 1, D), "reg": tensor(1, 2, D)}, {"prefix": (4, D)}, table
    )
    with pytest.raises(DataError):
        table.convert({"cls": tensor(1, 1, D)}, {"prefix": (4, D)})


def test_layers_have_a_weight_and_perhaps_a_bias():
    table = Table(*layer("{i}.fc", "{i}.{q,k}"), *layer("conv1d", "up", transpose=True))
    theirs = {
        "0.fc.weight": tensor(4, D),
        "0.fc.bias": tensor(4),
        "1.fc.weight": tensor(4, D),
        "conv1d.weight": tensor(D, 3),
    }
    theirs["conv1d.bias"] = tensor(3)
    ours = {f"{i}.{name}.weight": (2, D) for i in range(2) for name in "qk"}
    found = both_ways(table, theirs, {**ours, "0.q.bias": (2,), "0.k.bias": (2,), "up.weight": (3, D), "up.bias": (3,)})
    assert torch.equal(found["up.weight"], theirs["conv1d.weight"].t())


def test_split_along_another_axis():
    theirs = {"w": tensor(D, 5)}
    found = both_ways(Table(Row("w", "{a,b}", axis=1)), theirs, {"a": (D, 2), "b": (D, 3)})
    assert torch.equal(found["b"], theirs["w"][:, 2:])


def test_convolution_as_linear_layer_and_scalar():
    table = Table(Row("conv", "patch", shape=(D, 3, 2, -1)), Row("scale", "temperature", shape=(1,)))
    theirs = {"conv": tensor(D, 3, 2, 2), "scale": tensor(1)}
    found = both_ways(table, theirs, {"patch": (D, 12), "temperature": ()})
    assert torch.equal(found["patch"], theirs["conv"].flatten(1))


def test_half_precision_stays_bit_exact():
    both_ways(Table(Row("qkv", "{q,k,v}")), {"qkv": tensor(9, 2).bfloat16()}, dict.fromkeys("qkv", (3, 2)))


def test_tied_tensors():
    table, weight = Table(Row("{wte,lm_head}.weight", "embed")), tensor(5, D)
    found = both_ways(table, {"wte.weight": weight, "lm_head.weight": weight.clone()}, {"embed": (5, D)})
    assert torch.equal(found["embed"], weight)
    assert torch.equal(table.convert({"lm_head.weight": weight}, {"embed": (5, D)})["embed"], weight)  # one is enough
    with pytest.raises(DataError, match=r"'wte.weight' and 'lm_head.weight' differ, but the model ties them"):
        table.convert({"wte.weight": weight, "lm_head.weight": weight + 1}, {"embed": (5, D)})


def test_ignored_keys_are_neither_read_nor_written():
    table = Table(Row("w", "x"), Ignore("h.{i}.attn.bias", "the causal mask, computed"))
    found = table.convert({"w": tensor(2), "h.3.attn.bias": tensor(2, 2)}, {"x": (2,)})
    assert list(found) == ["x"]
    assert list(table.export(found)) == ["w"]


def test_first_row_that_matches_wins():
    table = Table(Row("blocks.0.w", "first"), Row("blocks.{i}.w", "rest.{i}"))
    theirs = {"blocks.0.w": tensor(1), "blocks.1.w": tensor(1, seed=1)}
    found = both_ways(table, theirs, {"first": (1,), "rest.1": (1,)})
    assert torch.equal(found["first"], theirs["blocks.0.w"])


def test_dots_are_literal():
    with pytest.raises(DataError, match="'axb'"):
        Table(Row("a.b", "c")).convert({"axb": tensor(1)}, {"c": (1,)})


def test_tables_go_under_a_prefix_and_into_others():
    tower = Table(Row("{i}.{w,u}", "blocks.{i}"), Ignore("{i}.mask", "computed"))
    table = Table(*tower.under(theirs="visual.", ours="image.").rows, Row("scale", "scale"))
    theirs = {"visual.0.w": tensor(2), "visual.0.u": tensor(2), "visual.0.mask": tensor(1), "scale": tensor(1)}
    found = table.convert(theirs, {"image.blocks.0": (2,), "scale": (1,)})
    assert torch.equal(found["image.blocks.0"], theirs["visual.0.w"])
    assert list(table.export(found)) == ["visual.0.w", "visual.0.u", "scale"]


def test_our_side_may_be_a_model_on_the_meta_device():
    model = torch.nn.Linear(3, 2, device="meta")
    table = Table(Row("fc.weight", "weight"), Row("fc.bias", "bias"))
    found = table.convert({"fc.weight": tensor(2, 3), "fc.bias": tensor(2)}, model.state_dict())
    model.load_state_dict(found, assign=True)
    assert torch.equal(model.weight, tensor(2, 3))


LAYER = Table(Row("blocks.{i}.attn.qkv.weight", "blocks.{i}.{q,k,v}"), Row("head.weight", "head"))
OURS = {"blocks.0.q": (2, 2), "blocks.0.k": (2, 2), "blocks.0.v": (2, 2), "head": (3, 2)}
THEIRS = {"blocks.0.attn.qkv.weight": tensor(6, 2), "head.weight": tensor(3, 2)}


def misfit(theirs: dict[str, torch.Tensor], ours: dict[str, tuple[int, ...]] = OURS, table: Table = LAYER) -> str:
    with pytest.raises(DataError) as error:
        table.convert(theirs, ours)
    return str(error.value)


def test_uncovered_key_is_named_with_the_nearest():
    message = misfit({"blocks.0.attn.qvk.weight": tensor(6, 2), "head.weight": tensor(3, 2)})
    assert "'blocks.0.attn.qvk.weight', which no row of the table covers." in message
    assert "Did you mean 'blocks.0.attn.qkv.weight'" in message
    assert "'blocks.0.q', 'blocks.0.k', 'blocks.0.v' stays unfilled" in message


def test_unfilled_key_is_named_with_where_it_was_expected():
    message = misfit({"blocks.0.attn.qkv.weight": tensor(6, 2)})
    assert "'head' stays unfilled, expected under 'head.weight'" in message
    message = misfit(THEIRS, {**OURS, "extra": (1,)})
    assert "'extra' stays unfilled, and no row of the table covers it" in message


def test_layer_that_the_model_does_not_have():
    message = misfit({**THEIRS, "blocks.1.attn.qkv.weight": tensor(6, 2)})
    assert "'blocks.1.attn.qkv.weight' would be 'blocks.1.q', which the model does not have" in message


def test_wrong_shape_names_both_shapes():
    message = misfit({**THEIRS, "head.weight": tensor(10, 2)})
    assert "'head.weight' has shape [10, 2], but the model needs [3, 2]" in message
    assert "'blocks.0.attn.qkv.weight' has shape [7, 2], but the model needs [6, 2]" in misfit(
        {**THEIRS, "blocks.0.attn.qkv.weight": tensor(7, 2)}
    )
    transposed = Table(Row("w", "w", transpose=True))  # as many numbers, another order
    assert "has shape [2, 3], but the model needs [3, 2]" in misfit({"w": tensor(2, 3)}, {"w": (2, 3)}, transposed)


def test_two_of_theirs_for_one_of_ours():
    with pytest.raises(ArgumentError, match="Two rows of a table fill the same tensor"):
        Table(Row("a.{i}", "x.{i}"), Row("b.{i}", "{x,y}.{i}"))
    overlapping = Table(Row("a", "x.0"), Row("b.{i}", "x.{i}"))
    assert "'b.0' would be 'x.0', which another" in misfit(
        {"a": tensor(1), "b.0": tensor(1)}, {"x.0": (1,)}, overlapping
    )


def test_long_lists_are_cut():
    message = misfit({f"odd.{i}": tensor(1) for i in range(9)})
    assert "'odd.4' and 4 more" in message


def test_export_is_strict_too():
    with pytest.raises(DataError, match=r"'stray' cannot be exported: no row"):
        LAYER.export({"stray": tensor(1)})
    with pytest.raises(DataError, match=r"'blocks.0.attn.qkv.weight' cannot be exported: the model lacks 'blocks.0.v'"):
        LAYER.export({"blocks.0.q": tensor(2, 2), "blocks.0.k": tensor(2, 2)})


def test_export_can_be_written_as_it_is():
    exported = Table(Row("w", "w", transpose=True)).export({"w": tensor(2, 3)})
    assert exported["w"].is_contiguous()  # safetensors refuses anything else


def test_rows_must_count_alike():
    with pytest.raises(ArgumentError, match=r"same \{numbers\}"):
        Table(Row("a.{i}", "b.{j}"))


def test_pieces_of_one_tensor():
    table = Table(Row("{cls,reg}_token", "prefix", axis=1, shape=(1, -1, D), pieces=(1, 4)))
    theirs = {"cls_token": tensor(1, 1, D), "reg_token": tensor(1, 4, D, seed=1)}
    found = both_ways(table, theirs, {"prefix": (5, D)})
    assert torch.equal(found["prefix"][0], theirs["cls_token"][0, 0])
    assert torch.equal(found["prefix"][1:], theirs["reg_token"][0])
    one = misfit({"cls_token": theirs["cls_token"]}, {"prefix": (5, D)}, table)
    assert "'cls_token' has shape [1, 1, 6], but the model needs [1, 1, 6] and [1, 4, 6]" in one
    assert "needs [1, 6, 6]" in misfit(theirs, {"prefix": (6, D)}, table)  # pieces that do not add up to ours
