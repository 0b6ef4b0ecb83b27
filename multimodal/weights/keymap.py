"""The conversion engine: a table of rows that says where each of another library's tensors lives here.

`Table.convert` reads their weights, `Table.export` is the same table backwards, bit for bit. Both are strict: what no
row covers, what stays unfilled and what has another shape are named in an error, and nothing is guessed. Which table
belongs to a checkpoint is the caller's knowledge; the tables stand in the files beside this one.

A row is a sentence: "their qkv weight is our q, k and v weights, joined". Rows of what a model lacks do no harm.

    Table(
        Row("cls_token", "prefix", shape=(1, -1, 192)),
        *layer("blocks.{i}.norm1", "backbone.blocks.{i}.attention_branch.norm"),
        *layer("blocks.{i}.attn.qkv", "backbone.blocks.{i}.attention.{q,k,v}"),
        Ignore("blocks.{i}.attn.rope.periods", "a buffer, computed from the config"),
    )

`{i}`, or any other one word, stands for a number and means the same number on both sides; `{q,k,v}` for several names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from multimodal.errors import ArgumentError, DataError, nearest

MOST = 5  # names that an error lists


@dataclass(frozen=True)
class Row:
    """Their tensor is ours: `theirs = reshape(transpose(join(ours)))`, each step only where it is asked for.

    Attributes:
        theirs: pattern of their key. With several names, all are one tied tensor: whichever are there are read (they
            must be equal), and export writes every one.
        ours: pattern of our key. With several names, theirs is those, joined along `axis`; the sizes are our shapes'.
        axis: along which ours are joined.
        transpose: theirs is (in, out) where ours is (out, in), as in GPT-2's Conv1D.
        shape: their shape where it is not ours, with one -1 for what follows from the rest: `(1, -1, 192)` for a
            leading axis of one, `(192, 3, 16, -1)` for a convolution that is a linear layer here.
        pieces: theirs, with several names, are not tied: they are pieces of one tensor, of these lengths along `axis`.
    """

    theirs: str
    ours: str
    axis: int = 0
    transpose: bool = False
    shape: tuple[int, ...] | None = None
    pieces: tuple[int, ...] | None = None

    def shapes_of(self, shapes: Sequence[Sequence[int]]) -> list[list[int]]:
        """The shapes that theirs must have, where ours have these `shapes`; one where they are tied."""
        whole = list(self.join([torch.empty(tuple(shape), device="meta") for shape in shapes]).shape)
        if self.pieces is None or sum(self.pieces) != whole[self.axis]:
            return [whole]
        return [[*whole[: self.axis], length, *whole[self.axis + 1 :]] for length in self.pieces]

    def split(self, tensor: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        """Our tensors, of these `shapes`, as views of their `tensor`."""
        if self.shape is not None:
            joined = list(shapes[0])
            if len(shapes) > 1:
                joined[self.axis] = sum(shape[self.axis] for shape in shapes)
            tensor = tensor.reshape(joined[::-1] if self.transpose else joined)
        if self.transpose:
            tensor = tensor.t()
        if len(shapes) == 1:
            return [tensor]
        return list(tensor.split([shape[self.axis] for shape in shapes], self.axis))

    def join(self, tensors: Sequence[Tensor]) -> Tensor:
        """Their tensor, from ours; a copy only where several are joined or a transposed one is reshaped."""
        tensor = torch.cat(list(tensors), self.axis) if len(tensors) > 1 else tensors[0]
        if self.transpose:
            tensor = tensor.t()
        return tensor.reshape(self.shape) if self.shape is not None else tensor


def layer(theirs: str, ours: str, *, transpose: bool = False) -> tuple[Row, Row]:
    """The two rows of a layer: its `.weight`, and its `.bias` where it has one."""
    weight = Row(f"{theirs}.weight", f"{ours}.weight", transpose=transpose)
    return weight, Row(f"{theirs}.bias", f"{ours}.bias")


@dataclass(frozen=True)
class Ignore:
    """Their key holds nothing that was learned, so it is neither read nor written; `why` says who makes it anew."""

    theirs: str
    why: str


class Table:
    """Rows that cover all of their weights and all of ours; each key belongs to the first row that matches it."""

    def __init__(self, *rows: Row | Ignore) -> None:
        self.rows = rows
        self._theirs: list[tuple[re.Pattern[str], Row | Ignore]] = []
        self._ours: list[tuple[re.Pattern[str], Row | Ignore]] = []
        for row in rows:
            theirs, ours = _expand(row.theirs), _expand(row.ours) if isinstance(row, Row) else []
            if any(_numbers(name) != _numbers(theirs[0]) for name in [*theirs, *ours]):
                raise ArgumentError(f"Every name of a row must have the same {{numbers}}; this one differs: {row}.")
            self._theirs += [(_compile(name), row) for name in theirs]
            self._ours += [(_compile(name), row) for name in ours]
        patterns = [pattern for pattern, _ in self._ours]
        if len(set(patterns)) < len(patterns):
            raise ArgumentError("Two rows of a table fill the same tensor of ours, so that export could not choose.")

    def under(self, *, theirs: str = "", ours: str = "") -> Table:
        """The same table for weights that lie deeper: `under(theirs="visual.", ours="image.")`."""
        deeper = [replace(row, theirs=theirs + row.theirs) for row in self.rows]
        return Table(*(replace(row, ours=ours + row.ours) if isinstance(row, Row) else row for row in deeper))

    def covers(self, theirs: str) -> bool:
        """Whether a row says something of the tensor that they call `theirs`."""
        return any(pattern.fullmatch(theirs) for pattern, _ in self._theirs)

    def convert(self, theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor | Sequence[int]]) -> dict[str, Tensor]:
        """Their weights under our names, in their dtype and, wherever possible, in their memory.

        Args:
            theirs: their state dict.
            ours: our state dict, or the shapes in it: what must be filled, no more and no less.

        Raises:
            DataError: one of theirs that no row covers or that we have no place for, one of ours that stays unfilled,
                tied tensors that differ, or a shape that does not fit.
        """
        shapes = {name: tuple(value.shape if isinstance(value, Tensor) else value) for name, value in ours.items()}
        found: dict[str, Tensor] = {}
        problems = []
        groups, uncovered = _group(theirs, self._theirs, _Match.theirs)
        for match, present in groups:
            misfit = self._misfit(match, [theirs[name] for name in present], shapes, found)
            if misfit:
                problems.append(f"{' and '.join(map(repr, present))} {misfit}.")
            else:
                names = match.ours()
                pieces = [theirs[name] for name in present]
                whole = torch.cat(pieces, match.row.axis) if match.row.pieces else pieces[0]
                found.update(zip(names, match.row.split(whole, [shapes[name] for name in names]), strict=True))
        missing = [] if problems else [name for name in shapes if name not in found]
        if uncovered or missing or problems:
            raise DataError(self._explain(uncovered, missing, problems, shapes))
        return found

    def export(self, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our weights under their names: what `convert` would read back as `ours`.

        Tied names hold the same tensor, and tensors that need no joining share memory with ours.

        Raises:
            DataError: one of ours that no row covers, or a row of which we have only a part.
        """
        found: dict[str, Tensor] = {}
        groups, uncovered = _group(ours, self._ours, _Match.ours)
        if uncovered:
            raise DataError(f"The model's {_some(uncovered)} cannot be exported: no row of the table covers it.")
        for match, present in groups:
            lacking = [name for name in match.ours() if name not in present]
            if lacking:
                raise DataError(f"{match.theirs()[0]!r} cannot be exported: the model lacks {_some(lacking)}.")
            names, tensor = match.theirs(), match.row.join([ours[name] for name in match.ours()])
            parts = tensor.split(match.row.pieces, match.row.axis) if match.row.pieces else [tensor] * len(names)
            found.update((name, part.contiguous()) for name, part in zip(names, parts, strict=True))
        return found

    @staticmethod
    def _misfit(match: _Match, tensors: list[Tensor], ours: Mapping[str, Sequence[int]], found: Container[str]) -> str:
        """What is wrong with reading `tensors`, one or the pieces of one, as a predicate; "" if nothing is."""
        for name in match.ours():
            if name not in ours:
                return f"would be {name!r}, which the model does not have"
            if name in found:
                return f"would be {name!r}, which another of their tensors is already"
        tied = match.row.pieces is None
        if tied and any(not torch.equal(tensors[0], tensor) for tensor in tensors[1:]):
            return "differ, but the model ties them"
        expected = match.row.shapes_of([ours[name] for name in match.ours()])
        shapes = [list(tensor.shape) for tensor in (tensors[:1] if tied else tensors)]
        theirs, needed = (" and ".join(map(str, several)) for several in (shapes, expected))
        return "" if theirs == needed else f"has shape {theirs}, but the model needs {needed}"

    def _explain(self, uncovered: list[str], missing: list[str], problems: list[str], ours: Iterable[str]) -> str:
        """One sentence for each kind of misfit, with the names that were expected instead."""
        groups, _ = _group(ours, self._ours, _Match.ours)
        expected = {name: match.theirs() for match, names in groups for name in names}
        sentences = problems[:MOST]
        if uncovered:
            hint = nearest(uncovered[0], sorted({name for names in expected.values() for name in names}))
            sentences.append(f"The weights hold {_some(uncovered)}, which no row of the table covers.{hint}")
        if missing:
            where = [found[0] for name in missing if (found := expected.get(name))]
            source = f"expected under {_some(where)}" if where else "and no row of the table covers it"
            sentences.append(f"The model's {_some(missing)} stays unfilled, {source}.")
        return "These weights do not fit this model. " + " ".join(sentences)


@dataclass(frozen=True)
class _Match:
    """A row with its numbers filled in."""

    row: Row
    numbers: tuple[tuple[str, str], ...]

    def theirs(self) -> list[str]:
        return [name.format(**dict(self.numbers)) for name in _expand(self.row.theirs)]

    def ours(self) -> list[str]:
        return [name.format(**dict(self.numbers)) for name in _expand(self.row.ours)]


def _group(
    names: Iterable[str], rows: list[tuple[re.Pattern[str], Row | Ignore]], side: Callable[[_Match], list[str]]
) -> tuple[list[tuple[_Match, list[str]]], list[str]]:
    """The rows that `names` belong to, each with its names in the row's order; and the names that belong to none."""
    groups: dict[_Match, list[str]] = {}
    uncovered = []
    for name in names:
        hit = next(((row, found) for pattern, row in rows if (found := pattern.fullmatch(name))), None)
        if hit is None:
            uncovered.append(name)
        elif isinstance(hit[0], Row):
            groups.setdefault(_Match(hit[0], tuple(sorted(hit[1].groupdict().items()))), []).append(name)
    return [(match, [name for name in side(match) if name in present]) for match, present in groups.items()], uncovered


def _expand(pattern: str) -> list[str]:
    """The names that `{a,b}` stands for: one pattern for each."""
    found = re.search(r"\{([^{}]*,[^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    head, tail = pattern[: found.start()], pattern[found.end() :]
    return [head + choice + rest for choice in found[1].split(",") for rest in _expand(tail)]


def _numbers(pattern: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", pattern))


def _compile(name: str) -> re.Pattern[str]:
    """A regular expression for `name`, in which `{i}` is any number."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[0-9]+)", re.escape(name)))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(map(repr, names[:MOST])) + more
