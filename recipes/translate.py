"""Train the original transformer to translate.

Paper     arXiv:1706.03762: the base model of Table 3; label smoothing 0.1, the rate rises for 4,000 steps and falls
          with the inverse square root of the step (§5.3, §5.4), beams of 4 with length penalty 0.6 (§6.1)
Run       python data/multi30k/prepare.py
          python recipes/translate.py fit --data.root data/multi30k/text --data.source en --data.target de
          --model.vocabulary 10000 --model.dim 256 --model.depth 3 --model.heads 4 --model.dropout 0.3
          --trainer.max_epochs 30
Many GPUs add --trainer.devices 8 --trainer.strategy ddp
Hardware  one GPU with 16 GB
Hours     not yet run
Expected  BLEU on Multi30k: not yet run
Small     python recipes/translate.py smoke          made-up English and French, about fifteen seconds on a CPU
"""

from dataclasses import replace

from multimodal.cli.recipe import Smoke, run
from multimodal.data.text.made import write_translations
from multimodal.data.text.task_data import TranslationData
from multimodal.generation.config import BeamConfig, GenerationConfig
from multimodal.presets import transformer
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.sequence_to_sequence import SequenceToSequenceTask
from multimodal.tasks.vocabulary import TokenLossConfig
from multimodal.tokenizers.text_training import Kind, train_tokenizer


def translate(
    texts: tuple[str, ...],
    tokenizer: Kind = "unigram",
    vocabulary: int = 37_000,
    length: int = 256,
    dim: int = 512,
    depth: int = 6,
    heads: int = 8,
    dropout: float = 0.1,
    beams: int = 4,
    bleu: bool = True,
    objective: TokenLossConfig = TokenLossConfig(smoothing=0.1),
    optimizer: OptimizerConfig = OptimizerConfig(
        lr=7e-4, weight_decay=0.0, warmup=0.04, betas=(0.9, 0.98), eps=1e-9, schedule="inverse_sqrt"
    ),
    seed: int = 0,
) -> SequenceToSequenceTask:
    """An encoder-decoder with fresh weights; the defaults are the paper's base model.

    Args:
        texts: sentences of both languages, which share a vocabulary; the data give them.
        tokenizer: the kind to train.
        vocabulary: tokens at most.
        length: tokens of a sentence at most.
        dim: width of a token.
        depth: number of blocks of each stack.
        heads: attention heads of a block.
        dropout: probability of zeroing a channel while training.
        beams: translations that are followed at a time; 1: the likeliest token each time.
        bleu: whether validation translates its sentences and scores them.
        objective: label smoothing, z-loss.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    words = train_tokenizer(iter(texts), tokenizer, vocabulary=vocabulary, max_length=length)
    sizes = {"length": length, "dim": dim, "depth": depth, "heads": heads, "dropout": dropout}
    end, start = words.id_of("</s>"), words.id_of("<pad>")
    search = BeamConfig(width=beams, length_penalty=0.6) if beams > 1 else None
    generation = GenerationConfig(max_new_tokens=length, end=(end,), beams=search)
    config = replace(transformer(words.vocabulary, start=start, **sizes), generation=generation)
    return SequenceToSequenceTask(config.build(words), objective=objective, optimizer=optimizer, bleu=bleu, seed=seed)


SMOKE = Smoke(
    arguments=(
        "--data.source=en",
        "--data.target=fr",
        "--data.batch_size=32",
        "--model.vocabulary=120",
        "--model.length=32",
        "--model.dim=64",
        "--model.depth=2",
        "--model.heads=4",
        "--model.dropout=0",
        "--model.beams=1",
        "--model.optimizer.lr=0.003",
        "--model.optimizer.warmup=0.2",
        "--trainer.max_epochs=4",
        "--trainer.check_val_every_n_epoch=4",
    ),
    data=lambda folder: [f"--data.root={write_translations(folder / 'pairs')}"],
    metric="val_bleu",
    at_least=0.5,
)

TRAINER = {"max_epochs": 30, "gradient_clip_val": 1.0, "num_sanity_val_steps": 0}

if __name__ == "__main__":
    run(translate, TranslationData, smoke=SMOKE, trainer=TRAINER)
