"""Train CLAP from nothing: sound and its captions into one space, so that either is found by the other.

Paper     CLAP, arXiv:2211.06687; the audio tower is AST, arXiv:2104.01778, hidden parts of spectrograms are
          SpecAugment's, arXiv:1904.08779
Run       python recipes/clap.py fit --data.root sounds.csv (or .jsonl, .parquet, tar shards, a folder with a .txt
          beside each recording); a table has the columns path and caption
Use       model = mm.load("MODEL"); model.classify(["clip.wav"], ["a dog", "rain"]); model.embed_audio(["clip.wav"])
Many GPUs --trainer.devices 8 --trainer.strategy ddp; the loss compares the pairs of all of them
Batches   --data.batch_size 2304 --model.training.micro_batch 128 compares 2,304 pairs with the memory of 128
Hardware  the published size at batch 64: one GPU with 24 GB
Hours     not yet run
Expected  not yet run
Small     python recipes/clap.py smoke          made tones, about twenty seconds on a CPU
"""

from multimodal.cli.recipe import Smoke, run
from multimodal.data.pairs.data_modules import PairData
from multimodal.data.sounds.augment import SoundAugmentConfig
from multimodal.data.speech.tones import TABLE, write_tones
from multimodal.finetuning.precision import training_precision
from multimodal.finetuning.sound_start import FreshClapConfig, fresh_clap
from multimodal.tasks.contrastive import ContrastiveConfig, ContrastiveTask
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.spec_augment import SpecAugmentConfig


def clap(
    texts: tuple[str, ...],
    fresh: FreshClapConfig = FreshClapConfig(),
    training: ContrastiveConfig = ContrastiveConfig(
        hide=SpecAugmentConfig(bands=2, band=0.2, stretches=2, stretch=0.1)
    ),
    optimizer: OptimizerConfig = OptimizerConfig(
        lr=5e-4, weight_decay=0.2, betas=(0.9, 0.98), eps=1e-6, warmup=0.05, final_lr=0.0
    ),
    seed: int = 0,
) -> ContrastiveTask:
    """Two fresh towers, trained so that recordings and their captions find each other.

    Args:
        texts: what a vocabulary is trained on, where `fresh.vocabulary` asks for one; the data give them.
        fresh: what is heard of a recording, and the sizes of both towers.
        training: locked tower, adapters, hidden parts of spectrograms, micro-batches.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    return ContrastiveTask(fresh_clap(texts, fresh), training=training, optimizer=optimizer, seed=seed)


class SoundPairData(PairData):
    """Recordings with captions, changed at random unless told otherwise."""

    def __init__(
        self,
        root: str,
        *,
        batch_size: int = 64,
        augment: SoundAugmentConfig = SoundAugmentConfig(),
        val_fraction: float = 0.1,
        image: str | None = None,
        caption: str | None = None,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """As `PairData`; `image` is the column with the recordings."""
        columns = {"image": image, "caption": caption}
        options = {"val_fraction": val_fraction, "workers": workers, "seed": seed}
        super().__init__(root, batch_size=batch_size, augment=augment, **columns, **options)


SMOKE = Smoke(
    arguments=(
        "--model.fresh.hearing={seconds: 0.7, mels: 32, mean: -7, std: 4}",
        "--model.fresh.audio={dim: 64, depth: 2, heads: 2, patch: [32, 4], stride: [32, 4]}",
        "--model.fresh.text={dim: 64, depth: 2, heads: 2}",
        "--model.fresh.dim=64",
        "--model.fresh.length=12",
        "--model.fresh.vocabulary=100",
        "--model.training.hide=null",
        "--model.optimizer.lr=0.002",
        "--data.batch_size=50",
        "--data.augment={wave: {speeds: [1]}, shift: 0}",
        "--trainer.max_epochs=8",
    ),
    data=lambda folder: [
        f"--data.root={write_tones(folder / 'tones', train=400, val=40, test=0, words=(2, 2)) / TABLE}"
    ],
    metric="val_recall",
    at_least=0.2,
)

if __name__ == "__main__":
    run(
        clap,
        SoundPairData,
        smoke=SMOKE,
        trainer={"precision": training_precision(), "max_epochs": 45, "gradient_clip_val": 1.0},
    )
