"""Both losses and their gradients against the whole matrix written out, also across processes, and in little memory."""

import subprocess
import sys
import textwrap

import pytest
import torch
from torch.nn import functional as F

from multimodal.losses import Gathered, sigmoid_pairs, softmax_pairs

B, E = 23, 7
# Not `ru_maxrss`: that of a new process begins with its parent's.
PEAK = """
def peak():  # kB of memory at most so far
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
"""


def whole_softmax(image, text, scale, bias, caption):
    logits = scale * image @ text.T
    other = (caption[:, None] == caption) & ~torch.eye(len(caption), dtype=torch.bool)
    logits = logits.masked_fill(other, -torch.inf)
    right = torch.arange(len(image))
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def whole_sigmoid(image, text, scale, bias, caption):
    logits = scale * image @ text.T + bias
    own = torch.eye(len(caption), dtype=torch.bool)
    counted = (caption[:, None] != caption) | own
    return -(F.logsigmoid(torch.where(own, logits, -logits)) * counted).sum() / len(image)


def ours(image, text, scale, bias, caption, **options):
    if bias is None:
        return softmax_pairs(image, text, scale, caption=caption, **options)
    return sigmoid_pairs(image, text, scale, bias, caption=caption, **options)


def drawn(sigmoid, seed=0, pairs=B):
    draw = torch.Generator().manual_seed(seed)
    image, text = (F.normalize(torch.randn(pairs, E, generator=draw, dtype=torch.double), dim=-1) for _ in range(2))
    scale = torch.tensor(9.0, dtype=torch.double)
    bias = torch.tensor(-3.0, dtype=torch.double) if sigmoid else None
    caption = torch.randint(0, pairs // 2, (pairs,), generator=draw)
    inputs = [x.requires_grad_() if x is not None else None for x in (image, text, scale, bias)]
    return (*inputs, caption)


def gradients(loss, inputs):
    return torch.autograd.grad(loss, [x for x in inputs if x is not None])


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("chunk", [1, 3 * B, 10**6])
def test_loss_and_gradients_are_those_of_the_whole_matrix(sigmoid, chunk):
    *inputs, caption = drawn(sigmoid)
    found, wanted = ours(*inputs, caption, chunk=chunk), (whole_sigmoid if sigmoid else whole_softmax)(*inputs, caption)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(gradients(found, inputs), gradients(wanted, inputs))


@pytest.mark.parametrize("sigmoid", [False, True])
def test_without_captions_all_others_are_negatives(sigmoid):
    *inputs, _ = drawn(sigmoid)
    different = torch.arange(B)
    torch.testing.assert_close(ours(*inputs, None), ours(*inputs, different))


@pytest.mark.parametrize("sigmoid", [False, True])
def test_a_batch_of_one_caption_teaches_nothing_wrong(sigmoid):
    """Repeated captions as negatives keep the loss at ln(batch), whatever the model learns."""
    *inputs, _ = drawn(sigmoid)
    loss = ours(*inputs, torch.zeros(B, dtype=torch.long))
    if not sigmoid:
        assert loss.item() == pytest.approx(0.0, abs=1e-12)
    image, text, scale, bias = inputs
    own = scale * (image * text).sum(1) + (bias if sigmoid else 0.0)
    if sigmoid:
        torch.testing.assert_close(loss, -F.logsigmoid(own).mean())


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("processes", [2, 3])
def test_the_mean_over_processes_is_the_loss_of_the_whole_batch(sigmoid, processes):
    *inputs, caption = drawn(sigmoid, pairs=4 * processes)
    image, text, scale, bias = inputs
    everyone = [Gathered(image, text, caption, 4 * rank) for rank in range(processes)]
    parts = [
        ours(image[mine], text[mine], scale, bias, caption[mine], everyone=everyone[rank])
        for rank in range(processes)
        for mine in [slice(4 * rank, 4 * rank + 4)]
    ]
    found, wanted = torch.stack(parts).mean(), (whole_sigmoid if sigmoid else whole_softmax)(*inputs, caption)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(gradients(found, inputs), gradients(wanted, inputs))


def test_a_frozen_tower_gets_no_gradient_and_the_other_the_same():
    image, text, scale, _, caption = drawn(False)
    wanted = gradients(softmax_pairs(image, text, scale, caption=caption), [text])
    found = gradients(softmax_pairs(image.detach(), text, scale, caption=caption), [text])
    torch.testing.assert_close(found, wanted)


def test_bf16_vectors_are_compared_in_float32():
    image, text, scale, _, caption = (x.detach() if x is not None else None for x in drawn(False))
    image, text = image.bfloat16(), text.bfloat16()
    loss = softmax_pairs(image, text, scale.float(), caption=caption)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, whole_softmax(image.float(), text.float(), scale.float(), None, caption))


def printed(code):
    words = [sys.executable, "-c", PEAK + textwrap.dedent(code)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_matrix_is_never_built():
    """Peak memory of loss and gradients at B = 16,384: the logits alone would take 1,074 MB."""
    code = """
        import torch
        from multimodal.losses import softmax_pairs
        image, text = (torch.randn(16_384, 8, requires_grad=True) for _ in range(2))
        scale = torch.ones((), requires_grad=True)
        softmax_pairs(image[:64], text[:64], scale).backward()
        before = peak()
        softmax_pairs(image, text, scale, caption=torch.arange(16_384)).backward()
        print((peak() - before) / 1e3)
    """
    assert printed(code) < 300


@pytest.mark.slow  # four minutes on two cores
def test_65536_pairs_take_less_than_a_gigabyte():
    code = """
        import torch
        from multimodal.losses import softmax_pairs
        scale = torch.ones((), requires_grad=True)
        before = peak()
        image, text = (torch.randn(65_536, 512, requires_grad=True) for _ in range(2))
        softmax_pairs(image, text, scale).backward()
        print((peak() - before) / 1e6)
    """
    assert printed(code) < 1.0  # GB, inputs and gradients included
