"""What the tests of `multimodal.hub` share: a folder as timm writes it, and a server that stands in for the hub."""

from __future__ import annotations

import http.server
import threading
from typing import Any

import huggingface_hub
import pytest
import torch

from multimodal.models.classifier import Classifier

CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
TINY: dict[str, Any] = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": (16, 24), "patch_size": 4}
PUBLISHED = "test_vit.r160_in1k"  # a real name of a tiny model; what the server gives for it is made here


def pixels(model: Classifier) -> torch.Tensor:
    return torch.randn(2, 3, *model.transform.config.size, generator=torch.Generator().manual_seed(0))


class Hub:
    """A server that answers as the hub does, for the files that it is given; counts what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.status, self.error = 404, "EntryNotFound"
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET(body=False)

            def do_GET(self, body: bool = True) -> None:
                hub.asked.append(f"{self.command} {self.path.rpartition('/')[2]}")
                content = hub.files.get(self.path)
                self.send_response(200 if content is not None else hub.status)
                self.send_header("X-Repo-Commit", "0" * 40)
                if content is None:
                    self.send_header("X-Error-Code", hub.error)
                    content = b""
                self.send_header("ETag", '"' + str(abs(hash(content))) + '"')
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def publish(self, name: str, content: bytes) -> None:
        self.files[f"/timm/{PUBLISHED}/resolve/main/{name}"] = content


def use_hub(monkeypatch: pytest.MonkeyPatch, address: str, cache: Path) -> None:
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(cache / "assets"))
