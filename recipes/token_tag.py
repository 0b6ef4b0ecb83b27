"""Train a model that tags words, such as the names of people and places: from nothing, or from a published model.

Paper     BERT arXiv:1810.04805 §5.3; WNUT-17 (Derczynski et al. 2017)
Run       python data/wnut17/prepare.py
          python recipes/token_tag.py fit --data.root data/wnut17/text
          (CoNLL files, a word and its tag on a line; or a table with words and tags)
Better    ... --model.source hf:google-bert/bert-base-cased --model.optimizer.lr 3e-5 --trainer.max_epochs 3
Hardware  one core of a CPU from nothing; one GPU with 16 GB for a published model
Hours     0.04 from nothing (140 s on one core of an AMD EPYC); a published model: not yet run
Expected  entity F1 on WNUT-17 from nothing: 14.1% validation, 9.4% test (precision 14.9%, recall 6.9%); names that were
          never seen in training cannot be told from 3,394 sentences alone. A published model: not yet run
Small     python recipes/token_tag.py smoke          made-up sentences, about ten seconds on a CPU
"""

from multimodal.cli.recipe import Smoke, run
from multimodal.data.text.made import write_tagged
from multimodal.data.text.task_data import TaggedWordData
from multimodal.finetuning.text_start import FreshConfig, starting_body
from multimodal.models.text.body import bare
from multimodal.models.text_heads import TokenTaggerConfig
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.token_tagging import TokenTaggingTask


def token_tag(
    labels: tuple[str, ...],
    texts: tuple[str, ...],
    source: str | None = None,
    fresh: FreshConfig = FreshConfig(lowercase=False),
    dropout: float = 0.3,
    optimizer: OptimizerConfig = OptimizerConfig(lr=2e-3, weight_decay=0.1, warmup=0.1, final_lr=0.0),
    seed: int = 0,
) -> TokenTaggingTask:
    """A tagger for `labels`.

    Args:
        labels: names of the tags (B-person, I-person, O ...); the data give them.
        texts: what a tokenizer is trained on; the data give them.
        source: what `mm.load` takes, a text encoder or a language model; None: fresh weights.
        fresh: the encoder with fresh weights.
        dropout: probability of zeroing a channel in front of the head.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    body = starting_body(source, texts, fresh)
    config = TokenTaggerConfig(encoder=bare(body.config), classes=len(labels), dropout=dropout)
    model = config.build(labels, body.tokenizer)
    model.start_from(body)
    return TokenTaggingTask(model, optimizer=optimizer, seed=seed)


SMOKE = Smoke(
    arguments=(
        "--model.fresh.vocabulary=300",
        "--model.fresh.dim=64",
        "--model.fresh.dropout=0.1",
        "--model.optimizer.lr=0.003",
        "--data.batch_size=16",
        "--trainer.max_epochs=2",
    ),
    data=lambda folder: [f"--data.root={write_tagged(folder / 'tagged')}"],
    metric="val_f1",
    at_least=0.9,
)

if __name__ == "__main__":
    run(token_tag, TaggedWordData, smoke=SMOKE, trainer={"max_epochs": 12, "gradient_clip_val": 1.0})
