"""Pictures that the page shows and pictures that are dropped on it: thumbnails, files, previews, uploads."""

from __future__ import annotations

import io
import re
import zlib
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from search.colour_embedder import ColourEmbedder, picture
from starlette.testclient import TestClient
from web_library import BASE, ODD, PURPLE, ask, id_of, names

from multimodal.errors import ArgumentError
from multimodal.search.index import ImageIndex
from multimodal.web import uploads
from multimodal.web.app import make_app


@pytest.fixture(scope="module")
def client(index):
    return TestClient(make_app(index), BASE)


def png(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def send(client, data, **headers):
    return client.post("/api/upload", content=data, headers={"Content-Type": "application/octet-stream", **headers})


def test_thumbnails_may_be_kept_under_the_address_of_their_content(client, index):
    row = index.rows(limit=1)[0]
    kept = client.get(f"/thumbnail/{row.id}", params={"v": row.hash[:12]})
    assert kept.content == index.thumbnail(row) and kept.headers["content-type"] == "image/jpeg"
    assert "immutable" in kept.headers["cache-control"]
    assert "immutable" not in client.get(f"/thumbnail/{row.id}", params={"v": "old"}).headers["cache-control"]


def test_files_are_handed_out_as_they_are_or_as_browsers_show_them(client, index, library):
    png_id, tiff_id = id_of(index, ODD.replace("'", "''")), id_of(index, "orange.tif")
    answer = client.get(f"/image/{png_id}")
    assert answer.content == (library / ODD).read_bytes() and answer.headers["content-type"] == "image/png"
    assert client.get(f"/image/{png_id}", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    shown = client.get(f"/image/{tiff_id}")
    assert shown.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(shown.content)) as image, Image.open(library / "orange.tif") as original:
        assert image.format == "JPEG" and image.size == original.size
        assert np.abs(np.asarray(image, int) - np.asarray(original, int)).mean() < 12
    saved = client.get(f"/image/{tiff_id}", params={"download": 1})
    assert saved.content == (library / "orange.tif").read_bytes() and saved.headers["content-type"] == "image/tiff"
    name = client.get(f"/image/{png_id}", params={"download": 1}).headers["content-disposition"]
    assert name == f"attachment; filename=\"it_s _purple_ _b__amp_.png\"; filename*=UTF-8''{quote(ODD, safe='')}"


def test_a_preview_is_the_picture_made_smaller(index, tmp_path):
    folder = tmp_path / "large"
    folder.mkdir()
    ramp = np.linspace(0, 255, 1600).astype(np.uint8)
    Image.fromarray(np.broadcast_to(ramp[None, :, None], (900, 1600, 3)).copy()).save(folder / "ramp.jpg", quality=95)
    own = ImageIndex(tmp_path / "index", index.model)
    own.sync(folder, progress=False)
    row = own.rows()[0]
    answer = TestClient(make_app(own), BASE).get(f"/image/{row.id}", params={"side": 640, "v": row.hash[:12]})
    assert "immutable" in answer.headers["cache-control"]
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (640, 360)
        assert np.abs(np.asarray(image, float)[180, :, 0] - np.linspace(0, 255, 640)).max() < 6


def test_a_dropped_picture_finds_its_like(client, index):
    answer = send(client, png(picture("purple", 77, (90, 60))))
    upload = answer.json()
    assert (upload["width"], upload["height"]) == (90, 60)
    assert names(ask(client, image=upload["name"]))[0] in PURPLE
    assert client.get(f"/upload/{upload['name']}").headers["content-type"] == "image/jpeg"
    assert client.get("/upload/none").status_code == 404
    away = ask(client, unimage=upload["name"], all="1", limit=200)
    assert names(away)[-1] in PURPLE


def test_an_upload_that_is_in_the_index_outlives_the_server(index, library):
    name = send(TestClient(make_app(index), BASE), (library / "orange.tif").read_bytes()).json()["name"]
    another = TestClient(make_app(index), BASE)
    assert names(ask(another, image=name))[0] == "orange.tif"
    assert another.get(f"/upload/{name}").status_code == 200


def test_an_upload_whose_picture_is_gone_is_asked_for_again(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("one", "two"):
        (photos / f"{name}.png").write_bytes(png(picture("red")))
    index = ImageIndex(tmp_path / "index", ColourEmbedder())
    index.sync(photos, progress=False)
    client = TestClient(make_app(index), BASE)
    name = index.rows(limit=1)[0].hash
    (photos / "one.png").unlink()
    assert ask(client, image=name)["found"]  # the other file has the same bytes
    picture("blue").save(photos / "two.png")
    assert "drop it on the page again" in ask(client, 400, image=name)["error"]
    assert client.get(f"/upload/{name}").status_code == 404


def test_the_newest_uploads_are_kept(index):
    data = [png(picture("red", seed)) for seed in range(4)]
    kept = uploads.Uploads(index, most=sum(map(len, data[:2])) + 10)
    found = [kept.add(it).name for it in data]
    assert kept.get(found[3]).data == data[3]
    with pytest.raises(ArgumentError, match="drop it on the page again"):
        kept.get(found[0])


def test_uploads_are_limited_in_bytes_and_pixels(client, monkeypatch):
    monkeypatch.setattr("multimodal.web.app.MAX_UPLOAD", 1 << 20)
    large = b"\0" * ((1 << 20) + 1)
    assert "more than 1 MB" in send(client, large).json()["error"]
    streamed = send(client, (large[i : i + 65536] for i in range(0, len(large), 65536)))  # its length is not told
    assert streamed.status_code == 413 and "more than 1 MB" in streamed.json()["error"]
    bomb = bytearray(png(Image.new("L", (1, 1))))
    bomb[16:24] = (20_000).to_bytes(4) + (20_000).to_bytes(4)
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4)
    refused = send(client, bytes(bomb))
    assert refused.status_code == 415 and "more than 200,000,000" in refused.json()["error"]


@pytest.mark.parametrize("data", [b"", b"<svg onload='x'/>", b"\x89PNG\r\n\x1a\n" + b"junk" * 9, b"hello"])
def test_an_upload_that_is_no_picture_is_refused_by_a_sentence(client, data):
    answer = send(client, data)
    assert answer.status_code == 415 and re.fullmatch(r"The picture .*\.", answer.json()["error"])
