"""Teach a small text encoder to answer as a large one does.

Paper     DistilBERT arXiv:1910.01108: half of the layers, begun from the teacher's own; the teacher's distribution at
          temperature 2, masked words and the angle of the hidden states, weighted 5, 2 and 1
Run       python data/wikitext103/prepare.py
          python recipes/distill.py fit --data.root data/wikitext103/text --data.tokens ids/
          --model.teacher TEACHER --data.tokenizer TEACHER
          (TEACHER is a model folder, of ours or of transformers, with its masked-word head)
Many GPUs add --trainer.devices 8 --trainer.strategy ddp
Hardware  one GPU with 24 GB for BERT-base as the teacher
Hours     not yet run
Expected  not yet run
Small     python recipes/distill.py smoke          a teacher of five seconds, about twenty seconds on a CPU
"""

import re
from dataclasses import replace
from pathlib import Path

import torch
from lightning.pytorch import Trainer

from multimodal.checkpoint import save
from multimodal.cli.recipe import Smoke, run
from multimodal.data.text.made import write_stories
from multimodal.data.text.masked_data import MaskedData
from multimodal.errors import ArgumentError
from multimodal.hub import load
from multimodal.models.text_encoder import TextEncoder
from multimodal.presets import bert
from multimodal.tasks.distillation import DistillationConfig, DistillationTask
from multimodal.tasks.masked_modeling import MaskedModelingTask
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tokenizers.text import TextTokenizer


def distill(
    tokenizer: TextTokenizer,
    teacher: str,
    depth: int | None = None,
    objective: DistillationConfig = DistillationConfig(),
    optimizer: OptimizerConfig = OptimizerConfig(
        lr=5e-4, weight_decay=0.0, warmup=0.05, final_lr=0.0, eps=1e-6, schedule="linear"
    ),
    seed: int = 0,
) -> DistillationTask:
    """A student of `teacher`.

    Args:
        tokenizer: of the data; it must be the teacher's.
        teacher: what `mm.load` takes, for a text encoder with a head for masked words.
        depth: number of the student's blocks; None: half of the teacher's.
        objective: weights of the three losses.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    large = load(teacher, device="cpu", dtype="float32")
    if not isinstance(large, TextEncoder):
        raise ArgumentError(f"teacher is {teacher!r}, a {type(large).__name__}; it must be a text encoder.")
    if large.tokenizer is None or large.tokenizer.tokenizer.get_vocab() != tokenizer.tokenizer.get_vocab():
        raise ArgumentError(f"The data are cut into other tokens than the teacher's: give --data.tokenizer {teacher}")
    return DistillationTask(student_of(large, depth), large, objective=objective, optimizer=optimizer, seed=seed)


def student_of(teacher: TextEncoder, depth: int | None) -> TextEncoder:
    """An encoder with every n-th block of `teacher`, and all else of it but the pooler."""
    stack = teacher.config.backbone
    depth = depth or stack.depth // 2
    if stack.shared or not 0 < depth <= stack.depth or stack.depth % depth:
        raise ArgumentError(f"depth is {depth}; it must divide the {stack.depth} blocks of the teacher, none shared.")
    student = replace(teacher.config, backbone=replace(stack, depth=depth), pooler=None).build(teacher.tokenizer)
    own, state = student.state_dict().keys(), {}
    for name, value in teacher.state_dict().items():
        block = re.match(r"backbone\.blocks\.(\d+)\.(.*)", name)
        if block:
            number, rest = divmod(int(block[1]), stack.depth // depth)
            name = f"backbone.blocks.{number}.{block[2]}" if rest == 0 else ""
        if name in own:
            state[name] = value
    student.load_state_dict(state)
    return student


def small_teacher(folder: Path) -> list[str]:
    """Made-up stories, and a teacher that has read them for five seconds."""
    stories = write_stories(folder / "stories")
    data = MaskedData(str(stories), vocabulary=400, length=18, share=0.3, batch_size=64)
    torch.manual_seed(0)
    teacher = bert(data.tokenizer.vocabulary, length=24, dim=64, depth=2, heads=4, dropout=0.0).build(data.tokenizer)
    optimizer = OptimizerConfig(lr=3e-3, weight_decay=0.01, eps=1e-6, schedule="constant")
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "limit_val_batches": 0}
    quiet |= {"enable_model_summary": False, "use_distributed_sampler": False}
    trainer = Trainer(max_steps=220, gradient_clip_val=1.0, accelerator="cpu", **quiet)
    trainer.fit(MaskedModelingTask(teacher, optimizer=optimizer), datamodule=data)
    path = save(teacher, folder / "teacher")
    return [f"--data.root={stories}", f"--data.tokenizer={path}", f"--model.teacher={path}"]


SMOKE = Smoke(
    arguments=(
        "--model.depth=1",
        "--model.optimizer.lr=0.003",
        "--data.length=18",
        "--data.share=0.3",
        "--data.batch_size=64",
        "--trainer.max_steps=100",
    ),
    data=small_teacher,
    metric="val_agreement",
    at_least=0.6,
)

TRAINER = {"max_steps": 100_000, "val_check_interval": 5000, "check_val_every_n_epoch": None, "gradient_clip_val": 5.0}

if __name__ == "__main__":
    run(distill, MaskedData, smoke=SMOKE, trainer=TRAINER)
