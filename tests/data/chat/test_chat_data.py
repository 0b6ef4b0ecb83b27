"""Conversations as batches: the right image with each text, exact resumption, files that are gone, and what is cut."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import soundfile
import tiny_sounds
import tiny_vision_language
import torch
from chat_sets import characters, model, picture, ready, talk, write_rows
from lightning.pytorch import LightningModule, Trainer
from tiny_vision_language import hearing, seeing
from torch import nn

from multimodal.data.chat.data_modules import ChatData
from multimodal.errors import ArgumentError, DataError
from multimodal.losses import IGNORE
from multimodal.media import read_image
from multimodal.models.chat.answers import prompt_of
from multimodal.models.chat.messages import Chat
from multimodal.models.chat.tiles import TilesConfig

COUNT = 12


@pytest.fixture
def chats(tmp_path):
    """Twelve conversations about one to three images, and four to validate with."""
    rows = []
    for number in range(COUNT):
        picture(tmp_path / "images" / f"{number}.png", number)
    for number in range(COUNT):
        shown = [f"{(number + k) % COUNT}.png" for k in range(1 + number % 3)]
        rows.append(talk("<image>" * len(shown) + "\nWhich?", f"number {number}", image=shown))
    rows += [talk("How many?", f"{number}", split="val") for number in range(3)]
    rows.append(talk("<image>", "this", image="3.png", split="val"))
    return write_rows(tmp_path / "chats.jsonl", rows)


def texts(batch, tokenizer):
    """What is learned of each row, from its targets."""
    return [tokenizer.decode([i for i in row.tolist() if i != IGNORE], skip_special=False) for row in batch["targets"]]


def test_a_batch_is_texts_with_their_images(chats):
    maker = model(tokens=4)
    tokenizer, image = maker.tokenizer, maker.config.placeholder
    data = ready(ChatData(str(chats), batch_size=5, workers=0), maker)
    seen = []
    for batch in data.train_dataloader():
        ids, targets, keep, views = batch["ids"], batch["targets"], batch["keep"], batch["views"]
        assert ids.shape == targets.shape == keep.shape
        assert (ids == image).sum() == sum(views.tokens) == 4 * len(views.counts)
        assert views.x.shape == (len(views.counts), 3, 8, 8)
        assert not ((ids == image) & ~keep).any()
        assert (targets[~keep] == IGNORE).all()
        told = texts(batch, tokenizer)
        assert told == [f" number {number}</s>" for number in batch["index"].tolist()]
        at = 0
        for row, number in zip(ids, batch["index"].tolist(), strict=True):
            assert (row == image).sum() == 4 * (1 + number % 3)
            for k in range(1 + number % 3):
                file = read_image(chats.parent / "images" / f"{(number + k) % COUNT}.png")
                assert views.x[at].permute(1, 2, 0).flatten().tolist() == list(file.tobytes())
                at += 1
        for row, follows in zip(ids, targets, strict=True):
            learned = (follows != IGNORE).nonzero()[:, 0]
            assert torch.equal(follows[learned[:-1]], row[learned[:-1] + 1])  # targets stand where they are predicted
        seen += batch["index"].tolist()
    assert len(seen) == len(set(seen)) == 10


def test_texts_alone_have_no_views(chats):
    data = ready(ChatData(str(chats), batch_size=1, workers=0), model())
    batches = {batch["index"].item(): batch for batch in data.val_dataloader()}
    assert [batches[number]["views"] for number in range(3)] == [None] * 3 and batches[3]["views"].counts == (1,)
    assert [texts(batches[number], characters()) for number in range(3)] == [[" 0</s>"], [" 1</s>"], [" 2</s>"]]


def test_neighbours_in_validation_are_not_those_of_the_data(chats):
    data = ready(ChatData(str(chats), batch_size=4, workers=0), model())
    (batch,), (again,) = data.val_dataloader(), data.test_dataloader()
    assert sorted(batch["index"].tolist()) == [0, 1, 2, 3] and batch["index"].tolist() != [0, 1, 2, 3]
    assert torch.equal(batch["ids"], again["ids"])


def test_each_image_is_decoded_once_as_long_as_there_is_room(chats, monkeypatch):
    maker = model()
    read, opened = type(maker.reader).read, []
    monkeypatch.setattr(type(maker.reader), "read", lambda self, source: opened.append(source) or read(self, source))
    data = ready(ChatData(str(chats), batch_size=4, workers=0), maker)
    loader = data.train_dataloader()
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        list(loader)
    assert len(opened) == len(set(opened)) == COUNT
    opened.clear()
    loader = ready(ChatData(str(chats), batch_size=4, memory=0.0, workers=0), maker).train_dataloader()
    list(loader)
    assert len(opened) == sum(1 + number % 3 for number in range(COUNT))


def test_for_a_broken_image_another_conversation_comes_and_it_is_named(chats):
    (chats.parent / "images" / "5.png").write_bytes(b"no picture")
    data = ready(ChatData(str(chats), batch_size=12, workers=0), model())
    (batch,) = data.train_dataloader()
    gone = {number for number in range(COUNT) if any((number + k) % COUNT == 5 for k in range(1 + number % 3))}
    assert set(batch["index"].tolist()) <= set(range(COUNT)) - gone
    assert len(batch["failed"]) >= len(gone) > 1
    assert all("5.png" in name for name in batch["failed"])
    for number in range(COUNT):
        (chats.parent / "images" / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="None of the 12 conversations can be read any more"):
        next(iter(ready(ChatData(str(chats), batch_size=12, workers=0), model()).train_dataloader()))


def test_what_is_too_long_is_cut_or_left_out_and_both_are_said(chats, capsys):
    data = ready(ChatData(str(chats), batch_size=2, longest=45, workers=0), model(tokens=10))
    loader = data.train_dataloader()
    err = capsys.readouterr().err
    assert "4 conversations of the train part of" in err and "nothing of an answer is left within 45 tokens" in err
    assert "4 of 8 conversations of the train part are longer than 45 tokens and are cut off" in err
    for batch in loader:
        assert batch["ids"].shape[1] <= 45
        assert (batch["ids"] == model().config.placeholder).sum() == sum(batch["views"].tokens)
    with pytest.raises(DataError, match="None of the 12 conversations of the train part"):
        ready(ChatData(str(chats), longest=5, workers=0), model()).train_dataloader()
    with pytest.raises(ArgumentError, match="longest is 500 tokens; it must be from 2 to 200"):
        ready(ChatData(str(chats), longest=500, workers=0), model()).train_dataloader()


def test_what_was_left_out_is_said_once(chats, capsys):
    with chats.open("a") as file:
        file.write("{no json\n")
    ChatData(str(chats), workers=0)
    assert capsys.readouterr().err == f"1 entries of {chats} were left out, the first: {chats}, line 17: not JSON\n"


def test_models_that_cannot_be_fed(chats):
    with pytest.raises(ArgumentError, match="has no chat template"):
        ready(ChatData(str(chats), workers=0), model(characters(None))).train_dataloader()
    with pytest.raises(DataError, match="with a vision-language model"):
        ready(ChatData(str(chats), workers=0), SimpleNamespace(tokenizer=characters())).train_dataloader()
    refusing = characters("{{ raise_exception('never') }}")
    with pytest.raises(DataError, match="refuses these messages: never"):
        ready(ChatData(str(chats), workers=0), model(refusing)).train_dataloader()
    with pytest.raises(ArgumentError, match="memory is -1"):
        ChatData(str(chats), memory=-1.0)


def test_texts_for_a_tokenizer_are_those_that_are_trained_on(chats):
    found = ChatData(str(chats), workers=0).texts
    assert "number 3" in found and "How many?" not in found


class Noting(LightningModule):
    """Notes which conversations it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(1, 1)
        maker = model()
        self.model.tokenizer, self.model.reader, self.model.config = maker.tokenizer, maker.reader, maker.config
        self.seen: list[list[int]] = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch["index"].tolist())
        return self.model(batch["views"].x.float().mean().view(1, 1)).sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fit(data, folder, path=None, **options):
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
                      default_root_dir=folder, use_distributed_sampler=False, num_sanity_val_steps=0,
                      **options)  # fmt: skip
    module = Noting()
    trainer.fit(module, data, ckpt_path=path)
    return trainer, module


def test_a_training_that_is_stopped_goes_on_with_the_next_batch(chats, tmp_path):
    def data():
        return ChatData(str(chats), batch_size=3, workers=0)

    _, whole = fit(data(), tmp_path, max_epochs=2)
    assert sorted(i for batch in whole.seen[:4] for i in batch) == list(range(COUNT))
    trainer, begun = fit(data(), tmp_path, max_steps=2, max_epochs=2, enable_checkpointing=False)
    trainer.save_checkpoint(tmp_path / "stopped.ckpt")
    _, rest = fit(data(), tmp_path, tmp_path / "stopped.ckpt", max_epochs=3)
    assert begun.seen + rest.seen == whole.seen


def test_the_batches_are_what_a_model_takes_and_answers_are_asked_for_alike(chats):
    maker = seeing(max_length=200)
    data = ready(ChatData(str(chats), batch_size=4, workers=0), maker)
    batch = next(iter(data.train_dataloader()))
    hidden = maker.hidden(batch["ids"], batch["views"], keep=batch["keep"])
    assert hidden.shape[:2] == batch["ids"].shape
    assert hidden.isfinite().all()
    row, number = 0, batch["index"][0].item()
    asked = int((batch["targets"][row] != IGNORE).nonzero()[0, 0]) + 1
    sample = data.samples.splits["train"][number]
    prompt = prompt_of(maker, Chat(sample.chat.messages[:1], sample.media))
    assert batch["ids"][row, :asked].tolist() == list(prompt.ids)


def test_lengths_are_known_before_images_of_any_size_are_opened(tmp_path):
    maker = seeing(tiles=TilesConfig(canvases=((32, 64), (64, 32), (64, 64))), layers=())
    sizes = ((40, 48), (20, 90), (90, 20), (64, 64), (8, 8))
    for number, size in enumerate(sizes):
        tiny_vision_language.picture(number, size).save(tmp_path / f"{number}.png")
    rows = [talk("<image>", "seen", image=f"{number}.png") for number in range(len(sizes))]
    rows.append(talk("<image><image>", "both", image=["1.png", "3.png"]))
    path = write_rows(tmp_path / "train.jsonl", rows)
    write_rows(tmp_path / "val.jsonl", rows[:1])
    data = ready(ChatData(str(path.parent), batch_size=6, longest=200, workers=0), maker)
    loader = data.train_dataloader()
    (batch,) = loader
    lengths = {row.index: row.length for row in loader.dataset.rows}
    assert [lengths[index] for index in batch["index"].tolist()] == batch["keep"].sum(1).tolist()
    assert len(set(batch["views"].tokens)) > 2
    assert maker.hidden(batch["ids"], batch["views"], keep=batch["keep"]).isfinite().all()


def test_a_recording_that_is_too_long_is_named_before_the_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("multimodal.models.chat.views.LONGEST", 1.0)
    for number, seconds in enumerate((0.3, 1.2)):
        soundfile.write(tmp_path / f"{number}.wav", tiny_sounds.tone(300, seconds), 16_000)
    rows = [talk("<audio>\nWhich?", f"{n}") | {"audio": f"{n}.wav"} for n in range(2)]
    path = write_rows(tmp_path / "train.jsonl", rows)
    write_rows(tmp_path / "val.jsonl", rows[:1])
    data = ready(ChatData(str(path.parent), batch_size=1, workers=0), hearing())
    assert [row.index for row in data.train_dataloader().dataset.rows] == [0]
    assert "longer than 1 s" in capsys.readouterr().err


def test_recordings_are_as_many_windows_as_they_are_long(tmp_path):
    maker = hearing()
    for number, seconds in enumerate((0.3, 0.5, 1.2)):
        soundfile.write(tmp_path / f"{number}.wav", tiny_sounds.tone(300, seconds), 16_000)
    rows = [talk("<audio>\nWhich?", f"{n}") | {"audio": f"{n}.wav"} for n in range(3)]
    path = write_rows(tmp_path / "train.jsonl", rows)
    write_rows(tmp_path / "val.jsonl", rows[:1])
    data = ready(ChatData(str(path.parent), batch_size=3, workers=0), maker)
    loader = data.train_dataloader()
    (batch,) = loader
    assert dict(zip(batch["index"].tolist(), batch["views"].counts, strict=True)) == {0: 1, 1: 1, 2: 3}
    lengths = {row.index: row.length for row in loader.dataset.rows}
    assert [lengths[index] for index in batch["index"].tolist()] == batch["keep"].sum(1).tolist()
