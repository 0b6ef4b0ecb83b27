"""Cache = no cache: however the tokens are fed, the outputs are those of one pass over the whole row."""

import pytest
import torch
from torch import Tensor

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import Backbone, BackboneConfig
from multimodal.backbone.bias import AlibiConfig, RelativeBiasConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mask import Mask
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import RMSNormConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.errors import ArgumentError

B, T, D, S = 3, 10, 16, 5
X = torch.randn(B, T, D, generator=torch.Generator().manual_seed(0))
CONTEXT = torch.randn(B, S, D, generator=torch.Generator().manual_seed(1))
CONTEXT_KEEP = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]).bool()
LENGTHS = [10, 3, 7]


def config(
    attention: AttentionConfig = AttentionConfig(heads=4),
    position: RotaryConfig | AlibiConfig | RelativeBiasConfig | None = None,
    cross: AttentionConfig | None = None,
    **fields,
) -> BackboneConfig:
    block = BlockConfig(attention=attention, mlp=MlpConfig(hidden=24), cross_attention=cross)
    return BackboneConfig(dim=D, depth=2, block=block, position=position, **fields)


GROUPED = AttentionConfig(heads=4, kv_heads=2, qk_norm=RMSNormConfig())
CONFIGS = {
    "no position": config(),
    "rotary": config(position=RotaryConfig()),
    "rotary, grouped": config(GROUPED, RotaryConfig(layout="interleaved", width=2)),
    "alibi": config(position=AlibiConfig()),
    "relative": config(position=RelativeBiasConfig(buckets=8, max_distance=20, bidirectional=False)),
    "multi-query, free width": config(AttentionConfig(heads=3, kv_heads=1, head_dim=6), RotaryConfig()),
    "shared": config(position=RotaryConfig(), shared=True),
    "cross": config(cross=AttentionConfig(heads=4, bias="qvo")),
    "cross, relative": config(GROUPED, RelativeBiasConfig(buckets=8, max_distance=20, bidirectional=False), GROUPED),
    "cross, rotary": config(position=RotaryConfig(), cross=AttentionConfig(heads=2)),
}
CAUSAL = Mask(causal=True)


def build(config: BackboneConfig) -> tuple[Backbone, dict[str, Tensor]]:
    """A backbone whose every parameter matters, and the context it needs."""
    torch.manual_seed(0)
    backbone = config.build().eval()
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    cross = config.block.cross_attention is not None
    return backbone, {"context": CONTEXT, "context_keep": CONTEXT_KEEP} if cross else {}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def case(request: pytest.FixtureRequest) -> tuple[Backbone, dict[str, Tensor], Tensor]:
    backbone, context = build(request.param)
    with torch.no_grad():
        return backbone, context, backbone(X, mask=CAUSAL, **context)


def close(found: Tensor, expected: Tensor) -> None:
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("chunks", [[1] * T, [4, 3, 3], [10], [1, 8, 1], [6, 1, 1, 1, 1]], ids=str)
def test_even_rows(case, chunks: list[int]):
    """Token by token, a prompt at once, a prompt in chunks, a prompt and then its continuation."""
    backbone, context, expected = case
    cache = backbone.new_cache(B, T)
    found = [backbone(part, mask=CAUSAL, cache=cache, **context) for part in X.split(chunks, dim=1)]
    close(torch.cat(found, dim=1), expected)
    assert cache.lengths.tolist() == [T] * B


@torch.no_grad()
@pytest.mark.parametrize("chunks", [[10], [4, 6], [2, 2, 2, 4]], ids=str)
def test_prompts_of_different_length(case, chunks: list[int]):
    """Right-padded prompts, whole or in chunks; then each row goes on from where it ended, by one token or more."""
    backbone, context, _ = case
    cache = backbone.new_cache(B, T + 5)
    keep = torch.arange(T) < torch.tensor(LENGTHS)[:, None]
    rubbish = torch.where(keep[..., None], X, torch.full_like(X, 50.0))
    later = torch.randn(B, 5, D, generator=torch.Generator().manual_seed(2))
    found, start = [], 0
    for length in chunks:
        part = slice(start, start + length)
        mask = Mask(causal=True, keep=keep[:, part])
        found.append(backbone(rubbish[:, part], mask=mask, cache=cache, **context))
        start += length
    assert cache.lengths.tolist() == LENGTHS
    found += [backbone(part, mask=CAUSAL, cache=cache, **context) for part in later.split([1, 1, 3], dim=1)]
    assert cache.lengths.tolist() == [n + 5 for n in LENGTHS]
    whole = torch.cat(found, dim=1)
    for row, n in enumerate(LENGTHS):
        alone = torch.cat([X[row : row + 1, :n], later[row : row + 1]], dim=1)
        expected = backbone(alone, mask=CAUSAL, **{name: value[row : row + 1] for name, value in context.items()})
        close(torch.cat([whole[row, :n], whole[row, T:]]), expected[0])


@torch.no_grad()
def test_rows_that_pause(case):
    """Speculative decoding keeps some of the new tokens of some rows: a later chunk may hold nothing for a row."""
    backbone, context, expected = case
    cache = backbone.new_cache(B, T)
    kept = torch.tensor([[2, 0, 3], [0, 3, 1], [4, 0, 0], [1, 0, 3]])  # tokens of each row in each call: LENGTHS in all
    done = torch.zeros(B, dtype=torch.long)
    for counts in [*kept, torch.tensor([3, 0, 0])]:
        t = int(counts.max())
        x = torch.zeros(B, t, D)
        for row in range(B):
            x[row, : counts[row]] = X[row, done[row] : done[row] + counts[row]]
        keep = torch.arange(t) < counts[:, None]
        found = backbone(x, mask=Mask(causal=True, keep=keep), cache=cache, **context)
        for row in range(B):
            if counts[row]:
                close(found[row, : counts[row]], expected[row, done[row] : done[row] + counts[row]])
        done += counts
    assert cache.lengths.tolist() == done.tolist() == LENGTHS


@torch.no_grad()
def test_padding_takes_no_room():
    """A full row may sit through a chunk of others, its padding beyond the capacity."""
    backbone, _ = build(CONFIGS["rotary"])
    cache, keep = backbone.new_cache(2, 6), torch.tensor([[True] * 6, [True, True] + [False] * 4])
    backbone(X[:2, :6], mask=Mask(causal=True, keep=keep), cache=cache)
    keep = torch.tensor([[False] * 4, [True] * 4])
    found = backbone(X[:2, 2:6], mask=Mask(causal=True, keep=keep), cache=cache)
    close(found[1], backbone(X[1:2, :6], mask=CAUSAL)[0, 2:])


@torch.no_grad()
def test_context_is_projected_once():
    backbone, context = build(CONFIGS["cross"])
    calls = []
    for block in backbone.blocks:
        block.cross.k.register_forward_hook(lambda *_: calls.append("k"))
        block.cross.v.register_forward_hook(lambda *_: calls.append("v"))
    cache = backbone.new_cache(B, T)
    for part in X.split(1, dim=1):
        backbone(part, mask=CAUSAL, cache=cache, **context)
    assert sorted(calls) == ["k", "k", "v", "v"]  # two layers


@torch.no_grad()
def test_prefix_is_seen_both_ways_and_then_extended():
    """A two-way prefix in the first call, causal text after it: one pass over prefix and text."""
    backbone, _ = build(CONFIGS["rotary"])
    for prefix in (Mask.runs([(4, False), (2, True)]), Mask.prefix(torch.tensor([4, 1, 6]), 6)):
        steps = prefix.steps
        assert steps is not None
        more = steps[:, -1:] + torch.arange(1, T - 5)
        expected = backbone(X, mask=Mask(steps=torch.cat([steps, more], dim=1)))
        cache = backbone.new_cache(B, T)
        found = [backbone(X[:, :6], mask=prefix, cache=cache), backbone(X[:, 6:], mask=CAUSAL, cache=cache)]
        close(torch.cat(found, dim=1), expected)


@torch.no_grad()
def test_decoding_one_token_needs_no_drawn_mask(monkeypatch: pytest.MonkeyPatch):
    """Even rows decode with SDPA's fast kernels; the prompt is causal, a later token sees all keys."""
    backbone, _ = build(CONFIGS["rotary"])
    seen = []
    for block in backbone.blocks:
        kernel = block.attention.attend

        def record(*tensors: Tensor, kernel=kernel, **options) -> Tensor:
            seen.append((options["attn_mask"], options["is_causal"], tensors[1].shape[2]))
            return kernel(*tensors, **options)

        monkeypatch.setattr(block.attention, "attend", record)
    cache = backbone.new_cache(B, T)
    for part in X[:, :6].split([4, 1, 1], dim=1):
        backbone(part, mask=CAUSAL, cache=cache)
    assert seen == [(None, True, 4)] * 2 + [(None, False, 5)] * 2 + [(None, False, 6)] * 2
    seen.clear()
    backbone(X)
    backbone(X, mask=CAUSAL)
    assert seen == [(None, False, T)] * 2 + [(None, True, T)] * 2


@torch.no_grad()
def test_overflow_is_refused_before_anything_is_stored():
    backbone, _ = build(CONFIGS["no position"])
    cache = backbone.new_cache(B, 6)
    backbone(X[:, :4], mask=CAUSAL, cache=cache)
    with pytest.raises(ArgumentError, match="The cache holds 6 tokens a row and 7 are needed"):
        backbone(X[:, 4:7], mask=CAUSAL, cache=cache)
    assert cache.lengths.tolist() == [4] * B
    close(backbone(X[:, 4:6], mask=CAUSAL, cache=cache), backbone(X[:, :6], mask=CAUSAL)[:, 4:])
    ragged = backbone.new_cache(B, 6)
    keep = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]]).bool()
    backbone(X[:, :4], mask=Mask(causal=True, keep=keep), cache=ragged)
    with pytest.raises(ArgumentError, match="7 are needed"):
        backbone(X[:, 4:7], mask=CAUSAL, cache=ragged)


@torch.no_grad()
def test_padding_on_the_left_is_refused():
    backbone, _ = build(CONFIGS["no position"])
    keep = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1]]).bool()
    with pytest.raises(ArgumentError, match="padding must be on the right"):
        backbone(X[:, :4], mask=Mask(causal=True, keep=keep), cache=backbone.new_cache(B, T))


@torch.no_grad()
def test_packed_documents_are_refused():
    backbone, _ = build(CONFIGS["no position"])
    cache = backbone.new_cache(B, T)
    backbone(X[:, :4], mask=CAUSAL, cache=cache)
    with pytest.raises(ArgumentError, match="Packed documents"):
        backbone(X[:, 4:], mask=Mask(causal=True, document=torch.zeros(B, 6, dtype=torch.long)), cache=cache)


def test_cache_follows_the_weights():
    backbone, _ = build(CONFIGS["multi-query, free width"])
    cache = backbone.to(torch.bfloat16).new_cache(2, 7)
    assert len(cache.layers) == 2
    assert cache.layers[0].k.dtype == torch.bfloat16
    assert cache.layers[0].k.shape == (2, 1, 8, 6)  # one spare slot, where padding goes
    assert backbone.new_cache(2, 7, dtype=torch.float32).layers[0].v.dtype == torch.float32


def test_gradients_through_a_cache_are_those_of_one_pass():
    """Layers share a block of memory, and a write to one must not count as a change of what another has saved."""
    backbone, _ = build(CONFIGS["rotary, grouped"])
    given = [X.clone().requires_grad_() for _ in range(2)]
    backbone(given[0], mask=CAUSAL).square().sum().backward()
    backbone(given[1], mask=CAUSAL, cache=backbone.new_cache(B, T)).square().sum().backward()
    assert given[0].grad is not None and given[1].grad is not None
    close(given[1].grad, given[0].grad)
