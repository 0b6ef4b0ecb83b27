"""Collators of labelled samples, on a WordPiece vocabulary of a few words."""

import pickle

import numpy as np
import pytest
import tiny_text_models
import torch

from multimodal.data.text.rows import ChoiceQuestion, LabeledText, TaggedWords, Translation
from multimodal.data.text.task_batches import (
    ChoiceConfig,
    ClassificationConfig,
    TaggingConfig,
    TranslationConfig,
    word_tags,
)
from multimodal.losses import IGNORE
from multimodal.models.text_heads import MultipleChoiceConfig


@pytest.fixture(scope="module")
def bert():
    return tiny_text_models.wordpiece()


@pytest.fixture(scope="module")
def gpt():
    return tiny_text_models.bytelevel()


def items(*samples):
    return [(sample, (0, place)) for place, sample in enumerate(samples)]


def tokens(bert, row):
    return " ".join(bert.token_of(id) for id in row.tolist())


def test_classes_of_texts(bert):
    collate = ClassificationConfig().build(bert)
    batch = collate(items(LabeledText("the cats", None, 1), LabeledText("a", None, 0)))
    assert tokens(bert, batch["ids"][0]) == "[CLS] the cat ##s [SEP]"
    assert tokens(bert, batch["ids"][1]) == "[CLS] a [SEP] [PAD] [PAD]"
    assert batch["keep"].sum(1).tolist() == [5, 3] and not batch["types"].any()
    assert batch["target"].tolist() == [1, 0] and "targets" not in batch
    short = ClassificationConfig(max_length=4).build(bert)(items(LabeledText("the cat sat on", None, 0)))
    assert tokens(bert, short["ids"][0]) == "[CLS] the cat [SEP]"


def test_classes_of_pairs(bert):
    batch = ClassificationConfig().build(bert)(items(LabeledText("the cat", "a dog", 1), LabeledText("a", None, 0)))
    assert tokens(bert, batch["ids"][0]) == "[CLS] the cat [SEP] a dog [SEP]"
    assert batch["types"].tolist() == [[0, 0, 0, 0, 1, 1, 1], [0] * 7]


def test_a_language_model_goes_on_learning_beside_its_task(gpt):
    batch = ClassificationConfig(next_tokens=True).build(gpt)(
        items(LabeledText("abc", None, 1), LabeledText("d", None, 0))
    )
    a, b, c, d = gpt.rows(["abcd"])[0]
    assert batch["ids"].tolist() == [[a, b, c], [d, 0, 0]]
    assert batch["targets"].tolist() == [[b, c, IGNORE], [IGNORE] * 3]
    nothing = ClassificationConfig(next_tokens=True).build(gpt)(items(LabeledText("", None, 1)))
    assert nothing["keep"].tolist() == [[True]] and nothing["targets"].tolist() == [[IGNORE]]


def test_a_tag_belongs_to_the_first_token_of_its_word(bert):
    samples = (TaggedWords(("Anna", "sitting", "", "mat"), (3, 0, 1, 2)), TaggedWords(("a",), (4,)))
    batch = TaggingConfig().build(bert)(items(*samples))
    assert tokens(bert, batch["ids"][0]) == "[CLS] anna s ##i ##t ##t ##ing mat [SEP]"
    assert batch["targets"].tolist() == [[IGNORE, 3, 0, *[IGNORE] * 4, 2, IGNORE], [IGNORE, 4, *[IGNORE] * 7]]
    assert batch["words"].tolist() == [[-1, 0, 1, -1, -1, -1, -1, 3, -1], [-1, 0, *[-1] * 7]]
    assert batch["tags"] == [(3, 0, 1, 2), (4,)]
    predicted = torch.full((2, 9), 8)
    predicted[0, 1], predicted[0, 2], predicted[0, 7], predicted[1, 1] = 5, 6, 7, 4
    # the third word has no token at all
    assert word_tags(predicted, batch["words"], batch["tags"], missing=0) == [[5, 6, 0, 7], [4]]


def test_words_that_were_cut_off_keep_their_place(bert):
    batch = TaggingConfig(max_length=4).build(bert)(items(TaggedWords(("the", "cat", "sat", "on"), (1, 2, 3, 4))))
    assert tokens(bert, batch["ids"][0]) == "[CLS] the cat [SEP]"
    assert batch["targets"].tolist() == [[IGNORE, 1, 2, IGNORE]] and batch["tags"] == [(1, 2, 3, 4)]
    assert word_tags(batch["targets"], batch["words"], batch["tags"], missing=9) == [[1, 2, 9, 9]]


def test_bytes_of_one_word_share_its_tag(gpt):
    batch = TaggingConfig().build(gpt)(items(TaggedWords(("ab", "c"), (1, 2))))
    assert gpt.decode(batch["ids"][0]) == "ab c"
    assert batch["words"].tolist() == [[0, -1, 1, -1]] and batch["targets"].tolist() == [[1, IGNORE, 2, IGNORE]]


def test_choices_stand_beside_their_question(bert):
    first = ChoiceQuestion("where", ("paris", "a red house", "mat"), 1, "anna lives in a house")
    second = ChoiceQuestion("the cat", ("sat", "ran"), 0)
    batch = ChoiceConfig().build(bert)(items(first, second))
    assert batch["ids"].shape[:2] == (2, 3)
    assert tokens(bert, batch["ids"][0, 1]).startswith("[CLS] anna lives in a house [SEP] where a red house [SEP]")
    assert tokens(bert, batch["ids"][1, 1]).startswith("[CLS] the cat [SEP] ran [SEP] [PAD]")
    assert batch["types"][1, 1].tolist()[:6] == [0, 0, 0, 0, 1, 1]
    assert batch["choices"].tolist() == [[True, True, True], [True, True, False]]
    assert batch["keep"][1, 2].sum() == 1  # the choice that is not there
    assert batch["target"].tolist() == [1, 0]
    model = MultipleChoiceConfig(encoder=tiny_text_models.bert_config()).build(bert)
    logits = model(batch["ids"], keep=batch["keep"], types=batch["types"])
    assert logits.shape == (2, 3) and logits.isfinite().all()


def test_translations_end_with_the_end_of_text(gpt):
    samples = (Translation("abc", "de"), Translation("a", "defgh"))
    batch = TranslationConfig(start=7).build(gpt)(items(*samples))
    a, b, c, d, e, f, g, h = gpt.rows(["abcdefgh"])[0]
    assert batch["ids"].tolist() == [[a, b, c], [a, 0, 0]] and batch["keep"].sum(1).tolist() == [3, 1]
    assert batch["targets"].tolist() == [[d, e, gpt.eos_id, *[IGNORE] * 3], [d, e, f, g, h, gpt.eos_id]]
    assert batch["decoder_ids"].tolist() == [[7, d, e, 0, 0, 0], [7, d, e, f, g, h]]
    short = TranslationConfig(start=7, max_length=3).build(gpt)(items(*samples))
    assert short["targets"].tolist() == [[d, e, gpt.eos_id], [d, e, gpt.eos_id]]
    assert TranslationConfig(start=7).build(gpt)(items(Translation("", "")))["keep"].tolist() == [[True]]


def test_collators_travel_to_worker_processes(bert):
    collate = pickle.loads(pickle.dumps(TaggingConfig().build(bert)))
    assert np.array_equal(collate(items(TaggedWords(("a",), (4,))))["targets"], [[IGNORE, 4, IGNORE]])
