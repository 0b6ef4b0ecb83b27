"""A model for workers of Ray that waits for company, and is killed on request; workers import this file."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from colour_embedder import ColourEmbedder


class Team(ColourEmbedder):
    """Starts to work when there are two of it; `victim`: one is killed while it has a batch."""

    def __init__(self, folder: Path, victim: bool = False):
        super().__init__()
        folder.mkdir()
        self.folder, self.victim = folder, victim

    def embed_pixels(self, pixels):
        (self.folder / f"worker-{os.getpid()}").touch()
        deadline = time.monotonic() + 60
        while len(self.workers()) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.victim:
            try:
                (self.folder / "killed").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().embed_pixels(pixels)

    def workers(self):
        return list(self.folder.glob("worker-*"))
