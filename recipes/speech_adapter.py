"""A language model learns to hear: an encoder of sound, a projector, and text that answers questions about recordings.

Paper     SLAM-ASR, arXiv:2402.08846; SALMONN, arXiv:2310.13289; in two stages as LLaVA, arXiv:2304.08485
Run       python recipes/speech_adapter.py fit --data.root chat.jsonl --model.speech hf:openai/whisper-small
          --model.language hf:Qwen/Qwen2-0.5B-Instruct --model.training.train projector
Digits    python data/fsdd/prepare.py, the encoder by ast_classify.py and the language model by gpt_pretrain.py (see
          there, and llava_instruct.py), both from nothing:
          python recipes/speech_adapter.py fit --data.root data/fsdd/audio/chat.jsonl --model.speech run/model
          --model.language runs/gpt/lightning_logs/version_0/model --model.projector "{fold: [1, 3]}"
          --data.batch_size 32 --model.optimizer.lr 1e-3 --trainer.max_epochs 4
Your own  --data.root: JSON lines {"messages": [{"role": "user", "content": "<audio>\\nWhat is said?"}, {"role":
          "assistant", "content": ...}], "audios": ["clip.wav"]}; `multimodal check` says first what is wrong with them
Projector folds five tokens of the encoder into one (100 ms of Whisper's); "{fold: [1, 3]}" three
Stages    --model.training.train projector, then llava_instruct.py with --model.source and what that left
Hardware  two cores of a CPU for the digits; Whisper-small and Qwen2-0.5B: one GPU with 24 GB
Hours     0.02 for the digits: 60 seconds of CPU time; Whisper-small and Qwen2-0.5B: not yet run
Expected  98.7% of the 300 clips of FSDD's official test split (95% interval 97.3 to 99.7%, `multimodal evaluate`); 10%
          of silence, 10.7% with the recordings of other questions. The frozen encoder was an AST that had learned the
          same digits (98.7% as a classifier). Whisper-small and Qwen2-0.5B: not yet run
Small     python recipes/speech_adapter.py smoke          tones with names, about half a minute on a CPU
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from multimodal.checkpoint import save
from multimodal.cli.recipe import Smoke, run
from multimodal.data.chat.data_modules import ChatData
from multimodal.data.speech.tones import TABLE, WORDS, write_tones
from multimodal.finetuning.precision import training_precision
from multimodal.finetuning.small_talk import learn, small_language_model
from multimodal.finetuning.sound_start import HearingConfig, fresh_ast
from multimodal.finetuning.vision_language_start import joined
from multimodal.models.classifier import Classifier
from multimodal.models.projector import AnyProjectorConfig, PixelShuffleProjectorConfig
from multimodal.presets.sound import Spectrograms
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.vision_language import VisionLanguageTask, VisionLanguageTrainingConfig


def speech_adapter(
    speech: str = "hf:openai/whisper-small",
    language: str = "hf:Qwen/Qwen2-0.5B-Instruct",
    projector: AnyProjectorConfig | None = None,
    layers: tuple[int, ...] = (),
    seconds: float | None = None,
    template: str | None = None,
    training: VisionLanguageTrainingConfig = VisionLanguageTrainingConfig(train="language"),
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-4, weight_decay=0.01, warmup=0.05, final_lr=0.0),
    seed: int = 0,
) -> VisionLanguageTask:
    """An encoder of sound and a language model, and what is learned between them.

    Args:
        speech: what `mm.load` takes: a model of sound (Whisper, a Conformer, an AST), whose encoder is used.
        language: what `mm.load` takes: a language model with a tokenizer.
        projector: from the encoder's tokens to those of the language model; none: five of them become one.
        layers: of the encoder that are read; (): its output.
        seconds: of a Whisper or a Conformer: the windows that recordings are cut into; none: those that the first was
            trained with (30 s), or 15.
        template: chat template as Jinja; none: the tokenizer's own, or Vicuna's.
        training: what is trained.
        optimizer: AdamW and its schedule.
        seed: of fresh weights and everything random in a step.
    """
    folded = PixelShuffleProjectorConfig(fold=(1, 5))
    options = {"projector": projector or folded, "layers": layers, "seconds": seconds, "template": template}
    model, part = joined(speech, language, seed=seed, **options)
    return VisionLanguageTask(model, training=training, optimizer=optimizer, seed=seed, callbacks=(part,))


def _small_talk(folder: Path) -> list[str]:
    """Tones and questions about them, an encoder of sound with fresh weights, a language model that knows the words."""
    torch.manual_seed(0)
    tones, question = write_tones(folder / "tones", words=(1, 1)), "Which tone is heard?"
    rows = []
    for line in (tones / TABLE).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        messages = [
            {"role": "user", "content": f"<audio>\n{question}"},
            {"role": "assistant", "content": row["text"]},
        ]
        rows.append({"messages": messages, "audios": [row["file"]], "split": row["split"]})
    (tones / "chat.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    texts = [f"USER: {question} ASSISTANT: {word}" for word in WORDS] * 20
    return [
        f"--data.root={tones / 'chat.jsonl'}",
        f"--model.speech={save(_ear(tones, rows), folder / 'ear')}",
        f"--model.language={save(small_language_model(texts), folder / 'language')}",
    ]


def _ear(tones: Path, rows: Sequence[Mapping[str, Any]]) -> Classifier:
    """An AST that has learned to tell the tones of the training split apart."""
    sizes = Spectrograms(dim=64, depth=2, heads=2, patch=(32, 8), stride=(32, 8))
    ear = fresh_ast(tuple(WORDS), HearingConfig(seconds=0.4, mels=32, mean=-7.0, std=4.0), sizes, drop_path=0.0)
    train = [row for row in rows if row["split"] == "train"]
    heard = torch.stack([ear.transform.read(tones / row["audios"][0]) for row in train])
    labels = torch.tensor([list(WORDS).index(row["messages"][1]["content"]) for row in train])
    learn(ear, lambda some: F.cross_entropy(ear(heard[some]), labels[some]), len(train), steps=60, rate=2e-3)
    return ear


SMOKE = Smoke(
    arguments=(
        "--model.optimizer.lr=0.003",
        "--data.batch_size=20",
        "--trainer.max_epochs=12",
        "--trainer.check_val_every_n_epoch=12",
    ),
    data=_small_talk,
    metric="val_exact",
    at_least=0.5,
)

if __name__ == "__main__":
    run(
        speech_adapter,
        ChatData,
        smoke=SMOKE,
        trainer={"precision": training_precision(), "max_epochs": 3, "gradient_clip_val": 1.0},
    )
