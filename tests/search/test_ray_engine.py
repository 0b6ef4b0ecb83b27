"""Ray's workers on two nodes give the rows of one process, whatever is killed on the way.

Each test starts the workers anew, which takes a few seconds of importing; so one test looks at several things.
"""

from __future__ import annotations

import ast
import inspect
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from colour_embedder import COLOURS, ColourEmbedder, folder_of, picture
from PIL import Image
from team_embedder import Team
from tiny_dual_encoders import built

import multimodal as mm
from multimodal.errors import ArgumentError, DataError
from multimodal.search import ImageIndex, RayConfig, ray_engine, ray_worker
from multimodal.search.engines import chosen
from multimodal.search.known import State
from multimodal.search.ray_worker import ModelHow, Worker, answer, part_of
from multimodal.search.reading import Candidate
from multimodal.search.rows import schema
from multimodal.search.table import THUMBNAILS, Store, matrix_of

MEMORY = 80 << 20  # bytes of each node's object store


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each, which only this machine can reach."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # workers import the models in it
        import ray
        from ray.cluster_utils import Cluster

        patch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)  # else 127.0.0.1 becomes another address
        node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": MEMORY}
        soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 3}
        cluster = Cluster(
            initialize_head=True, head_node_args={**node, "include_dashboard": False, "_system_config": soon}
        )
        cluster.add_node(**node)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def ray(cluster):
    """The caller's own connection to the cluster."""
    import ray

    ray.init(address=cluster.address, log_to_driver=False)
    yield ray
    ray.shutdown()


def photos_of(root):
    """24 pictures, one of them twice, one with EXIF, one with a name that is no UTF-8; and three that are none."""
    folder_of(root, colours=COLOURS)
    shutil.copy(root / "red-0.png", root / "again.png")
    exif = Image.Exif()
    exif[0x0132], exif[0x0110] = "2024:05:01 12:00:00", "X100"
    picture("green", 7, size=(640, 400)).save(root / "camera.jpg", exif=exif)
    picture("blue", 8).save(os.path.join(os.fsencode(root), b"caf\xe9.png"))  # noqa: PTH118
    (root / "text.jpg").write_text("not a picture")
    (root / "empty.png").touch()
    (root / "cut.png").write_bytes((root / "red-1.png").read_bytes()[:200])
    return root


def rows_of(index, width=16):
    """All columns but the random id, by path, with the vector and the thumbnail."""
    store = Store(index.path)
    found = store.read(store.newest("images-1"), schema(width).names)
    cached = store.read(store.newest(THUMBNAILS), ["hash", "jpeg", "tiny"]).to_pylist()
    small = {row["hash"]: (row["jpeg"], row["tiny"]) for row in cached}
    rows = found.drop_columns(["id", "vector"]).to_pylist()
    paths = [row["path"] for row in rows]
    assert len(set(paths)) == len(paths)  # none was written twice
    whole = zip(rows, matrix_of(found), strict=True)
    return {row["path"]: (row, small[row["hash"]], vector) for row, vector in whole}


def assert_same(index, other):
    ours, theirs = rows_of(index), rows_of(other)
    assert ours.keys() == theirs.keys()
    for path, (row, small, vector) in ours.items():
        assert (row, small) == theirs[path][:2]
        np.testing.assert_allclose(vector, theirs[path][2], atol=1e-6)


def counts(report):
    return report.new, report.changed, report.moved, report.removed, report.unchanged, report.embedded


def sync(index, *folders, engine: Any = "local"):
    return index.sync(*folders, batch_size=4, progress=False, engine=engine)


@pytest.mark.slow
def test_a_sync_of_its_own_ray_that_is_broken_off_goes_on(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    photos, hosts, add = folder_of(tmp_path / "photos"), [], Store.add
    mm.save(built(), tmp_path / "model")
    index = ImageIndex(tmp_path / "index", tmp_path / "model", device="cpu")

    def add_one_batch(store, name, rows, vectors=None):
        hosts.append({node["NodeManagerAddress"] for node in ray.nodes()})
        if len(hosts) > 2:  # thumbnails, and pictures
            raise KeyboardInterrupt
        add(store, name, rows, vectors)

    monkeypatch.setattr(Store, "add", add_one_batch)
    with pytest.raises(KeyboardInterrupt):
        sync(index, photos, engine=RayConfig(workers=1))
    assert hosts[0] == {"127.0.0.1"} and not ray.is_initialized()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    monkeypatch.undo()
    assert counts(sync(index)) == (8, 0, 0, 0, 4, 8)
    for path, (_, _, vector) in rows_of(index, width=8).items():  # those of the worker that loaded the folder as well
        np.testing.assert_allclose(vector, index.model.embed_images([path])[0], atol=1e-5)


def test_two_nodes_give_the_rows_of_one_process_though_a_worker_is_killed(cluster, tmp_path, capfd):
    photos, team, model = photos_of(tmp_path / "photos"), Team(tmp_path / "team", victim=True), ColourEmbedder()
    index, local = ImageIndex(tmp_path / "ray", team), ImageIndex(tmp_path / "local", model)
    ours, theirs = sync(index, photos, engine=RayConfig(address=cluster.address)), sync(local, photos)
    assert_same(index, local)
    assert counts(ours) == counts(theirs) == (27, 0, 0, 0, 0, 26)
    assert sorted(ours.skipped) == sorted(theirs.skipped) and len(ours.skipped) == 3
    assert team.images == 0 and (team.folder / "killed").exists()  # the model object was sent to the workers

    import ray

    assert not ray.is_initialized()  # the connection was not the caller's
    again = sync(index, engine=RayConfig(address=cluster.address))
    assert counts(again) == (0, 0, 0, 0, 27, 0) and len(again.skipped) == 3 and not ray.is_initialized()
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err.count("\n") <= 2

    (photos / "red-2.png").rename(photos / "moved.png")
    picture("purple", 9).save(photos / "blue-1.png")
    shutil.copy(photos / "blue-2.png", photos / "copy.png")
    (photos / "green-0.png").unlink()
    (photos / "empty.png").write_bytes((photos / "cut.png").read_bytes())
    ray.init(address=cluster.address, log_to_driver=False)
    ours, theirs = sync(index, engine=RayConfig(workers=1)), sync(local)
    assert_same(index, local)
    assert counts(ours) == counts(theirs) == (1, 1, 1, 1, 24, 1)
    assert sorted(ours.skipped) == sorted(theirs.skipped) and len(ours.skipped) == 3
    assert ray.is_initialized()  # now it is
    ray.shutdown()


def test_a_worker_with_another_model_and_a_cluster_without_room_say_so(ray, tmp_path):
    photos, folder = folder_of(tmp_path / "photos", each=1), tmp_path / "model"
    mm.save(built(), folder)
    index = ImageIndex(tmp_path / "index", folder, device="cpu")
    sync(index, photos)
    shutil.rmtree(folder)
    mm.save(built(seed=1), folder)  # as where a worker's disk is not that of the driver
    info = index._session.made().model
    how = ModelHow(info=info, source=str(folder), packed=None, device="cpu", dtype="auto", index="photos.index")
    worker = Worker(how, ray.put(np.array([], dtype="S32")), 1)
    answer = worker(pa.Table.from_pylist([{"start": 0, "paths": [os.fsencode(photos / "red-0.png")]}]))
    with pytest.raises(DataError, match=r"A worker of Ray cannot use the model: photos\.index .* other weights"):
        part_of(answer, [], set(), set())

    picture("purple").save(photos / "purple.png")
    with pytest.raises(ArgumentError, match=r"have 99 CPUs and 2 GPUs, and no machine"):
        sync(index, engine=RayConfig(cpus=99, gpus=2))
    with pytest.raises(ArgumentError, match="is connected to Ray at"):
        sync(index, engine=RayConfig(address="127.0.0.1:1"))


@pytest.mark.slow
def test_a_node_that_is_lost_loses_no_row(cluster, tmp_path, monkeypatch):
    """The last one with a cluster, which is not what it was afterwards."""
    photos, team = photos_of(tmp_path / "photos"), Team(tmp_path / "team")
    index = ImageIndex(tmp_path / "ray", team)
    add, lost = Store.add, list(cluster.worker_nodes)

    def add_and_lose(store, name, rows, vectors=None):
        add(store, name, rows, vectors)
        if len(team.workers()) == 2 and lost:
            cluster.remove_node(lost.pop(), allow_graceful=False)

    monkeypatch.setattr(Store, "add", add_and_lose)
    report = sync(index, photos, engine=RayConfig(address=cluster.address))
    monkeypatch.undo()
    assert not lost and counts(report) == (27, 0, 0, 0, 0, 26)
    local = ImageIndex(tmp_path / "local", ColourEmbedder())
    sync(local, photos)
    assert_same(index, local)


def answered(*rows):
    """What a worker answers: (place, hash or None, why not), and vectors that are the place."""
    named = [{"place": place, "hash": content, "reason": reason} for place, content, reason in rows]
    return answer(named, np.array([[row[0]] * 2 for row in rows], dtype=np.float32))


def test_what_comes_twice_is_taken_once():
    candidates = [Candidate(f"/{i}.png", State(1, 1)) for i in range(6)]
    done, known = set(), {"old"}
    first = part_of(answered((2, "a", None), (3, "old", None), (1, None, "broken")), candidates, done, known)
    assert [it.path for it in first.read] == ["/2.png"] and first.vectors.tolist() == [[2, 2]]
    assert [(it.path, it.known, why) for it, why in first.failed] == [("/3.png", True, ""), ("/1.png", False, "broken")]

    second = part_of(
        answered((2, "a", None), (1, None, "broken"), (4, "a", None), (5, "b", None)), candidates, done, known
    )
    assert [it.path for it in second.read] == ["/5.png"] and second.vectors.tolist() == [[5, 5]]
    assert [(it.path, it.known) for it, _ in second.failed] == [("/4.png", True)]  # another file with the same bytes
    assert known == {"old", "a", "b"} and done == {1, 2, 3, 4, 5}

    both = part_of(answered((0, "a", None), (1, "a", None)), candidates, set(), None)  # all are to be embedded
    assert len(both.read) == 2 and not both.failed


def test_without_ray_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    photos, index = folder_of(tmp_path / "photos"), ImageIndex(tmp_path / "index", ColourEmbedder())
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ArgumentError, match=r"pip install 'multimodal\[ray\]'"):
        sync(index, photos, engine="ray")
    assert sync(index, photos).new == 12


def test_ray_is_imported_when_it_is_asked_for():
    for module in (ray_engine, ray_worker):
        body = ast.parse(inspect.getsource(module)).body
        names = [alias.name for node in body if isinstance(node, ast.Import) for alias in node.names]
        names += [str(node.module) for node in body if isinstance(node, ast.ImportFrom)]
        assert "numpy" in names and not any(name.split(".")[0] == "ray" for name in names)


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="engine is 'rays'; it must be 'local', 'ray'"):
        chosen("rays", ImageIndex(tmp_path / "index", ColourEmbedder())._session)
    wrong: Any
    for wrong in ({"workers": 0}, {"cpus": 0}, {"gpus": -0.5}, {"gpus": 1.5}):
        with pytest.raises(ArgumentError, match=f"{next(iter(wrong))} is"):
            RayConfig(**wrong)


def test_a_cluster_that_is_not_there_is_named_at_once(tmp_path):
    pytest.importorskip("ray")
    photos, index = folder_of(tmp_path / "photos"), ImageIndex(tmp_path / "index", ColourEmbedder())
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(DataError, match=f"No connection to Ray at {address}: .*refused"):
            sync(index, photos, engine=RayConfig(address=address))
