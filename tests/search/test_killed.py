"""Killed at any moment, a sync or a migration loses one batch at most, and embeds nothing twice but that."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter

from colour_embedder import COLOURS, ColourEmbedder, folder_of
from forked import context
from test_sync import assert_same

from multimodal.search import ImageIndex

BATCH = 4


def work(index, photos, log, what):
    if what == "sync":
        ImageIndex(index, ColourEmbedder(log=log, delay=0.02)).sync(photos, batch_size=BATCH, progress=False)
    else:
        model = ColourEmbedder(seed=1, width=24, log=log, delay=0.02)
        ImageIndex(index).migrate(model, batch_size=BATCH, progress=False)


def kill_at_random(seconds, index, photos, log, what):
    """Kill it that long after it began to embed; whether it was still running."""
    before = log.stat().st_size if log.exists() else 0
    process = context().Process(target=work, args=(index, photos, log, what))
    process.start()
    while process.is_alive() and (log.stat().st_size if log.exists() else 0) == before:
        time.sleep(0.005)
    time.sleep(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def test_ten_kills_lose_nothing_and_embed_nothing_twice(tmp_path):
    times, each = 10, 12
    photos, log = folder_of(tmp_path / "photos", tuple(COLOURS), each=each), tmp_path / "log"
    moments = random.Random(times)
    arguments = (tmp_path / "index", photos, log, "sync")
    stopped = sum(kill_at_random(moments.uniform(0, 0.1), *arguments) for _ in range(times))
    assert stopped >= times / 2
    index = ImageIndex(tmp_path / "index", ColourEmbedder())
    done = len(index)
    report = index.sync(photos, batch_size=BATCH, progress=False)
    assert report.new == len(COLOURS) * each - done and report.unchanged == done

    fresh = ImageIndex(tmp_path / "fresh", ColourEmbedder())
    fresh.sync(photos, progress=False)
    assert_same(index, fresh)
    assert all(map(index.thumbnail, index.rows(limit=None)))
    passed = Counter(log.read_text().split())  # the pictures that went through the model in the killed processes
    assert len(passed) >= done
    assert sum(passed.values()) + report.embedded <= len(COLOURS) * each + BATCH * stopped


def test_a_killed_migration_goes_on_while_the_old_index_answers(tmp_path):
    photos, log = folder_of(tmp_path / "photos", tuple(COLOURS), each=6), tmp_path / "log"
    index = ImageIndex(tmp_path / "index", ColourEmbedder())
    index.sync(photos, progress=False)
    before = [hit.path for hit in index.search("red")]
    arguments = (tmp_path / "index", photos, log, "migrate")
    stopped = sum(kill_at_random(moment, *arguments) for moment in (0.05, 0.1))
    assert stopped
    assert [hit.path for hit in index.search("red")] == before
    (photos / "red-0.png").rename(photos / "moved.png")  # what is synced meanwhile is not lost
    folder_of(photos / "more", ["red"], each=1)
    index.sync(progress=False)

    model = ColourEmbedder(seed=1, width=24)
    report = ImageIndex(tmp_path / "index").migrate(model, batch_size=BATCH, progress=False)
    assert report.images == 49 and report.skipped == ()
    assert 0 < model.images < 48
    assert len(log.read_text().split()) + model.images <= 48 + BATCH * stopped
    with ImageIndex(tmp_path / "index", model) as migrated:
        fresh = ImageIndex(tmp_path / "fresh", model)
        fresh.sync(photos, progress=False)
        assert_same(migrated, fresh)
        assert photos / "moved.png" in [hit.path for hit in migrated.search("red")]
        assert migrated.sync(progress=False).unchanged == 49
