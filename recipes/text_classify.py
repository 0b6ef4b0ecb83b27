"""Train a classifier of texts, or of pairs of texts: from nothing, or from a published model.

Paper     fine-tuning: BERT arXiv:1810.04805 §4.1, GPT-1 (Radford et al. 2018) §3.2; from nothing a small encoder
          with much dropout and the mean of its tokens
Run       python data/sentence_polarity/prepare.py
          python recipes/text_classify.py fit --data.root data/sentence_polarity/text
          (two files, a line for each snippet, named after their class; or a table with text and label)
Better    python data/sst2/prepare.py
          python recipes/text_classify.py fit --data.root data/sst2/text --model.source hf:google-bert/bert-base-uncased
          --model.optimizer.lr 3e-5 --model.optimizer.warmup 0.1 --trainer.max_epochs 3
GPT-1     ... --model.source hf:openai-community/openai-gpt --model.objective.language 0.5 --data.next_tokens true
Hardware  one core of a CPU from nothing; one GPU with 16 GB for a published model
Hours     0.03 from nothing (106 s on one core of an AMD EPYC); a published model: not yet run
Expected  validation accuracy on sentence_polarity from nothing: 76.4% of 1,066 held-out sentences, F1 76.3%. A bag of
          words does as well on so few (--model.fresh.depth 0): it is published weights that do better
Small     python recipes/text_classify.py smoke          made-up reviews, about ten seconds on a CPU
"""

from multimodal.cli.recipe import Smoke, run
from multimodal.data.text.made import write_reviews
from multimodal.data.text.task_data import LabeledTextData
from multimodal.finetuning.text_start import FreshConfig, starting_body
from multimodal.models.text.body import bare
from multimodal.models.text_encoder import TextEncoder
from multimodal.models.text_heads import FirstTokenHeadConfig, PooledHeadConfig, TextClassifierConfig
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.text_classification import TextClassificationTask, TextObjectiveConfig


def text_classify(
    labels: tuple[str, ...],
    texts: tuple[str, ...],
    source: str | None = None,
    fresh: FreshConfig = FreshConfig(),
    dropout: float = 0.3,
    objective: TextObjectiveConfig = TextObjectiveConfig(),
    optimizer: OptimizerConfig = OptimizerConfig(lr=5e-4, weight_decay=0.1, warmup=0.1, final_lr=0.0),
    seed: int = 0,
) -> TextClassificationTask:
    """A classifier for `labels`.

    Args:
        labels: class names; the data give them.
        texts: what a tokenizer is trained on; the data give them.
        source: what `mm.load` takes, a text encoder or a language model; None: fresh weights.
        fresh: the encoder with fresh weights.
        dropout: probability of zeroing a channel in front of the head.
        objective: label smoothing; the weight of a language model's loss.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    body = starting_body(source, texts, fresh)
    if source is None:
        head = PooledHeadConfig(pool="mean", dropout=dropout)
    elif isinstance(body, TextEncoder):
        head = FirstTokenHeadConfig(dropout=dropout)
    else:
        head = PooledHeadConfig(pool="last", dropout=dropout)
    config = TextClassifierConfig(encoder=bare(body.config), classes=len(labels), head=head)
    model = config.build(labels, body.tokenizer)
    model.start_from(body)
    return TextClassificationTask(model, objective=objective, optimizer=optimizer, seed=seed)


SMOKE = Smoke(
    arguments=(
        "--model.fresh.vocabulary=200",
        "--model.fresh.dim=64",
        "--model.fresh.dropout=0.1",
        "--model.optimizer.lr=0.003",
        "--data.batch_size=32",
        "--trainer.max_epochs=1",
    ),
    data=lambda folder: [f"--data.root={write_reviews(folder / 'reviews')}"],
    at_least=0.9,
)

if __name__ == "__main__":
    run(text_classify, LabeledTextData, smoke=SMOKE, trainer={"max_epochs": 4, "gradient_clip_val": 1.0})
