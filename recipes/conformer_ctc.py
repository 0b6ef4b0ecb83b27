"""Train a speech recognizer from nothing: a Conformer with CTC.

Paper     Conformer, arXiv:2005.08100; CTC between the blocks, arXiv:2102.03216 and arXiv:2104.02724; SpecAugment,
          arXiv:1904.08779; speed perturbation, Ko et al. 2015; hybrid CTC/attention, arXiv:1609.06773
Run       python data/an4/prepare.py
          python recipes/conformer_ctc.py fit --data.root data/an4/audio --data.seconds_per_batch 60
          --data.augment.speeds "[0.85,0.9,0.95,1.0,1.05,1.1,1.15]" --model.fresh.decoder_depth 2
          --trainer.max_epochs 65
          multimodal transcribe data/an4/audio/test --model lightning_logs/version_0/model --beams 10 --out heard
          multimodal wer data/an4/audio/manifest.jsonl heard --split test
Your own  --data.root manifest.jsonl (or .csv, .tsv, a folder with a .txt beside each recording, LibriSpeech, LJSpeech,
          Common Voice); `multimodal check` says first what is wrong with it
More      LibriSpeech: --data.root data/librispeech/audio --data.seconds_per_batch 600 --model.fresh.depth 16
          --model.fresh.channels 144 --model.fresh.tokenizer unigram --model.fresh.vocabulary 1000
          --model.fresh.decoder_depth 6
Many GPUs --trainer.devices 8 --trainer.strategy ddp --trainer.sync_batchnorm true
Hardware  AN4: two cores of a CPU; LibriSpeech: GPUs with 24 GB
Hours     0.9 for AN4 on one thread of a busy AMD EPYC of two cores; LibriSpeech: not yet run
Expected  AN4 from nothing, no language model: 13.0% of the words wrong (95% interval 9.1 to 17.2%) as run above, 14.5%
          without beams. 847 clips to train on, 117 of nine other speakers to test; the published test split has 130 of
          ten, on which ESPnet's transformer has 7.6%. What is left are letters that sound alike (n and m, b and d), and
          18 more epochs from there (--model.start) change nothing. LibriSpeech: not yet run
Small     python recipes/conformer_ctc.py smoke          tones and chirps with names, about twenty seconds on a CPU
"""

from multimodal.cli.recipe import Smoke, run
from multimodal.data.speech.data_modules import SpeechData
from multimodal.data.speech.tones import write_tones
from multimodal.finetuning.averaging import averaged_weights
from multimodal.finetuning.precision import training_precision
from multimodal.finetuning.published import published
from multimodal.finetuning.speech_start import FreshConformerConfig, fresh_conformer
from multimodal.models.ctc_recognizer import CtcRecognizer
from multimodal.tasks.ctc import CtcObjectiveConfig, CtcTask
from multimodal.tasks.optimizer import OptimizerConfig


def conformer_ctc(
    texts: tuple[str, ...],
    start: str | None = None,
    fresh: FreshConformerConfig = FreshConformerConfig(),
    average: float = 0.998,
    objective: CtcObjectiveConfig = CtcObjectiveConfig(),
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3, betas=(0.9, 0.98), warmup=0.1),
    seed: int = 0,
) -> CtcTask:
    """A Conformer, and how it is trained.

    Args:
        texts: what the vocabulary is trained on; the data give them.
        start: a model folder to go on from, with its sizes and its vocabulary; None: fresh weights.
        fresh: sizes of a fresh model.
        average: decay of the average of all steps' weights, which is what is validated and saved; 0: the last ones.
        objective: weights of the losses, what is hidden of the spectrograms.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    if start is None:
        model = fresh_conformer(texts, fresh)
    else:
        model = published(start, CtcRecognizer, "'lightning_logs/version_0/model'", name="start")
    averaging = [averaged_weights(average)] if average else []
    return CtcTask(model, objective=objective, optimizer=optimizer, callbacks=averaging, seed=seed)


SMOKE = Smoke(
    arguments=(
        "--model.fresh.dim=64",
        "--model.fresh.depth=2",
        "--model.fresh.mels=40",
        "--model.fresh.channels=16",
        "--model.fresh.between=false",
        "--model.fresh.dropout=0",
        "--model.average=0.9",
        "--model.optimizer.lr=0.003",
        "--data.seconds_per_batch=12",
        "--trainer.max_epochs=8",
        "--trainer.check_val_every_n_epoch=8",
    ),
    data=lambda folder: [f"--data.root={write_tones(folder / 'tones')}"],
    metric="val_wer",
    at_most=0.5,
)

if __name__ == "__main__":
    run(
        conformer_ctc,
        SpeechData,
        smoke=SMOKE,
        trainer={"precision": training_precision(), "max_epochs": 60, "gradient_clip_val": 5.0},
    )
