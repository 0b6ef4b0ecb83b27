"""Training a model that tags words: cross-entropy at each word's first token, entity F1.

Axes: b batch · t length · n tags
Refs: BERT arXiv:1810.04805 §5.3 · entities as CoNLL-2003 counts them
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric, SumMetric

from multimodal.data.text.task_batches import word_tags
from multimodal.losses import IGNORE
from multimodal.metrics import entities
from multimodal.models.text_heads import TokenTagger
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.training import TrainingTask

COUNTS = ("hits", "claimed", "actual")  # entities found rightly, found, and there


class TokenTaggingTask(TrainingTask):
    """A tagger with its loss; `val_f1` counts whole entities where the tags mark such, and is absent where not."""

    model: TokenTagger

    def __init__(self, model: TokenTagger, *, optimizer: OptimizerConfig = OptimizerConfig(), seed: int = 0) -> None:
        """Train `model`, in place.

        Args:
            model: the tagger.
            optimizer: AdamW and its schedule over the whole training.
            seed: of dropout; each step's randomness follows from (seed, step).
        """
        super().__init__(model, optimizer=optimizer, seed=seed)
        marks = [label == "O" or label[:2] in ("B-", "I-", "E-", "S-") for label in model.labels]
        self.marks_entities = all(marks) and "O" in model.labels
        self.measure(self._metrics)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean loss over the words of a batch."""
        logits = self._logits(batch).float()
        return F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten(), ignore_index=IGNORE)

    def count(self, batch: Any, metrics: dict[str, Any]) -> None:
        """Add the words and the entities of a batch."""
        logits, targets = self._logits(batch).float(), batch["targets"]
        words = targets != IGNORE
        metrics["loss"].update(F.cross_entropy(logits[words], targets[words], reduction="none"))
        chosen = logits.argmax(-1)
        metrics["accuracy"].update((chosen[words] == targets[words]).float())
        if self.marks_entities:
            # Words that were cut off count as without an entity, so that a short `max_length` is no better score.
            sentences = word_tags(
                chosen.cpu(), batch["words"].cpu(), batch["tags"], missing=self.model.labels.index("O")
            )
            for ours, theirs in zip(sentences, batch["tags"], strict=True):
                found, wanted = ({*entities([self.model.labels[tag] for tag in tags])} for tags in (ours, theirs))
                for name, those in zip(COUNTS, (found & wanted, found, wanted), strict=True):
                    metrics[name].update(float(len(those)))

    def report(self, metrics: dict[str, Any]) -> dict[str, Tensor]:
        """Loss and accuracy of words; precision, recall and F1 of entities."""
        values = super().report(metrics)
        if not self.marks_entities:
            return values
        hits, claimed, actual = (values.pop(name) for name in COUNTS)
        return {
            **values,
            "precision": hits / claimed.clamp(min=1),
            "recall": hits / actual.clamp(min=1),
            "f1": 2 * hits / (claimed + actual).clamp(min=1),
        }

    def tokens(self, batch: Any) -> Tensor:
        """Those that are read."""
        return batch["keep"].sum()

    def _metrics(self) -> dict[str, Metric]:
        counts: dict[str, Metric] = {name: SumMetric() for name in COUNTS} if self.marks_entities else {}
        return {"loss": MeanMetric(), "accuracy": MeanMetric(), **counts}

    def _logits(self, batch: Any) -> Tensor:
        return self.model(batch["ids"], keep=batch["keep"], types=batch.get("types"))
