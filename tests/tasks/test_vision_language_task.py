"""Training models that see: what each stage moves and leaves alone, the loss of answers, and scores without looking."""

from __future__ import annotations

import pytest
import tiny_models
import tiny_text_models
import torch
from lightning.pytorch import Trainer
from tiny_vision_language import picture, seeing
from torch.nn import functional as F
from torch.utils.data import DataLoader

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.lora import LoraConfig, adapters
from multimodal.backbone.mlp import MlpConfig
from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE
from multimodal.models.chat.views import Views
from multimodal.models.joining import join
from multimodal.models.language_model import LanguageModelConfig
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.vision_language import VisionLanguageTask, VisionLanguageTrainingConfig
from multimodal.tasks.vocabulary import TokenLossConfig
from multimodal.tokenizers.chat import VICUNA
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig

FAST = OptimizerConfig(lr=1e-2, warmup=0.0)


def with_dropout(encoder=None):
    """A model whose encoder and language model drop something in every layer while training."""
    attention, mlp = AttentionConfig(heads=2, dropout=0.3), MlpConfig(hidden=32, dropout=0.3)
    stack = tiny_text_models.backbone(mlp=mlp, drop_path=0.3)
    embedding = TextEmbeddingConfig(vocabulary=257, max_length=64)
    config = LanguageModelConfig(embedding=embedding, backbone=stack)
    language = tiny_text_models.randomized(config.build(tiny_text_models.bytelevel()))
    torch.manual_seed(0)
    return join(encoder or tiny_models.vit(attention=attention, mlp=mlp), language, layers=(-1,), template=VICUNA)


def batch_of(model, *rows):
    """Each row: (images, text, answer); of an answer every token and the end are learned."""
    found, seen = [], []
    for images, text, answer in rows:
        seen += [model.reader.read(picture(number)) for number in images]
        asked = [model.config.placeholder] * sum(one.tokens for one in seen[len(seen) - len(images) :])
        asked += [1 + byte % 256 for byte in text.encode()]
        said = [1 + byte % 256 for byte in answer.encode()] + [0]
        ids = [*asked, *said]
        found.append((ids[:-1], [IGNORE] * (len(asked) - 1) + said))
    longest = max(len(ids) for ids, _ in found)
    return {
        "ids": torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in found]),
        "targets": torch.tensor([targets + [IGNORE] * (longest - len(targets)) for _, targets in found]),
        "keep": torch.tensor([[i < len(ids) for i in range(longest)] for ids, _ in found]),
        "views": Views.of(seen),
        "failed": [],
    }


ROWS = (([0], "what", "red"), ([1], "who?", "a cat"), ([0, 2], "same", "no"), ([], "hm", "yes"), ([3], "what", "blue"))


def fitted(task, steps=3, **options):
    batch = batch_of(task.model, *ROWS)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_steps=steps, accelerator="cpu", enable_model_summary=False, **quiet, **options)
    loader = DataLoader([batch] * steps, batch_size=None)
    trainer.fit(task, loader, DataLoader([batch], batch_size=None))
    return trainer


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def moved(before, after):
    """The parts in which a tensor differs."""
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    return {name.split(".")[0] for name in changed}


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ("projector", {"projector"}),
        ("language", {"projector", "language"}),
        ("everything", {"features", "projector", "language"}),
    ],
)
def test_a_stage_moves_its_parts_and_leaves_the_others_bit_for_bit(train, expected):
    model = with_dropout()
    before = state_of(model)
    fitted(VisionLanguageTask(model, training=VisionLanguageTrainingConfig(train=train), optimizer=FAST))
    assert moved(before, state_of(model)) == expected


def test_statistics_of_a_frozen_encoder_do_not_move():
    model = with_dropout(tiny_models.wrapped())
    before = state_of(model)
    fitted(VisionLanguageTask(model, optimizer=FAST))
    assert moved(before, state_of(model)) == {"projector"}


def test_what_is_frozen_drops_nothing_while_the_rest_is_trained():
    model = with_dropout()
    task = VisionLanguageTask(model)
    batch = batch_of(model, *ROWS)
    losses = {task.training_step(batch, 0).item() for _ in range(3)}
    assert len(losses) == 1 and task.training and model.projector.training
    assert not any(module.training for part in (model.features, model.language) for module in part.modules())
    second = VisionLanguageTask(model, training=VisionLanguageTrainingConfig(train="language"))
    assert len({second.training_step(batch, 0).item() for _ in range(3)}) == 3
    second.eval()
    second.train()
    assert model.language.training and not model.features.training


def test_a_second_stage_in_the_same_process_trains_the_language_model():
    model = with_dropout()
    fitted(VisionLanguageTask(model, optimizer=FAST))
    before = state_of(model)
    fitted(VisionLanguageTask(model, training=VisionLanguageTrainingConfig(train="language"), optimizer=FAST))
    assert moved(before, state_of(model)) == {"projector", "language"}


def test_adapters_alone_move_and_are_folded_in_at_the_end():
    model = with_dropout()
    before = state_of(model)
    lora = LoraConfig(rank=2, dropout=0.2)
    task = VisionLanguageTask(model, training=VisionLanguageTrainingConfig(train="language", lora=lora), optimizer=FAST)
    adapted = set(adapters(model))
    assert adapted and all(name.startswith("language.") for name in adapted)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"projector", "language"}
    assert all(
        name.startswith(("projector.", *(f"{layer}.{m}." for layer in adapted for m in "ab"))) for name in trained
    )
    fitted(task)
    assert not adapters(model)
    after = state_of(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {f"{name}.weight" for name in adapted} == {name for name in changed if name.startswith("language.")}
    assert not any(name.startswith("features.") for name in changed)


def by_hand(model, batch, views):
    """Log-probabilities of each row's targets and whether each is the likeliest, row by row without padding."""
    rows, start = [], 0
    for ids, targets, keep in zip(batch["ids"], batch["targets"], batch["keep"], strict=True):
        ids, targets = ids[keep], targets[keep]
        count = int((ids == model.config.placeholder).sum()) // model.reader.length
        x = views.x[start : start + count] if count else None
        start += count
        logits = model(ids[None], x)[0]
        learned = [i for i, target in enumerate(targets.tolist()) if target != IGNORE]
        logprobs = [float(logits[i].log_softmax(-1)[targets[i]]) for i in learned]
        rows.append((logprobs, [int(logits[i].argmax()) == int(targets[i]) for i in learned]))
    return rows


@torch.no_grad()
def test_the_loss_is_that_of_the_answers_tokens():
    model = with_dropout()
    batch = batch_of(model, *ROWS)
    task = VisionLanguageTask(model)
    logprobs = [one for row, _ in by_hand(model, batch, batch["views"]) for one in row]
    assert len(logprobs) == sum(len(answer) + 1 for _, _, answer in ROWS) == task.tokens(batch)
    assert task.training_step(batch, 0).item() == pytest.approx(-sum(logprobs) / len(logprobs), rel=1e-4)
    smooth = VisionLanguageTrainingConfig(loss=TokenLossConfig(smoothing=0.1))
    logits = model(batch["ids"], batch["views"], keep=batch["keep"])
    expected = F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten(), label_smoothing=0.1)
    found = VisionLanguageTask(model, training=smooth).training_step(batch, 0)
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def counted(task, *batches):
    metrics = dict(task.val_metrics.items())
    for metric in metrics.values():
        metric.reset()
    with torch.no_grad():
        for batch in batches:
            task.eval().count(batch, metrics)
    return {name: float(value) for name, value in task.report(metrics).items()}


def test_scores_with_blank_and_turned_images_are_those_of_plain_loops():
    torch.manual_seed(0)
    model = seeing()
    batch = batch_of(model, *ROWS)
    views, found = batch["views"], []
    with torch.no_grad():  # learn what the model says itself, so that some rows are right: of its own images, or blank
        logits = model(batch["ids"], views, keep=batch["keep"])
        blank = model(batch["ids"], views.blank(), keep=batch["keep"])
    for row, source in ((0, logits), (1, blank), (2, logits), (3, logits), (4, blank)):
        places = (batch["targets"][row] != IGNORE).nonzero()[:1, 0]
        batch["targets"][row] = IGNORE
        batch["targets"][row, places] = source[row, places].argmax(-1)
    with torch.no_grad():
        for seen in (views, views.blank(), views.turned((0, 1, 2, 2, 4))[0]):
            found.append(by_hand(model, batch, seen))
    logprobs = [one for row, _ in found[0] for one in row]
    rights = [one for _, row in found[0] for one in row]
    shown = (batch["ids"] == model.config.placeholder).any(1).tolist()
    exact = [sum(all(row) for _, row in found[0]) / len(found[0])]
    for rows in found[1:]:  # a text alone needs no eyes
        exact.append(sum(all(row) for (_, row), here in zip(rows, shown, strict=True) if here) / sum(shown))
    scores = counted(VisionLanguageTask(model), batch, batch)
    assert scores["loss"] == pytest.approx(-sum(logprobs) / len(logprobs), rel=1e-4)
    assert scores["accuracy"] == pytest.approx(sum(rights) / len(rights))
    names = ("exact", "exact_blank", "exact_turned")
    assert [scores[name] for name in names] == pytest.approx(exact)
    assert exact[0] >= 3 / 5 and exact[1] >= 2 / 5


def test_a_conversation_without_another_image_does_not_count_as_one_that_was_shown_another():
    model = seeing()
    found = {}
    for name, rows in {
        "one": (([0], "what", "red"),),
        "copies": (([0], "what", "red"), ([0], "who?", "red"), ([], "hm", "yes")),
        "its own": (([0, 1], "what", "red"), ([], "hm", "yes")),
        "some": (([0, 1], "what", "red"), ([0], "who?", "red"), ([0], "why?", "red")),
    }.items():
        batch = batch_of(model, *rows)
        with torch.no_grad():
            logits = model(batch["ids"], batch["views"], keep=batch["keep"])
        for row in range(len(rows)):  # every row is right as it is
            places = (batch["targets"][row] != IGNORE).nonzero()[:1, 0]
            batch["targets"][row] = IGNORE
            batch["targets"][row, places] = logits[row, places].argmax(-1)
        found[name] = counted(VisionLanguageTask(model), batch)
        assert found[name]["exact"] == 1.0 and "exact_blank" in found[name]
    assert [name for name, scores in found.items() if "exact_turned" in scores] == ["some"]
    others = batch["views"].turned((0, 0, 1, 2))[0]
    assert torch.equal(others.x[0], batch["views"].x[0]), "there is none for the first image of the first row"
    with torch.no_grad():
        rights = [all(right) for _, right in by_hand(model, batch, others)]
    assert found["some"]["exact_turned"] == sum(rights[1:]) / 2


def test_data_without_images_has_no_scores_of_looking_elsewhere():
    model = with_dropout()
    batch = batch_of(model, ([], "hm", "yes"))
    assert batch["views"] is None
    task = VisionLanguageTask(model)
    assert set(counted(task, batch)) == {"loss", "accuracy", "exact"}
    # Every process asks for the sums of all, whatever it was given: else those would wait that were given images.
    assert all(metric.update_called for metric in task.val_metrics.values())


def test_it_learns_to_answer_from_the_image_alone():
    """The same question, and answers that only the image tells apart."""
    model = seeing(layers=())
    rows = (([0], "?", "a"), ([1], "?", "b"), ([2], "?", "c"))
    batch = batch_of(model, *rows)
    task = VisionLanguageTask(model, training=VisionLanguageTrainingConfig(train="everything"), optimizer=FAST)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(60):
        loss = task.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores = counted(task, batch)
    assert scores["exact"] == 1.0 and scores["exact_turned"] == 0.0 and scores["exact_blank"] < 0.5


def test_metrics_of_a_run_and_files_that_could_not_be_read(capsys):
    model = with_dropout()
    task = VisionLanguageTask(model, optimizer=FAST)
    task.failed.add("lost.jpg")
    metrics = fitted(task).callback_metrics
    assert {f"val_{name}" for name in ("loss", "accuracy", "exact", "exact_blank", "exact_turned")} <= metrics.keys()
    assert "lost.jpg" in capsys.readouterr().err


def test_adapters_of_what_is_frozen_are_refused():
    with pytest.raises(ArgumentError, match="lora adapts the language model, which train='projector' leaves alone"):
        VisionLanguageTrainingConfig(lora=LoraConfig())


def test_text_alone_gives_the_projector_a_gradient_of_nothing():
    model = seeing()
    task = VisionLanguageTask(model, training=VisionLanguageTrainingConfig(train="language"))
    loss = task.training_step(batch_of(model, ((), "why", "so")), 0)
    loss.backward()
    grads = [parameter.grad for parameter in model.projector.parameters()]
    assert all(grad is not None and not grad.any() for grad in grads)
    assert model.language.embedding.words.weight.grad.any()


@pytest.mark.parametrize("layers", [(), (-2,), (1, 2), (0,)])
def test_all_that_is_trained_has_a_part_in_the_loss(layers):
    """With several processes, a parameter that is waited for and never read ends the training."""
    model = seeing(layers=layers)
    task = VisionLanguageTask(model, training=VisionLanguageTrainingConfig(train="everything"))
    task.training_step(batch_of(model, ([0], "which", "so")), 0).backward()
    unread = [name for name, one in model.named_parameters() if one.requires_grad and one.grad is None]
    assert not unread
    frozen = [name for name, one in model.named_parameters() if not one.requires_grad]
    assert all(name.startswith("features.encoder.") for name in frozen)
    assert any(".blocks.1." in name for name in frozen) == (layers in ((-2,), (0,)))


def test_a_model_that_does_not_look_is_named_at_the_end(capsys):
    model = seeing()
    with torch.no_grad():
        for parameter in model.projector.parameters():
            parameter.zero_()  # nothing of an image reaches the language model
    config = VisionLanguageTrainingConfig(train="projector")
    blind = VisionLanguageTask(model, training=config, optimizer=OptimizerConfig(lr=1e-12, warmup=0.0))
    fitted(blind)
    assert "With blank images the model answers as well" in capsys.readouterr().err
