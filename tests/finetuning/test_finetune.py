"""A whole run, stopped and resumed at any point with the same end, and everything that may be in the way."""

import csv
import json

import pytest
import torch
from safetensors.torch import load_file
from small import MODEL, SETTINGS, small_digits

import multimodal as mm
from multimodal.errors import ArgumentError, DataError
from multimodal.finetuning import finetune, train
from multimodal.finetuning.run import Run
from multimodal.tasks.classification import ClassificationTask


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return small_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(digits, tmp_path_factory):
    return finetune(digits, model=MODEL, out=tmp_path_factory.mktemp("run") / "whole", **SETTINGS)


def same(a: Run, b: Run) -> bool:
    weights = [load_file(run.folder / "model" / "model.safetensors") for run in (a, b)]
    return all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0] | weights[1])


def figures(run):
    """Everything that was measured, but no times."""
    with (run.folder / "metrics.csv").open() as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    return rows, {name: value for name, value in run.metrics.items() if name != "seconds"}


def test_the_run_folder(whole, digits):
    names = {path.name for path in whole.folder.iterdir()}
    assert names == {
        "model",
        "report.html",
        "metrics.json",
        "metrics.csv",
        "predictions.csv",
        "run.json",
        "tensorboard",
    }
    with (whole.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"] and all(float(row["train_loss"]) > 0 for row in rows)
    assert whole.metrics["split"] == "test" and whole.metrics["images"] == 16
    assert whole.settings["loop"]["epochs"] == 2
    assert "digits" in whole.report.read_text(encoding="utf-8")


def test_the_figures_are_those_of_the_saved_model(whole, digits):
    paths = sorted((digits / "test").rglob("*.png"))
    predictions = mm.load(str(whole.folder / "model"), dtype="fp32").predict(paths, top=1)
    right = sum(prediction.label == prediction.source.parent.name for prediction in predictions)
    assert whole.metrics["accuracy"] == right / len(paths)
    with (whole.folder / "predictions.csv").open() as file:
        written = {row["path"]: row["predicted"] for row in csv.DictReader(file)}
    assert written == {str(p.source): p.label for p in predictions}
    assert [m.label != m.predicted for m in whole.mistakes(3)] == [True] * min(3, len(paths) - right)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_stopped_after_any_step_and_resumed_it_ends_the_same(digits, whole, tmp_path, monkeypatch, step):
    inner, calls = ClassificationTask.training_step, []

    def stops(self, batch, batch_idx):
        calls.append(batch_idx)
        if len(calls) > step:
            raise RuntimeError("power cut")
        return inner(self, batch, batch_idx)

    monkeypatch.setattr(ClassificationTask, "training_step", stops)
    with pytest.raises(RuntimeError, match="power cut"):
        finetune(digits, model=MODEL, out=tmp_path / "run", **SETTINGS)
    monkeypatch.undo()
    assert not (tmp_path / "run" / "model").exists()
    resumed = finetune(digits, model=MODEL, out=tmp_path / "run", **SETTINGS)
    assert figures(resumed) == figures(whole)
    assert same(resumed, whole)


def test_stopped_between_training_and_writing_it_only_writes(digits, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("multimodal.finetuning.steps.save", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError):
        finetune(digits, model=MODEL, out=tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run" / "metrics.json").exists()
    monkeypatch.undo()
    assert same(finetune(digits, model=MODEL, out=tmp_path / "run", **SETTINGS), whole)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "linear", "clip": 0.0},
        {"method": "lora", "ema": 0.9, "patience": 1},
        {"unfreeze": 1, "accumulate": 2, "mixup": 0.2, "cutmix": 0.5, "balance": 1.0, "layer_decay": 0.7},
        {"precision": "bf16", "randaugment": 3, "erase": 0.5, "baseline": False},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_every_way_of_training_leaves_a_plain_model(digits, tmp_path, settings):
    run = finetune(digits, model=MODEL, out=tmp_path / "run", **{**SETTINGS, "epochs": 1, **settings})
    names = set(load_file(run.folder / "model" / "model.safetensors"))
    assert names == set(MODEL.build().state_dict())
    assert 0 <= run.metrics["accuracy"] <= 1
    assert (run.metrics["baseline"] is None) == (settings.get("baseline") is False)


def test_any_other_timm_model_is_trained_by_the_same_call(digits, tmp_path):
    settings = {**SETTINGS, "epochs": 1, "image_size": 32}
    run = finetune(digits, model="timm:test_resnet", pretrained=False, out=tmp_path / "run", **settings)
    assert run.model.labels == ("0", "1", "2", "3")
    assert run.predict(next((digits / "test" / "2").iterdir()))[0].labels


def test_too_little_memory_cuts_the_batch_and_keeps_the_step(digits, tmp_path, monkeypatch, capfd):
    inner = train._trial_step

    def small_memory(task, batch, size, device):
        if batch > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        inner(task, batch, size, device)

    monkeypatch.setattr(train, "_trial_step", small_memory)
    settings = {**SETTINGS, "drop_path": 0.0}
    run = finetune(digits, model=MODEL, out=tmp_path / "run", **settings)
    assert run.settings["loop"]["accumulate"] == 4 and run.settings["loop"]["batch_size"] == 16
    assert "4 parts of 4" in " ".join(capfd.readouterr().err.split())
    monkeypatch.undo()
    large = finetune(digits, model=MODEL, out=tmp_path / "large", **settings)
    weights = [load_file(r.folder / "model" / "model.safetensors") for r in (run, large)]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-4) for name in weights[0])


def test_a_finished_run_is_not_overwritten_unasked(digits, whole):
    with pytest.raises(ArgumentError, match="finished run"):
        finetune(digits, model=MODEL, out=whole.folder, **SETTINGS)


def test_an_unfinished_run_is_not_mixed_with_another(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(ClassificationTask, "training_step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        finetune(digits, model=MODEL, out=tmp_path / "run", **SETTINGS)
    for change in ({"epochs": 3}, {"lr": 0.1}):
        with pytest.raises(ArgumentError, match="unfinished run with settings"):
            finetune(digits, model=MODEL, out=tmp_path / "run", **{**SETTINGS, **change})
    with pytest.raises(ArgumentError, match="unfinished run with model"):
        finetune(digits, model="timm:test_vit", pretrained=False, out=tmp_path / "run", **SETTINGS)
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(DataError, match=r"run.json is damaged"):
        finetune(digits, model=MODEL, out=tmp_path / "run", **SETTINGS)


def test_other_files_are_never_touched(digits, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ArgumentError, match="holds other files"):
            finetune(digits, model=MODEL, out=tmp_path, overwrite=overwrite)
    with pytest.raises(ArgumentError, match="is a file"):
        finetune(digits, model=MODEL, out=tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_wrong_settings_and_models_are_named_before_anything_is_written(digits, tmp_path):
    with pytest.raises(ArgumentError, match="Did you mean 'epochs'"):
        finetune(digits, model=MODEL, out=tmp_path / "run", epoch=3)
    with pytest.raises(ArgumentError, match="vit_tiny"):
        finetune(digits, model="timm:vit_tny_patch16_224", out=tmp_path / "run", pretrained=False)
    with pytest.raises(DataError):
        finetune(tmp_path / "nowhere", model=MODEL, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_several_labels_an_image(digits, tmp_path):
    rows = []
    for path in sorted((digits / "train").rglob("*.png")):
        digit = int(path.parent.name)
        rows.append(
            {"path": str(path), "labels": ["even" if digit % 2 == 0 else "odd", "small" if digit < 2 else "large"]}
        )
    table = tmp_path / "table.jsonl"
    table.write_text("\n".join(json.dumps(row) for row in rows))
    run = finetune(table, model=MODEL, out=tmp_path / "run", **{**SETTINGS, "epochs": 1})
    assert set(run.model.labels) == {"even", "odd", "small", "large"} and run.model.config.output == "sigmoid"
    assert 0 <= run.metrics["map"] <= 1 and run.metrics["split"] == "val"
