"""Who may ask the server of the search page, and what the browser is told with every answer."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from multimodal.web.app import make_app
from multimodal.web.guard import HEADERS

BASE = "http://127.0.0.1:8765"


@pytest.fixture(scope="module")
def client(index):
    return TestClient(make_app(index), BASE)


def status(client, path="/api/about", method="GET", **headers):
    return client.request(
        method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    ).status_code


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:8765", "[::1]:8765"])
def test_this_machine_may_ask(client, host):
    assert status(client, host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.5"),
        *("", "a b", "[::1", "127.0.0.1@evil"),
    ],
)
def test_another_name_for_this_machine_is_refused(client, host):
    assert status(client, host=host) == 403
    assert status(client, "/", host=host) == 403
    assert status(client, "/api/upload", "POST", host=host) == 403


def test_where_other_machines_may_ask_numbers_are_safe_and_names_are_not(index):
    client = TestClient(make_app(index, "0.0.0.0"), BASE)
    assert (
        status(client, host="192.168.1.5:8765")
        == status(client, host="[fe80::1]")
        == status(client, host="localhost")
        == 200
    )
    assert status(client, host="evil.example") == 403
    named = TestClient(make_app(index, "photos.lan"), BASE)
    assert status(named, host="Photos.lan:80") == 200 and status(named, host="evil.example") == 403


def test_only_the_page_itself_may_post(client):
    good = {"host": "127.0.0.1:8765", "content_type": "application/octet-stream"}
    for origin in (
        "http://evil.example",
        "null",
        "http://127.0.0.1:9999",
        "http://127.0.0.1",
        "http://localhost:8765",
        "junk",
    ):
        assert status(client, "/api/upload", "POST", origin=origin, **good) == 403, origin
    assert (
        status(client, "/api/upload", "POST", origin="http://127.0.0.1:8765", **good) == 415
    )  # let in, and no picture
    assert status(client, "/api/upload", "POST", sec_fetch_site="cross-site", **good) == 403


def test_pages_of_other_sites_get_nothing_but_may_link_here(client):
    assert status(client, sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == 403
    assert status(client, sec_fetch_site="same-site", sec_fetch_mode="cors") == 403
    assert status(client, "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200
    assert status(client, sec_fetch_site="same-origin", sec_fetch_mode="cors") == 200


@pytest.mark.parametrize(
    "path", ["/", "/static/js/main.js", "/api/about", "/api/search?where=x", "/nowhere", "/image/none", "/static/none"]
)
def test_every_answer_carries_the_headers(client, path):
    for headers in ({}, {"host": "evil.example"}):
        answer = client.get(path, headers=headers)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "no-store" in answer.headers["cache-control"] or answer.status_code == 200


def test_the_policy_lets_nothing_in_from_elsewhere():
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    for name in ("script-src", "style-src", "connect-src", "form-action"):
        assert policy[name] == "'self'"
    assert policy["img-src"] == "'self' blob: data:"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/"), ("DELETE", "/image/x"), ("PUT", "/api/upload"), ("GET", "/api/upload")]
)
def test_other_methods_are_refused_by_a_sentence(client, method, path):
    answer = client.request(method, path)
    assert answer.status_code == 405 and answer.json()["error"].endswith(".")
