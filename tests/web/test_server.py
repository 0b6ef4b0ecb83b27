"""What the server of the search page answers: results, filters, refusals, duplicates."""

from __future__ import annotations

import json

import pytest
from search.colour_embedder import ColourEmbedder, folder_of, picture
from starlette.testclient import TestClient
from web_library import BASE, PURPLE, ask, id_of, names

from multimodal.search.index import ImageIndex
from multimodal.search.query import Query
from multimodal.web.app import make_app
from multimodal.web.recent import Recent

SPRING = {"2019-03", "2019-04"}


@pytest.fixture(scope="module")
def client(index):
    return TestClient(make_app(index), BASE, raise_server_exceptions=False)


def test_words_find_the_right_picture_first(client, index):
    answer = ask(client, q="purple")
    assert set(names(answer)) == PURPLE
    first, total = answer["items"][0], len(index)
    assert (answer["found"], answer["total"]) == (2, total)
    hit = index.search("purple", 1)[0]
    assert (first["score"], first["relevance"]) == (round(hit.score, 4), round(hit.relevance, 4))
    assert first["relevant"] and first["width"] == first["height"] == hit.row.width


def test_what_is_not_there_gives_nothing_and_the_nearest(client, index):
    answer = ask(client, q="white")
    assert answer["items"] == [] and answer["found"] == 0
    assert answer["nearest"]["relevant"] is False and answer["nearest"]["relevance"] < 0.5
    whole = ask(client, q="white", all="1", limit=200)
    assert whole["found"] == len(whole["items"]) == len(index)
    assert whole["items"][0]["id"] == answer["nearest"]["id"]


def test_a_mixture_is_the_query_that_it_says(client, index):
    red, blue = id_of(index, "red-2019-00.jpg"), id_of(index, "blue-2021-02.jpg")
    answer = ask(client, q="green", minus="yellow", like=red, unlike=blue, all="1", limit=20)
    expected = Query.text("green") - "yellow" + Query.id(red) - Query.id(blue)
    assert [item["id"] for item in answer["items"]] == [hit.id for hit in index.search(expected, 20, all=True)]
    only_minus = ask(client, minus="red", all="1", limit=5)
    assert [item["id"] for item in only_minus["items"]] == [
        hit.id for hit in index.search(-Query.text("red"), 5, all=True)
    ]


def test_parts_add_up_to_the_whole(client, index):
    whole = ask(client, limit=200)
    parts = [item for start in range(0, len(index), 7) for item in ask(client, offset=start, limit=7)["items"]]
    assert parts == whole["items"] and whole["found"] == len(index)
    assert [item["id"] for item in parts] == [row.id for row in index.rows(limit=None)]
    found = ask(client, q="red", limit=200)
    pieces = [
        item for start in range(0, found["found"], 5) for item in ask(client, q="red", offset=start, limit=5)["items"]
    ]
    assert pieces == found["items"]


@pytest.mark.parametrize(
    ("filters", "keeps"),
    [
        ({"from": 2021}, lambda row: row.taken and row.taken.year >= 2021),
        ({"from": 2020, "to": 2023}, lambda row: row.taken and 2020 <= row.taken.year <= 2023),
        ({"camera": "X100", "shape": "portrait"}, lambda row: row.camera == "X100" and row.height > row.width),
        ({"shape": "square"}, lambda row: row.height == row.width),
        ({"shape": "panorama"}, lambda row: row.width >= 2 * row.height),
        ({"size": "medium"}, lambda row: row.width * row.height >= 1e6),
        ({"size": "small", "format": "TIFF"}, lambda row: row.format == "TIFF"),
        ({"where": "month = 3 OR month = 4", "to": 2019}, lambda row: str(row.taken)[:7] in SPRING),
    ],
)  # fmt: skip
def test_filters_keep_what_they_say(client, index, filters, keeps):
    expected = [row.id for row in index.rows(limit=None) if keeps(row)]
    answer = ask(client, limit=200, **filters)
    assert [item["id"] for item in answer["items"]] == expected and answer["found"] == len(expected)
    found = ask(client, q="red", all="1", limit=200, **filters)
    assert sorted(item["id"] for item in found["items"]) == sorted(expected)


def test_a_folder_holds_what_is_below_it_and_not_its_namesakes(client, index, library):
    folder = str(library / "2024")
    expected = [row.id for row in index.rows(limit=None) if row.path.is_relative_to(folder)]
    assert [item["id"] for item in ask(client, folder=folder, limit=200)["items"]] == expected
    assert len(expected) == 32  # none of 2024b
    assert ask(client, folder="/nowhere's")["found"] == 0


def test_what_the_index_has_can_be_chosen(client, index, library):
    about = client.get("/api/about").json()
    rows = index.rows(limit=None)
    assert about["images"] == len(rows) and about["bytes"] == sum(row.bytes for row in rows)
    facets = about["facets"]
    assert {it["value"]: it["count"] for it in facets["years"]} == {2019: 33, 2021: 32, 2024: 32}
    assert {it["value"]: it["count"] for it in facets["cameras"]} == {"X100": 65, "Pixel 7": 32}
    for kind, name in (
        ("folders", "folder"),
        ("cameras", "camera"),
        ("formats", "format"),
        ("shapes", "shape"),
        ("sizes", "size"),
    ):
        for choice in facets[kind]:
            assert ask(client, **{name: choice["value"]})["found"] == choice["count"], choice
    assert [(it["label"], it["depth"]) for it in facets["folders"]][:3] == [("photos", 0), ("2019", 1), ("rome", 2)]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"where": "yaer > 2000"}, "Did you mean 'year'"),
        ({"where": "1 = 1) OR (1 = 1"}, "')' too many"),
        ({"where": "path IN (SELECT path FROM images)"}, "'SELECT'"),
        ({"where": "read_text('/etc/passwd') = ''"}, "'read_text'"),
        ({"where": "year = 'red"}, "does not end"),
        ({"q": "red", "where": "year LIKE 3"}, "not a condition"),
        ({"q": "x" * 2001}, "2,001 letters"),
        ({"minus": ["a"] * 13}, "13 parts"),
        ({"like": "nothing"}, "no picture of id 'nothing'"),
        ({"image": "0" * 32}, "drop it on the page again"),
        ({"image": "' OR 1=1 --"}, "drop it on the page again"),
        ({"limit": 0}, "limit is '0'"),
        ({"limit": 1000}, "from 1 to 200"),
        ({"offset": -1}, "offset is '-1'"),
        ({"q": "red", "offset": 1001}, "from 0 to 1,000"),
        ({"from": "²"}, "from is '²'"),
        ({"shape": "sqare"}, "Did you mean 'square'"),
        ({"camera": "a\0b"}, "null character"),
        ({"camra": "X100"}, "Did you mean 'camera'"),
    ],
)
def test_what_cannot_be_asked_is_answered_by_a_sentence(client, parameters, sentence):
    assert sentence in ask(client, 400, **parameters)["error"]


def test_hostile_names_in_filters_stay_names(client, index):
    for value in ("' OR 1=1 --", "x'; DROP TABLE images; --", "%", "\\", "a\nb"):
        for name in ("camera", "format", "folder"):
            assert ask(client, **{name: value})["found"] == 0
    assert len(index) == 100


def test_a_picture_of_the_index_tells_all_that_is_known_of_it(client, index):
    row = index.rows("latitude > 0 AND year = 2024")[0]
    answer = client.get(f"/api/picture/{row.id}").json()
    assert (answer["path"], answer["taken"]) == (str(row.path), "2024-01-15T10:00:00")
    assert (answer["latitude"], answer["longitude"]) == (pytest.approx(41.9), pytest.approx(-12.5))
    assert (answer["camera"], answer["make"], answer["bytes"]) == ("Pixel 7", "Maker", row.path.stat().st_size)
    assert client.get("/api/picture/none").status_code == 404


def test_duplicates_stand_side_by_side(client, index):
    exact = client.get("/api/duplicates", params={"kind": "exact"}).json()
    assert [sorted(row["name"] for row in group) for group in exact["groups"]] == [["copy.jpg", "red-2019-00.jpg"]]
    assert exact["spare_files"] == 1 and exact["spare_bytes"] == exact["groups"][0][0]["bytes"]
    near = client.get("/api/duplicates", params={"kind": "near"}).json()
    assert near["found"] == len(index.duplicates("near"))
    assert client.get("/api/duplicates", params={"kind": "nera"}).json()["error"].endswith("Did you mean 'near'?")
    assert client.get("/api/duplicates", params={"offset": "x"}).status_code == 400


def test_a_fault_of_ours_shows_no_traceback_on_the_page(client, index, monkeypatch, capsys):
    def broken(*arguments, **options):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(type(index), "search", broken)
    answer = client.get("/api/search", params={"q": "red"})
    assert answer.status_code == 500 and "secret" not in answer.text and json.loads(answer.text)["error"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "ZeroDivisionError: secret" in capsys.readouterr().err


def test_a_model_without_words_says_so_and_still_searches_by_pictures(tmp_path):
    model = ColourEmbedder()
    model.tokenizer = None
    own = ImageIndex(tmp_path / "index", model)
    own.sync(folder_of(tmp_path / "photos"), progress=False)
    client = TestClient(make_app(own), BASE)
    assert "has no text tower" in ask(client, 400, q="red")["error"]
    assert {"red-0.png", "red-1.png", "red-2.png"} == set(names(ask(client, like=id_of(own, "red-0.png"))))


def test_what_another_process_adds_is_found_by_the_next_search(tmp_path):
    photos = folder_of(tmp_path / "photos", each=12)
    ImageIndex(tmp_path / "index", ColourEmbedder()).sync(photos, progress=False)
    client = TestClient(make_app(ImageIndex(tmp_path / "index", ColourEmbedder())), BASE)
    assert ask(client)["found"] == 48 and ask(client, q="purple")["found"] == 0
    picture("purple").save(photos / "new.png")
    (photos / "red-0.png").unlink()
    ImageIndex(tmp_path / "index", ColourEmbedder()).sync(photos, progress=False)
    assert ask(client)["found"] == 48 and names(ask(client, q="purple")) == ["new.png"]
    assert names(ask(client, where="name = 'red-0.png'")) == []


def test_scrolling_on_gets_the_rest_of_what_it_began_with():
    kept, made = Recent(most=2), []

    def make(value):
        return lambda: made.append(value) or value

    assert kept.get("a", make(1), fresh=True) == 1
    assert kept.get("a", make(2), fresh=False) == 1
    assert kept.get("a", make(3), fresh=True) == 3
    kept.get("b", make(4), fresh=False), kept.get("c", make(5), fresh=False)
    assert kept.get("a", make(6), fresh=False) == 6 and made == [1, 3, 4, 5, 6]
