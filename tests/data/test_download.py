from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from multimodal.data.download import all_or_nothing, download, exit_code, unpack
from multimodal.errors import DataError

CONTENT = bytes(range(256)) * 9000  # 2.3 MB
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


class Source:
    """A file server that can break off, and remembers what was asked."""

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        self.break_after: int | None = None  # bytes
        self.resumes = True
        self.content = CONTENT


@pytest.fixture
def source() -> Iterator[tuple[Source, str]]:
    state = Source()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            if self.path != "/file.bin":
                self.send_error(404)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.resumes else 0
            if asked and start >= len(state.content):
                self.send_error(416)
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.break_after])

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state, f"http://127.0.0.1:{server.server_port}/file.bin"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("checksum", [SHA256, MD5])
def test_a_file_arrives_whole_and_only_once(source, tmp_path, checksum):
    state, url = source
    file = download(url, tmp_path / "new" / "file.bin", checksum=checksum)
    assert file.read_bytes() == CONTENT
    assert [path.name for path in file.parent.iterdir()] == ["file.bin"]
    download(url, file, checksum=checksum)
    assert len(state.ranges) == 1


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_connection_is_continued(source, tmp_path, resumes):
    state, url = source
    state.break_after = 1_500_000
    with pytest.raises(DataError, match=r"broke after 1,500,000 of 2,304,000 bytes.*continues"):
        download(url, tmp_path / "file.bin", checksum=SHA256)
    assert not (tmp_path / "file.bin").exists()
    state.break_after, state.resumes = None, resumes
    assert download(url, tmp_path / "file.bin", checksum=SHA256).read_bytes() == CONTENT
    assert state.ranges == [None, "bytes=1500000-"]


def test_a_complete_part_needs_nothing_more(source, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert download(source[1], tmp_path / "file.bin", checksum=SHA256).read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_nothing_stays(source, tmp_path):
    state, url = source
    state.content = CONTENT[:-1] + b"!"
    with pytest.raises(DataError, match="wrong checksum"):
        download(url, tmp_path / "file.bin", checksum=SHA256)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_fetched_again(source, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"damaged")
    assert download(source[1], tmp_path / "file.bin", checksum=SHA256).read_bytes() == CONTENT


def test_without_network_there_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"^https://example\.org/x could not be downloaded: [^\n]*Check the network"):
        download("https://example.org/x", tmp_path / "x", checksum=SHA256)


def test_a_source_that_moved_is_named(source, tmp_path):
    with pytest.raises(DataError, match="answers 404"):
        download(source[1].replace("file", "other"), tmp_path / "x", checksum=SHA256)


def test_file_addresses_work_too(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    assert download((tmp_path / "a").as_uri(), tmp_path / "b", checksum=SHA256).read_bytes() == CONTENT


def write_archive(path: Path, *members: tarfile.TarInfo | str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = 0 if info.issym() else 4
            archive.addfile(info, io.BytesIO(b"data"))
    return path


def test_unpacking(tmp_path):
    folder = unpack(write_archive(tmp_path / "a.tgz", "x/1", "x/y/2"), tmp_path / "out")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "x/1",
        "x/y/2",
    ]


def test_nothing_is_written_outside(tmp_path):
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    for name, members in (("up.tgz", ["../evil"]), ("link.tgz", [link])):
        with pytest.raises(DataError, match="cannot be unpacked"):
            unpack(write_archive(tmp_path / name, *members), tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_a_damaged_archive_is_named(tmp_path):
    archive = write_archive(tmp_path / "a.tgz", *(f"{i}" for i in range(200)))
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(DataError, match=r"a\.tgz cannot be unpacked"):
        unpack(archive, tmp_path / "out")


def test_all_or_nothing(tmp_path):
    out = tmp_path / "new" / "out"
    with pytest.raises(RuntimeError), all_or_nothing(out) as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert list(out.parent.iterdir()) == []
    with all_or_nothing(out) as folder:
        (folder / "whole").touch()
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["whole"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert out.stat().st_mode & 0o777 == 0o755
    with pytest.raises(DataError, match="exists already"), all_or_nothing(out):
        pass


def test_exit_codes(tmp_path, capsys):
    def fail() -> Path:
        raise DataError("No network.")

    assert exit_code(lambda: tmp_path) == 0
    assert exit_code(fail) == 1
    assert capsys.readouterr() == (f"The data are in {tmp_path}\n", "No network.\n")


def test_zip_archives_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/1", "data")
        archive.writestr("../evil", "data")
    folder = unpack(tmp_path / "a.zip", tmp_path / "out")
    assert (folder / "x" / "1").read_text() == "data"
    assert not (tmp_path / "evil").exists(), "nothing is written outside"
