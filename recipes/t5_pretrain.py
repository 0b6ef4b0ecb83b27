"""Pretrain an encoder-decoder on corrupted text: T5's spans, or BART's noises.

Paper     T5 arXiv:1910.10683 §3.1.4 (15% of the tokens in spans of 3), model of version 1.1 (arXiv:2002.05202);
          BART arXiv:1910.13461 §2.2
Run       python data/wikitext103/prepare.py
          python recipes/t5_pretrain.py fit --data.root data/wikitext103/text --data.tokens ids/
BART      ... --data.noise bart --data.length 512         its noises with the same model
Many GPUs add --trainer.devices 8 --trainer.strategy ddp
Hardware  one GPU with 24 GB for the small size at batch 64
Hours     not yet run
Expected  not yet run
Small     python recipes/t5_pretrain.py smoke          made-up stories, about fifteen seconds on a CPU
"""

from typing import Any, Literal

from multimodal.cli.recipe import Smoke, run
from multimodal.data.text.batches import Collate
from multimodal.data.text.corpus_data import CorpusData
from multimodal.data.text.made import write_stories
from multimodal.data.text.noise import span_corruption_lengths
from multimodal.data.text.objectives import DenoisingConfig, SpanCorruptionConfig
from multimodal.errors import ArgumentError
from multimodal.presets import t5
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.sequence_to_sequence import SequenceToSequenceTask
from multimodal.tasks.vocabulary import TokenLossConfig
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_settings import SpecialTokens


def t5_pretrain(
    tokenizer: TextTokenizer,
    length: int,
    dim: int = 512,
    depth: int = 8,
    heads: int = 6,
    hidden: int = 1024,
    dropout: float = 0.0,
    objective: TokenLossConfig = TokenLossConfig(z_loss=1e-4),
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3, weight_decay=0.0, warmup=0.02, schedule="inverse_sqrt"),
    seed: int = 0,
) -> SequenceToSequenceTask:
    """An encoder-decoder with fresh weights; the defaults are T5 1.1's small size.

    T5 was trained with Adafactor; AdamW takes its place, at a rate that suits it.

    Args:
        tokenizer: of the data.
        length: tokens of a source text; the data give it.
        dim: width of a token.
        depth: number of blocks of each stack.
        heads: attention heads of a block, 64 wide each.
        hidden: width of a block's hidden layer.
        dropout: probability of zeroing a channel while training.
        objective: label smoothing, z-loss.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    sizes = {"length": length, "dim": dim, "depth": depth, "heads": heads, "hidden": hidden, "dropout": dropout}
    model = t5(tokenizer.vocabulary, start=start(tokenizer), **sizes).build(tokenizer)
    return SequenceToSequenceTask(model, objective=objective, optimizer=optimizer, seed=seed)


def start(tokenizer: TextTokenizer) -> int:
    """The id that the decoder begins with: the padding's, as T5 has it."""
    return tokenizer.id_of("<pad>")


class NoisyData(CorpusData):
    """A corpus that the model has to restore."""

    ahead = 0
    special = SpecialTokens(
        pad="<pad>", eos="</s>", unk="<unk>", mask="<mask>", extra=tuple(f"<extra_id_{i}>" for i in range(100))
    )

    def __init__(
        self,
        root: str,
        *,
        noise: Literal["t5", "bart"] = "t5",
        tokenizer: str = "unigram",
        vocabulary: int = 32_000,
        length: int = 512,
        batch_size: int = 64,
        **options: Any,
    ) -> None:
        """As `CorpusData`, and:

        Args:
            root: a text file, a table, or a folder of them.
            noise: spans of T5, which become a sentinel each; or BART's, whose targets are the whole text.
            tokenizer: a folder or file of one, or the kind to train.
            vocabulary: tokens at most of a tokenizer that is trained.
            length: tokens of a source text, with its spans gone.
            batch_size: texts a step and process.
            options: the others of `CorpusData`.
        """
        self.noise, self.noise_seed = noise, options.get("seed", 0)
        window = span_corruption_lengths(length)[0] if noise == "t5" else length - 1
        super().__init__(
            root, tokenizer=tokenizer, vocabulary=vocabulary, length=window, batch_size=batch_size, **options
        )

    def collator(self, length: int, *, packed: bool) -> Collate[Any]:
        """Sources and targets of the noise."""
        if packed:
            raise ArgumentError("sampling is 'packed', which is for next-token prediction; use 'blocks' or 'random'.")
        kind = SpanCorruptionConfig if self.noise == "t5" else DenoisingConfig
        return kind(start=start(self.tokenizer), seed=self.noise_seed).build(self.tokenizer)


SMOKE = Smoke(
    arguments=(
        "--model.dim=64",
        "--model.depth=2",
        "--model.heads=2",
        "--model.hidden=128",
        "--model.optimizer.lr=0.005",
        "--model.optimizer.warmup=0.1",
        "--data.tokenizer=wordpiece",
        "--data.vocabulary=500",
        "--data.length=32",
        "--data.batch_size=32",
        "--trainer.max_steps=110",
    ),
    data=lambda folder: [f"--data.root={write_stories(folder / 'stories')}"],
    metric="val_loss",
    at_most=2.6,
)

TRAINER = {"max_steps": 100_000, "val_check_interval": 5000, "check_val_every_n_epoch": None, "gradient_clip_val": 1.0}

if __name__ == "__main__":
    run(t5_pretrain, NoisyData, smoke=SMOKE, trainer=TRAINER)
