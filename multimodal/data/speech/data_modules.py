"""Recorded speech for Lightning: loaders of a training, a validation and a test split, in batches by seconds.

The sampling rate and the ids of texts are the model's own business: its features say the one, its tokenizer the other.
A model from fresh weights has its tokenizer trained on `texts`.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from multimodal.data.images.samples import Skipped
from multimodal.data.loader import ResumableLoader
from multimodal.data.resumable import SplitData
from multimodal.data.speech.augment import WaveAugmentConfig
from multimodal.data.speech.batches import SpeechCollator
from multimodal.data.speech.dataset import SpeechDataset
from multimodal.data.speech.order import SecondsOrder
from multimodal.data.speech.read import read_speech, with_seconds
from multimodal.data.speech.samples import Found, SpeechSample, SpeechSamples, assemble
from multimodal.data.speech.split import hold_out
from multimodal.data.text.sources import report
from multimodal.errors import ArgumentError, DataError
from multimodal.media.files import shown
from multimodal.metrics.normalizers import normalizer
from multimodal.tokenizers.audio_features import SAMPLE_RATE


class RecordedSpeechData(SplitData):
    """Loaders over speech that was read and split already."""

    def __init__(
        self,
        samples: SpeechSamples,
        *,
        seconds_per_batch: float = 120.0,
        longest: float = 30.0,
        augment: WaveAugmentConfig | None = WaveAugmentConfig(),
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Loaders over the splits of `samples`; what was left out is said on stderr.

        Args:
            samples: what `read_speech` gave, with a "val" split (`hold_out`) where there shall be validation.
            seconds_per_batch: of sound a step and process, padding included.
            longest: seconds; longer training clips are left out, and `augment` makes none longer.
            augment: random changes of the training clips; None: none.
            workers: processes that read; None: as many as help on this machine.
            seed: of the order and of the changes.

        Raises:
            ArgumentError: `longest` or `seconds_per_batch` is not above 0.
            DataError: no clip can be read, or all training clips are too long.
        """
        super().__init__(batch_size=1, workers=workers, seed=seed)
        if not longest > 0 or not seconds_per_batch > 0:
            raise ArgumentError(
                f"longest is {longest} and seconds_per_batch {seconds_per_batch}; both must be above 0 seconds."
            )
        self.seconds_per_batch, self.longest, self.augment = seconds_per_batch, longest, augment
        self.samples = _no_longer(with_seconds(samples), longest)
        report(self.samples.skipped, f"entries of {samples.root}")

    @property
    def texts(self) -> list[str]:
        """The training texts, for a tokenizer that is trained on them."""
        return [sample.text for sample in self._clips("train")]

    @property
    def model(self) -> Any:
        """The model in training, which says how clips are to be read.

        Raises:
            DataError: there is none, or it has no tokenizer.
        """
        model: Any = getattr(self.trainer.lightning_module, "model", None) if self.trainer is not None else None
        if getattr(model, "tokenizer", None) is None:
            raise DataError("Let a Trainer run this data module with a model that has a tokenizer.")
        return model

    @property
    def rate(self) -> int:
        """Samples a second, as the features of the model in training want them."""
        return getattr(getattr(self.model, "features", None), "rate", SAMPLE_RATE)

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled, randomly changed; says on stderr what a pass over the data is."""
        clips, rate = self._clips("train"), self.rate
        augment = None if self.augment is None else self.augment.build(rate)
        dataset = SpeechDataset(clips, rate=rate, augment=augment, longest=self.longest, seed=self.seed)
        self._shared(dataset, "training")
        order = self._order(clips, shuffle=True)
        if self.rank == 0:
            hours = sum(order.lengths) / 3600
            print(
                f"{len(clips):,} clips, {hours:.2f} hours, in {len(order):,} batches of up to "
                f"{self.seconds_per_batch:g} seconds; {order.padding():.1%} of them is padding.",
                file=sys.stderr,
            )
        return self.training_in(order, dataset, SpeechCollator(self.model.tokenizer))

    @property
    def parts(self) -> Collection[str]:
        """The splits that were read."""
        return self.samples.splits

    def evaluation_loader(self, split: str) -> ResumableLoader:
        """Every clip of `split`, unchanged, from long to short; `index` says which it is.

        Raises:
            DataError: the data have no such split.
        """
        clips = self._clips(split)
        dataset = SpeechDataset(clips, rate=self.rate, seed=self.seed)
        self._shared(dataset, "validation or test")
        return self.evaluation_in(self._order(clips), dataset, SpeechCollator(self.model.tokenizer))

    def _order(self, clips: tuple[SpeechSample, ...], *, shuffle: bool = False) -> SecondsOrder:
        lengths = [clip.seconds or 0.0 for clip in clips]
        return SecondsOrder(
            lengths, self.seconds_per_batch, shuffle=shuffle, seed=self.seed, rank=self.rank, world=self.world
        )

    def _clips(self, split: str) -> tuple[SpeechSample, ...]:
        clips = self.samples.splits.get(split)
        if not clips:
            found = ", ".join(self.samples.splits)
            raise DataError(f"{self.samples.root} has no {split} part; the parts that it has are {found}.")
        return clips


class SpeechData(RecordedSpeechData):
    """A table or folder of recordings and texts; see `multimodal.data.speech.read` for the layouts."""

    def __init__(
        self,
        root: str,
        *,
        seconds_per_batch: float = 120.0,
        longest: float = 30.0,
        augment: WaveAugmentConfig | None = WaveAugmentConfig(),
        normalizer: str = "none",
        val_fraction: float = 0.1,
        audio: str | None = None,
        text: str | None = None,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Read and split `root`.

        Args:
            root: a table of recordings and texts, or a folder that holds one; LibriSpeech, LJSpeech, Common Voice; a
                folder with a .txt beside each recording.
            seconds_per_batch: of sound a step and process, padding included.
            longest: seconds; longer training clips are left out, and `augment` makes none longer.
            augment: random changes of the training clips; None: none.
            normalizer: what is done to all texts: "none", "letters", "basic", "basic-split".
            val_fraction: part of the training clips held out for validation where the data have no such split; whole
                speakers, where they are known.
            audio: of tables, the column with the file; None: the one called file, audio, path ...
            text: the column with what is said; None: the one called text, sentence, transcript ...
            workers: processes that read; None: as many as help on this machine.
            seed: of the split, the order and the changes.
        """
        samples = with_seconds(normalized(read_speech(root, audio=audio, text=text), normalizer))
        super().__init__(
            hold_out(samples, val_fraction, seed),
            seconds_per_batch=seconds_per_batch,
            longest=longest,
            augment=augment,
            workers=workers,
            seed=seed,
        )


def normalized(samples: SpeechSamples, name: str) -> SpeechSamples:
    """`samples` with their texts as the normaliser `name` makes them; clips of which no text remains are left out.

    Raises:
        ArgumentError: there is no such normaliser.
        DataError: no text remains at all.
    """
    try:
        change = normalizer(name)
    except ValueError as error:
        raise ArgumentError(str(error)) from None
    found: list[Found] = []
    skipped = list(samples.skipped)
    for split, clips in samples.splits.items():
        for clip in clips:
            if text := change(clip.text).strip():
                found.append(Found(split, replace(clip, text=text)))
            else:
                skipped.append(Skipped(shown(clip.path), f"no text remains under the normaliser {name!r}"))
    return assemble(samples.root, found, skipped)


def _no_longer(samples: SpeechSamples, longest: float) -> SpeechSamples:
    clips = samples.splits.get("train", ())
    kept = tuple(clip for clip in clips if (clip.seconds or 0.0) <= longest)
    reason = f"longer than {longest:g} seconds"
    skipped = [Skipped(shown(clip.path), reason) for clip in clips if (clip.seconds or 0.0) > longest]
    if clips and not kept:
        raise DataError(f"All {len(clips)} training clips of {samples.root} are {reason}; give a larger `longest`.")
    return replace(samples, splits={**samples.splits, "train": kept} if clips else samples.splits,
                   skipped=(*samples.skipped, *skipped))  # fmt: skip
