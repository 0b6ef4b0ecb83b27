"""Scores of what a dual encoder can do, from files: captions, class folders, and what is neither."""

import json

import pytest
import torch
from PIL import Image
from tiny_dual_encoders import CAPTIONS, built, pictures

from multimodal.data.images.read import read_labeled_images
from multimodal.data.pairs.read import read_pairs
from multimodal.errors import DataError
from multimodal.finetuning.kept import class_scores, kept_score, pair_scores
from multimodal.models.zero_shot import class_vectors

TEMPLATES = ("a photo of a {}", "the {}")


@pytest.fixture
def pairs(tmp_path):
    """Six pictures with a caption each, a broken one, and one whose caption another has too."""
    rows = []
    for number, (pixels, caption) in enumerate(zip(pictures(7), [*CAPTIONS, CAPTIONS[0].upper()], strict=True)):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(tmp_path / f"{number}.png")
        rows.append({"path": f"{number}.png", "caption": caption})
    (tmp_path / "broken.png").write_bytes(b"no picture")
    rows.insert(2, {"path": "broken.png", "caption": "a broken picture"})
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "captions.jsonl"


def test_recall_is_that_of_the_pictures_that_can_be_read(pairs):
    model = built().eval()
    scores = pair_scores(model, read_pairs(pairs).splits["train"])
    logits = model.embed_pixels(pictures(7)) @ model.embed_texts([*CAPTIONS, CAPTIONS[0]]).T
    right = torch.eye(7, dtype=torch.bool)
    right[0, 6] = right[6, 0] = True  # one caption of two pictures, once in capitals
    found = torch.stack([row[logits[i].argmax()] for i, row in enumerate(right)]).float().mean()
    assert scores.image_to_text.recall(1) == pytest.approx(found.item(), abs=0.15)  # equal captions tie
    assert scores.text_to_image.right.tolist() == [2, 1, 1, 1, 1, 1, 2]
    assert len(scores.image_to_text.before) == 7 and scores.text_to_image.candidates == 7
    assert 0 <= kept_score(pairs)(model) <= 1


def test_zero_shot_accuracy_is_by_the_mean_of_the_templates(tmp_path):
    model = built().eval()
    for number, pixels in enumerate(pictures(8)):
        folder = tmp_path / ("cat" if number % 2 else "dog")
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    ranking = class_scores(model, read_labeled_images(tmp_path), templates=TEMPLATES)
    texts = [template.replace("{}", label) for label in ("cat", "dog") for template in TEMPLATES]
    classes = class_vectors(model.embed_texts(texts), 2)
    found = (model.embed_pixels(pictures(8)) @ classes.T).argmax(1)
    wanted = torch.tensor([0 if number % 2 else 1 for number in range(8)])
    assert ranking.recall(1) == pytest.approx((found == wanted).float().mean().item())
    assert ranking.recall(2) == 1.0 and ranking.chance(1) == pytest.approx(0.5)
    assert kept_score(tmp_path, templates=TEMPLATES)(model) == pytest.approx(ranking.recall(1))
    assert len(class_scores(model, read_labeled_images(tmp_path), most=3).before) == 3


def test_what_is_neither_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match="neither labelled images"):
        kept_score(tmp_path)
