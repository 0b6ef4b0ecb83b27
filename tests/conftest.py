"""What holds for every test: shapes are checked, one thread, fixed seeds, no network.

The jaxtyping hook checks each annotated call in `multimodal` with beartype. `torch.compile` fails under it; tests of
compilation run in a process with JAXTYPING_DISABLE=1.
"""

from __future__ import annotations

import gc
import ipaddress
import os
import random
import socket
from collections.abc import Generator, Iterator
from typing import Any

import jaxtyping
import pytest

if os.environ.get("JAXTYPING_DISABLE", "0") in ("", "0"):
    jaxtyping.install_import_hook("multimodal", "beartype.beartype")

import numpy as np
import torch

torch.set_num_threads(1)

_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex
_getaddrinfo = socket.getaddrinfo
_network = {"open": False}


class NetworkBlocked(ConnectionError):
    """A test tried to reach another machine; code under test sees what it would see offline."""


def _refuse_strangers(address: Any) -> None:
    if _network["open"] or not isinstance(address, tuple):  # not a tuple: a socket file of this machine
        return
    host = address[0].decode() if isinstance(address[0], bytes) else address[0]
    if host in (None, "", "localhost", socket.gethostname()):
        return
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise NetworkBlocked(f"Tests have no network, and this one asks for {host}.")


def _guarded_connect(self: socket.socket, address: Any) -> None:
    _refuse_strangers(address)
    _connect(self, address)


def _guarded_connect_ex(self: socket.socket, address: Any) -> int:
    _refuse_strangers(address)
    return _connect_ex(self, address)


def _guarded_getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
    _refuse_strangers((host,))
    return _getaddrinfo(host, *arguments, **options)


socket.socket.connect = _guarded_connect
socket.socket.connect_ex = _guarded_connect_ex
socket.getaddrinfo = _guarded_getaddrinfo


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage: what is made stays, and looking through it is a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()  # nor is it looked through between tests
        gc.enable()


@pytest.fixture(autouse=True)
def _same_conditions(request: pytest.FixtureRequest) -> Iterator[None]:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    _network["open"] = request.node.get_closest_marker("network") is not None
    yield
    _network["open"] = False
