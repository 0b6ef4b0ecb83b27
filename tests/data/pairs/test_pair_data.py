"""Pairs as items and batches: the right caption with each image, ids padded as the model wants them, epochs resumed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from pair_files import pictures, png, tar, write
from torch import nn

from multimodal.data.images.augment import AugmentConfig
from multimodal.data.pairs.batches import CaptionConfig, caption_number
from multimodal.data.pairs.data_modules import PairData, PairedImageData
from multimodal.data.pairs.dataset import PairDataset
from multimodal.data.pairs.read import read_pairs
from multimodal.data.pairs.samples import Pair, PairedImages
from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers.image_transform import ImageTransformConfig
from multimodal.tokenizers.text_settings import SpecialTokens
from multimodal.tokenizers.text_training import train_tokenizer

TRANSFORM = ImageTransformConfig(size=(8, 8), resize="squash")
CAPTIONS = (
    ("a dog", "the dog runs", "ein Hund"),
    ("a cat",),
    ("A  DOG", "two"),
    ("a bird that flies far away",),
    ("x",),
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(iter([" ".join(map(chr, range(32, 127)))]), "character", special=SpecialTokens(pad="<pad>"))


@pytest.fixture
def pairs(tmp_path):
    names = [f"{i}.png" for i in range(5)]
    pictures(tmp_path, *names)
    return tuple(Pair(str(tmp_path / name), captions) for name, captions in zip(names, CAPTIONS, strict=True))


def test_items_for_evaluation_have_all_captions(pairs):
    item = PairDataset(pairs, TRANSFORM.build(), training=False)[(3, 0)]
    assert torch.equal(item["pixels"], TRANSFORM.build().read(pairs[0].path))
    assert (item["captions"], item["index"], item["failed"]) == (CAPTIONS[0], 0, [])


def test_each_caption_comes_once_in_as_many_epochs_as_there_are(pairs):
    def told(seed, epoch):
        (caption,) = PairDataset(pairs, TRANSFORM.build(), training=True, seed=seed)[(epoch, 0)]["captions"]
        return caption

    orders = [tuple(told(0, epoch) for epoch in range(3 * turn, 3 * turn + 3)) for turn in range(8)]
    assert all(Counter(order) == Counter(CAPTIONS[0]) for order in orders)
    assert len(set(orders)) > 2
    assert [told(0, epoch) for epoch in range(24)] == [told(0, epoch) for epoch in range(24)]
    assert [told(0, epoch) for epoch in range(24)] != [told(1, epoch) for epoch in range(24)]


def test_changes_of_images_follow_from_seed_epoch_and_index(pairs):
    def pixels(seed, epoch):
        augment = AugmentConfig(scale=0.3).build(TRANSFORM)
        return PairDataset(pairs, augment, training=True, seed=seed)[(epoch, 1)]["pixels"]

    assert torch.equal(pixels(0, 5), pixels(0, 5))
    assert not torch.equal(pixels(0, 5), pixels(0, 6))
    assert not torch.equal(pixels(1, 5), pixels(0, 5))


def test_an_image_that_became_unreadable_is_replaced_with_its_caption_and_named(pairs, tmp_path):
    write(tmp_path / "0.png", b"no picture any more")
    dataset = PairDataset(pairs, TRANSFORM.build(), training=True)
    item = dataset[(0, 0)]
    assert (item["captions"], item["index"]) == (("a cat",), 1)
    assert len(item["failed"]) == 1
    assert "0.png" in item["failed"][0]
    for pair in pairs:
        write(tmp_path / pair.path, b"")
    with pytest.raises(DataError, match="None of the 5 files"):
        dataset[(0, 0)]


def test_a_training_batch(pairs, tokenizer):
    dataset = PairDataset(pairs, TRANSFORM.build(), training=True)
    items = [dataset[(0, i)] for i in (1, 2, 3)]
    batch = CaptionConfig(longest=12).build(tokenizer)(items)
    told = [item["captions"][0] for item in items]
    assert batch["pixels"].shape == (3, 3, 8, 8)
    assert batch["pixels"].dtype == torch.uint8
    assert batch["ids"].shape == (3, 12)  # the longest of the batch, which was cut
    for row, keep, text in zip(batch["ids"], batch["keep"], told, strict=True):
        assert tokenizer.decode(row[keep]) == text[:12]
        assert (row[~keep] == tokenizer.pad_id).all()
    assert batch["index"].tolist() == [1, 2, 3]
    short = CaptionConfig(longest=12).build(tokenizer)(items[:1])
    assert short["ids"].shape == (1, len("a cat"))


def test_a_caption_of_no_tokens_is_asked_for_by_nobody():
    with pytest.raises(ArgumentError, match="longest is 0"):
        CaptionConfig(longest=0)


def test_a_batch_for_retrieval(pairs, tokenizer):
    dataset = PairDataset(pairs, TRANSFORM.build(), training=False)
    batch = CaptionConfig(longest=50).build_evaluation(tokenizer)([dataset[(0, i)] for i in (4, 0, 2)])
    assert batch["image"].tolist() == [4, 0, 2]
    assert batch["owner"].tolist() == [0, 1, 1, 1, 2, 2]
    texts = [tokenizer.decode(row[keep]) for row, keep in zip(batch["ids"], batch["keep"], strict=True)]
    assert texts == [*CAPTIONS[4], *CAPTIONS[0], *CAPTIONS[2]]
    assert batch["caption"].tolist() == list(map(caption_number, texts))
    assert batch["caption"][1] == batch["caption"][4]  # "a dog", "A  DOG"
    assert len(batch["caption"].unique()) == 5


def test_numbers_of_captions_agree_across_processes():
    texts = ["a dog", "ünï 文", "", "two\nlines"]
    code = f"from multimodal.data.pairs.batches import caption_number as n; print(*map(n, {texts!r}))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert list(map(int, told)) == list(map(caption_number, texts))
    assert all(0 <= caption_number(str(i)) < 2**63 for i in range(1000))
    assert len({caption_number(str(i)) for i in range(1000)}) == 1000
    assert caption_number(" A\tDog\n") == caption_number("a dog") != caption_number("adog")


@dataclass
class Model:
    """What the data ask a model for."""

    tokenizer: Any
    caption_length: int = 20
    transform: Any = None

    def __post_init__(self):
        self.transform = TRANSFORM.build()


class Watching(LightningModule):
    """Learns nothing and remembers its batches."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model, self.seen, self.checked = model, [], []
        self.weight = nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        self.seen.append((batch["index"].tolist(), batch["caption"].tolist(), batch["pixels"].sum().item()))
        return self.weight * 0

    def validation_step(self, batch, batch_idx):
        self.checked.append(batch["image"].tolist())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(root, tokenizer, tmp_path, *, steps, checkpoint=None, workers=0):
    data = PairData(str(root), batch_size=3, val_fraction=0.2, workers=workers, augment=AugmentConfig(scale=0.5))
    task = Watching(Model(tokenizer))
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, data, ckpt_path=checkpoint, weights_only=True)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    return task


@pytest.fixture
def folder(tmp_path):
    rows = "".join(f"images/{i}.png,caption {i} {way}\n" for i in range(12) for way in ("one", "two"))
    pictures(tmp_path / "data" / "images", *(f"{i}.png" for i in range(12)))
    write(tmp_path / "data" / "pairs.csv", f"image,caption\n{rows}")
    return tmp_path / "data"


def test_a_run_that_goes_on_sees_what_an_uninterrupted_one_saw(folder, tokenizer, tmp_path):
    whole = fit(folder, tokenizer, tmp_path / "a", steps=8)
    assert [len(index) for index, _, _ in whole.seen] == [3] * 8  # ten images: the tenth waits for another epoch
    fit(folder, tokenizer, tmp_path / "b", steps=5)
    rest = fit(folder, tokenizer, tmp_path / "b", steps=8, checkpoint=tmp_path / "b" / "last.ckpt")
    assert rest.seen == whole.seen[5:]
    assert {tuple(image) for image in whole.checked} == {(0, 1)}
    assert fit(folder, tokenizer, tmp_path / "c", steps=4, workers=1).seen == whole.seen[:4]


def test_what_the_data_tell_a_recipe(folder, tokenizer):
    data = PairData(str(folder), val_fraction=0.25)
    assert len(data.texts) == 2 * 9
    assert all(text.startswith("caption ") for text in data.texts)
    with pytest.raises(DataError, match="Let a Trainer run this data module"):
        data.val_dataloader()
    model = Model(tokenizer, caption_length=9)
    here = {"world_size": 1, "global_rank": 0, "strategy": SimpleNamespace(root_device=torch.device("cpu"))}
    trainer: Any = SimpleNamespace(lightning_module=SimpleNamespace(model=model), **here)
    data.trainer = trainer
    batch = next(iter(data.val_dataloader()))
    assert batch["ids"].shape == (6, 9)
    assert batch["owner"].tolist() == [0, 0, 1, 1, 2, 2]
    trainer.lightning_module.model = SimpleNamespace(transform=None)
    with pytest.raises(DataError, match="a model that has a transform and a tokenizer"):
        data.train_dataloader()


def test_what_was_left_out_is_said_and_a_part_that_is_missing_named(folder, tmp_path, capsys):
    write(folder / "pairs.csv", "image,caption,split\nimages/0.png,a,val\nimages/gone.png,b,train\n")
    data = PairedImageData(read_pairs(folder))
    assert "1 entries of" in (told := capsys.readouterr().err)
    assert "gone.png: file not found" in told
    with pytest.raises(DataError, match="has no train part; the parts that it has are val"):
        print(data.texts)


def test_tar_shards_give_the_same_batches_as_files(tokenizer, tmp_path):
    members = {f"{i}.{ending}": png(i) if ending == "png" else f"{i}" for i in range(6) for ending in ("png", "txt")}
    for name, content in members.items():
        write(tmp_path / "files" / name, content)
    tar(tmp_path / "shards" / "0.tar", members)
    seen = [fit(tmp_path / kind, tokenizer, tmp_path / "logs", steps=4).seen for kind in ("files", "shards")]
    assert seen[0] == seen[1]


def test_an_empty_split_is_refused():
    with pytest.raises(DataError, match="has no train part"):
        print(PairedImageData(PairedImages("x", {"train": ()}, ())).texts)
