"""The parameters of an address to a query and a condition: `?q=red bike&minus=car&camera=X100&from=2024`.

    q                text to search for
    minus            a text that the picture should not be like; any number of them
    like, unlike     id of a picture of the index; any number
    image, unimage   name of a picture that was uploaded; any number
    folder           this folder and what is below it
    from, to         years
    camera, format   as the index has them
    shape, size      one of `SHAPES`, `SIZES`
    where            a condition of one's own
    all              1: also what is not relevant
    offset, limit    which of the results

Without any of the first four rows, the pictures are browsed, newest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import QueryParams

from multimodal.errors import ArgumentError, nearest
from multimodal.search.query import MAX_LETTERS, Query
from multimodal.search.where import checked

MOST_PARTS = 12  # texts and pictures of one query
MOST_AT_ONCE = 200  # results of one answer
MOST_RESULTS = 1_000  # of one search: nobody looks further, and each costs memory here and in the browser
MOST_ROWS = 10_000_000  # that are browsed
SHAPES = {
    "landscape": "width > height",
    "portrait": "height > width",
    "square": "width = height",
    "panorama": "(width >= 2 * height OR height >= 2 * width)",
}
SIZES = {
    "small": "width * height < 1000000",
    "medium": "width * height >= 1000000 AND width * height < 8000000",
    "large": "width * height >= 8000000",
}
_TEXTS = {"q": 1, "minus": -1}
_IDS = {"like": 1, "unlike": -1}
_UPLOADS = {"image": 1, "unimage": -1}
_KNOWN = (
    *(*_TEXTS, *_IDS, *_UPLOADS),
    *("folder", "from", "to", "camera", "format", "shape", "size", "where", "all", "offset", "limit"),
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request wants."""

    query: Query | None  # None: browse
    where: str | None
    all: bool
    offset: int
    limit: int
    key: tuple[Any, ...]  # equal for requests that differ only in offset and limit


def asked_of(parameters: QueryParams, uploaded: Callable[[str], bytes]) -> Asked:
    """What `parameters` ask for; `uploaded` gives the bytes of an uploaded picture.

    Raises:
        ArgumentError: an unknown parameter, or a value that none may have.
    """
    for name in parameters:
        if name not in _KNOWN:
            raise ArgumentError(f"{name!r} is not a parameter of a search.{nearest(name, _KNOWN)}")
    pairs = [(name, value) for name, value in parameters.multi_items() if value.strip()]
    query = _query([pair for pair in pairs if pair[0] in (*_TEXTS, *_IDS, *_UPLOADS)], uploaded)
    offset, limit = part_of(parameters, MOST_RESULTS if query is not None else MOST_ROWS)
    return Asked(
        query=query,
        where=condition_of(dict(pairs)),
        all=parameters.get("all") == "1",
        offset=offset,
        limit=limit,
        key=tuple(pair for pair in pairs if pair[0] not in ("offset", "limit")),
    )


def part_of(parameters: QueryParams, most: int) -> tuple[int, int]:
    """Offset and limit, of at most `most` results.

    Raises:
        ArgumentError: they are no such numbers.
    """
    offset = _number("offset", parameters.get("offset", "0"), 0, most)
    return offset, _number("limit", parameters.get("limit", "60"), 1, MOST_AT_ONCE)


def condition_of(values: dict[str, str]) -> str | None:
    """The filters and the condition of one's own as one condition; None without any.

    Raises:
        ArgumentError: a value that none may have.
    """
    clauses = []
    if folder := values.get("folder"):
        below = folder if folder.endswith(("/", "\\")) else folder + ("\\" if "\\" in folder else "/")
        clauses.append(f"(folder = {_text('folder', folder)} OR starts_with(folder, {_text('folder', below)}))")
    if first := values.get("from"):
        clauses.append(f"year >= {_number('from', first, 0, 9999)}")
    if last := values.get("to"):
        clauses.append(f"year <= {_number('to', last, 0, 9999)}")
    clauses += [f"{name} = {_text(name, values[name])}" for name in ("camera", "format") if name in values]
    for name, choices in (("shape", SHAPES), ("size", SIZES)):
        if name in values:
            clauses.append(_chosen(name, values[name], choices))
    if own := values.get("where"):
        clauses.append(f"({own})" if clauses and checked(own) else own)
    return " AND ".join(clauses) or None


def _query(pairs: list[tuple[str, str]], uploaded: Callable[[str], bytes]) -> Query | None:
    if len(pairs) > MOST_PARTS:
        raise ArgumentError(f"The search has {len(pairs)} parts; at most {MOST_PARTS} are mixed.")
    parts: list[Query] = []
    for name, value in pairs:
        if name in _TEXTS:
            if len(value) > MAX_LETTERS:
                raise ArgumentError(
                    f"The text has {len(value):,} letters; at most {MAX_LETTERS:,} are searched for, and models read "
                    "only the first few dozen words. Make it shorter."
                )
            parts.append(Query.text(value) * _TEXTS[name])
        elif name in _IDS:
            parts.append(Query.id(value) * _IDS[name])
        else:
            parts.append(Query.image(uploaded(value)) * _UPLOADS[name])
    return _sum(parts)


def _sum(parts: Iterable[Query]) -> Query | None:
    total: Query | None = None
    for part in parts:
        total = part if total is None else total + part
    return total


def _text(name: str, value: str) -> str:
    if "\0" in value:
        raise ArgumentError(f"{name} holds a null character, which no name has.")
    return "'" + value.replace("'", "''") + "'"


def _number(name: str, value: str, least: int, most: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 9 and least <= int(value) <= most):
        raise ArgumentError(f"{name} is {value[:20]!r}; it must be a whole number from {least:,} to {most:,}.")
    return int(value)


def _chosen(name: str, value: str, choices: dict[str, str]) -> str:
    if value not in choices:
        raise ArgumentError(
            f"{name} is {value[:40]!r}; it must be one of {', '.join(choices)}.{nearest(value, choices)}"
        )
    return choices[value]
