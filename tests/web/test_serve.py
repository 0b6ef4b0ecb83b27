"""Ports, hosts, Ctrl-C, and what `multimodal serve` says about an index that it cannot serve."""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from multimodal.cli import serve as command
from multimodal.cli.parser import Parser
from multimodal.errors import ArgumentError, DataError
from multimodal.search.index import ImageIndex
from multimodal.web import server
from multimodal.web.server import listening, serve

RUN = "import sys; from multimodal.cli import serve; from multimodal.cli.parser import Parser; " + (
    "parser = Parser(prog='serve'); serve.add_arguments(parser); sys.exit(serve.run(parser.read(sys.argv[1:])))"
)


def arguments(*words: str) -> argparse.Namespace:
    parser = Parser(prog="multimodal serve")
    command.add_arguments(parser)
    return parser.read(words)


def resolved(host, port, **_):
    """What the system makes of a number; the tests' own guard would refuse all but this machine's."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))]


def test_the_next_free_port_is_taken(monkeypatch):
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(server, "PORT", port)
        with listening("127.0.0.1") as door:
            assert port < door.getsockname()[1] < port + 50
        with pytest.raises(DataError, match=f"Port {port} is taken"):
            listening("127.0.0.1", port)
        monkeypatch.setattr(server, "_PORTS_TRIED", 1)
        with pytest.raises(DataError, match="are taken"):
            listening("127.0.0.1")


@pytest.mark.parametrize(
    ("host", "port", "sentence"),
    [
        ("127.0.0.1", 70000, "from 0 to 65535"),
        ("127.0.0.1", -1, "from 0 to 65535"),
        ("no such host", 0, "which is no address"),
        ("203.0.113.7", 0, "not an address of this machine"),
    ],
)
def test_a_wrong_address_is_refused(host, port, sentence, monkeypatch):
    if host[0].isdigit():
        monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with pytest.raises(ArgumentError, match=sentence):
        listening(host, port)


def test_only_this_machine_is_let_in_by_default():
    with listening("127.0.0.1", 0) as door:
        assert door.family == socket.AF_INET and door.getsockname()[0] == "127.0.0.1"
    assert arguments("x").host == "127.0.0.1"


def test_letting_others_in_is_warned_of(index, monkeypatch, capsys):
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    serve(index, host="0.0.0.0", port=0, browser=False)
    shown = capsys.readouterr()
    assert "no password" in shown.err and "http://localhost:" in shown.out
    serve(index, port=0, browser=False)
    assert capsys.readouterr().err == ""


def test_the_browser_is_opened_where_there_is_one(index, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    monkeypatch.setattr("threading.Timer.start", lambda self: opened.extend(self.args))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    serve(index, port=0, browser=True)
    assert opened == re.findall(r"http://127\.0\.0\.1:\d+/", capsys.readouterr().out)
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    serve(index, port=0, browser=True)
    serve(index, port=0, browser=False)
    assert len(opened) == 1  # a browser in the terminal would take the terminal over


def test_what_cannot_be_served_is_said_in_a_sentence(tmp_path, index):
    with pytest.raises(ArgumentError, match=r"There is no index at .*none; make one"):
        command.run(arguments(str(tmp_path / "none")))
    with pytest.raises(DataError, match="is empty"):
        command.run(arguments(str(tmp_path)))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArgumentError, match="is not an index"):
        command.run(arguments(str(tmp_path)))
    with pytest.raises(ArgumentError, match="is a file"):
        command.run(arguments(str(tmp_path / "notes.txt")))
    with pytest.raises(DataError, match="no pictures yet"):
        serve(ImageIndex(tmp_path / "new", index.model), port=0, browser=False)
    with pytest.raises(DataError, match="damaged"):
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "index.json").write_text("{")
        command.run(arguments(str(tmp_path / "broken")))


def test_ctrl_c_ends_it_quietly(index):
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(index.path), "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"100 pictures can be searched at (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends\)\n", line)
    assert found, (line, process.stderr and process.stderr.read() if process.poll() is not None else "")
    with urllib.request.urlopen(found[1], timeout=20) as answer:
        assert b"<title>Photo search</title>" in answer.read()
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, "", "")
