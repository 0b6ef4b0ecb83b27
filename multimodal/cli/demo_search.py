"""The second half of `multimodal demo`: a small CLIP learns drawn scenes, and finds combinations that it never saw.

Training shows red circles, blue squares and things left of others, but no red circle left of a blue square, say; see
`data/pairs/scenes.py` for what is kept out.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from multimodal.errors import DataError

if TYPE_CHECKING:
    from multimodal.data.pairs.samples import Pair, PairedImages
    from multimodal.models.dual_encoder import DualEncoder
    from multimodal.search import ImageIndex

SIZES = {"train": 6000, "val": 200, "test": 400, "size": 48}  # pictures, and their side in px
EPOCHS = 8
BATCH = 128


def demo_search(out: Path, *, sizes: dict[str, int] = SIZES, epochs: int = EPOCHS) -> None:
    """Draw, learn, index, search; each announced by one line."""
    from multimodal.checkpoint import save
    from multimodal.data.pairs.read import read_pairs
    from multimodal.data.pairs.scenes import write_scenes
    from multimodal.search import ImageIndex

    scenes = write_scenes(out / "scenes", **sizes)
    pairs = read_pairs(scenes)
    unseen = pairs.splits["test"]
    print(
        f"\n5. {sizes['train']:,} drawn scenes with captions are in {scenes}, and {len(unseen)} of combinations that "
        f"are in none of them.\n   For example: {unseen[0].captions[0]}.\n"
    )

    print("6. A small CLIP, 1.3 million parameters, learns them from nothing.\n", flush=True)
    model = _learned(pairs, epochs)
    save(model, out / "clip")
    _tell_recall(model, unseen)

    folder = _only(unseen, out / "unseen")
    print(f"\n7. multimodal index {folder} --model {out / 'clip'} --index {out / 'scenes.index'}\n", flush=True)
    place = cleared(out / "scenes.index", r"\.?index\.json.*|.+\.lance|\.lock|\.writer")  # its model was another
    with ImageIndex(place, out / "clip") as index:
        print(index.sync(folder))
        print("\n8. multimodal search: combinations that the model never saw.\n")
        for pair in _some(unseen):
            _search(index, pair, out)


def _learned(pairs: PairedImages, epochs: int) -> DualEncoder:
    """A CLIP trained on the scenes, by the task and the data that recipes/clip.py uses."""
    import lightning.pytorch as pl

    from multimodal.data.pairs.data_modules import PairedImageData
    from multimodal.finetuning.dual_start import FreshTowersConfig, fresh_clip
    from multimodal.finetuning.precision import training_precision
    from multimodal.finetuning.progress_bar import ProgressBar
    from multimodal.presets import Stack, ViT
    from multimodal.tasks.contrastive import ContrastiveTask
    from multimodal.tasks.optimizer import OptimizerConfig

    pl.seed_everything(0, verbose=False)
    data = PairedImageData(pairs, batch_size=BATCH, workers=1)
    towers = FreshTowersConfig(
        image=ViT(dim=128, depth=4, heads=4, patch=8),
        text=Stack(dim=128, depth=2, heads=4),
        dim=128,
        size=SIZES["size"],
        length=24,
        vocabulary=300,
    )
    optimizer = OptimizerConfig(lr=1e-3, weight_decay=0.1, betas=(0.9, 0.98), eps=1e-6, warmup=0.1, final_lr=0.0)
    task = ContrastiveTask(fresh_clip(data.texts, towers), optimizer=optimizer)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[ProgressBar()],
        use_distributed_sampler=False,
        gradient_clip_val=1.0,
        precision=training_precision(),
    )
    trainer.fit(task, datamodule=data)
    return task.model.cpu().eval()


def _tell_recall(model: DualEncoder, unseen: Sequence[Pair]) -> None:
    """Recall both ways among the unseen combinations, beside what a random order finds."""
    from multimodal.finetuning.kept import pair_scores

    scores = pair_scores(model, unseen)
    for name, ranking in (
        ("Scenes found by words", scores.text_to_image),
        ("Words found by scene", scores.image_to_text),
    ):
        low, high = ranking.interval(1)
        print(
            f"{name}, among {len(unseen)} unseen combinations: recall@1 {ranking.recall(1):.1%} (95% interval "
            f"{low:.1%} to {high:.1%}; chance {ranking.chance(1):.2%}), @5 {ranking.recall(5):.1%}, "
            f"@10 {ranking.recall(10):.1%}"
        )


def _only(pairs: Sequence[Pair], folder: Path) -> Path:
    """The pictures of `pairs` alone, in `folder`."""
    cleared(folder, r"test-\d+\.png").mkdir(parents=True)
    for pair in pairs:
        shutil.copy2(pair.path, folder)
    return folder


def cleared(folder: Path, own: str) -> Path:
    """`folder`, removed if an earlier demo made it: if all names in it match the expression `own`.

    Raises:
        DataError: it holds something else.
    """
    names = sorted(it.name for it in folder.iterdir()) if folder.is_dir() else []
    other = next((name for name in names if not re.fullmatch(own, name)), None)
    if other is not None:
        raise DataError(f"{folder} holds {other!r}, which is not of an earlier demo; give another folder with --out.")
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _some(pairs: Sequence[Pair]) -> list[Pair]:
    """One relation, one number of things and one single thing; of relations the most familiar one."""
    found = []
    for mark in (" left of ", "three ", "a large "):
        found += [pair for pair in pairs if mark in pair.captions[0]][:1]
    return found


def _search(index: ImageIndex, pair: Pair, out: Path) -> None:
    """Search for the plainest caption of a scene, and say where that came out."""
    caption = pair.captions[0]
    found = index.search(caption, k=len(index), all=True)
    place = [hit.path.name for hit in found].index(Path(pair.path).name) + 1
    sheet = found[:10].save(out / f"{caption.replace(' ', '-')}.png")
    print(f'  "{caption}": its scene is number {place} of {found.total}. The first ten: {sheet}')
