"""Training a model that points to the answer in a text: cross-entropies of its first and last token, exact match, F1.

At validation whole questions are answered as `QuestionAnswerer.answer` does, over all windows of their contexts.

Axes: b windows · t length
Refs: SQuAD arXiv:1606.05250 §6.1 · BERT arXiv:1810.04805 §4.2, §4.3 (questions without an answer)
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchmetrics import MeanMetric

from multimodal.data.text.question_data import WholeQuestions
from multimodal.losses import span_loss
from multimodal.metrics import answer_scores
from multimodal.models.text.answers import best_answers
from multimodal.models.text_heads import QuestionAnswerer
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.training import TrainingTask


class QuestionAnsweringTask(TrainingTask):
    """A model that answers from a text, with its loss; `val_exact` and `val_f1` are SQuAD's, in 0..1."""

    model: QuestionAnswerer

    def __init__(
        self,
        model: QuestionAnswerer,
        *,
        longest_answer: int = 30,
        null: bool = False,
        optimizer: OptimizerConfig = OptimizerConfig(),
        seed: int = 0,
    ) -> None:
        """Train `model`, in place.

        Args:
            model: what answers.
            longest_answer: tokens of an answer at most, at validation.
            null: whether "it is not answered there" is an answer at validation (SQuAD 2.0).
            optimizer: AdamW and its schedule over the whole training.
            seed: of dropout; each step's randomness follows from (seed, step).
        """
        super().__init__(model, optimizer=optimizer, seed=seed)
        self.longest_answer, self.null = longest_answer, null
        self.measure(lambda: {"loss": MeanMetric(), "exact": MeanMetric(), "f1": MeanMetric()})

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean loss over the windows of a batch."""
        start, end = self._logits(batch).unbind(-1)
        return span_loss(start, end, batch["start"], batch["end"])

    def count(self, batch: WholeQuestions, metrics: dict[str, Any]) -> None:
        """Answer the questions of a batch; the loss is the mean over windows."""
        given: dict[str, str] = {}  # a question that leaves no room for its context is not answered
        if batch.rows:
            logits = self._logits(batch.windows).float()
            start, end = logits.unbind(-1)
            loss = span_loss(start, end, batch.windows["start"], batch.windows["end"])
            metrics["loss"].update(loss, weight=len(logits))
            given = self._answers(batch, logits.cpu())
        right = {str(i): [answer.text for answer in question.answers] for i, question in enumerate(batch.questions)}
        scores = answer_scores(given, right)
        metrics["exact"].update(scores.exact_match, weight=scores.questions)
        metrics["f1"].update(scores.f1, weight=scores.questions)

    def _answers(self, batch: WholeQuestions, logits: Tensor) -> dict[str, str]:
        """Place of a question in the batch -> the likeliest answer in all windows of its context."""
        windows: dict[int, list[int]] = {}
        for window, question in enumerate(batch.windows["question"].tolist()):
            windows.setdefault(question, []).append(window)
        given = {}
        for number, places in windows.items():
            rows = [batch.rows[place] for place in places]
            own = [logits[place, : len(row.ids)] for place, row in zip(places, rows, strict=True)]
            context = batch.questions[number].context
            found = best_answers(context, rows, own, longest=self.longest_answer, null=self.null)
            given[str(number)] = found[0].text if found else ""
        return given

    def tokens(self, batch: Any) -> Tensor:
        """Those that are read."""
        return batch["keep"].sum()

    def _logits(self, batch: Any) -> Tensor:
        return self.model(batch["ids"], keep=batch["keep"], types=batch["types"])
