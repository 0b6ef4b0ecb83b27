"""Every loss and all its gradients against the definition written out, in float64 where differences matter."""

import pytest
import torch
from torch.nn import functional as F

from multimodal.losses import IGNORE, chunked_cross_entropy, chunked_distillation
from multimodal.losses import vocabulary as losses

N, V, D = 23, 17, 5


@pytest.fixture
def layer():
    """Hidden states, an output layer and its bias, and targets of which some are not counted."""
    draw = torch.Generator().manual_seed(0)
    hidden, weight, bias = (torch.randn(*shape, generator=draw, dtype=torch.double) for shape in ((N, D), (V, D), (V,)))
    targets = torch.randint(0, V, (N,), generator=draw)
    targets[[0, 4, 5, 22]] = IGNORE
    return hidden.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), targets


def written_out(hidden, weight, targets, *, bias=None, scale=1.0, smoothing=0.0, z_loss=0.0):
    total, count = torch.zeros((), dtype=hidden.dtype), 0
    for row, target in zip(hidden, targets.tolist(), strict=True):
        if target == IGNORE:
            continue
        logits = scale * (weight @ row) + (bias if bias is not None else 0)
        log_sum = logits.exp().sum().log()
        wanted = torch.full((len(weight),), smoothing / len(weight), dtype=hidden.dtype)
        wanted[target] += 1 - smoothing
        total = total + (wanted * (log_sum - logits)).sum() + z_loss * log_sum**2
        count += 1
    return total / max(count, 1)


@pytest.mark.parametrize("chunk", [2**24, 1, 3 * V + 5])  # all at once without chunks, one token, three tokens
@pytest.mark.parametrize("more", [{}, {"smoothing": 0.1}, {"z_loss": 1e-2}, {"scale": 0.3, "smoothing": 0.2}])
def test_cross_entropy_and_its_gradients(layer, chunk, more):
    hidden, weight, bias, targets = layer
    for use in (None, bias):
        inputs = [hidden, weight] + ([bias] if use is not None else [])
        found = chunked_cross_entropy(hidden, weight, targets, bias=use, chunk=chunk, **more)
        wanted = written_out(hidden, weight, targets, bias=use, **more)
        torch.testing.assert_close(found, wanted)
        for ours, theirs in zip(
            torch.autograd.grad(3 * found, inputs), torch.autograd.grad(3 * wanted, inputs), strict=True
        ):
            torch.testing.assert_close(ours, theirs)
    found = chunked_cross_entropy(hidden, weight, targets, bias=bias, chunk=chunk)
    torch.testing.assert_close(found, F.cross_entropy(F.linear(hidden, weight, bias), targets))


def test_gradients_are_those_of_finite_differences(layer):
    hidden, weight, bias, targets = layer

    def loss(hidden, weight, bias):
        return chunked_cross_entropy(hidden, weight, targets, bias=bias, smoothing=0.1, z_loss=0.01, chunk=4 * V)

    assert torch.autograd.gradcheck(loss, (hidden, weight, bias))
    teacher = torch.randn(N, 3, dtype=torch.double), torch.randn(V, 3, dtype=torch.double)

    def soft(hidden, weight, bias):
        return chunked_distillation(hidden, weight, *teacher, bias=bias, temperature=3.0, chunk=4 * V)

    assert torch.autograd.gradcheck(soft, (hidden, weight, bias))


def test_the_logits_are_never_whole(layer, monkeypatch):
    """No product is larger than a chunk, in either direction."""
    hidden, weight, _, targets = layer
    largest = 0
    softmax = torch.softmax

    def watch(logits, *more, **named):
        nonlocal largest
        largest = max(largest, logits.numel())
        return softmax(logits, *more, **named)

    monkeypatch.setattr(torch, "softmax", watch)
    chunked_cross_entropy(hidden, weight, targets, chunk=4 * V).backward()
    assert largest == 4 * V


@pytest.mark.parametrize("chunk", [2**24, 2 * V])
def test_no_target_at_all_is_zero(layer, chunk):
    hidden, weight, bias, targets = layer
    loss = chunked_cross_entropy(hidden, weight, torch.full_like(targets, IGNORE), bias=bias, chunk=chunk)
    loss.backward()
    assert loss.item() == 0.0
    assert not hidden.grad.any() and not weight.grad.any() and not bias.grad.any()
    assert chunked_cross_entropy(hidden[:0], weight, targets[:0], chunk=chunk).item() == 0.0


@pytest.mark.parametrize("chunk", [2**24, 2 * V])
def test_frozen_layer_evaluation_and_wrong_targets(layer, chunk):
    hidden, weight, _, targets = layer
    wanted = torch.autograd.grad(written_out(hidden, weight, targets), hidden)[0]
    frozen = weight.detach()
    loss = chunked_cross_entropy(hidden, frozen, targets, chunk=chunk)
    loss.backward()
    torch.testing.assert_close(hidden.grad, wanted)
    assert frozen.grad is None
    with torch.no_grad():
        assert not chunked_cross_entropy(hidden, weight, targets, chunk=chunk).requires_grad
    # a probe on frozen features trains the layer alone
    chunked_cross_entropy(hidden.detach(), weight, targets, chunk=chunk).backward()
    torch.testing.assert_close(weight.grad, torch.autograd.grad(written_out(hidden, weight, targets), weight)[0])
    for wrong in (V, -1):
        with pytest.raises((RuntimeError, IndexError)):
            chunked_cross_entropy(hidden, weight, targets.clone().index_fill_(0, torch.tensor(3), wrong), chunk=chunk)


def test_weights_tied_to_the_embedding_and_strided_states():
    """The word table gets the gradients of both its uses, and hidden states may be a view."""
    table = torch.randn(V, D, dtype=torch.double, requires_grad=True)
    ids = torch.randint(0, V, (2, 9))

    def hidden():
        return F.embedding(ids, table).transpose(0, 1)[1:].flatten(0, 1).roll(1, 1)  # b t d as t b d, first left out

    targets = ids.T[:-1].flatten()
    strided = hidden().T.contiguous().T
    assert not strided.is_contiguous()
    found = torch.autograd.grad(chunked_cross_entropy(strided, table, targets, chunk=3 * V), table)[0]
    wanted = torch.autograd.grad(F.cross_entropy(hidden() @ table.T, targets), table)[0]
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("chunk", [2**24, 8 * 300])
def test_bf16_under_autocast_and_by_itself(chunk):
    hidden, weight = torch.randn(40, 32, requires_grad=True), (0.3 * torch.randn(300, 32)).requires_grad_()
    targets = torch.randint(0, 300, (40,))
    exact = F.cross_entropy(hidden @ weight.T, targets)
    wanted = torch.autograd.grad(exact, (hidden, weight))
    for cast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=not cast):
            states, layer = (hidden.bfloat16(), weight.bfloat16()) if cast else (hidden, weight)
            loss = chunked_cross_entropy(states, layer, targets, chunk=chunk)
        found = torch.autograd.grad(loss, (hidden, weight))
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact, rtol=1e-3, atol=0)
        for ours, theirs in zip(found, wanted, strict=True):
            assert ours.dtype == torch.float32
            assert F.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.999


def test_gradients_can_be_asked_for_twice_but_have_none_themselves(layer):
    hidden, weight, _, targets = layer
    loss = chunked_cross_entropy(hidden, weight, targets, chunk=V)
    first = torch.autograd.grad(loss, weight, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(loss, weight, retain_graph=True)[0], first)
    assert not torch.autograd.grad(loss, hidden, create_graph=True)[0].requires_grad


def test_distillation_is_the_divergence_of_softened_probabilities(layer):
    hidden, weight, bias, _ = layer
    seen = torch.randn(N, 3, dtype=torch.double, requires_grad=True)
    table, constant = torch.randn(V, 3, dtype=torch.double), torch.randn(V, dtype=torch.double)
    student, teacher = F.linear(hidden, weight, bias), F.linear(seen, table, constant)
    for temperature in (1.0, 2.0):
        p, q = (teacher.detach() / temperature).softmax(1), (student / temperature).softmax(1)
        wanted = temperature**2 * (p * (p.log() - q.log())).sum() / N
        slopes = torch.autograd.grad(wanted, (hidden, weight, bias), retain_graph=True)
        for chunk in (2**24, 4 * V):
            options = {"bias": bias, "teacher_bias": constant, "temperature": temperature, "chunk": chunk}
            found = chunked_distillation(hidden, weight, seen, table, **options)
            torch.testing.assert_close(found, wanted)
            for ours, theirs in zip(torch.autograd.grad(found, (hidden, weight, bias)), slopes, strict=True):
                torch.testing.assert_close(ours, theirs)
        plain = losses.distillation(student, teacher, temperature=temperature)
        torch.testing.assert_close(plain, wanted.float())
    assert seen.grad is None
    assert losses.distillation(student, student).item() == pytest.approx(0.0, abs=1e-6)
    assert losses.distillation(student[:0], teacher[:0]).item() == 0.0
    assert chunked_distillation(hidden[:0], weight, seen[:0], table).item() == 0.0
    with torch.autocast("cpu", torch.bfloat16):  # the teacher's states are bf16 here, its layer float32
        low = chunked_distillation(hidden.float(), weight.float(), seen.bfloat16(), table.float())
    torch.testing.assert_close(low.double(), chunked_distillation(hidden, weight, seen, table), rtol=0.03, atol=0.01)


def test_cosine_distance():
    a = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    b = torch.tensor([[5.0, 0.0], [0.0, -1.0], [0.0, 7.0]])
    assert losses.cosine_distance(a, b).item() == pytest.approx((0 + 2 + 1 - 0.5**0.5) / 3)
    assert losses.cosine_distance(a[:0], b[:0]).item() == 0.0


def test_span_loss_leaves_out_answers_outside_the_window():
    start, end = torch.randn(4, 6), torch.randn(4, 6)
    first, last = torch.tensor([0, 6, -1, 2]), torch.tensor([3, 2, IGNORE, 5])
    wanted = (
        F.cross_entropy(start[[0, 3]], torch.tensor([0, 2])) + F.cross_entropy(end[[0, 1, 3]], torch.tensor([3, 2, 5]))
    ) / 2
    torch.testing.assert_close(losses.span_loss(start, end, first, last), wanted)
    nowhere = torch.full((4,), -1)
    assert losses.span_loss(start, end, nowhere, nowhere).item() == 0.0


def test_weighted_sum_names_what_does_not_fit():
    task, words = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    total = losses.weighted_sum({"task": task, "words": words}, {"task": 1.0, "words": 0.5})
    total.backward()
    assert (total.item(), task.grad.item(), words.grad.item()) == (3.5, 1.0, 0.5)
    with pytest.raises(ValueError, match="'words'"):
        losses.weighted_sum({"task": task}, {"task": 1.0, "words": 0.5})
