"""Tasks that predict tokens: their losses and metrics against the definitions, from whole logits."""

from dataclasses import replace

import pytest
import torch
from tiny_text_models import bert, gpt, marian, t5
from torch.nn import functional as F

from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE
from multimodal.models.text_encoder import PoolerConfig
from multimodal.tasks.distillation import DistillationConfig, DistillationTask
from multimodal.tasks.language_modeling import LanguageModelingTask
from multimodal.tasks.masked_modeling import MaskedModelingTask
from multimodal.tasks.sequence_to_sequence import SequenceToSequenceTask
from multimodal.tasks.vocabulary import TokenLossConfig


def ids(rows=3, length=9, high=60):
    return torch.randint(5, high, (rows, length), generator=torch.Generator().manual_seed(1))


def counted(task, batch):
    metrics = dict(task.val_metrics.items())
    with torch.no_grad():
        task.eval().count(batch, metrics)
    return {name: float(value) for name, value in task.report(metrics).items()}


def causal_batch():
    rows = ids()
    targets = rows.roll(-1, 1)
    targets[:, -1] = IGNORE
    targets[1, 4:] = IGNORE
    return {"ids": rows, "targets": targets}


def test_next_token():
    model, batch = gpt(), causal_batch()
    logits = model(batch["ids"])
    task = LanguageModelingTask(model)
    plain = F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten(), ignore_index=IGNORE)
    assert task.training_step(batch, 0).item() == pytest.approx(plain.item(), rel=1e-5)
    found = counted(task, batch)
    real = batch["targets"] != IGNORE
    right = (logits.argmax(-1) == batch["targets"])[real].float().mean()
    assert found["loss"] == pytest.approx(plain.item(), rel=1e-5)
    assert found["accuracy"] == pytest.approx(right.item())
    assert found["perplexity"] == pytest.approx(plain.exp().item(), rel=1e-4)


def test_smoothing_and_z_loss_are_for_training_alone():
    model, batch = gpt(), causal_batch()
    task = LanguageModelingTask(model, objective=TokenLossConfig(smoothing=0.1, z_loss=0.01))
    logits, targets = model(batch["ids"]).flatten(0, 1), batch["targets"].flatten()
    smoothed = F.cross_entropy(logits, targets, ignore_index=IGNORE, label_smoothing=0.1)
    drift = logits.logsumexp(-1)[targets != IGNORE].square().mean()
    assert task.training_step(batch, 0).item() == pytest.approx((smoothed + 0.01 * drift).item(), rel=1e-5)
    assert counted(task, batch)["loss"] == pytest.approx(
        F.cross_entropy(logits, targets, ignore_index=IGNORE).item(), rel=1e-5
    )


@pytest.mark.parametrize(
    "more",
    [
        {"prefix": torch.tensor([3, 1, 5])},
        {
            "document": torch.tensor([[0] * 4 + [1] * 5] * 3),
            "positions": torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4]] * 3),
        },
    ],
    ids=["prefix", "packed"],
)
def test_what_a_batch_says_of_its_tokens_reaches_the_model(more):
    model, batch = gpt(), causal_batch()
    logits = model(batch["ids"], **more)
    plain = F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten(), ignore_index=IGNORE)
    task = LanguageModelingTask(model)
    loss = task.training_step({**batch, **more}, 0).item()
    assert loss == pytest.approx(plain.item(), rel=1e-5)
    assert loss != pytest.approx(task.training_step(batch, 0).item(), rel=1e-3)


def masked_batch(pairs=True):
    rows, keep = ids(high=30), torch.ones(3, 9, dtype=torch.bool)
    keep[2, 6:] = False
    targets = torch.full_like(rows, IGNORE)
    targets[0, 2], targets[1, 5], targets[2, 1], targets[2, 4] = 7, 8, 9, 10
    types = torch.zeros_like(rows)
    types[:, 5:] = 1
    batch = {"ids": rows, "keep": keep, "types": types, "targets": targets}
    return {**batch, "next_sentence": torch.tensor([0, 1, 1])} if pairs else batch


def test_masked_words_and_the_next_sentence():
    model, batch = bert(), masked_batch()
    hidden = model(batch["ids"], keep=batch["keep"], types=batch["types"])
    words = F.cross_entropy(model.mask_logits(hidden).flatten(0, 1), batch["targets"].flatten(), ignore_index=IGNORE)
    follows = model.pooler.next_sentence(model.pooled(hidden))
    sentences = F.cross_entropy(follows, batch["next_sentence"])
    task = MaskedModelingTask(model)
    assert task.training_step(batch, 0).item() == pytest.approx((words + sentences).item(), rel=1e-5)
    found = counted(task, batch)
    assert found["loss"] == pytest.approx(words.item(), rel=1e-5)
    assert found["next_sentence"] == pytest.approx((follows.argmax(1) == batch["next_sentence"]).float().mean().item())
    assert int(task.tokens(batch)) == 24


def test_an_encoder_without_a_pooler_learns_words_alone():
    model = replace(bert().config, pooler=None).build()
    batch = masked_batch(pairs=False)
    hidden = model(batch["ids"], keep=batch["keep"], types=batch["types"])
    words = F.cross_entropy(model.mask_logits(hidden).flatten(0, 1), batch["targets"].flatten(), ignore_index=IGNORE)
    task = MaskedModelingTask(model)
    assert task.training_step(batch, 0).item() == pytest.approx(words.item(), rel=1e-5)
    assert "next_sentence" not in counted(task, batch)


def test_masked_words_need_a_head():
    with pytest.raises(ArgumentError, match="MaskedHeadConfig"):
        MaskedModelingTask(replace(bert().config, head=None, pooler=PoolerConfig()).build())


@pytest.mark.parametrize(
    "make", [t5, marian, lambda: t5(output_scale=0.25, tied=False)], ids=["t5", "marian", "scaled"]
)
def test_targets_of_an_encoder_decoder(make):
    model = make()
    keep = torch.ones(3, 9, dtype=torch.bool)
    keep[1, 5:] = False
    targets = ids(length=6)
    targets[2, 3:] = IGNORE
    decoder = torch.cat([torch.zeros(3, 1, dtype=torch.long), targets[:, :-1].clamp(min=0)], 1)
    batch = {"ids": ids(), "keep": keep, "decoder_ids": decoder, "decoder_keep": decoder >= 0, "targets": targets}
    logits = model(batch["ids"], decoder, keep=keep)
    plain = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
    task = SequenceToSequenceTask(model)
    assert task.training_step(batch, 0).item() == pytest.approx(plain.item(), rel=1e-5)
    assert counted(task, batch)["loss"] == pytest.approx(plain.item(), rel=1e-5)
    assert int(task.tokens(batch)) == 23 + 15


def test_bleu_of_what_the_model_itself_writes_is_one():
    model = t5()
    texts = ["the cat sat on a mat", "a dog"]
    written = model.generate(texts)
    rows = model.tokenizer.batch(texts)
    targets = torch.full((2, 8), IGNORE)
    for row, found in enumerate(model.complete(texts)):
        targets[row, : len(found[0].ids)] = torch.tensor(found[0].ids)
    batch = {"ids": rows.ids, "keep": rows.keep, "targets": targets}
    ours, theirs = SequenceToSequenceTask(model, bleu=True)._written(batch)
    assert ours == written and theirs == [[text] for text in written]


def distillation(**options):
    torch.manual_seed(3)
    student = replace(bert().config, pooler=None).build()
    return DistillationTask(student, bert(), objective=DistillationConfig(**options))


def test_distillation_is_the_weighted_sum_of_its_three_losses():
    task, batch = distillation(temperature=3.0, teacher=5.0, masked=2.0, cosine=0.5), masked_batch(pairs=False)
    inputs = {"keep": batch["keep"], "types": batch["types"]}
    hidden, theirs = task.model(batch["ids"], **inputs), task.teacher(batch["ids"], **inputs)
    masked = batch["targets"] != IGNORE
    ours, wanted = task.model.mask_logits(hidden)[masked], task.teacher.mask_logits(theirs)[masked]
    wanted_chances = (wanted / 3).softmax(-1)
    divergence = (wanted_chances * ((wanted / 3).log_softmax(-1) - (ours / 3).log_softmax(-1))).sum(-1).mean() * 9
    words = F.cross_entropy(ours, batch["targets"][masked])
    angle = (1 - F.cosine_similarity(hidden[batch["keep"]], theirs[batch["keep"]], dim=-1)).mean()
    by_hand = 5 * divergence + 2 * words + 0.5 * angle
    assert task.training_step(batch, 0).item() == pytest.approx(by_hand.item(), rel=1e-4)
    found = counted(task, batch)
    assert found["agreement"] == pytest.approx((ours.argmax(1) == wanted.argmax(1)).float().mean().item())


def test_the_teacher_is_frozen_and_in_no_checkpoint():
    task, batch = distillation(), masked_batch(pairs=False)
    task.train()
    assert not task.teacher.training and task.model.training
    task.training_step(batch, 0).backward()
    assert all(p.grad is None for p in task.teacher.parameters())
    assert all(p.grad is not None for p in task.model.parameters())
    kept = {"state_dict": task.state_dict()}
    task.on_save_checkpoint(kept)
    assert kept["state_dict"] and not any(name.startswith("teacher.") for name in kept["state_dict"])
    task.on_load_checkpoint(kept)
    assert kept["state_dict"].keys() == task.state_dict().keys()


def test_a_student_of_another_width_has_no_angle():
    small = bert().config
    narrow = replace(small, backbone=replace(small.backbone, dim=8), pooler=None).build()
    with pytest.raises(ArgumentError, match="set cosine to 0"):
        DistillationTask(narrow, bert())
    task = DistillationTask(narrow, bert(), objective=DistillationConfig(cosine=0.0))
    assert task.training_step(masked_batch(pairs=False), 0).isfinite()


@pytest.mark.parametrize(("name", "value"), [("smoothing", 1.0), ("z_loss", -0.1)])
def test_impossible_values_are_named(name, value):
    with pytest.raises(ArgumentError, match=name):
        TokenLossConfig(**{name: value})
