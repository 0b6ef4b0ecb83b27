"""Questions about texts for Lightning, named by their path: windows for training, whole questions for evaluation.

Axes: none of its own
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from torch import Tensor

from multimodal.data.images.samples import Skipped
from multimodal.data.text.batches import Place, QuestionBatch
from multimodal.data.text.data_modules import TextItems
from multimodal.data.text.question_windows import QuestionConfig, question_windows
from multimodal.data.text.questions import read_questions
from multimodal.data.text.rows import Question, hold_out
from multimodal.data.text.sources import report
from multimodal.data.text.task_data import ModelTokenizedData
from multimodal.tokenizers.encoded import Encoded
from multimodal.tokenizers.text import TextTokenizer


class WholeQuestions:
    """A batch of several questions with all windows of each: what is needed to answer and to judge them.

    No mapping and no dataclass, so that Lightning moves it by `to` and leaves its questions alone.
    """

    def __init__(self, windows: QuestionBatch, rows: Sequence[Encoded], questions: Sequence[Question]) -> None:
        self.windows = windows
        self.rows = rows  # the tokens of each window, as the tokenizer gave them
        self.questions = questions

    def to(self, device: Any, **options: Any) -> WholeQuestions:
        """The same with its tensors on `device`."""
        moved: Any = {name: value.to(device, **options) for name, value in self.tensors().items()}
        return WholeQuestions(moved, self.rows, self.questions)

    def pin_memory(self) -> WholeQuestions:
        """The same with its tensors where a GPU reads them fast; the loader asks for it."""
        pinned: Any = {name: value.pin_memory() for name, value in self.tensors().items()}
        return WholeQuestions(pinned, self.rows, self.questions)

    def tensors(self) -> dict[str, Tensor]:
        """Those of the windows."""
        return {**cast(Any, self.windows)}


class QuestionData(ModelTokenizedData):
    """Questions about texts; see `read_questions`. Training sees windows, evaluation whole questions."""

    def __init__(
        self,
        root: str,
        *,
        batch_size: int = 16,
        max_length: int = 384,
        val_fraction: float = 0.1,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Read and split `root`.

        Args:
            root: JSON in the format of SQuAD, a table, or a folder of them.
            batch_size: windows a step and process; at evaluation, questions.
            max_length: tokens of a window, question included; less where the model reads less.
            val_fraction: part of the texts held out, with their questions, where the data have no validation split.
            workers: processes that make batches; None: as many as help on this machine.
            seed: of the split and the order.
        """
        data = hold_out(read_questions(root), val_fraction, seed)
        super().__init__(data, QuestionConfig(max_length=max_length), batch_size=batch_size, workers=workers, seed=seed)

    def setup(self, stage: str | None = None) -> None:
        """Cut the contexts of the training questions into windows."""
        tokenizer = self.model_tokenizer()
        longest = min(self.config.max_length, cast(Any, self.trainer).lightning_module.model.longest)
        config = QuestionConfig(max_length=longest)
        self.collate = config.build(tokenizer)
        self.evaluation_collate = partial(whole_questions, config, tokenizer)
        skipped: list[Skipped] = []
        self.windows = question_windows(self.splits["train"], tokenizer, config, skipped=skipped)
        report(skipped, "training questions")

    def train_dataloader(self) -> Any:
        """Windows, in batches of like size."""
        items = TextItems(self.windows, training=True)
        return self.training(items, self.collate, sizes=[window.size for window in self.windows])


def whole_questions(
    config: QuestionConfig, tokenizer: TextTokenizer, items: Sequence[tuple[Question, Place]]
) -> WholeQuestions:
    """Questions with all their windows as a batch; one that leaves no room for its context has none."""
    questions = [question for question, _ in items]
    windows = question_windows(questions, tokenizer, config, skipped=[])
    batch = config.build(tokenizer)([(window, (0, place)) for place, window in enumerate(windows)])
    return WholeQuestions(batch, [window.row for window in windows], questions)
