"""Does a search say "nothing" when nothing is there? Held-out precision and recall of that decision.

    python benchmarks/relevance.py MODEL FOLDER [--folds 4] [--queries 400] [--template "a photo of a {}"]

MODEL is what `mm.load` takes. FOLDER holds `captions.jsonl` (a line with "path" or "file" and "captions" for each
picture), or a folder for each class. Half of the pictures (of the classes) are indexed, chosen anew in each fold; their
captions (class names) are there, those of the other half are not. Nothing of MODEL or of the limits in
`multimodal/search/relevance.py` is fitted to these pictures, as long as MODEL was not trained on them.

A caption of one picture may fit another one as well, so "not there" is a lower bound for what captions measure.
Beside the decision of `ImageIndex` stands the best flat cutoff of the cosine: chosen on these very queries, which no
one could do beforehand.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multimodal.hub import load
from multimodal.media import find_images
from multimodal.search import ImageIndex


@dataclass(frozen=True)
class Case:
    """A query, and the pictures that it means."""

    query: str
    pictures: frozenset[str]


@dataclass
class Tally:
    """What queries were answered with."""

    best: list[float]  # score of the nearest picture, of each query
    answered: list[bool]
    shown: int = 0
    right: int = 0
    meant: int = 0


def read_captions(folder: Path, split: str | None) -> dict[str, list[str]]:
    """Captions of every picture, by path."""
    lines = (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    rows = [row for row in rows if split is None or row.get("split") == split]
    return {str((folder / (row.get("path") or row["file"])).resolve()): row["captions"] for row in rows}


def read_classes(folder: Path) -> dict[str, list[str]]:
    """The name of its folder, for every picture."""
    return {str(path.resolve()): [path.parent.name.replace("_", " ")] for path in find_images(folder)}


def cases_of(labels: dict[str, list[str]], by_class: bool, template: str, choose: random.Random) -> list[Case]:
    """By class: one for each. By caption: one for each picture, with one of its captions."""
    if not by_class:
        return [Case(choose.choice(captions), frozenset([path])) for path, captions in labels.items() if captions]
    classes: dict[str, set[str]] = {}
    for path, (name,) in labels.items():
        classes.setdefault(name, set()).add(path)
    return [Case(template.format(name), frozenset(paths)) for name, paths in classes.items()]


def ask(index: ImageIndex, cases: Sequence[Case]) -> Tally:
    """Search for every case."""
    tally = Tally([], [])
    for case, found in zip(cases, index.search_many([case.query for case in cases], k=len(index)), strict=True):
        tally.best.append(found.nearest.score if found.nearest else -1.0)
        tally.answered.append(len(found) > 0)
        tally.shown += len(found)
        tally.right += sum(str(hit.path) in case.pictures for hit in found)
        tally.meant += len(case.pictures)
    return tally


def f1(there: np.ndarray, absent: np.ndarray) -> tuple[float, float, float]:
    """(F1, precision, recall) of the decision to answer, given which queries of either kind were answered."""
    right, wrong = int(there.sum()), int(absent.sum())
    precision, recall = right / max(1, right + wrong), right / max(1, len(there))
    return 2 * precision * recall / max(1e-9, precision + recall), precision, recall


def best_flat_cutoff(there: np.ndarray, absent: np.ndarray) -> tuple[float, float, float, float]:
    """The cutoff of the best cosine whose F1 is highest, and its F1, precision and recall."""
    return max(((*f1(there >= at, absent >= at), float(at)) for at in np.r_[there, absent]), key=lambda row: row[0])


def run(model: Any, labels: dict[str, list[str]], by_class: bool, settings: argparse.Namespace) -> None:
    """All folds, and the report on stdout."""
    paths, errors = sorted(labels), []
    vectors = model.embed_images(paths, errors=errors).numpy()
    unreadable = {str(path) for path, _ in errors}
    paths = [path for path in paths if path not in unreadable]
    place = {path: i for i, path in enumerate(paths)}
    labels = {path: labels[path] for path in paths}
    choose = random.Random(0)
    there, absent = Tally([], []), Tally([], [])
    for fold in range(settings.folds):
        cases = cases_of(labels, by_class, settings.template, choose)
        choose.shuffle(cases)
        half = len(cases) // 2
        indexed = sorted(path for case in cases[:half] for path in case.pictures)
        with tempfile.TemporaryDirectory() as temporary:
            chosen = vectors[[place[path] for path in indexed]]
            index = ImageIndex.from_embeddings(Path(temporary) / str(fold), chosen, indexed, model=model)
            for tally, some in ((there, cases[:half]), (absent, cases[half:])):
                part = ask(index, some[: settings.queries])
                tally.best += part.best
                tally.answered += part.answered
                tally.shown, tally.right = tally.shown + part.shown, tally.right + part.right
                tally.meant += part.meant
            print(f"fold {fold + 1}: {len(indexed):,} pictures indexed", flush=True)

    _, precision, recall = f1(np.array(there.answered), np.array(absent.answered))
    print(f"\n{len(there.best):,} queries for what is there, {len(absent.best):,} for what is not")
    print(f"answered, of what is there    {np.mean(there.answered):6.1%}   (recall of the decision)")
    print(f"nothing, of what is not       {1 - np.mean(absent.answered):6.1%}")
    print(f"precision of the decision     {precision:6.1%}   recall {recall:.1%}")
    flat = best_flat_cutoff(np.array(there.best), np.array(absent.best))
    print(f"  best flat cutoff ({flat[3]:.3f})    {flat[1]:6.1%}   recall {flat[2]:.1%}   (chosen with hindsight)")
    print(f"pictures shown that are meant {there.right / max(1, there.shown):6.1%}   of those meant, shown ", end="")
    print(f"{there.right / max(1, there.meant):.1%}")


def main() -> None:
    """Read the arguments, load the model, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model folder, or a name such as open_clip:ViT-B-32/openai")
    parser.add_argument("folder", type=Path, help="pictures with captions.jsonl, or in a folder for each class")
    parser.add_argument("--folds", type=int, default=4, help="ways to halve the pictures (default: 4)")
    parser.add_argument("--queries", type=int, default=400, help="of each kind and fold, at most (default: 400)")
    parser.add_argument("--template", default="a photo of a {}", help="query for a class (default: %(default)r)")
    parser.add_argument("--split", help="of captions.jsonl: only the pictures of this split")
    settings = parser.parse_args()
    by_class = not (settings.folder / "captions.jsonl").exists()
    labels = read_classes(settings.folder) if by_class else read_captions(settings.folder, settings.split)
    run(load(settings.model), labels, by_class, settings)


if __name__ == "__main__":
    main()
