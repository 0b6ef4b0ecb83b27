"""Labelled texts, tagged words and translations: from files, folders, tables and `datasets` objects to samples.

Each function takes a file; a folder, whose files say in their names which split they are; a `datasets` object or a list
of dictionaries; or {"train": one of these, "val": another}. A row that cannot be used is named, left out and counted.
Questions are read by questions.py, texts without labels by sources.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeGuard

from multimodal.data.images.samples import Skipped, class_name
from multimodal.data.text.layouts import (
    Column,
    Found,
    class_folders,
    lines_side_by_side,
    read_parts,
    row_sample,
    split_in,
    table_samples,
)
from multimodal.data.text.rows import LabeledText, TaggedWords, TextSet, Translation
from multimodal.data.text.sources import existing, find_files
from multimodal.data.text.tables import TABLE_SUFFIXES, Row, class_names, find_column, flaw, read_rows
from multimodal.errors import DataError

TEXT = ("text", "sentence", "sentence1", "premise", "question1", "review", "content")
PAIR = ("pair", "sentence2", "hypothesis", "question2", "text_pair")
LABEL = ("label", "labels", "class", "category", "sentiment", "target")
WORDS = ("words", "tokens")
TAGS = ("tags", "ner_tags", "pos_tags", "labels")


def read_labeled_texts(
    source: Any, *, text: str | None = None, pair: str | None = None, label: str | None = None
) -> TextSet:
    """Texts, or pairs of texts, with a class each.

    Args:
        source: tables with the columns below; or a folder of class folders (each file one text) or of class files
            (each line one text).
        text: name of the column; None: one of the usual ones.
        pair: name of the column of the second text; None: one of the usual ones, if there is one.
        label: name of the column of the class; None: one of the usual ones.

    Raises:
        ArgumentError: a column that is not there.
        DataError: no text with a label, a single class, or a class that training lacks.
    """
    columns = (Column(text, TEXT, "the text"), Column(pair, PAIR, "the second text", False))
    columns = (*columns, Column(label, LABEL, "the class"))

    def read(one: Any, skipped: list[Skipped]) -> Iterator[Found]:
        def of_row(row: Row, names: tuple[str, ...]) -> tuple[str, str | None, str] | str:
            first, second, given = (row.get(name) if name else None for name in names)
            wrong = flaw(first) or (flaw(second) if names[1] else None)
            name = _named(given, class_names(one, names[2]))
            if wrong or name in ("", "-1"):  # -1: the hidden labels of a public test
                return wrong or "no label"
            return str(first), second, name

        yield from table_samples(one, columns, of_row, skipped)

    def read_folder(root: Path, skipped: list[Skipped]) -> Iterator[Found]:
        for where, (found, name) in class_folders(root, skipped):
            yield where, (found, None, class_name(name))

    return read_parts(source, read, read_folder=read_folder).labeled(
        lambda raw: [raw[2]], lambda raw, index: LabeledText(raw[0], raw[1], index[raw[2]])
    )


def read_tagged_words(source: Any, *, words: str | None = None, tags: str | None = None) -> TextSet:
    """Sentences cut into words, with a tag each.

    Args:
        source: CoNLL files (on each line a word and, last, its tag; a blank line between sentences), or tables with
            the columns below, whose cells are lists.
        words: name of the column; None: one of the usual ones.
        tags: name of the column; None: one of the usual ones.

    Raises:
        ArgumentError: a column that is not there.
        DataError: no sentence, a single tag, or a tag that training lacks.
    """
    columns = (Column(words, WORDS, "the words"), Column(tags, TAGS, "the tags"))

    def read(one: Any, skipped: list[Skipped]) -> Iterator[Found]:
        def of_row(row: Row, names: tuple[str, ...]) -> tuple[list[str], list[str]] | str:
            found, given = (row.get(name) for name in names)
            if not _listed(found) or not _listed(given) or not len(found):
                return "words and tags are not lists"
            if len(found) != len(given):
                return f"{len(found)} words and {len(given)} tags"
            known = class_names(one, names[1])
            return [str(word) for word in found], [_named(tag, known) for tag in given]

        if isinstance(one, Path) and one.suffix.lower() not in TABLE_SUFFIXES:
            yield from _conll(one, skipped)
        else:
            yield from table_samples(one, columns, of_row, skipped)

    return read_parts(source, read).labeled(
        lambda raw: raw[1],
        lambda raw, index: TaggedWords(tuple(raw[0]), tuple(index[tag] for tag in raw[1])),
        what="tag",
    )


def read_translations(source: Any, *, source_name: str = "source", target_name: str = "target") -> TextSet:
    """Sentences in two languages.

    Args:
        source: tables with two columns of those names, or with a column `translation` that holds both; two files with
            as many lines each; or a folder of such pairs, told apart by their endings, as `train.en` and `train.de`.
        source_name: the column or ending of the language to translate from.
        target_name: the column or ending of the other.

    Raises:
        ArgumentError: a column that is not there.
        DataError: no sentence, a file without its counterpart, or one with more lines than that.
    """

    def of_row(row: Row, names: tuple[str, ...]) -> Translation | str:
        first, second = (row.get(name) for name in names)
        return flaw(first) or flaw(second) or Translation(str(first), str(second))

    def read(one: Any, skipped: list[Skipped]) -> Iterator[Found]:
        names = (source_name, target_name)
        if isinstance(one, tuple):
            for where, lines in lines_side_by_side((Path(one[0]), Path(one[1]))):
                yield from row_sample(where, dict(zip(names, lines, strict=True)), names, of_row, skipped)
            return
        for where, row in read_rows(one, skipped):
            both = row.get("translation")
            row = both if isinstance(both, Mapping) else row
            found = tuple(find_column(where, list(row), name, (), "a language") for name in names)
            yield from row_sample(where, row, found, of_row, skipped)

    pairs = _paired(source, source_name, target_name)
    return read_parts(source if pairs is None else pairs, read).plain()


def _conll(file: Path, skipped: list[Skipped]) -> Iterator[Found]:
    """Sentences of a CoNLL file: between blank lines, word first and tag last on each line."""
    words: list[str] = []
    tags: list[str] = []
    wrong, start = "", 1
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as lines:
            for number, line in enumerate(chain(lines, [""]), 1):
                if line.strip():
                    cells = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
                    wrong = wrong or flaw(line) or ("" if len(cells) > 1 else f"no tag in line {number}")
                    words.append(cells[0])
                    tags.append(cells[-1].strip())
                    continue
                if wrong:
                    skipped.append(Skipped(f"{file}, line {start}", wrong))
                elif words and words != ["-DOCSTART-"]:
                    yield f"{file}, line {start}", (words, tags)
                words, tags, wrong, start = [], [], "", number + 1
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None


def _paired(source: Any, one: str, two: str) -> dict[str, tuple[Path, Path]] | None:
    """Split to the pair of files with the endings `one` and `two`; None where the folder has no such files."""
    if not isinstance(source, str | Path) or not (root := existing(source)).is_dir():
        return None
    files = {file for file in find_files(root) if file.suffix in (f".{one}", f".{two}")}
    pairs: dict[str, tuple[Path, Path]] = {}
    for file in sorted(files):
        other = file.with_suffix(f".{two if file.suffix == f'.{one}' else one}")
        if other not in files:
            raise DataError(f"{file} has no counterpart {other.name} beside it.")
        if file.suffix != f".{one}":
            continue
        split = split_in(file.relative_to(root)) or "train"
        if split in pairs:
            raise DataError(f"{root} has two pairs of files for {split}: {pairs[split][0].name} and {file.name}.")
        pairs[split] = file, other
    return pairs or None


def _named(value: Any, names: Sequence[str] | None) -> str:
    """A label as text: of a whole number its name, where the data have names."""
    if names and isinstance(value, int) and 0 <= value < len(names):
        return class_name(names[value])
    return "" if value is None else class_name(str(value))


def _listed(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
