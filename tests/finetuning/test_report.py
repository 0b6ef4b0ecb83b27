"""The report page: true figures, everything escaped, nothing loaded from outside, and no image that can stop it."""

import ast
import base64
import io
import re
import tarfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from multimodal.data.images.samples import Skipped
from multimodal.finetuning import plots, report
from multimodal.finetuning.held_out import HeldOut
from multimodal.finetuning.report import ReportData, write_report
from multimodal.finetuning.report_words import duration, listed, percent
from multimodal.metrics import reliability_bins

NASTY = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "naïve 犬", "bad\udcffbyte", "$5 & #010101")
HISTORY = [
    {"epoch": e, "train_loss": 2 / e, "val_loss": 2.2 / e, "val_accuracy": s, "val_map": s, "lr": 1e-3 / e}
    for e, s in enumerate((0.5, 0.75, 0.75), start=1)
]


class Page(HTMLParser):
    """Reads a page: its text, its tags, and whether every element is closed in order."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)
        self.text = " ".join(self.text.split())
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data + " "

    def pictures(self) -> list[Image.Image]:
        sources = [attributes["src"] for tag, attributes in self.tags if tag == "img"]
        return [Image.open(io.BytesIO(base64.b64decode(s.removeprefix("data:image/jpeg;base64,")))) for s in sources]


def paint(path: Path, size: tuple[int, int]) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def held_out(paths, *, labels=("ant", "bee", "cat"), wrong=1, split="test", temperature=1.0) -> HeldOut:
    """Targets in turn; the first `wrong` answers are the next class instead, each less sure than the one before."""
    targets = torch.arange(len(paths)) % len(labels)
    answers = torch.where(torch.arange(len(paths)) < wrong, (targets + 1) % len(labels), targets)
    sureness = torch.linspace(5, 3, len(paths))[:, None]
    logits = sureness * torch.nn.functional.one_hot(answers, len(labels))
    return HeldOut(
        split=split, labels=labels, logits=logits, targets=targets, paths=tuple(paths), temperature=temperature
    )


def write(folder: Path, answers: HeldOut, **changes) -> Page:
    data = {"title": "insects", "model": "timm:vit", "held_out": answers, "seconds": 192.0}
    write_report(ReportData(**{**data, **changes}), folder / "report.html")
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_the_page_says_how_good_the_model_is(tmp_path):
    paths = [paint(tmp_path / f"{i}.png", (300, 200)) for i in range(12)]
    page = write(
        tmp_path,
        held_out(paths, wrong=3, temperature=1.5),
        baseline=("nearest class mean", 0.4),
        history=HISTORY,
        options={
            "type": "Config",
            "epochs": 3,
            "transform": {"type": "Config", "size": (224, 224), "resize": "crop"},
            "ema": None,
        },
        versions={"torch": "2.14.1"},
        skipped=[Skipped("broken.jpg", "it is cut short")],
        notes=["The batch was halved."],
    )
    for expected in (
        "75.0% of 12 test images are recognised",
        "9 of 12 answers are right; the true share lies between 46.8% and 91.1% (95% interval).",
        "The baseline, nearest class mean, reaches 40.0%: training adds 35.0 points.",
        "always answering “ant” 33.3%",
        "3 min 12 s",
        "The batch was halved.",
        "best: 75.0%, epoch 2",  # of two equal epochs the first
        "All 3 wrong answers, the surest first.",
        "The model was too sure of itself: its logits are divided by a temperature of 1.5",
        "broken.jpg it is cut short",
        "Settings, as resolved epochs 3 transform.size 224, 224 transform.resize crop ema none",
        "torch 2.14.1",
        f"multimodal classify {tmp_path}/model photo.jpg",
        f'model = mm.load("{tmp_path}/model")',
    ):
        assert expected in page.text
    assert [picture.size for picture in page.pictures()] == [(256, 171)] * 3
    files = re.findall(r"taken for: \w+, (\d+)% (\d\.png)", page.text)
    assert [name for _, name in files] == ["0.png", "1.png", "2.png"]  # surest first
    assert (tmp_path / "report.html").stat().st_size < 3_000_000
    assert not list(tmp_path.glob("*.tmp"))


def test_the_page_needs_nothing_but_itself(tmp_path):
    page = write(tmp_path, held_out([paint(tmp_path / "a.png", (8, 8)), "b.png"], wrong=2), history=HISTORY)
    assert not {"script", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
        assert not any(name.startswith("on") for name in attributes)
        assert "http" not in attributes.get("style", "")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"class": "small"}.items() <= next(
        a for tag, a in page.tags if tag == "img"
    ).items()  # 8 px: shown as squares


def test_a_vanished_or_broken_image_costs_its_thumbnail_only(tmp_path):
    good, broken = paint(tmp_path / "good.png", (50, 50)), tmp_path / "broken.jpg"
    broken.write_text("not an image")
    page = write(tmp_path, held_out([good, str(broken), str(tmp_path / "gone.jpg")], wrong=3))
    assert len(page.pictures()) == 1
    assert page.text.count("This image can no longer be read") == 2
    assert "0.0% of 3 test images" in page.text


def test_images_in_tar_shards_are_shown(tmp_path):
    paint(tmp_path / "a.png", (40, 30))
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        shard.add(tmp_path / "a.png", "deep/a.png")
    page = write(tmp_path, held_out([f"{tmp_path}/shard.tar::deep/a.png"]))
    assert [picture.size for picture in page.pictures()] == [(40, 30)]
    assert "% a.png" in page.text


def test_names_are_text_and_nothing_else(tmp_path):
    page = write(
        tmp_path,
        held_out([f"<b>{i}</b>.jpg" for i in range(10)], labels=NASTY, wrong=4),
        title="<i>title</i>",
        notes=["<u>note</u>"],
        options={"<s>": "<s>"},
        skipped=[Skipped("<s>", "<s>")],
    )
    assert not {"script", "img", "b>", "i>", "u", "s"} & {tag for tag, _ in page.tags}
    assert "<script>alert(1)</script>" in page.text
    assert "naïve 犬" in page.text
    assert "bad?byte" in page.text
    svg = plots.confusion(torch.eye(5).long(), NASTY)
    texts = "".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    assert "&lt;script&gt;alert(1)&lt;/scr…" in texts
    assert "$5 &amp; #010101" in texts  # neither a formula nor a colour
    assert "bad�byte" in texts


@pytest.mark.parametrize(("classes", "matrix"), [(60, True), (61, False)])
def test_many_classes_get_a_table_instead_of_a_matrix(tmp_path, classes, matrix):
    labels = tuple(f"class {i}" for i in range(classes))
    page = write(tmp_path, held_out([f"{i}.jpg" for i in range(2 * classes)], labels=labels, wrong=3))
    figures = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert any(label.startswith("Confusion matrix") for label in figures) == matrix
    assert "class 1 class 2 1 50%" in page.text
    assert ("The other 1 classes" in page.text) != matrix
    assert "Right among the top 5" in page.text


def test_several_labels_get_average_precision_instead_of_confusions(tmp_path):
    logits = torch.tensor([[4.0, -4.0, -1.0], [3.0, 2.0, -1.0], [-4.0, -3.0, -1.0]])
    targets = torch.tensor([[True, False, False], [True, False, False], [True, True, False]])
    answers = HeldOut(
        split="val", labels=("ant", "bee", "cow"), logits=logits, targets=targets, paths=("a.png", "b.png", "c.png")
    )
    page = write(tmp_path, answers, baseline=("nearest class mean", 0.9))
    assert "75.0% mean average precision on 3 validation images" in page.text  # ant 1, bee 1/2, cow without an image
    assert "1 of 3 images have exactly the right labels" in page.text
    assert "training lost 15.0 points. Use the baseline" in page.text
    assert "bee 1 50.0%" in page.text
    assert "unmeasured: cow." in page.text
    assert "missed ant, 2%" in page.text
    assert "invented bee, 88%" in page.text
    assert "Confusion" not in page.text


def test_what_few_or_no_images_can_say(tmp_path):
    few = held_out([f"{i}.jpg" for i in range(10)], split="val")
    page = write(tmp_path, few, baseline=("nearest class mean", 0.8))
    assert "adds 10.0 points, too little to tell from chance with so few images." in page.text
    assert "90.0% of 10 validation images" in page.text
    assert "With so few images, part of it is chance." in page.text
    empty = HeldOut(split="val", labels=("a",), logits=torch.zeros(0, 1), targets=torch.zeros(0).long(), paths=())
    page = write(tmp_path, empty)
    assert "No image was held out" in page.text
    assert "svg" not in {tag for tag, _ in page.tags}


def test_missing_measurements_are_not_drawn(tmp_path):
    page = write(tmp_path, held_out(["a.jpg"], wrong=0), history=[{"epoch": 1, "train_loss": 2.0}, {"epoch": 2}])
    figures = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert figures[0].startswith("Loss")
    assert not any("accuracy" in label or "rate" in label for label in figures)
    assert "Worst mistakes" not in page.text


def test_the_same_run_gives_the_same_file_and_a_failed_write_leaves_the_old_one(tmp_path, monkeypatch):
    answers = held_out(["a.jpg", "b.jpg"])
    write(tmp_path, answers, history=HISTORY)
    first = (tmp_path / "report.html").read_bytes()
    write(tmp_path, answers, history=HISTORY)
    assert (tmp_path / "report.html").read_bytes() == first

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, answers, title="other")
    assert (tmp_path / "report.html").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_pictures_take_the_colours_of_the_page():
    bins = reliability_bins(torch.tensor([0.3, 0.9, 0.95]), torch.tensor([False, True, True]))
    for svg in (
        plots.loss_curves(HISTORY),
        plots.reliability(bins, name="r"),
        plots.confusion(torch.eye(2).long(), "ab"),
    ):
        assert svg.startswith("<svg ")
        assert "var(--main)" in svg
        assert "var(--muted)" in svg
        colours = set(re.findall(r"#[0-9a-f]{6}", svg))
        assert not colours
    counts = torch.tensor([[7, 1], [0, 12]])
    drawn = re.findall(r"<text[^>]*fill: var\(--(\w+)\)[^>]*>([^<]*)</text>", plots.confusion(counts, ("x", "y")))
    assert {("paper", "7"), ("ink", "1"), ("paper", "12")} <= set(drawn)
    assert not {text for _, text in drawn} & {"0"}


def test_figures_are_written_for_people():
    assert [percent(v) for v in (0.0, 1.0, 0.945, 0.9999, 0.0001)] == ["0.0%", "100.0%", "94.5%", ">99.9%", "<0.1%"]
    assert percent(0.996, 0) == ">99%"
    assert [duration(v) for v in (0.4, 59.0, 192.0, 7500.0)] == ["0 s", "59 s", "3 min 12 s", "2 h 5 min"]
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert plots.shorten("犬" * 20, 9) == "犬犬犬犬…"


def test_matplotlib_is_imported_only_when_drawing():
    for module in (report, plots):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        names = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
        names |= {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        assert not {name for name in names if name.split(".")[0] in ("matplotlib", "jinja2")}
