"""Whisper's rules of the next token, against the same rules written out row by row, and one by one."""

from __future__ import annotations

import pytest
import torch

from multimodal.models.speech.rules import TextRules, TimestampRules
from multimodal.models.speech.tokens import SpeechTokens

# Words 0 to 9, special tokens 10 to 19, times 20 to 29.
TOKENS = SpeechTokens(
    sot=11,
    eot=10,
    translate=14,
    transcribe=15,
    sot_lm=16,
    sot_prev=17,
    no_speech=18,
    no_timestamps=19,
    timestamp_begin=20,
    languages={"en": 12, "de": 13},
    multilingual=True,
)
V, SUPPRESSED, FIRST = 30, (3, 11), (4, 10)
NEVER = float("-inf")


def rules(rows, latest=None):
    text = TextRules(SUPPRESSED, FIRST, vocabulary=V, device=torch.device("cpu"))
    return TimestampRules(text, TOKENS, rows=rows, latest=latest, device=torch.device("cpu"))


def written_out(logits, text, latest):
    """The logits of the token behind `text`, a list of ids."""
    logits = logits.clone()
    begin = TOKENS.timestamp_begin
    for id in (*SUPPRESSED, *(() if text else FIRST), TOKENS.no_timestamps):
        logits[id] = NEVER
    if not text:
        logits[:begin] = NEVER
        if latest is not None:
            logits[begin + latest + 1 :] = NEVER
        return logits
    last = text[-1] >= begin
    before = len(text) < 2 or text[-2] >= begin
    if last and before:
        logits[begin:] = NEVER
    elif last:
        logits[: TOKENS.eot] = NEVER
    times = [id for id in text if id >= begin]
    if times:
        logits[begin : times[-1] + (0 if last and not before else 1)] = NEVER
    p = logits.softmax(-1)
    if p[begin:].sum() > p[:begin].max():
        logits[:begin] = NEVER
    return logits


@pytest.mark.parametrize("latest", [None, 4])
def test_rules_row_by_row(latest):
    generator = torch.Generator().manual_seed(0)
    rows, found = 6, rules(6, latest)
    texts = [[] for _ in range(rows)]
    for step in range(14):
        logits = 2 * torch.randn(rows, V, generator=generator)
        expected = torch.stack([written_out(row, text, latest) for row, text in zip(logits, texts, strict=True)])
        ruled = found(logits.clone())
        torch.testing.assert_close(ruled, expected)
        ids = torch.multinomial(ruled.softmax(-1), 1, generator=generator)[:, 0]
        texts = [[*text, int(id)] for text, id in zip(texts, ids, strict=True)]
        found.append(ids)
        order = torch.randperm(rows, generator=generator).tolist() if step % 3 else [0, 0, 1, 2, 4, 5]
        found.reorder(order)
        texts = [texts[i] for i in order]
    assert len({tuple(text) for text in texts}) > 2


def after(*ids):
    """What may come behind these ids, where the model thinks all equally likely, times a little less."""
    found = rules(1)
    for id in ids:
        found.append(torch.tensor([id]))
    logits = torch.zeros(1, V)
    logits[:, TOKENS.timestamp_begin :] = -9.0
    return set(found(logits)[0].gt(NEVER).nonzero()[:, 0].tolist())


def test_a_text_begins_with_a_time():
    assert after() == set(range(20, 30))


def test_words_follow_the_first_time():
    assert after(22) == (set(range(20)) - {*SUPPRESSED, 19})


def test_times_come_in_pairs_or_before_the_end():
    allowed = after(22, 1, 25)  # the end of a segment: its time again or later, or no more text
    assert allowed & set(range(10)) == set() and 10 in allowed
    assert allowed & set(range(20, 30)) == {25, 26, 27, 28, 29}


def test_a_segment_is_not_empty_and_times_do_not_go_back():
    assert after(22, 1) & set(range(20, 30)) == set(range(23, 30))
    assert after(22, 1, 25, 25) & set(range(20, 30)) == set()
    assert after(22, 1, 25, 25, 2) & set(range(20, 30)) == {26, 27, 28, 29}


def test_times_that_are_likelier_together_than_any_word_win():
    logits = torch.zeros(2, V)
    logits[0, 20:] = -2.2  # ten of these are less than one word
    logits[1, 20:] = -1.9
    found = rules(2)
    for id in (22, 1):
        found.append(torch.tensor([id, id]))
    allowed = found(logits) > NEVER
    assert allowed[0, :20].any() and not allowed[1, :20].any() and allowed[1, 23:].all()


def test_without_times_only_what_is_no_speech_is_left_out():
    text = TextRules(SUPPRESSED, (*FIRST, V + 7), vocabulary=V, device=torch.device("cpu"))
    first = text(torch.zeros(2, V))
    assert (first == NEVER).nonzero()[:, 1].tolist() == sorted({*SUPPRESSED, *FIRST}) * 2
    text.append(torch.tensor([1, 2]))
    assert (text(torch.zeros(1, V)) == NEVER).nonzero()[:, 1].tolist() == sorted(SUPPRESSED)
