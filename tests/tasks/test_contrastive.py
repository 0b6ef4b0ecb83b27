"""Contrastive training against plain computations: losses, locked towers, the gradient cache, adapters, recall."""

import pytest
import torch
from tiny_dual_encoders import CAPTIONS, built, pictures
from torch.nn import functional as F

from multimodal.backbone.lora import LoraConfig, adapters
from multimodal.data.pairs.batches import caption_number
from multimodal.errors import ArgumentError
from multimodal.metrics import retrieval
from multimodal.tasks.contrastive import ContrastiveConfig, ContrastiveTask


def batch_of(model, captions=CAPTIONS):
    rows = model.tokenizer.batch(list(captions))
    return {
        "pixels": pictures(len(captions)),
        "ids": rows.ids,
        "keep": rows.keep,
        "caption": torch.tensor([caption_number(caption) for caption in captions]),
        "index": torch.arange(len(captions)),
        "failed": [],
    }


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def trained(task, batch):
    """The loss and the gradients of one step."""
    task.model.zero_grad()
    task.train()
    torch.manual_seed(0)
    loss = task.training_step(batch, 0)
    loss.backward()
    return loss.item(), gradients(task.model)


def plain(model, captions):
    """Logits of every picture with every caption, each read alone and without padding."""
    image = F.normalize(model.image(model.transform.normalize(pictures(len(captions)))), dim=-1)
    rows = [torch.tensor([model.tokenizer.encode(caption).ids]) for caption in captions]
    text = F.normalize(torch.cat([model.text(row) for row in rows]), dim=-1)
    return model.similarity(image, text)


@pytest.mark.parametrize("kind", ["clip", "one trunk"])
def test_the_softmax_loss_is_clips(kind):
    model = built(kind)
    logits, right = plain(model, CAPTIONS), torch.arange(len(CAPTIONS))
    wanted = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
    found, _ = trained(ContrastiveTask(model), batch_of(model))
    assert found == pytest.approx(wanted.item(), rel=1e-5)


def test_the_sigmoid_loss_is_siglips():
    model = built("siglip")
    logits = plain(model, CAPTIONS)
    wanted = -F.logsigmoid((2 * torch.eye(len(CAPTIONS)) - 1) * logits).sum() / len(CAPTIONS)
    found, _ = trained(ContrastiveTask(model), batch_of(model))
    assert found == pytest.approx(wanted.item(), rel=1e-5)


def test_a_repeated_caption_is_no_negative():
    model = built()
    captions = [*CAPTIONS, CAPTIONS[0].upper()]
    logits, right = plain(model, captions), torch.arange(len(captions))
    logits[0, -1] = logits[-1, 0] = -torch.inf
    wanted = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
    assert trained(ContrastiveTask(model), batch_of(model, captions))[0] == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip", "one trunk"])
@pytest.mark.parametrize("micro", [1, 4])
def test_the_gradient_cache_has_the_gradients_of_the_whole_batch(kind, micro):
    model = built(kind)
    whole = trained(ContrastiveTask(model), batch_of(model))
    parts = trained(ContrastiveTask(model, training=ContrastiveConfig(micro_batch=micro)), batch_of(model))
    assert parts[0] == pytest.approx(whole[0], rel=1e-5)
    torch.testing.assert_close(parts[1], whole[1], rtol=1e-4, atol=1e-5)


def test_the_gradient_cache_leaves_out_the_same_patches_both_times():
    """Recomputed with other patches, gradients would belong to other vectors than the loss saw."""
    model = built()
    task = ContrastiveTask(model, training=ContrastiveConfig(micro_batch=2, patch_drop=0.5))
    batch = batch_of(model)
    loss, found = trained(task, batch)
    step = 1e-5
    with torch.no_grad():  # along the gradient, the loss changes by its squared length
        for name, p in model.named_parameters():
            p -= step * found[name]
    after, _ = trained(task, batch)
    expected = -step * sum(float(g.square().sum()) for g in found.values())
    assert after - loss == pytest.approx(expected, rel=0.1)


def test_a_published_model_is_trained_in_training_mode_and_a_locked_tower_never():
    """A model comes from `mm.load` in eval mode, in which the dropout of adapters would do nothing."""
    task = ContrastiveTask(built().eval(), training=ContrastiveConfig(lora=LoraConfig(dropout=0.5)))
    assert all(layer.dropout.training for layer in adapters(task.model).values())
    model = built()
    model.image.extra = torch.nn.BatchNorm1d(2)
    task = ContrastiveTask(model.eval(), training=ContrastiveConfig(locked="image"))
    assert model.text.training and not model.image.extra.training
    task.eval()
    task.train()
    assert model.text.training and not model.image.extra.training


def test_a_batch_of_one_pair_has_a_loss():
    found = {}
    for kind in ("clip", "siglip"):
        model = built(kind)
        training = ContrastiveConfig(micro_batch=1)
        found[kind], slopes = trained(ContrastiveTask(model, training=training), batch_of(model, CAPTIONS[:1]))
        assert all(slope.isfinite().all() for slope in slopes.values())
    logit = plain(model, CAPTIONS[:1])
    assert found["clip"] == pytest.approx(0.0, abs=1e-6)
    assert found["siglip"] == pytest.approx(-F.logsigmoid(logit).item(), rel=1e-5)


def test_images_that_cannot_be_read_are_named_at_the_end(capsys):
    model = built()
    task = ContrastiveTask(model)
    trained(task, {**batch_of(model), "failed": ["b.png is broken", "a.png is gone"]})
    task.on_train_end()
    assert "2 files could not be read" in (told := capsys.readouterr().err) and "a.png is gone" in told


@pytest.mark.parametrize("locked", ["image", "text"])
def test_a_locked_tower_stays_as_it_is_and_the_other_learns_the_same(locked):
    model = built()
    _, whole = trained(ContrastiveTask(model), batch_of(model))
    task = ContrastiveTask(built(), training=ContrastiveConfig(locked=locked))
    _, found = trained(task, batch_of(model))
    assert found and not any(name.startswith(f"{locked}.") for name in found)
    torch.testing.assert_close(found, {name: whole[name] for name in found}, rtol=1e-4, atol=1e-6)


def test_a_locked_image_tower_is_asked_once_for_each_image():
    model = built()
    task = ContrastiveTask(model, training=ContrastiveConfig(locked="image"))
    batch = batch_of(model)
    wanted, _ = trained(task, batch)
    calls = []
    encode = model.encode_images
    model.encode_images = lambda pixels, **options: calls.append(len(pixels)) or encode(pixels, **options)
    losses = [
        task.training_step({**batch, "pixels": batch["pixels"][~known], "known": known}, 0).item()
        for known in (torch.zeros(6, dtype=torch.bool), torch.arange(6) > 1, torch.ones(6, dtype=torch.bool))
    ]
    assert calls == [6, 2], "the second batch has two pictures that were not decoded before, the third none"
    assert losses == pytest.approx([wanted] * 3, rel=1e-5)


def test_adapters_are_trained_alone_and_folded_in():
    model = built()
    before = {name: p.clone() for name, p in model.state_dict().items()}
    task = ContrastiveTask(model, training=ContrastiveConfig(lora=LoraConfig(rank=2)))
    _, found = trained(task, batch_of(model))
    assert all(".b." in name or ".a." in name or name.startswith("similarity.") for name in found)
    with torch.no_grad():
        for layer in adapters(model).values():
            layer.b.weight.add_(0.1)
    pixels = pictures(3)
    wanted = model.eval().encode_images(pixels)
    task.on_train_end()
    after = model.state_dict()
    assert after.keys() == before.keys() and not adapters(model)
    torch.testing.assert_close(model.encode_images(pixels), wanted)
    changed = {
        name.rpartition(".")[0].rpartition(".")[2] for name in after if not torch.equal(after[name], before[name])
    }
    assert changed == {"q", "v"}


def test_leaving_out_patches_changes_training_and_not_validation():
    model = built()
    task = ContrastiveTask(model, training=ContrastiveConfig(patch_drop=0.5))
    plain = ContrastiveTask(model)
    assert trained(task, batch_of(model))[0] != pytest.approx(trained(plain, batch_of(model))[0])
    everyone = torch.arange(len(CAPTIONS))
    batch, vectors = {**batch_of(model), "image": everyone, "owner": everyone}, []
    for one in (task, plain):
        metrics = dict(one.eval().val_metrics.items())
        with torch.no_grad():
            one.count(batch, metrics)
        vectors.append(torch.cat(metrics["pairs"].image))
    assert torch.equal(*vectors)


def test_the_scale_stays_within_clips_bounds():
    model = built()
    for value, wanted in ((200.0, 100.0), (0.5, 1.0), (30.0, 30.0)):
        with torch.no_grad():
            model.similarity.log_scale.fill_(torch.tensor(value).log())
        model.similarity.clamp()
        assert model.similarity.scale.item() == pytest.approx(wanted)


def test_recall_is_that_of_all_pairs_whatever_the_batches():
    """Two captions for each picture; a picture that stands for an unreadable one comes twice and counts once."""
    model = built().eval()
    pixels, captions = pictures(6), [*CAPTIONS, *(f"{caption} ." for caption in CAPTIONS)]
    image, text = model.encode_images(pixels), model.embed_texts(captions)
    logits = image @ text.T
    own = torch.arange(12) % 6
    wanted = retrieval(image, text, own).recalls()
    found = (own[logits.argmax(1)] == torch.arange(6)).float().mean()
    back = (logits.argmax(0) == own).float().mean()

    task = ContrastiveTask(model)
    metrics = dict(task.val_metrics.items())
    for places in ([0, 1, 2, 3], [4, 5, 5]):
        rows = model.tokenizer.batch([captions[p + shift] for p in places for shift in (0, 6)])
        batch = {
            "pixels": pixels[places],
            "ids": rows.ids,
            "keep": rows.keep,
            "owner": torch.arange(len(places)).repeat_interleave(2),
            "image": torch.tensor(places),
            "caption": torch.tensor([caption_number(captions[p + shift]) for p in places for shift in (0, 6)]),
        }
        with torch.no_grad():
            task.count(batch, metrics)
    scores = task.report(metrics)
    assert scores["image_to_text_recall@1"].item() == pytest.approx(found.item())
    assert scores["text_to_image_recall@1"].item() == pytest.approx(back.item())
    assert scores["recall"].item() == pytest.approx((found.item() + back.item()) / 2)
    assert {name: scores[name].item() for name in wanted} == pytest.approx(wanted)
    counted = metrics["pairs"].scores()
    assert counted.image_to_text.candidates == len(counted.text_to_image.before) == 12


def test_wrong_settings_are_refused():
    with pytest.raises(ArgumentError, match="patch_drop"):
        ContrastiveConfig(patch_drop=1.0)
    with pytest.raises(ArgumentError, match="micro_batch"):
        ContrastiveConfig(micro_batch=0)
    with pytest.raises(ArgumentError, match="exclude"):
        ContrastiveConfig(locked="image", lora=LoraConfig())
    with pytest.raises(ArgumentError, match="whole images"):
        ContrastiveConfig(locked="image", patch_drop=0.5)
    with pytest.raises(ArgumentError, match="trunk is the image tower's"):
        ContrastiveTask(built("one trunk"), training=ContrastiveConfig(locked="text"))
