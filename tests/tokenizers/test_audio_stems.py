"""Stems: what they are by definition, and that a clip gives the same tokens alone and in a batch."""

import math

import pytest
import torch
from torch.nn import functional as F

from multimodal.errors import ArgumentError
from multimodal.tokenizers.audio import ConvStemConfig, SubsamplingConfig, subsampled

DIM, MELS = 16, 10
MEL = torch.randn(3, MELS, 30, generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([30, 19, 6])
KEEP = torch.arange(30) < LENGTHS[:, None]
STEMS = [ConvStemConfig(positions=15), SubsamplingConfig(channels=4)]


@pytest.mark.parametrize("config", STEMS)
def test_a_clip_gives_the_same_tokens_alone_and_in_a_batch(config):
    stem = config.build(DIM, MELS)
    tokens = stem(MEL, KEEP)
    assert tokens.keep.sum(1).tolist() == subsampled(LENGTHS, config).tolist()
    for row, length in enumerate(LENGTHS.tolist()):
        alone = stem(MEL[row : row + 1, :, :length]).x[0]
        torch.testing.assert_close(tokens.x[row][tokens.keep[row]], alone, rtol=1e-4, atol=1e-5)


def test_the_stem_of_whisper():
    stem = STEMS[0].build(DIM, MELS)
    x = F.gelu(F.conv1d(MEL, stem.conv1.weight, stem.conv1.bias, padding=1))
    x = F.gelu(F.conv1d(x, stem.conv2.weight, stem.conv2.bias, padding=1, stride=2)).transpose(1, 2)
    for place in range(15):
        for i in range(DIM // 2):
            angle = place * math.exp(-math.log(10_000) * i / (DIM // 2 - 1))
            x[:, place, i] += math.sin(angle)
            x[:, place, DIM // 2 + i] += math.cos(angle)
    torch.testing.assert_close(stem(MEL).x, x, rtol=1e-4, atol=1e-5)
    with pytest.raises(ArgumentError, match="The window has 40 frames, 20 tokens; this model reads 15"):
        stem(torch.zeros(1, MELS, 40))


def test_subsampling_keeps_each_time_step_apart():
    stem = STEMS[1].build(DIM, MELS)
    x = F.relu(F.conv2d(MEL[:, None].transpose(2, 3), stem.conv1.weight, stem.conv1.bias, stride=2, padding=1))
    x = F.relu(F.conv2d(x, stem.conv2.weight, stem.conv2.bias, stride=2, padding=1))  # b c t m
    b, c, t, m = x.shape
    expected = stem.out(torch.stack([x[:, :, i].reshape(b, c * m) for i in range(t)], dim=1))
    torch.testing.assert_close(stem(MEL).x, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", STEMS)
def test_other_channels_are_refused(config):
    with pytest.raises(ArgumentError, match="has 12 mel channels; this model takes 10"):
        config.build(DIM, MELS)(torch.zeros(1, 12, 30))
