"""Conditions: what a person would write works, and nothing reaches beyond the table."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from multimodal.errors import ArgumentError
from multimodal.search import ImageIndex, Query
from multimodal.search.where import FUNCTIONS, checked

TAKEN = [datetime(2020 + i, i + 1, 10, 12) for i in range(6)]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    metadata = {
        "taken": [*TAKEN, None, None],
        "camera": ["X100", "X100", "it's", None, "iPhone 12", "X100", "", "x100"],
        "latitude": [41.9, 41.8, None, -33.0, 0.0, 52.5, None, 48.8],
        "longitude": [12.5, 12.4, None, 151.0, 0.0, 13.4, None, 2.3],
        "width": [100 * (i + 1) for i in range(8)],
        "height": [100] * 8,
    }
    paths = [f"photos/{'rome' if i < 3 else 'other'}/{i}.jpg" for i in range(8)]
    return ImageIndex.from_embeddings(tmp_path_factory.mktemp("where") / "index", np.eye(8), paths, metadata)


def found(index, where):
    return sorted(int(row.path.stem) for row in index.rows(where))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("year >= 2024", [4, 5]),
        ("YEAR >= 2022 and Camera = 'X100'", [5]),
        ("year = 2020 AND camera = 'X100' AND path LIKE '%rome%'", [0]),
        ("camera = 'it''s'", [2]),
        ("camera ILIKE 'x100'", [0, 1, 5, 7]),
        ("lower(camera) = 'x100'", [0, 1, 5, 7]),
        ("camera IS NULL", [3]),
        ("camera IS NOT NULL AND NOT (camera LIKE 'X%' OR camera = '')", [2, 4, 7]),
        ("month IN (1, 2, 6)", [0, 1, 5]),
        ("taken BETWEEN timestamp '2021-01-01 00:00:00' AND timestamp '2023-01-01 00:00:00'", [1, 2]),
        ("taken >= date '2024-01-01'", [4, 5]),
        ("taken >= '2024-01-01'", [4, 5]),
        ("taken BETWEEN '2021-01-01' AND '2023-01-01 10:00:00' AND camera <> '2021-01-01'", [1, 2]),
        ("latitude < -30 AND longitude > 1.5e2", [3]),
        ("abs(latitude - 41.9) < 0.2", [0, 1]),
        ("width * height / 1000 > 70", [7]),
        ("width % 200 = 100", [0, 2, 4, 6]),
        ("width == 100", [0]),
        ("length(camera) = 2", []),
        ("starts_with(camera, 'iPh') OR ends_with(path, '/0.jpg') OR contains(path, '7')", [0, 4, 7]),
        ("upper(name) = '3.JPG'", [3]),
        ("day <> 10", []),
        ("true", list(range(8))),
        ("path LIKE '%--%' or path like '%/*%' or name = '; drop'", []),
    ],
)
def test_conditions(index, where, expected):
    assert found(index, where) == expected
    assert index.count(where) == len(expected)
    results = index.search(Query.id(index.rows()[0].id), where=where, all=True)
    assert sorted(int(hit.path.stem) for hit in results) == expected and results.total == len(expected)


def test_every_function_that_is_allowed_exists(index):
    values = {"starts_with": "name, 'x'", "ends_with": "name, 'x'", "contains": "name, 'x'", "abs": "width"}
    for name in FUNCTIONS:
        assert index.count(f"{name}({values.get(name, 'name')}) IS NOT NULL") == 8


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("yaer > 2020", "Did you mean 'year'"),
        ("colour = 'red'", "is not a column of the index.* The columns are"),
        ('camera = "X100"', "single quotes"),
        ("camera = `X100`", "single quotes"),
        ("camera = X100", "'X100', which is not a column"),
        ("", "is empty"),
        ("   ", "is empty"),
        ("year >", "is not a condition"),
        ("width / 0 > 1", "is not a condition: Divide by zero"),
        ("year", "is not a condition"),
        ("camera > 5 +", "is not a condition"),
        ("camera = 'x", "does not end"),
        ("(year > 1", r"lacks a '\)'"),
        ("year > 1)", r"a '\)' too many"),
        ("lower(camera, 1, 2) = 'x'", "is not a condition"),
        ("lowr(camera) = 'x'", "Did you mean 'lower'"),
        ("year > 1; DROP TABLE images", "';'"),
        ("year > 1 -- comment", "comments"),
        ("year /* x */ > 1", "comments"),
        ("id IN (SELECT id FROM images)", "'SELECT'"),
        ("EXISTS (SELECT 1)", "'EXISTS'"),
        ("id = images.id", "'images'|'\\.'"),
        ("read_parquet('/etc/passwd') = 1", "calls 'read_parquet'"),
        ("vector IS NOT NULL", "'vector'"),
        ("path_bytes IS NULL", "'path_bytes'"),
        ("_rowid = 1", "'_rowid'"),
        ("year(1) = 1", "calls 'year'"),
        ("year > $1", "'\\$'"),
        ("year > @x", "'@'"),
        ("name = 'a\0b'", "does not end"),
        ("year::text = '1'", "':'"),
        ("cast(year as text) = '1'", "calls 'cast'"),
        ("regexp_match(name, '(a+)+$')", "calls 'regexp_match'"),
        ("(" * 10_000 + "true" + ")" * 10_000, "nested more than|characters"),
        ("not " * 5_000 + "true", "words and signs|characters"),
        ("year = 1" + " or year = 1" * 2_000, "words and signs|characters"),
        ("name = '" + "x" * 30_000 + "'", "characters"),
    ],
)
def test_what_is_wrong_or_hostile_is_refused_with_a_sentence(index, where, says):
    with pytest.raises(ArgumentError, match=says) as caught:
        index.rows(where)
    assert len(str(caught.value)) < 700 and "\n" not in str(caught.value) and ".rs" not in str(caught.value)


def test_the_longest_chains_that_are_let_through_do_no_harm(index):
    with pytest.raises(ArgumentError, match="is not a condition"):
        index.count("not " * 900 + "true")
    assert index.count("year = 1" + " or year = 1" * 240) == 0
    assert index.count("width = 100" + " + 0" * 400) == 1
    assert index.count("(" * 20 + "true" + ")" * 20) == 8
    assert index.count(f"width in ({', '.join(map(str, range(490)))})") == 4


def test_a_clause_is_put_together_from_its_tokens():
    assert checked(" YEAR>=2024\n and name='it''s'") == "year >= 2024 AND name = 'it''s'"
    assert checked("lower ( name )like'%x'") == "lower ( name ) LIKE '%x'"
