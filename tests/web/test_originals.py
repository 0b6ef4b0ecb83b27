"""Files of the index and nothing else: addresses that try to climb out, and files that are not what they were."""

from __future__ import annotations

import http.client
import os
import shutil
from urllib.parse import quote, urlsplit

import pytest
from search.colour_embedder import ColourEmbedder, picture
from web_library import serving

from multimodal.search.index import ImageIndex

SECRET = b"nobody may read this"


@pytest.fixture
def place(tmp_path):
    """A library, its index being served, and secrets beside it; the function asks for a picture by name."""
    photos, outside = tmp_path / "photos", tmp_path / "outside"
    (photos / "trip").mkdir(parents=True)
    outside.mkdir()
    for folder, name in ((photos, "red"), (photos / "trip", "blue"), (outside, "green")):
        picture(name).save(folder / f"{name}.png")
    picture("yellow").save(outside / "blue.png")
    (outside / "secret.txt").write_bytes(SECRET)
    (photos / "linked.png").symlink_to(outside / "green.png")
    index = ImageIndex(tmp_path / "index", ColourEmbedder())
    index.sync(photos, progress=False)
    with serving(index) as address:
        ids = {row.name: row.id for row in index.rows(limit=None)}
        yield photos, outside, lambda name, query="": get(address, f"/image/{ids[name]}{query}")


def get(address, path):
    """Status and bytes of an address that is sent exactly as it is written."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    connection.putrequest("GET", path)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


@pytest.mark.parametrize(
    "trick",
    [
        "../../../../../../../../etc/passwd",
        "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "%252e%252e%252f%252e%252e%252fetc%252fpasswd",
        "..\\..\\..\\etc\\passwd",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "file:///etc/passwd",
        "x%00.png",
        "....//....//etc/passwd",
        "",
        "'%20OR%201=1--",
    ],
)
@pytest.mark.parametrize(
    "root", ["/image/", "/thumbnail/", "/upload/", "/api/picture/", "/static/", "/static/js/", "/"]
)
def test_no_address_climbs_out(address, root, trick):
    status, body = get(address, root + trick)
    assert b"root:" not in body
    assert status in (404, 405) or (root, trick) == ("/", "")


def test_the_path_of_a_picture_is_not_its_address(address, index):
    row = index.rows(limit=1)[0]
    file = quote(str(row.path))
    for path in (f"/image/{file}", f"/image/{file.replace('/', '%2f')}", file, f"/static{file}"):
        assert get(address, path)[0] == 404


def test_static_files_are_those_of_the_page(address):
    assert get(address, "/static/js/main.js")[0] == 200
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/js/../../app.py",
        "/static/",
        "/static/js",
    ):
        assert get(address, path)[0] == 404, path


def test_links_that_were_there_from_the_start_are_shown(place):
    _, outside, image = place
    assert image("linked.png") == (200, (outside / "green.png").read_bytes())


def test_a_link_that_came_later_is_not_followed_out(place):
    photos, outside, image = place
    for target in (outside / "secret.txt", outside / "green.png", outside / "none"):
        (photos / "red.png").unlink()
        (photos / "red.png").symlink_to(target)
        for query in ("", "?download=1", "?side=640"):
            status, body = image("red.png", query)
            assert status == 409 and SECRET not in body and b"PNG" not in body
            assert b'"error"' in body and str(outside).encode() not in body


def test_what_lies_outside_is_read_only_where_it_may_be_what_was_indexed(place, monkeypatch):
    photos, outside, image = place
    read = []
    monkeypatch.setattr("multimodal.web.originals.content_hash", lambda data: read.append(len(data)) or "other")
    (photos / "red.png").unlink()
    (photos / "red.png").symlink_to(outside / "secret.txt")
    assert image("red.png")[0] == 409 and read == []
    assert image("linked.png")[0] == 409 and len(read) == 1


def test_a_link_whose_end_was_changed_is_not_followed(place):
    _, outside, image = place
    picture("purple").save(outside / "green.png")
    assert image("linked.png")[0] == 409


def test_a_folder_that_became_a_link_leads_nowhere(place):
    photos, outside, image = place
    assert image("blue.png")[0] == 200
    shutil.rmtree(photos / "trip")
    (photos / "trip").symlink_to(outside)
    status, body = image("blue.png")
    assert status == 409 and b"PNG" not in body


def test_an_edited_picture_is_shown_as_it_is_now(place):
    photos, _, image = place
    picture("orange").save(photos / "red.png")
    assert image("red.png") == (200, (photos / "red.png").read_bytes())


@pytest.mark.parametrize("query", ["", "?download=1", "?side=640"])
def test_what_is_no_picture_any_more_is_not_handed_out(place, query):
    photos, _, image = place
    (photos / "red.png").write_bytes(SECRET)
    status, body = image("red.png", query)
    assert status == 409 and b"is a text file" in body and str(photos).encode() not in body
    (photos / "red.png").unlink()
    assert image("red.png", query)[0] == 409
    os.mkfifo(photos / "red.png")
    assert image("red.png", query)[0] == 409  # and does not wait for somebody to write to the pipe
    (photos / "red.png").unlink()
    (photos / "red.png").mkdir()
    assert image("red.png", query)[0] == 409
