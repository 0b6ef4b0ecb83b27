"""The loaders of text: what an epoch holds, going on exactly in its middle, several processes, equal noise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from small_tokenizers import characters

from multimodal.data.text.corpus_data import CorpusData
from multimodal.data.text.data_modules import LanguageModelData, PackedRows, TextItems, TextTaskData, TokenWindows
from multimodal.data.text.objectives import CausalConfig, MaskedConfig
from multimodal.data.text.packing import PackedConfig
from multimodal.data.text.rows import LabeledText, TextSet
from multimodal.data.text.tokens import StreamPart, TokenStream, hold_out_tokens
from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers.text_training import train_tokenizer

TOKENIZER = characters()


def stream(*lengths: int) -> TokenStream:
    """Documents of those lengths with the ids 0, 1, 2 ..."""
    ends = np.cumsum(lengths)
    return TokenStream([(np.arange(ends[-1], dtype=np.uint16), ends)])


def windows(**options) -> TokenWindows:
    options = {"length": 4, "ahead": 1, "sampling": "blocks", "seed": 0, "training": True, **options}
    return TokenWindows(stream(10, 13), **options)


def plain(items: Any) -> Any:
    """A batch as lists, to compare."""
    return [(sample.tolist() if hasattr(sample, "tolist") else sample, place) for sample, place in items]


def language(sampling="blocks", collate=plain, **options) -> LanguageModelData:
    streams = {"train": stream(50, 153), "val": stream(40)}
    options = {"length": 8, "batch_size": 4, "workers": 0, "seed": 5, **options}
    return LanguageModelData(streams, collate, sampling=sampling, **options)


def test_blocks_hold_each_id_once_and_the_next():
    data = windows()
    assert [data[0, i][0].tolist() for i in range(len(data))] == [list(range(s, s + 5)) for s in (0, 4, 8, 12, 16)]
    assert [len(windows(ahead=0, length=n)) for n in (4, 23, 1)] == [5, 1, 23]
    assert data[3, 1][1] == (3, 1)
    assert windows(training=False)[3, 1][1] == (0, 1)
    with pytest.raises(DataError, match="23 tokens in a split, fewer than one window of 24"):
        windows(length=23)


def test_random_windows_follow_from_seed_epoch_and_index():
    def starts(epoch, **options):
        data = windows(sampling="random", **options)
        return [int(data[epoch, i][0][0]) for i in range(len(data))]

    assert starts(0) == starts(0)
    assert len({tuple(starts(epoch, seed=seed)) for epoch in range(3) for seed in range(3)}) == 9
    assert starts(0, training=False) == starts(4, training=False)
    everywhere = {start for epoch in range(200) for start in starts(epoch)}
    assert everywhere == set(range(23 - 5 + 1)), "each place that has a whole window, the last too"


def test_packed_rows_hold_every_document_once():
    tokens = stream(3, 9, 1, 4, 20, 5)
    rows = PackedRows(tokens, length=8)
    pieces = sorted(piece.tolist() for i in range(len(rows)) for piece in rows[i])
    assert [i for piece in pieces for i in piece] == list(range(42))
    assert sorted(map(len, pieces)) == [1, 1, 3, 4, 4, 5, 8, 8, 8]
    assert all(sum(map(len, rows[i])) <= 8 for i in range(len(rows)))
    assert len(rows) == 6
    ends = {2, 11, 12, 16, 36, 41}
    assert all(piece[-1] in ends or len(piece) == 8 for piece in pieces), "only a document's end or a full row"


@pytest.mark.parametrize("sampling", ["blocks", "random", "packed"])
def test_an_epoch_is_shuffled_and_gone_on_with(sampling):
    whole = list(language(sampling).train_dataloader())
    assert len(whole) > 4
    data = language(sampling)
    loader = data.train_dataloader()
    iterator = iter(loader)
    for _ in range(3):
        next(iterator)
    other = language(sampling)
    other.load_state_dict(data.state_dict())
    assert str(list(other.train_dataloader())) == str(whole[3:])
    loader.sampler.set_epoch(1)
    assert str(list(loader)) != str(whole)
    places = [place for batch in whole for _, place in batch]
    assert [index for _, index in places] != sorted(index for _, index in places)


def test_noise_is_the_same_after_going_on_and_in_every_validation():
    tokenizer = train_tokenizer(iter(["some words to hide " * 9]), "wordpiece", vocabulary=60)
    streams = {"train": stream(400), "val": stream(50)}
    for tokens in streams.values():
        tokens._parts = tuple((ids % 20 + 10, ends) for ids, ends in tokens._parts)

    def data():
        collate = MaskedConfig(share=0.5, seed=3).build(tokenizer)
        return LanguageModelData(streams, collate, length=8, ahead=0, batch_size=4, workers=0)

    def noisy(loader, epoch):
        loader.sampler.set_epoch(epoch)
        return [batch["ids"] for batch in loader]

    one = data().train_dataloader()
    whole = torch.cat(noisy(one, 1))
    other = data()
    other.load_state_dict({"given": 5})
    assert torch.equal(torch.cat(noisy(other.train_dataloader(), 1)), whole[20:])
    assert not torch.equal(torch.cat(noisy(one, 2)), whole)
    val = data().val_dataloader()
    assert torch.equal(torch.cat(noisy(val, 0)), torch.cat(noisy(val, 7)))


def test_processes_share_the_batches_of_one_with_the_same_noise():
    tokenizer = train_tokenizer(iter(["some words to hide " * 9]), "wordpiece", vocabulary=60)
    collate = MaskedConfig(share=0.5, seed=3).build(tokenizer)

    def batches(rank: int, world: int) -> list[list[list[int]]]:
        data = language(collate=collate, ahead=0, batch_size=8 // world, seed=1)
        device = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(world_size=world, global_rank=rank, strategy=device)  # pyright: ignore
        data.streams["train"] = TokenStream([(np.arange(203) % 20 + 10, np.array([203]))])
        return [batch["ids"].tolist() for batch in data.train_dataloader()]

    one, halves = batches(0, 1), [batches(rank, 2) for rank in range(2)]
    assert len(one) == len(halves[0]) == len(halves[1]) == 3
    assert [sorted(a + b) for a, b in zip(*halves, strict=True)] == [sorted(batch) for batch in one]


def test_the_causal_batch_of_windows_and_rows():
    batch = next(iter(language(collate=CausalConfig().build(TOKENIZER)).val_dataloader()))
    assert torch.equal(batch["ids"], torch.arange(32).view(4, 8))
    assert torch.equal(batch["targets"], torch.arange(32).view(4, 8) + 1)
    packed = next(iter(language("packed", collate=PackedConfig(length=8).build(TOKENIZER)).train_dataloader()))
    assert packed["ids"].shape == (4, 8)
    assert set(packed) == {"ids", "targets", "document", "positions"}


class Recorder(LightningModule):
    """Remembers the indices of every batch that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[tuple[int, int]]] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.seen.append([place for _, place in batch])
        return self.weight * 0.0

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_trainer_goes_on_in_the_middle_of_an_epoch(tmp_path):
    def fit(steps: int, checkpoint: str | None = None) -> tuple[Recorder, Trainer]:
        model = Recorder()
        trainer = Trainer(
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            limit_val_batches=0,
        )
        trainer.fit(model, language("random"), ckpt_path=checkpoint)
        return model, trainer

    whole, _ = fit(14)
    first, trainer = fit(8)  # an epoch has 6 batches
    trainer.save_checkpoint(tmp_path / "middle.ckpt")
    second, _ = fit(14, str(tmp_path / "middle.ckpt"))
    assert {epoch for batch in whole.seen for epoch, _ in batch} == {0, 1, 2}
    assert first.seen + second.seen == whole.seen


def test_samples_in_batches_of_like_size():
    samples = tuple(LabeledText("x" * (7 * i % 40), None, 0) for i in range(40))
    data = TextTaskData(TextSet("x", ("a", "b"), {"train": samples, "val": samples[:3]}, ()), plain, batch_size=4)
    assert data.labels == ("a", "b")
    batches = [[len(sample.text) for sample, _ in batch] for batch in data.train_dataloader()]
    assert sorted(size for batch in batches for size in batch) == list(range(40))
    assert all(max(batch) - min(batch) == 3 for batch in batches)
    assert [place for batch in data.test_dataloader() for _, place in batch] == [(0, 0), (0, 1), (0, 2)]
    mixed = TextTaskData(data.splits, plain, batch_size=4, by_size=False)
    assert any(max(len(sample.text) for sample, _ in b) - min(len(sample.text) for sample, _ in b) > 3
               for b in mixed.train_dataloader())  # fmt: skip
    with pytest.raises(DataError, match="split 'val'"):
        TextTaskData({"train": samples}, plain)


def test_training_and_evaluation_are_collated_differently():
    data = TextTaskData(
        {"train": [1, 2, 3], "val": [4]}, lambda items: "noisy", evaluation_collate=lambda items: "plain", by_size=False
    )
    assert (next(iter(data.train_dataloader())), next(iter(data.val_dataloader()))) == ("noisy", "plain")
    assert TextItems([7], training=True)[4, 0] == (7, (4, 0))


def test_the_end_of_a_stream_is_held_out_at_the_end_of_a_document():
    train, val = hold_out_tokens(stream(30, 50, 8, 12), 0.1)
    assert (train.tokens, val.tokens, len(train), len(val)) == (88, 12, 3, 1)
    assert val.window(0, 12).tolist() == val.document(0).tolist() == list(range(88, 100))
    assert train.document(2).tolist() == list(range(80, 88))
    train, val = hold_out_tokens(stream(100), 0.1)
    assert (train.tokens, val.tokens) == (90, 10)
    part = StreamPart(stream(4, 4, 4), 2, 10)
    assert [part.document(i).tolist() for i in range(3)] == [[2, 3], [4, 5, 6, 7], [8, 9]]
    assert part.lengths().tolist() == [2, 4, 2]
    with pytest.raises(IndexError):
        part.window(5, 4)
    with pytest.raises(ArgumentError, match="between 0 and 1"):
        hold_out_tokens(stream(4), 0.0)


TEXT = "the quick brown fox\n" * 30


def corpus(root, **options) -> CorpusData:
    data = CorpusData(str(root), **{"length": 16, "batch_size": 2, "workers": 0, **options})
    data.prepare_data()
    data.setup()
    return data


def test_a_text_file_by_characters(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    data = corpus(tmp_path / "a.txt", tokenizer="character")
    assert data.tokenizer.vocabulary == len(set(TEXT))
    assert {name: part.tokens for name, part in data.streams.items()} == {"train": 540, "val": 60}
    batch = next(iter(data.val_dataloader()))
    assert data.tokenizer.decode(batch["ids"][0].tolist()) == TEXT[540:556]
    assert torch.equal(batch["targets"][:, :-1], batch["ids"][:, 1:])


def test_splits_by_name_and_a_tokenizer_that_is_there(tmp_path, capsys):
    for name in ("train-1.txt", "train-2.txt", "valid.txt", "other.txt"):
        (tmp_path / name).write_text(f"{name} is text\n")
    TOKENIZER.save(tmp_path / "tokenizer")
    data = corpus(tmp_path, tokenizer=str(tmp_path / "tokenizer"), unit="line")
    assert [len(data.streams[name]) for name in ("train", "val")] == [2, 1]
    assert data.tokenizer.decode(data.streams["val"].document(0).tolist()).replace(" ", "") == "valid.txtistext"
    assert "other.txt: its name says no split" in capsys.readouterr().err


def test_a_corpus_kept_on_the_disk(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text(TEXT)
    options = {"tokenizer": "bpe", "vocabulary": 270, "sampling": "packed", "unit": "line"}
    data = corpus(tmp_path / "a.txt", tokens=str(tmp_path / "ids"), **options)
    assert sorted(path.name for path in (tmp_path / "ids" / "bpe-270").iterdir()) == ["tokenizer", "train"]
    memory = corpus(tmp_path / "a.txt", **options)
    assert str(list(data.train_dataloader())) == str(list(memory.train_dataloader()))
    monkeypatch.setattr("multimodal.data.text.corpus_data.train_tokenizer", None)
    again = corpus(tmp_path / "a.txt", tokens=str(tmp_path / "ids"), **options)
    assert again.tokenizer.rows([TEXT]) == data.tokenizer.rows([TEXT])
