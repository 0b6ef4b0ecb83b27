"""Pretrain a text encoder on hidden words, as RoBERTa does, or with the next sentence besides, as BERT.

Paper     BERT arXiv:1810.04805 §3.1, appendix A.2; RoBERTa arXiv:1907.11692 §4 (masks drawn anew each epoch, no next
          sentence), which are the defaults
Run       python data/wikitext103/prepare.py
          python recipes/bert_pretrain.py fit --data.root data/wikitext103/text --data.tokens ids/
BERT      ... --data.next_sentence true --data.masking static
          (in text files one sentence a line, blank lines between documents; it is kept in memory)
Many GPUs add --trainer.devices 8 --trainer.strategy ddp
Hardware  one GPU with 24 GB for the base size at batch 64
Hours     not yet run
Expected  not yet run
Small     python recipes/bert_pretrain.py smoke          made-up stories, about fifteen seconds on a CPU
"""

from multimodal.cli.recipe import Smoke, run
from multimodal.data.text.made import write_stories
from multimodal.data.text.masked_data import MaskedData
from multimodal.presets import bert
from multimodal.tasks.masked_modeling import MaskedModelingTask
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tokenizers.text import TextTokenizer


def bert_pretrain(
    tokenizer: TextTokenizer,
    length: int,
    next_sentence: bool,
    dim: int = 768,
    depth: int = 12,
    heads: int = 12,
    dropout: float = 0.1,
    optimizer: OptimizerConfig = OptimizerConfig(
        lr=1e-4, weight_decay=0.01, warmup=0.01, final_lr=0.0, eps=1e-6, schedule="linear"
    ),
    seed: int = 0,
) -> MaskedModelingTask:
    """An encoder with fresh weights; the defaults are BERT-base.

    Args:
        tokenizer: of the data.
        length: ids of a window, to which up to three special tokens come; the data give it.
        next_sentence: whether the data are pairs of sentences, of which it also learns which follow each other.
        dim: width of a token.
        depth: number of blocks.
        heads: attention heads of a block.
        dropout: probability of zeroing a channel while training.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    sizes = {"length": length + 3, "dim": dim, "depth": depth, "heads": heads, "dropout": dropout}
    model = bert(tokenizer.vocabulary, next_sentence=next_sentence, **sizes).build(tokenizer)
    return MaskedModelingTask(model, optimizer=optimizer, seed=seed)


SMOKE = Smoke(
    arguments=(
        "--model.dim=64",
        "--model.depth=2",
        "--model.heads=4",
        "--model.dropout=0",
        "--model.optimizer.lr=0.003",
        "--model.optimizer.warmup=0.1",
        "--model.optimizer.schedule=constant",
        "--data.vocabulary=400",
        "--data.length=18",
        "--data.share=0.3",
        "--data.batch_size=64",
        "--trainer.max_steps=240",
    ),
    data=lambda folder: [f"--data.root={write_stories(folder / 'stories')}"],
    metric="val_loss",
    at_most=2.5,  # who knows only how frequent words are comes to 3.0
)

TRAINER = {"max_steps": 100_000, "val_check_interval": 5000, "check_val_every_n_epoch": None, "gradient_clip_val": 1.0}

if __name__ == "__main__":
    run(bert_pretrain, MaskedData, smoke=SMOKE, trainer=TRAINER)
