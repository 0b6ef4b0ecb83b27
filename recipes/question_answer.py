"""Train a model that finds the answer to a question in a text: from a published model, or from nothing.

Paper     SQuAD arXiv:1606.05250; BERT arXiv:1810.04805 §4.2, §4.3
Run       python data/squad/prepare.py
          python recipes/question_answer.py fit --data.root data/squad/text
          --model.source hf:google-bert/bert-base-uncased --model.optimizer.lr 3e-5 --trainer.max_epochs 2
          (JSON in the format of SQuAD, one file or one for each split)
SQuAD 2.0 ... --model.null true                  "it is not answered there" is an answer too
Nothing   python data/xquad/prepare.py
          python recipes/question_answer.py fit --data.root data/xquad/text/en.json
          fresh weights, to see that all works: a thousand questions do not teach a language
Hardware  one GPU with 16 GB; one core of a CPU from nothing
Hours     0.05 from nothing (180 s on one core of an AMD EPYC); a published model: not yet run
Expected  XQuAD in English from nothing: exact match 0.0%, F1 7.2% of 119 held-out questions; SQuAD: not yet run
Small     python recipes/question_answer.py smoke          made-up questions, about ten seconds on a CPU
"""

from multimodal.cli.recipe import Smoke, run
from multimodal.data.text.made import write_questions
from multimodal.data.text.question_data import QuestionData
from multimodal.finetuning.text_start import FreshConfig, starting_body
from multimodal.models.text.body import bare
from multimodal.models.text_heads import QuestionAnswererConfig
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.question_answering import QuestionAnsweringTask


def question_answer(
    texts: tuple[str, ...],
    source: str | None = None,
    fresh: FreshConfig = FreshConfig(length=256, dropout=0.1),
    dropout: float = 0.1,
    null: bool = False,
    optimizer: OptimizerConfig = OptimizerConfig(lr=5e-4, weight_decay=0.01, warmup=0.1, final_lr=0.0),
    seed: int = 0,
) -> QuestionAnsweringTask:
    """A model that answers from a text.

    Args:
        texts: what a tokenizer is trained on; the data give them.
        source: what `mm.load` takes, a text encoder or a language model; None: fresh weights.
        fresh: the encoder with fresh weights.
        dropout: probability of zeroing a channel in front of the head.
        null: whether questions may have no answer.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    body = starting_body(source, texts, fresh)
    model = QuestionAnswererConfig(encoder=bare(body.config), dropout=dropout).build(body.tokenizer)
    model.start_from(body)
    return QuestionAnsweringTask(model, null=null, optimizer=optimizer, seed=seed)


SMOKE = Smoke(
    arguments=(
        "--model.fresh.vocabulary=300",
        "--model.fresh.dim=64",
        "--model.fresh.dropout=0",
        "--model.fresh.length=64",
        "--model.dropout=0",
        "--model.optimizer.lr=0.003",
        "--data.batch_size=16",
        "--model.fresh.depth=1",
        "--trainer.max_epochs=3",
    ),
    data=lambda folder: [f"--data.root={write_questions(folder / 'questions')}"],
    metric="val_exact",
    at_least=0.7,
)

if __name__ == "__main__":
    run(question_answer, QuestionData, smoke=SMOKE, trainer={"max_epochs": 10, "gradient_clip_val": 1.0})
