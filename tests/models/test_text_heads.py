"""Heads on text models: logits as written out, and answers that point at the right characters."""

from __future__ import annotations

import pytest
import torch
from tiny_text_models import CLASSIFIER, KINDS, LABELS, TAGS, bert, bert_config, bytelevel, gpt, randomized, wordpiece

from multimodal.backbone.lora import LoraConfig, attach
from multimodal.errors import ArgumentError
from multimodal.models.text.answers import best_answers, entity_spans, word_rows
from multimodal.models.text.body import bare
from multimodal.models.text.summary import FirstTokenHeadConfig, PooledHeadConfig, mean_real
from multimodal.models.text_heads import QuestionAnswererConfig, TextClassifierConfig, TokenTaggerConfig
from multimodal.tokenizers.encoded import TextBatch

HEADS = ["text classifier", "text classifier on a language model", "tagger", "question answerer", "multiple choice"]


def batch(lengths, vocabulary=40):
    generator = torch.Generator().manual_seed(1)
    return TextBatch.of([torch.randint(5, vocabulary, (n,), generator=generator).tolist() for n in lengths])


@pytest.mark.parametrize("kind", [kind for kind in HEADS if kind != "multiple choice"])
def test_padding_changes_nothing(kind):
    model = KINDS[kind]()
    ids, keep, types = batch([9, 4])
    with torch.no_grad():
        both = model(ids, keep=keep, types=types)
        short = model(ids[1:, :4])
    torch.testing.assert_close(both[1:, :4] if both.ndim == 3 else both[1:], short, atol=1e-5, rtol=1e-5)


def test_the_first_token_head_is_dense_activation_linear():
    model = KINDS["text classifier"]()
    ids, keep, _ = batch([7, 5])
    with torch.no_grad():
        first = model.encoder(ids, keep=keep)[:, 0]
        head = model.head
        expected = torch.tanh(first @ head.dense.weight.T + head.dense.bias) @ head.linear.weight.T + head.linear.bias
        torch.testing.assert_close(model(ids, keep=keep), expected)
        relu = FirstTokenHeadConfig(activation="relu").build(4, 2).eval()
        x = torch.randn(2, 3, 4)
        torch.testing.assert_close(relu(x), relu.linear(relu.dense(x[:, 0]).clamp(min=0)))


def test_pooled_heads_read_the_last_or_the_mean_of_real_tokens():
    hidden = torch.arange(24.0).reshape(2, 3, 4)
    keep = torch.tensor([[True, True, True], [True, True, False]])
    last, mean = (PooledHeadConfig(pool=pool).build(4, 2).eval() for pool in ("last", "mean"))
    with torch.no_grad():
        torch.testing.assert_close(last(hidden, keep), last.linear(torch.stack([hidden[0, 2], hidden[1, 1]])))
        expected = torch.stack([hidden[0].mean(0), hidden[1, :2].mean(0)])
        torch.testing.assert_close(mean(hidden, keep), mean.linear(expected))
        torch.testing.assert_close(mean_real(hidden, None), hidden.mean(1))


def test_choices_are_scored_one_by_one():
    model = KINDS["multiple choice"]()
    ids, keep, types = (part.unflatten(0, (2, 3)) for part in batch([9, 4, 6, 5, 8, 3]))
    with torch.no_grad():
        together = model(ids, keep=keep, types=types)
        alone = torch.stack([model(ids[:, i : i + 1], keep=keep[:, i : i + 1])[:, 0] for i in range(3)], 1)
    assert together.shape == (2, 3)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_a_body_brings_its_weights_and_its_pooler():
    body = bert()
    model = TextClassifierConfig(encoder=bare(body.config), classes=2).build()
    model.start_from(body)
    ids, keep, _ = batch([6, 4])
    with torch.no_grad():
        hidden = body(ids, keep=keep)
        torch.testing.assert_close(model.eval().hidden(ids, keep=keep), hidden)
        torch.testing.assert_close(torch.tanh(model.head.dense(hidden[:, 0])), body.pooled(hidden))
    assert model.tokenizer is body.tokenizer
    with pytest.raises(ArgumentError, match=r"give bare\(encoder\)"):
        TextClassifierConfig(encoder=body.config, classes=2).build()
    with pytest.raises(ArgumentError, match="not this model's `encoder`"):
        TextClassifierConfig(encoder=bert_config(max_length=8), classes=2).build().start_from(body)
    with pytest.raises(ArgumentError, match="2 labels were given for 3 classes"):
        CLASSIFIER.build(["a", "b"])


def test_predictions_are_in_order_whatever_the_batch():
    model = KINDS["text classifier"]()
    model.temperature = 0.5
    texts = ["the cat sat", "a dog ran to the big red house", ("anna lives", "in paris"), "", "\ud83d stone"]
    found = model.predict(texts, batch_size=2, top=3)
    assert [one.source for one in found] == texts
    for text, one in zip(texts, found, strict=True):
        row = wordpiece().encode(*(text if isinstance(text, tuple) else (text, None)))
        ids, keep, types = TextBatch.of([row.ids], [row.types])
        with torch.no_grad():
            expected = (model(ids, keep=keep, types=types)[0] / 0.5).softmax(-1).sort(descending=True)
        assert one.labels == tuple(LABELS[i] for i in expected.indices)
        assert one.probabilities == pytest.approx(expected.values.tolist(), abs=1e-5)
    assert model.predict("the cat sat", top=1)[0].label == found[0].label
    assert model.predict(("anna lives", "in paris"))[0].probabilities == pytest.approx(found[2].probabilities, abs=1e-5)
    assert not model.training


def test_long_texts_are_cut_where_it_is_said():
    model = KINDS["text classifier on a language model"]()
    text = "x" * 100
    assert model.predict(text)[0].probabilities == pytest.approx(model.predict("x" * 64)[0].probabilities)
    with pytest.raises(ArgumentError, match="has 100 tokens, and at most 64"):
        model.predict(text, truncation="refuse")
    with pytest.raises(ArgumentError, match="Text 2 of 2 is empty"):
        model.predict(["a", ""])
    with pytest.raises(ArgumentError, match="top is 0"):
        model.predict(text, top=0)
    with pytest.raises(ArgumentError, match="batch_size is 0"):
        model.predict(text, batch_size=0)
    with pytest.raises(ArgumentError, match=r"Text 1 of 1 is 3; give a text"):
        model.predict([3])
    bare_model = CLASSIFIER.build()
    with pytest.raises(ArgumentError, match="TextClassifier has no tokenizer"):
        bare_model.predict("a")


def test_entities_point_at_the_characters():
    text = "Anna  lives in Paris, big Paris."
    (row,) = word_rows(wordpiece(), text, 64)
    tags = {"anna": "B-person", "paris": "B-place", "big": "B-place"}
    chances = torch.full((len(row.ids), 5), 0.05)
    for i, word in enumerate(row.words):
        token = wordpiece().token_of(row.ids[i])
        tag = "O" if word is None else tags.get(token, "O")
        if token == "paris" and text[row.offsets[i][0] - 4 : row.offsets[i][0]] == "big ":
            tag = "I-place"
        chances[i, TAGS.index(tag)] = 0.8
    spans = entity_spans(text, [row], [chances], TAGS)
    assert [(s.label, s.text, s.start, s.end) for s in spans] == [
        ("person", "Anna", 0, 4),
        ("place", "Paris", 15, 20),
        ("place", "big Paris", 22, 31),
    ]
    assert all(text[s.start : s.end] == s.text and s.probability == pytest.approx(0.8) for s in spans)
    plain = entity_spans(text, [row], [chances], ("O", "NOUN", "X", "VERB", "ADJ"))
    assert [(s.label, s.text) for s in plain] == [
        ("NOUN", "Anna"),
        ("VERB", "Paris"),
        ("VERB", "big"),
        ("ADJ", "Paris"),
    ]


def test_tags_of_split_words_and_of_pieces():
    model = KINDS["tagger"]()
    words = ["anna", "lives", "in", "paris", "cats"]
    split, joined = model.tag([words, " ".join(words)])
    assert split == joined, "the same words, the same offsets"
    assert model.tag([""]) == [[]] == [model.tag(["a", ""])[1]]
    with pytest.raises(ArgumentError, match="give a list"):
        model.tag("anna")
    with pytest.raises(ArgumentError, match="tokens, and at most 64"):
        model.tag([["a"] * 100])


def test_every_word_of_a_long_text_is_tagged_once():
    model = TokenTaggerConfig(encoder=bert_config(max_length=12), classes=2).build(("O", "word"), wordpiece())
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([0.0, 50.0]))  # everything is a word
    text = " ".join(["cats", "anna", "mat"] * 9)
    (found,) = model.eval().tag([text])
    assert [span.text for span in found] == text.split()
    (spelt,) = KINDS["tagger"]().tag(["xyz " * 50])  # words of several tokens, cut by pieces
    assert len({span.start for span in spelt}) == len(spelt)


def test_the_best_span_of_several_windows_wins():
    tokenizer, context = wordpiece(), "the cat sat on a mat . anna lives in paris . the dog ran"
    rows = tokenizer.windows("where lives anna ?", context, max_length=14, overlap=3)
    assert len(rows) > 2
    logits = []
    for row in rows:
        one = torch.full((len(row.ids), 2), -5.0)
        one[0] = 1.0  # the null answer
        for i, (id, part) in enumerate(zip(row.ids, row.parts, strict=True)):
            token = tokenizer.token_of(id)
            if part == 0 and token == "anna":
                one[i] = 50.0  # in the question: no answer
            if part == 1 and token == "in":
                one[i, 0] = 4.0
            if part == 1 and token == "paris":
                one[i] = torch.tensor([3.0, 4.0])
        logits.append(one)
    found = best_answers(context, rows, logits, longest=5, null=False)
    assert [(a.text, context[a.start : a.end]) for a in found[:2]] == [("in paris", "in paris"), ("paris", "paris")]
    assert found[0].probability > found[1].probability and sum(a.probability for a in found) == pytest.approx(1)
    assert len({(a.start, a.end) for a in found}) == len(found)
    short = best_answers(context, rows, logits, longest=1, null=True)
    assert [a.text for a in short[:2]] == ["paris", ""]
    assert short[0].probability / short[1].probability == pytest.approx(torch.tensor(7.0 - 2.0).exp().item())
    logits[0][0] = 40.0
    assert best_answers(context, rows, logits, longest=1, null=True)[0].text == "paris", "one sure window is enough"


def test_answers_come_from_the_context():
    model = KINDS["question answerer"]()
    context = "the cat sat on a mat . " * 8
    found = model.answer("where ?", context, top=4)
    assert len(found) == 4 and all(context[a.start : a.end] == a.text and a.text for a in found)
    assert "" in {a.text for a in model.answer("where ?", context, top=1000, null=True)}
    with pytest.raises(ArgumentError, match="The context is empty"):
        model.answer("where ?", " ")
    with pytest.raises(ArgumentError, match=r"The question has 73 tokens.*shorten the question"):
        model.answer("where " * 70, context)
    with pytest.raises(ArgumentError, match="top is 0"):
        model.answer("where ?", context, top=0)


def test_choosing():
    model = KINDS["multiple choice"]()
    found = model.choose("anna lives in", ["paris", "a house", "stone"])
    rows = [wordpiece().encode("anna lives in", choice) for choice in ("paris", "a house", "stone")]
    ids, keep, types = TextBatch.of([row.ids for row in rows], [row.types for row in rows])
    with torch.no_grad():
        expected = model(ids[None], keep=keep[None], types=types[None])[0].softmax(-1).sort(descending=True)
    assert found.labels == tuple(["paris", "a house", "stone"][i] for i in expected.indices)
    assert found.probabilities == pytest.approx(expected.values.tolist(), abs=1e-5)
    assert model.choose("where ?", ["paris", "stone"], context="anna lives in paris").labels != ()
    with pytest.raises(ArgumentError, match="at least two"):
        model.choose("where ?", ["paris"])


@pytest.mark.parametrize("kind", HEADS)
def test_gradients_reach_every_parameter(kind):
    model = KINDS[kind]()
    ids, keep, types = batch([6, 4])
    given = (ids[None], keep[None], types[None]) if kind == "multiple choice" else (ids, keep, types)
    model(given[0], keep=given[1], types=given[2]).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_adapters():
    model = KINDS["text classifier"]()
    ids, keep, _ = batch([6, 4])
    with torch.no_grad():
        before = model(ids, keep=keep)
        names = attach(model, LoraConfig(rank=2, targets=("q", "v")))
        torch.testing.assert_close(model(ids, keep=keep), before)
    assert len(names) == 4
    assert randomized(QuestionAnswererConfig(encoder=gpt().config).build(bytelevel()))(ids).shape == (2, 6, 2)
