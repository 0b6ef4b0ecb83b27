"""The pictures of the report, one function each, as SVG text to be set into an HTML page.

Drawn by matplotlib, with the page's own colours: strokes and fills are CSS variables (`--ink`, `--main` ...) and text
stays text, in the page's font, so one picture serves light and dark, any script and any printer. What a picture says,
and whether it is worth showing, is decided in report.py. Sizes are CSS pixels.

Axes: c classes · m calibration bins
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxtyping import Int
from torch import Tensor

from multimodal.metrics import ReliabilityBins, wilson_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib wants numbers where the page has variables: each stand-in is replaced in the finished SVG.
INK, MUTED, LINE, MAIN, WARM, PAPER = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", MAIN: "main", WARM: "warm", PAPER: "paper"}
FONT = 12  # px
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text, not outlines: the reader's fonts know more scripts than ours
    "svg.hashsalt": "report",  # the same run gives the same file
    "text.parse_math": False,  # a class may be called $5
    "font.family": ["DejaVu Sans"],  # for measuring; the page's font is drawn
    "font.size": FONT,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 3.5,
}

History = Sequence[Mapping[str, Any]]


def loss_curves(history: History) -> str:
    """Training and held-out loss by epoch."""
    with _style():
        figure, axes = _curve_axes("loss")
        _line(axes, history, "train_loss", colour=WARM, label="training")
        _line(axes, history, "val_loss", colour=MAIN, label="held out")
        axes.legend()
        return _svg(figure, name="loss", label="Loss of training and held-out images by epoch")


def score_curve(history: History, key: str, *, name: str, baseline: float | None = None) -> str:
    """A held-out score in 0..1 by epoch, its best epoch marked, the baseline as a dashed line."""
    with _style():
        from matplotlib.ticker import PercentFormatter

        figure, axes = _curve_axes(name)
        _line(axes, history, key, colour=MAIN, label="held out")
        measured = [(row[key], -row["epoch"]) for row in history if row.get(key) is not None]
        best, negative_epoch = max(measured)
        label = f"best: {best:.1%}, epoch {-negative_epoch}"
        axes.plot([-negative_epoch], [best], "o", color=WARM, markersize=7, label=label, clip_on=False, zorder=3)
        if baseline is not None:
            axes.axhline(baseline, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label=f"baseline: {baseline:.1%}")
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
        axes.legend()
        return _svg(figure, name="score", label=f"Held-out {name} by epoch")


def learning_rate(history: History) -> str:
    """The learning rate by epoch."""
    with _style():
        figure, axes = _curve_axes("learning rate")
        _line(axes, history, "lr", colour=MUTED, label="learning rate")
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="scientific", scilimits=(-2, 2))
        return _svg(figure, name="rate", label="Learning rate by epoch")


def confusion(matrix: Int[Tensor, "c c"], labels: Sequence[str]) -> str:
    """Counts of true (rows) against predicted (columns) classes; shade is the share of the row, mistakes are warm."""
    with _style():
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle

        classes = len(labels)
        cell = min(52, max(18, 640 // classes))
        names = [shorten(name) for name in labels]
        widest = max(display_width(name) for name in names)
        level = widest * FONT * 0.6 <= cell  # the names fit side by side
        margin = 34 + widest * FONT * 0.6
        width, height = margin + classes * cell + 12, (44 if level else margin) + classes * cell + 8
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        axes = figure.add_axes(
            (margin / width, 1 - (classes * cell + 6) / height, classes * cell / width, classes * cell / height)
        )
        axes.grid(False)
        edges = [i - 0.5 for i in range(classes + 1)]
        axes.hlines(edges, -0.5, classes - 0.5, color=LINE, linewidth=0.8)
        axes.vlines(edges, -0.5, classes - 0.5, color=LINE, linewidth=0.8)
        totals = matrix.sum(dim=1).tolist()
        for true, predicted in matrix.nonzero().tolist():
            count = int(matrix[true, predicted])
            shade = 0.18 + 0.82 * count / totals[true]
            colour = MAIN if true == predicted else WARM
            axes.add_patch(
                Rectangle((predicted - 0.48, true - 0.48), 0.96, 0.96, facecolor=colour, alpha=shade, linewidth=0)
            )
            size = min(FONT, cell * 1.35 / max(len(str(count)), 2))
            text = {"ha": "center", "va": "center_baseline", "fontsize": size, "color": PAPER if shade > 0.6 else INK}
            axes.text(predicted, true, str(count), **text)
        axes.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5))
        middle = 1 - (classes * cell / 2 + 6) / height
        figure.text(8 / width, middle, "true", rotation=90, ha="left", va="center", color=MUTED)
        figure.text(margin / width, 4 / height, "predicted", color=MUTED)
        axes.set_xticks(range(classes), names, rotation=0 if level else 90, color=INK)
        axes.set_yticks(range(classes), names, color=INK)
        axes.spines[:].set_visible(False)
        return _svg(figure, name="confusion", label="Confusion matrix, true classes as rows, predicted ones as columns")


def reliability(bins: ReliabilityBins, *, name: str) -> str:
    """How often probabilities came true, by bin, beside what they promised, over how many there are."""
    with _style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator, PercentFormatter

        figure = Figure(figsize=(340 / 72, 330 / 72), dpi=72, layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        full = bins.count > 0
        step = 1 / len(bins.count)
        left = [i * step for i, used in enumerate(full.tolist()) if used]
        accuracy, confidence, count = (v[full].tolist() for v in (bins.accuracy, bins.confidence, bins.count))
        wide = {"width": step * 0.92, "align": "edge", "linewidth": 0}
        upper.bar(left, accuracy, color=MAIN, alpha=0.75, label="came true", **wide)
        right = [edge + wide["width"] for edge in left]
        upper.hlines(confidence, left, right, color=WARM, linewidth=2.5, label="promised")
        upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that came true")
        ranges = [wilson_interval(round(share * n), n) for share, n in zip(accuracy, count, strict=True)]
        upper.vlines(
            [edge + wide["width"] / 2 for edge in left],
            *zip(*ranges, strict=True),
            color=INK,
            linewidth=1,
            label="95% interval",
        )
        figure.legend(loc="outside upper left", ncols=3, fontsize=FONT - 1, columnspacing=1, borderpad=0)
        lower.bar(left, count, color=MUTED, alpha=0.6, **wide)
        lower.tick_params(axis="x", pad=7)
        lower.set(xlabel="predicted probability", ylabel="count")
        lower.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True))
        for axis in (upper.yaxis, lower.xaxis):
            axis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        return _svg(figure, name=name, label="Reliability diagram: how often predictions came true, by probability")


def display_width(text: str) -> int:
    """How many columns `text` takes: two for a wide (East Asian) character, none for a combining mark."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, columns: int = 22) -> str:
    """`text`, or its beginning and an ellipsis where it takes more than `columns`; what has no shape becomes `�`."""
    text = "".join(c if c.isprintable() else "�" for c in text)
    if display_width(text) <= columns:
        return text
    while display_width(text) >= columns:
        text = text[:-1]
    return text + "…"


def _style() -> Any:
    import matplotlib

    return matplotlib.rc_context(STYLE)


def _curve_axes(name: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(340 / 72, 230 / 72), dpi=72, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel="epoch", ylabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes


def _line(axes: Axes, history: History, key: str, *, colour: str, label: str) -> None:
    points = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
    if points:
        marker = "o" if len(points) <= 30 else None  # a single epoch would be invisible as a line
        axes.plot(*zip(*points, strict=True), marker=marker, color=colour, label=label)


def _svg(figure: Figure, *, name: str, label: str) -> str:
    """The figure as an `<svg>` element that scales down, its ids made unique by `name`, without a word on its maker."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # our font lacks many scripts, which only makes the room reserved for a name a guess: the browser draws it
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r"<[^>]+>", lambda tag: _adapt(tag[0], prefix=name), svg)  # tags only: names are left as they are
    body = re.sub(r"\n\s*", "\n", svg.partition(">")[2])
    width, height = (round(72 * inches) for inches in figure.get_size_inches())
    opening = f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}" style="--width: {width}px">'
    return opening + body


def _adapt(tag: str, *, prefix: str) -> str:
    tag = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", tag)
    tag = tag.replace("font-family: 'DejaVu Sans'; ", "")
    for colour, variable in VARIABLES.items():
        tag = tag.replace(colour, f"var(--{variable})")
    return tag
