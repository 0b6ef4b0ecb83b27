"""Every recipe: its smoke form learns what it promises, its help teaches, wrong arguments are refused."""

import ast
import re
from pathlib import Path

import pytest
import torch
from forked import python

from multimodal.cli.recipe import check_checkpoint
from multimodal.errors import DataError

RECIPES = sorted(path for path in Path("recipes").glob("*.py") if not path.name.startswith("_"))


def test_there_are_recipes():
    images = {"vit_finetune", "vit_scratch", "linear_probe"}
    pretraining = {"gpt_pretrain", "bert_pretrain", "t5_pretrain", "distill"}
    tasks = {"text_classify", "token_tag", "question_answer", "translate"}
    speech = {"conformer_ctc", "whisper_finetune", "ast_classify", "clap"}
    assert images | pretraining | tasks | speech <= {path.stem for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_docstring_states_paper_command_hardware_hours_and_number(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    for word in ("Paper", "Run", "Hardware", "Hours", "Expected", "Small"):
        assert f"\n{word} " in text, f"{path} does not state: {word}"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_smoke(path):
    done = python(path, "smoke")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].startswith("smoke: learned: ")
    assert re.search(r"Epoch \d+ ", done.stderr) and not [
        word for word in ("Tip:", "LeafSpec", "v_num", "`weights_only`", "The model is in") if word in done.stderr
    ]


def test_what_the_data_give_is_no_argument():
    done = python("recipes/gpt_pretrain.py", "fit", "--data.root", "x", "--print_config")
    assert done.returncode == 0
    assert "tokenizer: character" in done.stdout and done.stdout.count("length: ") == 1, "of the data alone"
    assert "max_steps: 2000" in done.stdout and "gradient_clip_val: 1.0" in done.stdout, "the recipe's own defaults"


def test_what_a_recipe_can_do_is_listed_where_nothing_is_asked_for():
    done = python("recipes/gpt_pretrain.py", "--help")
    assert done.returncode == 0
    assert all(
        re.search(rf"^    {word} ", done.stdout, re.MULTILINE) for word in ("fit", "validate", "test", "predict")
    )
    assert "one of {fit,validate,test,predict}" in python("recipes/gpt_pretrain.py").stderr


def test_wrong_arguments_are_refused_with_code_2():
    done = python("recipes/vit_scratch.py", "fit", "--model.dimm", "3", "--data.root", "nowhere")
    assert done.returncode == 2 and "dimm" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("recipe", ["vit_scratch", "gpt_pretrain", "question_answer"])
def test_unusable_data_end_in_a_sentence(recipe, tmp_path):
    done = python(f"recipes/{recipe}.py", "fit", "--data.root", tmp_path / "nowhere")
    assert done.returncode == 1 and "nowhere" in done.stderr and "Traceback" not in done.stderr


class Runs:
    """Would write a file, were it read as a pickle."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_checkpoints_that_are_not_read(tmp_path):
    torch.save({"state_dict": {}, "hook": Runs(tmp_path / "ran")}, tmp_path / "evil.ckpt")
    torch.save({"state_dict": {"a": torch.ones(1000)}}, tmp_path / "cut.ckpt")
    (tmp_path / "cut.ckpt").write_bytes((tmp_path / "cut.ckpt").read_bytes()[:2000])
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    (tmp_path / "empty.ckpt").touch()
    for name, reason in (
        ("evil", "reading it could run code"),
        ("cut", "damaged"),
        ("text", "no checkpoint"),
        ("empty", "no checkpoint"),
        ("none", "There is no checkpoint"),
    ):
        with pytest.raises(DataError, match=reason):
            check_checkpoint(str(tmp_path / f"{name}.ckpt"))
    assert not (tmp_path / "ran").exists()
    for elsewhere in ("last", "s3://bucket/last.ckpt", str(tmp_path)):  # Lightning's to find
        check_checkpoint(elsewhere)
    words = ["fit", f"--data.root={Path(__file__)}", f"--ckpt_path={tmp_path / 'evil.ckpt'}"]
    done = python("recipes/gpt_pretrain.py", *words, f"--trainer.default_root_dir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"gpt_pretrain.py: {tmp_path / 'evil.ckpt'} is no checkpoint of tens"
    )
