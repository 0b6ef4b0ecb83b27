"""Pretrain a language model of GPT-2's design, or of Llama's.

Paper     GPT-2 (Radford et al. 2019) §2.3; Llama arXiv:2302.13971 §2.2 (rotary positions, RMSNorm, SwiGLU)
Run       python data/tinyshakespeare/prepare.py
          python recipes/gpt_pretrain.py fit --data.root data/tinyshakespeare/text
          These defaults are nanoGPT's setting for a CPU: 4 layers, 4 heads, width 128, context 64, batch 12, 2,000
          steps, one character a token, the last tenth of the text for validation.
Better    python recipes/gpt_pretrain.py fit --data.root data/tinyshakespeare/text --model.design llama
          --model.optimizer.lr 4e-3 --trainer.max_steps 1750          in the same time
Large     a corpus that is tokenized once into files, GPT-2's smallest size:
          python recipes/gpt_pretrain.py fit --data.root corpus/ --data.tokens ids/ --data.tokenizer bpe
          --data.vocabulary 50257 --data.length 1024 --data.sampling blocks --data.batch_size 32 --model.dim 768
          --model.depth 12 --model.heads 12 --model.optimizer.lr 6e-4 --trainer.max_steps 100000
          --trainer.val_check_interval 2000 --trainer.devices 8 --trainer.strategy ddp
Longer    ... --model.design llama --model.optimizer.lr 4e-3 --data.length 256 --data.batch_size 4
Hardware  one core of a CPU (measured on an AMD EPYC with AVX-512); eight GPUs for the large one
Hours     0.04: 146 s, better: 140 s; longer: 163 s on two cores; the large one: not yet run
Expected  validation loss 1.790 nats a character, better: 1.731, longer: 1.663 (nanoGPT's figure is 1.88); the large
          one: not yet run
Small     python recipes/gpt_pretrain.py smoke          made-up stories, about fifteen seconds on a CPU
"""

from typing import Any, Literal

import torch

from multimodal.cli.recipe import Smoke, run
from multimodal.data.text.corpus_data import CorpusData
from multimodal.data.text.data_modules import Sampling
from multimodal.data.text.made import write_stories
from multimodal.models.language_model import LanguageModel
from multimodal.presets import gpt2, llama
from multimodal.tasks.language_modeling import LanguageModelingTask
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.vocabulary import TokenLossConfig
from multimodal.tokenizers.text import TextTokenizer


def gpt_pretrain(
    tokenizer: TextTokenizer,
    length: int,
    design: Literal["gpt2", "llama"] = "gpt2",
    dim: int = 128,
    depth: int = 4,
    heads: int = 4,
    dropout: float = 0.0,
    objective: TokenLossConfig = TokenLossConfig(),
    optimizer: OptimizerConfig = OptimizerConfig(
        lr=3e-3, weight_decay=0.1, warmup=0.05, final_lr=0.03, betas=(0.9, 0.99)
    ),
    seed: int = 0,
) -> LanguageModelingTask:
    """A language model with fresh weights; the defaults are nanoGPT's for a CPU.

    Args:
        tokenizer: of the data.
        length: tokens of a window; the data give it.
        design: gpt2 (without biases, as nanoGPT) or llama.
        dim: width of a token.
        depth: number of blocks.
        heads: attention heads of a block.
        dropout: probability of zeroing a channel while training.
        objective: label smoothing, z-loss.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    sizes = {"length": length, "dim": dim, "depth": depth, "heads": heads, "dropout": dropout}
    if design == "gpt2":
        model = gpt2(tokenizer.vocabulary, bias=False, **sizes).build(tokenizer)
    else:
        model = llama(tokenizer.vocabulary, tied=True, multiple=32, **sizes).build(tokenizer)
    calm(model)
    return LanguageModelingTask(model, objective=objective, optimizer=optimizer, seed=seed)


@torch.no_grad()
def calm(model: LanguageModel) -> None:
    """GPT-2's start: what a branch adds is scaled by 1 / sqrt(branches), so that depth does not raise the sum."""
    blocks = model.backbone.blocks
    for name, parameter in blocks.named_parameters():
        if name.endswith(("attention.out.weight", "mlp.down.weight")):
            parameter *= (2 * len(blocks)) ** -0.5


class CharacterData(CorpusData):
    """A corpus with one character a token, in windows from random places, unless told otherwise."""

    def __init__(
        self,
        root: str,
        *,
        tokenizer: str = "character",
        length: int = 64,
        sampling: Sampling | Literal["packed"] = "random",
        batch_size: int = 12,
        **options: Any,
    ) -> None:
        """As `CorpusData`.

        Args:
            root: a text file, a table, or a folder of them; files called train and val (valid, dev) are these splits.
            tokenizer: a folder or file of one; or "bpe", "wordpiece", "unigram", "character": trained on `root`.
            length: ids of a window or row.
            sampling: "blocks": each id once an epoch; "random": windows from random places; "packed": whole documents.
            batch_size: windows or rows a step and process.
            options: the others of `CorpusData`.
        """
        super().__init__(root, tokenizer=tokenizer, length=length, sampling=sampling, batch_size=batch_size, **options)


SMOKE = Smoke(
    arguments=(
        "--model.dim=64",
        "--model.depth=2",
        "--model.optimizer.lr=0.006",
        "--data.batch_size=24",
        "--trainer.max_steps=120",
    ),
    data=lambda folder: [f"--data.root={write_stories(folder / 'stories')}"],
    metric="val_loss",
    at_most=1.5,
)

TRAINER = {"max_steps": 2000, "val_check_interval": 500, "check_val_every_n_epoch": None, "gradient_clip_val": 1.0}

if __name__ == "__main__":
    run(gpt_pretrain, CharacterData, smoke=SMOKE, trainer=TRAINER)
