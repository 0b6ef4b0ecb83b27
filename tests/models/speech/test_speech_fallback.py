"""Which texts are decoded again, and how: scripted results in place of a model."""

from __future__ import annotations

import pytest
import torch

from multimodal.errors import ArgumentError
from multimodal.models.speech import fallback as module
from multimodal.models.speech.fallback import decode_with_fallback, failure
from multimodal.models.speech.options import Decoded, DecodingConfig


def decoded(avg_logprob=-0.5, compression_ratio=1.5, no_speech=0.0, temperature=0.0):
    return Decoded(
        ids=(1,),
        logprobs=(avg_logprob,),
        text="a",
        language="en",
        avg_logprob=avg_logprob,
        no_speech=no_speech,
        compression_ratio=compression_ratio,
        temperature=temperature,
    )


def test_what_looks_wrong():
    assert failure(decoded()) is None
    assert failure(decoded(compression_ratio=2.5)) == "repeats itself (compression ratio 2.5)"
    assert failure(decoded(compression_ratio=2.5), compression=None) is None
    assert failure(decoded(avg_logprob=-1.1)) == "unsure (mean log-probability -1.1)"
    assert failure(decoded(avg_logprob=-1.1), logprob=-2.0) is None
    assert failure(decoded(avg_logprob=-1.1), logprob=None) is None
    assert failure(decoded(avg_logprob=-1.1, no_speech=0.7, compression_ratio=9.0)) is None  # silence
    assert failure(decoded(avg_logprob=-1.1, no_speech=0.7), no_speech=None) is not None
    assert failure(decoded(no_speech=0.9, compression_ratio=9.0)) is not None  # sure of it: no silence


@pytest.fixture
def asked(monkeypatch):
    """What was asked for in turn; window i gives a sure text from temperature `sure[i]` on."""
    calls, sure = [], [0.0, 0.4, 0.2, 9.0]

    def decode(model, context, config, *, prompts=()):
        windows = [int(row[0, 0]) for row in context]
        calls.append((windows, config, list(prompts)))
        rows = [-0.5 if config.temperature >= sure[i] else -3.0 for i in windows]
        return [decoded(avg_logprob=row, temperature=config.temperature) for row in rows]

    monkeypatch.setattr(module, "decode_windows", decode)
    return calls


CONTEXT = torch.arange(4.0)[:, None, None].expand(4, 2, 3)


def test_only_windows_that_failed_are_decoded_again(asked):
    prompts = [[i] for i in range(4)]
    config = DecodingConfig(language="en", patience=2.0, beams=3)
    found = decode_with_fallback(None, CONTEXT, config, temperatures=(0.0, 0.2, 0.4), best_of=5, prompts=prompts)
    assert [windows for windows, _, _ in asked] == [[0, 1, 2, 3], [1, 2, 3], [1, 3]]
    assert [given for _, _, given in asked] == [prompts, [[1], [2], [3]], [[1], [3]]]
    settings = [(one.temperature, one.beams, one.best_of, one.patience) for _, one, _ in asked]
    assert settings == [(0.0, 3, None, 2.0), (0.2, None, 5, 1.0), (0.4, None, 5, 1.0)]
    assert [one.temperature for one in found] == [0.0, 0.4, 0.2, 0.4]
    assert [one.avg_logprob for one in found] == [-0.5, -0.5, -0.5, -3.0]  # the last try counts, whatever it gave


def test_one_temperature_is_one_try(asked):
    found = decode_with_fallback(None, CONTEXT, temperatures=(0.6,), beams=4)
    assert len(asked) == 1 and asked[0][1].beams is None and asked[0][2] == []
    assert [one.temperature for one in found] == [0.6] * 4
    assert decode_with_fallback(None, CONTEXT[:0]) == []
    with pytest.raises(ArgumentError, match="temperatures is empty"):
        decode_with_fallback(None, CONTEXT, temperatures=())
