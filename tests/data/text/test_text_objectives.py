"""Collators of plain text: what a model is given and asked for, and that noise follows from seed, epoch and index."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer

from multimodal.data.text import noise
from multimodal.data.text.framing import sentence_ends, word_starts
from multimodal.data.text.objectives import (
    CausalConfig,
    DenoisingConfig,
    MaskedConfig,
    PrefixConfig,
    SpanCorruptionConfig,
)
from multimodal.data.text.sentence_pairs import SentencePair
from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_settings import SpecialTokens, TextSettings

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<mask>")
TOKENS = (*SPECIAL, ".", "?", *"abcdefgh", "##x", "##y", "<extra_id_0>", "<extra_id_1>", "<extra_id_2>")
ID = {token: id for id, token in enumerate(TOKENS)}
PAD, BOS, EOS, MASK = ID["<pad>"], ID["<s>"], ID["</s>"], ID["<mask>"]
SENTINELS = (17, 18, 19)


def made(*, max_length=None, **roles):
    engine = Tokenizer(WordPiece(ID, unk_token="<unk>"))
    engine.pre_tokenizer = BertPreTokenizer()
    roles = {"pad": "<pad>", "unk": "<unk>", "bos": "<s>", "eos": "</s>", "mask": "<mask>", **roles}
    special = SpecialTokens(**roles, extra=tuple(TOKENS[17:]))
    return TextTokenizer(engine, TextSettings(special=special, max_length=max_length))


def ids(text):
    return [ID[token] for token in text.split()]


def items(*samples, epoch=0, first=0):
    return [(sample, (epoch, first + number)) for number, sample in enumerate(samples)]


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_causal():
    collate = CausalConfig().build(made())
    batch = collate(items("a b cx", np.array(ids("d e"), dtype=np.uint16), "", bytes("f", "ascii")))
    assert batch["ids"].tolist() == [ids("a b c ##x"), [ID["d"], *[PAD] * 3], [PAD] * 4, [ID["f"], *[PAD] * 3]]
    assert batch["targets"][0].tolist() == [*ids("b c ##x"), EOS]  # a text is ended, ids are taken as they are
    assert batch["targets"][1].tolist() == [ID["e"], *[IGNORE] * 3]
    assert (batch["targets"][2] == IGNORE).all()
    for limited in (CausalConfig(max_length=2).build(made()), CausalConfig().build(made(max_length=2))):
        cut = limited(items("a b c d"))
        assert cut["ids"].tolist() == [ids("a b")] and cut["targets"].tolist() == [ids("b c")]
        assert limited(items(np.array(ids("a b c d"))))["ids"].shape == (1, 3)


def test_prefix_predicts_only_what_follows_it():
    collate = PrefixConfig().build(made())
    texts = ["a b c d e f g h"] * 50
    batch = collate(items(*texts, "", "a"))
    for prefix, targets in zip(batch["prefix"][:50].tolist(), batch["targets"][:50].tolist(), strict=True):
        assert targets == [*[IGNORE] * (prefix - 1), *[*ids("b c d e f g h"), EOS][prefix - 1 :]]
    assert set(batch["prefix"][:50].tolist()) == set(range(1, 9))
    assert batch["prefix"][50:].tolist() == [1, 1]
    assert (batch["targets"][50] == IGNORE).all() and batch["targets"][51, 0] == EOS
    assert equal(batch, collate(items(*texts, "", "a")))
    assert not equal(batch, collate(items(*texts, "", "a", epoch=1)))


def test_masked_words_are_framed_and_found_again():
    collate = MaskedConfig(share=0.5, mask=1.0, random=0.0).build(made())
    batch = collate(items("a b c d", np.array(ids("e f </s>"))))
    assert batch["keep"].tolist() == [[True] * 6, [True] * 4 + [False] * 2]
    assert not batch["types"].any() and "next_sentence" not in batch
    restored = torch.where(batch["targets"] == IGNORE, batch["ids"], batch["targets"])
    assert restored.tolist() == [[BOS, *ids("a b c d"), EOS], [BOS, *ids("e f"), EOS, PAD, PAD]]
    assert (batch["targets"] != IGNORE).sum(1).tolist() == [2, 1]
    assert (batch["ids"][batch["targets"] != IGNORE] == MASK).all()
    short = MaskedConfig(max_length=4).build(made())(items("a b c d"))
    assert torch.where(short["targets"] == IGNORE, short["ids"], short["targets"]).tolist() == [[BOS, *ids("a b"), EOS]]


def test_sentence_pairs_have_types_and_a_class():
    bert = made(cls="<s>", sep="?")
    pair = SentencePair(first=np.array(ids("a b")), second=np.array(ids("c")), next_sentence=1)
    other = SentencePair(first=np.array(ids("d")), second=np.array(ids("e f g")), next_sentence=0)
    batch = MaskedConfig().build(bert)(items(pair, other))
    restored = torch.where(batch["targets"] == IGNORE, batch["ids"], batch["targets"])
    assert restored[0].tolist() == [BOS, *ids("a b ? c ?"), PAD]
    assert batch["types"].tolist() == [[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1]]
    assert batch["next_sentence"].tolist() == [1, 0]


def test_masks_are_static_or_dynamic():
    texts = ["a b c d e f g h"] * 8
    for masking, same in (("static", True), ("dynamic", False)):
        collate = MaskedConfig(masking=masking).build(made())
        first = collate(items(*texts, epoch=1))
        assert equal(first, collate(items(*texts, epoch=1)))
        assert equal(first, collate(items(*texts, epoch=2))) == same
        assert not equal(first, collate(items(*texts, epoch=1, first=8)))
        assert not equal(first, MaskedConfig(masking=masking, seed=1).build(made())(items(*texts, epoch=1)))
    collate = MaskedConfig().build(made())
    whole = collate(items(*texts, epoch=3))
    halves = [collate(items(*texts[4:], epoch=3, first=4)), collate(items(*texts[:4], epoch=3))]
    assert torch.equal(whole["ids"], torch.cat([halves[1]["ids"], halves[0]["ids"]]))  # batches do not matter


def test_whole_words():
    collate = MaskedConfig(unit="word", share=0.5).build(made())
    batch = collate(items(*["a bxy cx dxyx e"] * 100))
    chosen = batch["targets"] != IGNORE
    words = torch.tensor([0, 1, 2, 2, 2, 3, 3, 4, 4, 4, 4, 5, 6])
    for word in range(1, 6):
        here = chosen[:, words == word]
        assert (here.all(1) == here.any(1)).all()
    assert chosen.any(0)[1:-1].all() and not chosen[:, [0, -1]].any()


def test_span_corruption():
    config = SpanCorruptionConfig(start=PAD, density=0.4, mean_span=2.0)
    collate = config.build(made())
    text = "a b c d e f g h"
    batch = collate(items(*[text] * 40, np.array(ids("a b </s>")), ""))
    for source, target, decoder in zip(batch["ids"], batch["targets"], batch["decoder_ids"], strict=True):
        source, target = source[source != PAD], target[target != IGNORE]
        assert source[-1] == target[-1] == EOS and (source == EOS).sum() == 1
        assert decoder[: len(target)].tolist() == [PAD, *target[:-1].tolist()]
    rejoined = [
        noise.rejoin_spans(source[source != PAD][:-1].numpy(), target[target != IGNORE][:-1].numpy(), SENTINELS)
        for source, target in zip(batch["ids"], batch["targets"], strict=True)
    ]
    assert [row.tolist() for row in rejoined] == [*[ids(text)] * 40, ids("a b"), []]
    assert (batch["ids"][:40] == SENTINELS[1]).any(1).all()  # 3 of 8 ids in two spans
    assert equal(batch, collate(items(*[text] * 40, np.array(ids("a b </s>")), "")))
    assert SpanCorruptionConfig(start=0, max_length=4).build(made())(items(text))["targets"][0, -1] == EOS


def test_denoising_asks_for_the_whole_text():
    text = "a b . c d e ? f g"
    frame = [BOS, *ids(text), EOS]
    kinds = {
        "mask": lambda row: len(row) == 11 and row.count(MASK) == 3,
        "delete": lambda row: len(row) == 8 and MASK not in row,
        "infill": lambda row: row.count(MASK) >= 1 and len(row) - row.count(MASK) == 8,
        "permute": lambda row: sorted(row) == sorted(frame) and (row[1:4] == ids("a b .") or row[3:4] != ids(".")),
        "rotate": lambda row: sorted(row) == sorted(frame) and row[1:-1] in [
            [*ids(text)[n:], *ids(text)[:n]] for n in range(9)
        ],
    }  # fmt: skip
    for kind, holds in kinds.items():
        batch = DenoisingConfig(start=EOS, noises=(kind,)).build(made())(items(*[text] * 30))
        rows = [row[row != PAD].tolist() for row in batch["ids"]]
        assert all(row[0] == BOS and row[-1] == EOS and holds(row) for row in rows), kind
        assert len({tuple(row) for row in rows}) > 2
        assert all(row == frame for row in batch["targets"].tolist())
        assert all(row == [EOS, *frame[:-1]] for row in batch["decoder_ids"].tolist())
    both = DenoisingConfig(start=EOS).build(made())(items(text))
    assert MASK in both["ids"] and both["targets"].tolist() == [frame]
    assert DenoisingConfig(start=EOS).build(made())(items(""))["ids"].tolist() == [[BOS, EOS]]


def test_what_a_tokenizer_lacks_is_said():
    bare = TextTokenizer(Tokenizer(WordPiece(ID, unk_token="<unk>")), TextSettings(special=SpecialTokens(unk="<unk>")))
    with pytest.raises(ArgumentError, match="mask token"):
        MaskedConfig().build(bare)
    with pytest.raises(ArgumentError, match="`eos` token"):
        SpanCorruptionConfig(start=0).build(bare)
    few = {token: id for token, id in ID.items() if not token.startswith(("<extra", "##"))}
    special = SpecialTokens(unk="<unk>", eos="</s>", mask="<mask>")
    plain = TextTokenizer(Tokenizer(WordPiece(few, unk_token="<unk>")), TextSettings(special=special))
    with pytest.raises(ArgumentError, match="extra_id_0"):
        SpanCorruptionConfig(start=0).build(plain)
    with pytest.raises(ArgumentError, match="does not show where they begin"):
        MaskedConfig(unit="word").build(plain)
    with pytest.raises(ArgumentError, match=r"share is 0\.0"):
        MaskedConfig(share=0.0)
    with pytest.raises(ArgumentError, match=r"mask 0\.9, random 0\.2"):
        MaskedConfig(mask=0.9, random=0.2)


def test_what_single_tokens_mean():
    assert [TOKENS[id] for id in np.flatnonzero(sentence_ends(made()))] == [".", "?"]
    assert [TOKENS[id] for id in np.flatnonzero(~word_starts(made())[: len(TOKENS)])] == ["##x", "##y"]


def test_collators_travel_to_worker_processes():
    for config in (CausalConfig(), MaskedConfig(unit="word"), SpanCorruptionConfig(start=0), DenoisingConfig(start=0)):
        collate = config.build(made())
        batch = items("a b cx d", epoch=2, first=5)
        assert equal(pickle.loads(pickle.dumps(collate))(batch), collate(batch))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpanCorruptionConfig(start=0, density=5.0), "density is 5.0; it must be above 0 and below 1"),
        (lambda: SpanCorruptionConfig(start=0, mean_span=0.0), "mean_span is 0.0; it must be a number of at least 1"),
        (lambda: DenoisingConfig(start=0, share=2.0), "share is 2.0; it must be above 0 and at most 1"),
        (lambda: DenoisingConfig(start=0, share=-0.3), "share is -0.3; it must be above 0"),
        (lambda: DenoisingConfig(start=0, mean_span=0.0), "mean_span is 0.0; it must be a number above 0"),
        (lambda: DenoisingConfig(start=0, mean_span=float("inf")), "mean_span is inf; it must be a number above 0"),
    ],
)
def test_settings_that_say_nothing_are_refused(make, message):
    with pytest.raises(ArgumentError) as found:
        make()
    assert str(found.value).startswith(message)


def test_words_that_are_no_choice_are_refused():
    """In a process of its own: here the type checks of the tests would come first."""
    code = """
from multimodal.data.text.objectives import DenoisingConfig, MaskedConfig
for make, options in ((MaskedConfig, {"unit": "words"}), (MaskedConfig, {"masking": "Static"}),
                      (DenoisingConfig, {"start": 0, "noises": ("infilling",)})):
    try:
        make(**options)
    except Exception as error:
        print(type(error).__name__, error)
"""
    environment = {**os.environ, "JAXTYPING_DISABLE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines() == [
        "ArgumentError unit is 'words'; it is one of token, word. Did you mean 'word'?",
        "ArgumentError masking is 'Static'; it is one of dynamic, static. Did you mean 'static'?",
        "ArgumentError a noise is 'infilling'; it is one of mask, delete, infill, permute, rotate. Did you mean "
        "'infill'?",
    ]
