"""Serving the search page: a free port, the browser, and an end at Ctrl-C."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import webbrowser
from contextlib import suppress

import uvicorn

from multimodal.errors import ArgumentError, DataError
from multimodal.media import MediaError
from multimodal.search.index import ImageIndex
from multimodal.web.app import make_app
from multimodal.web.guard import is_loopback

PORT = 8765
_PORTS_TRIED = 50  # from PORT on, where none was asked for
_LONGEST_HEAD = 1 << 16  # bytes of a request's first line and headers


def serve(index: ImageIndex, *, host: str = "127.0.0.1", port: int | None = None, browser: bool = True) -> None:
    """Serve the search page of `index` until Ctrl-C.

    Args:
        index: what is searched.
        host: address of this machine that answers; another than the default lets other machines in.
        port: of the address; None: `PORT`, or the next one that is free. 0: any.
        browser: open the page in the browser.

    Raises:
        ArgumentError: `host` is no address of this machine, or the port is out of range.
        DataError: the port is taken, or the index has no pictures yet.
    """
    count = len(index)
    if not count:
        raise DataError(f"{index.path} holds no pictures yet; sync it with a folder of pictures first.")
    with listening(host, port) as door:
        if not is_loopback(host):
            print(
                f"Warning: {host} lets everyone who reaches this machine search and see all pictures of the index; "
                "there is no password.",
                file=sys.stderr,
            )
        shown = "localhost" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{door.getsockname()[1]}/"
        config = uvicorn.Config(
            make_app(index, host),
            access_log=False,
            log_level="critical",  # a fault of ours is told by app.py, and Ctrl-C is none
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=_LONGEST_HEAD,
        )
        print(f"{count:,} pictures can be searched at {address} (Ctrl-C ends)", flush=True)
        threading.Thread(target=_warm_up, args=(index,), daemon=True).start()
        if browser and _has_display():
            threading.Timer(0.3, webbrowser.open, [address]).start()
        with suppress(KeyboardInterrupt):  # uvicorn hands it on once it has closed everything
            uvicorn.Server(config).run(sockets=[door])


def listening(host: str, port: int | None = None) -> socket.socket:
    """A socket that is bound to `host` and `port`; see `serve`.

    Raises:
        ArgumentError: `host` is no address of this machine, or the port is out of range.
        DataError: the port is taken.
    """
    if port is not None and not 0 <= port <= 65535:
        raise ArgumentError(f"port is {port}; it must be from 0 to 65535.")
    tried = range(PORT, PORT + _PORTS_TRIED) if port is None else (port,)
    for number in tried:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
        except OSError as error:
            raise ArgumentError(f"host is {host!r}, which is no address: {error.strerror or error}.") from error
        door = socket.socket(family, kind, protocol)
        if os.name == "posix":  # elsewhere it would let two servers share a port
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(address)
            door.listen()  # only now is it known that nobody else does
            return door
        except OSError as error:
            door.close()
            if error.errno in (errno.EACCES, errno.EPERM):
                raise ArgumentError(
                    f"port is {number}, which your permissions do not allow; take one above 1023."
                ) from error
            if error.errno != errno.EADDRINUSE:
                raise ArgumentError(f"host is {host!r}, which is not an address of this machine.") from error
    if port is None:
        raise DataError(f"Ports {PORT} to {PORT + _PORTS_TRIED - 1} are taken; name a free one, or 0 for any.")
    raise DataError(f"Port {port} is taken by another program; name another one, or none for the next that is free.")


def _warm_up(index: ImageIndex) -> None:
    """Load model and vectors before the first search asks for them; what fails here, fails there with a sentence."""
    with suppress(ArgumentError, DataError, MediaError, OSError):
        index.search("a photo", 1)


def _has_display() -> bool:
    """Whether a browser would open a window, and not take over the terminal."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
