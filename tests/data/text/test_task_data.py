"""Data modules of labelled text: the model's tokenizer makes the batches, and what cannot be used is named."""

import pytest
import torch
from tiny_text_models import KINDS, t5, wordpiece

from multimodal.data.text.question_data import QuestionData
from multimodal.data.text.task_data import ChoiceData, LabeledTextData, TaggedWordData, TranslationData
from multimodal.errors import DataError


class Trained:
    """What a data module asks of its trainer."""

    world_size, global_rank = 1, 0

    def __init__(self, model):
        self.lightning_module = self
        self.model = model
        self.strategy = self
        self.root_device = torch.device("cpu")


def ready(data, model):
    data.trainer = Trained(model)
    data.setup("fit")
    return data


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_classes(tmp_path, capsys):
    rows = [f"the cat {i % 7} sat\t{'good' if i % 2 else 'bad'}" for i in range(40)] + ["\tgood"]
    root = write(tmp_path / "rows.tsv", "text\tlabel\n" + "\n".join(rows) + "\n")
    data = LabeledTextData(root, batch_size=4, max_length=6, val_fraction=0.25)
    assert data.labels == ("bad", "good")
    assert "1 entries of" in capsys.readouterr().err
    assert len(data.texts) == len(data.splits["train"]) and set(data.texts) <= {f"the cat {i} sat" for i in range(7)}
    ready(data, KINDS["text classifier"]())
    batch = next(iter(data.train_dataloader()))
    assert batch["ids"].shape == (4, 6) and batch["ids"][0, 0] == wordpiece().cls_id


def test_there_are_no_batches_without_a_model(tmp_path):
    root = write(tmp_path / "rows.csv", "text,label\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(30)))
    data = LabeledTextData(root)
    with pytest.raises(DataError, match="Trainer"):
        data.setup()
    with pytest.raises(DataError, match="before `setup`"):
        next(iter(data.train_dataloader()))


def test_tags(tmp_path):
    sentence = "anna\tB-person\nlives\tO\nin\tO\nparis\tB-place\n\n"
    for split in ("train", "dev"):
        write(tmp_path / f"{split}.conll", sentence * 5)
    data = ready(TaggedWordData(str(tmp_path), batch_size=2), KINDS["tagger"]())
    assert data.texts[0] == "anna lives in paris" and set(data.labels) == {"B-person", "B-place", "O"}
    batch = next(iter(data.val_dataloader()))
    assert batch["ids"].shape == (2, 6) and len(batch["tags"][0]) == 4


def test_choices(tmp_path):
    rows = "".join(f'{{"question": "who {i}", "choices": ["anna", "the dog"], "label": {i % 2}}}\n' for i in range(30))
    data = ready(ChoiceData(write(tmp_path / "rows.jsonl", rows)), KINDS["multiple choice"]())
    assert data.texts[0].startswith("who")
    assert next(iter(data.val_dataloader()))["ids"].shape[1] == 2


def test_translations_begin_with_the_models_start(tmp_path):
    write(tmp_path / "train.en", "a cat\na dog\n" * 20)
    write(tmp_path / "train.fr", "un chat\nun chien\n" * 20)
    write(tmp_path / "val.en", "a cat\n")
    write(tmp_path / "val.fr", "un chat\n")
    data = ready(TranslationData(str(tmp_path), source="en", target="fr", batch_size=3), t5())
    assert data.texts[:2] == ["a cat", "un chat"]
    batch = next(iter(data.train_dataloader()))
    assert (batch["decoder_ids"][:, 0] == data.trainer.model.config.start).all()


def test_questions_become_windows_for_training_and_stay_whole_for_evaluation(tmp_path):
    context = "the cat sat on a mat and the dog ran to paris where anna lives in a big red house of stone . " * 4
    rows = "".join(
        f'{{"id": "{i}", "question": "who {i}", "context": "{context}",'
        f' "answers": {{"text": ["anna"], "answer_start": [{context.index("anna")}]}}}}\n'
        for i in range(4)
    )
    for split in ("train", "val"):
        write(tmp_path / f"{split}.jsonl", rows)
    model = KINDS["question answerer"]()
    data = ready(QuestionData(str(tmp_path), batch_size=4, max_length=1000), model)
    assert max(window.size for window in data.windows) <= model.longest
    assert len(data.windows) > 4, "a context must need several windows"
    whole = next(iter(data.val_dataloader()))
    assert len(whole.questions) == 4 and len(whole.rows) == len(whole.windows["ids"]) == len(data.windows)
    assert next(iter(data.train_dataloader()))["ids"].shape[0] == 4
