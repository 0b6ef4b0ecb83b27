"""Fine-tune Whisper on recordings and their texts, or train one like it from nothing.

Paper     Whisper, arXiv:2212.04356; adapters: LoRA, arXiv:2106.09685
Run       python recipes/whisper_finetune.py fit --data.root manifest.jsonl --model.source hf:openai/whisper-small
          --model.training.language de --data.longest 30 --trainer.max_epochs 3
Your own  --data.root manifest.jsonl (or .csv, .tsv, a folder with a .txt beside each recording, LibriSpeech, LJSpeech,
          Common Voice); `multimodal check` says first what is wrong with it
Adapters  --model.training.lora "{rank: 16}" --model.optimizer.lr 1e-4 trains a hundredth of the weights
Decoder   --model.training.train_encoder false: new words rather than new sounds
Batches   every clip counts as a window of 30 s, so --data.seconds_per_batch 60 of 5 s clips are 12 windows
Many GPUs --trainer.devices 8 --trainer.strategy ddp
Hardware  whisper-small: one GPU with 24 GB
Hours     not yet run
Expected  not yet run
Small     python recipes/whisper_finetune.py smoke          tones and chirps with names, about half a minute on a CPU
"""

from pathlib import Path

import torch

from multimodal.checkpoint import save
from multimodal.cli.recipe import Smoke, run
from multimodal.data.speech.data_modules import SpeechData
from multimodal.data.speech.tones import WORDS, write_tones
from multimodal.finetuning.precision import training_precision
from multimodal.finetuning.published import published
from multimodal.finetuning.speech_start import FreshWhisperConfig, fresh_whisper
from multimodal.models.speech_recognizer import SpeechRecognizer
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.speech_to_text import SpeechToTextConfig, SpeechToTextTask


def whisper_finetune(
    source: str = "hf:openai/whisper-small",
    pretrained: bool = True,
    training: SpeechToTextConfig = SpeechToTextConfig(),
    optimizer: OptimizerConfig = OptimizerConfig(
        lr=1e-5, weight_decay=0.1, betas=(0.9, 0.98), eps=1e-6, warmup=0.1, schedule="linear", final_lr=0.0
    ),
    seed: int = 0,
) -> SpeechToTextTask:
    """A published recognizer, trained further.

    Args:
        source: what `mm.load` takes.
        pretrained: False starts from fresh weights.
        training: language and task, adapters, what is trained.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    model = published(source, SpeechRecognizer, "'hf:openai/whisper-small'", name="source", pretrained=pretrained)
    return SpeechToTextTask(model, training=training, optimizer=optimizer, seed=seed)


def _small_whisper(folder: Path) -> list[str]:
    """A recognizer with fresh weights as a folder, and tones to learn."""
    torch.manual_seed(0)
    sizes = FreshWhisperConfig(dim=64, depth=2, decoder_depth=2, heads=2, mels=40, seconds=2.0, vocabulary=280)
    source = save(fresh_whisper([" ".join(WORDS)] * 2, sizes), folder / "whisper")
    return [f"--data.root={write_tones(folder / 'tones', words=(1, 2))}", f"--model.source={source}"]


SMOKE = Smoke(
    arguments=(
        "--model.optimizer.lr=0.0015",
        "--data.seconds_per_batch=4",
        "--data.longest=2",
        "--trainer.max_epochs=14",
        "--trainer.check_val_every_n_epoch=14",
    ),
    data=_small_whisper,
    metric="val_wer",
    at_most=0.5,
)

if __name__ == "__main__":
    run(
        whisper_finetune,
        SpeechData,
        smoke=SMOKE,
        trainer={"precision": training_precision(), "max_epochs": 3, "gradient_clip_val": 1.0},
    )
