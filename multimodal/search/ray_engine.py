"""Pictures of a sync read and embedded by Ray: on all cores, or on all machines of a cluster that share the storage.

    index.sync("photos", engine="ray")                                           # the cores of this machine
    index.sync("/mnt/photos", engine=RayConfig(address="auto", gpus=1, cpus=8))  # a cluster that is running

Ray Data hands each batch to a worker (`ray_worker.py`); this process alone commits what comes back, a batch at a time.
A batch whose worker or machine was lost is done again by another, and of what comes twice the first is taken. Ray is
imported when it is asked for.
"""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from multimodal.errors import ArgumentError, DataError
from multimodal.search.ray_worker import HASH, ModelHow, Worker, packed, part_of
from multimodal.search.reading import Candidate, Part
from multimodal.search.session import Session

RESTARTS = 8  # of one worker: a picture that kills each worker that decodes it ends the sync
_PATIENCE = 10.0  # seconds for a cluster to answer


@dataclass(frozen=True, kw_only=True)
class RayConfig:
    """Where Ray runs, and what each of its workers, which hold a model each, may use."""

    address: str | None = None  # "auto" or "host:port" of a running cluster; None: $RAY_ADDRESS, or this machine alone
    workers: int | None = None  # None: as many as the machines have room for
    cpus: int = 1  # of each worker: for decoding, and for the model where there is no GPU
    gpus: int | float = 0  # of each worker; 0.5: two share one

    def __post_init__(self) -> None:
        for name, value in (("workers", self.workers), ("cpus", self.cpus)):
            if value is not None and value < 1:
                raise ArgumentError(f"{name} is {value}; it must be at least 1.")
        if self.gpus < 0 or (self.gpus > 1 and self.gpus % 1):
            raise ArgumentError(f"gpus is {self.gpus}; it must be a part of 1, or a whole number.")


class RayEngine:
    """An engine, and while it is entered a connection to Ray, which the first candidates make."""

    def __init__(self, session: Session, config: RayConfig) -> None:
        self._session, self._config = session, config
        self._ray: Any = None
        self._started = False  # the connection is ours to end
        self._alone = False  # and so is the cluster, which is this machine

    def __enter__(self) -> RayEngine:
        """Import Ray.

        Raises:
            ArgumentError: it is not installed.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it reports to its makers
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise ArgumentError(
                f"engine is 'ray', which cannot be imported ({error}); install it: pip install 'multimodal[ray]'"
            ) from error
        self._ray = ray
        return self

    def __exit__(self, *details: object) -> None:
        if self._started:
            with _quiet(self._ray):  # notices that were held back come out now
                self._ray.shutdown()

    def __call__(
        self, candidates: list[Candidate], known: set[str] | None, batch_size: int
    ) -> Generator[Part, None, None]:
        """Parts in the order in which workers finish them.

        Raises:
            ArgumentError: no machine has what a worker is to have, or Ray is connected elsewhere.
            DataError: no cluster there, a worker has no such model, or workers were lost again and again.
        """
        with _quiet(self._ray):
            self._connect()
            done: set[int] = set()
            for table in self._tables(candidates, known or set(), batch_size):
                yield part_of(table, candidates, done, known)
        if len(done) < len(candidates):
            raise DataError(f"Ray lost {len(candidates) - len(done):,} pictures on the way: sync again to add them.")

    def _connect(self) -> None:
        """Join the caller's Ray, a running cluster, or one that is started on this machine for itself."""
        ray, address = self._ray, self._config.address
        if ray.is_initialized():
            joined = ray.get_runtime_context().gcs_address
            if address not in (None, "auto", joined):
                raise ArgumentError(f"address is {address!r}, and this process is connected to Ray at {joined!r}.")
            return
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else lost workers fill the terminal
        address = address or os.environ.get("RAY_ADDRESS")
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        self._alone = address is None
        try:
            if address is None:
                with _loopback(ray):
                    ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
            else:
                _knock(address)
                ray.init(address, **quiet)
        except (RuntimeError, ValueError, OSError) as error:
            raise DataError(f"No connection to Ray at {address or 'this machine'}: {error}") from error
        self._started = True

    def _tables(self, candidates: list[Candidate], known: set[str], batch_size: int) -> Iterator[pa.Table]:
        """What the workers answer, a table for each batch."""
        ray, config = self._ray, self._config
        batches = -(-len(candidates) // batch_size)
        compute = ray.data.ActorPoolStrategy(
            size=min(self._workers(), batches),
            # Two batches at once in each worker: one is read while the model has the other.
            max_concurrent_calls_per_actor=2,
            enable_true_multi_threading=True,
        )
        hashes = ray.put(np.array(sorted(known), dtype=f"S{HASH}"))  # one copy on each machine
        paths = [os.fsencode(it.path) for it in candidates]
        starts = range(0, len(paths), batch_size)
        with warnings.catch_warnings():  # `max_restarts` is among what Ray 2.64 is to drop, without anything for it yet
            warnings.simplefilter("ignore", DeprecationWarning)
            answers = ray.data.from_items(
                [{"start": start, "paths": paths[start : start + batch_size]} for start in starts],
                override_num_blocks=batches,  # so that a batch comes back as soon as it is done
            ).map_batches(
                Worker,
                batch_size=1,
                batch_format="pyarrow",
                fn_constructor_args=(self._how(), hashes, config.cpus),
                compute=compute,
                num_cpus=config.cpus,
                num_gpus=config.gpus,
                max_restarts=RESTARTS,
            )
        try:
            yield from answers.iter_batches(batch_size=None, batch_format="pyarrow")
        except ray.exceptions.RayTaskError:  # a fault of ours: what is for people comes as an answer
            raise
        except ray.exceptions.RayError as error:
            raise DataError(
                f"Ray's workers were lost again and again ({type(error).__name__}). What they did before is in the "
                "index; sync again to go on."
            ) from error

    def _how(self) -> ModelHow:
        """How a worker gets the model: from where this process has it, or from the object store."""
        ray, session = self._ray, self._session
        source = session.model_source()
        return ModelHow(
            info=session.made().model,
            source=source,
            packed=None if source else ray.put(packed(session.model(), ray.cloudpickle)),
            device="cuda" if self._config.gpus else "cpu",
            dtype=session.placing["dtype"],
            index=str(session.path),
        )

    def _workers(self) -> int:
        """How many there are to be.

        Raises:
            ArgumentError: no machine has room for one.
        """
        config, room = self._config, 0
        for has in (node["Resources"] for node in self._ray.nodes() if node["Alive"]):
            cpus = has.get("CPU", 0) // config.cpus
            room += int(min(cpus, has.get("GPU", 0) // config.gpus) if config.gpus else cpus)
        if room == 0 and (config.workers is None or self._alone):  # with a number, a cluster may grow
            gpus = f" and {config.gpus:g} GPUs" if config.gpus else ""
            raise ArgumentError(
                f"Each worker is to have {config.cpus} CPUs{gpus}, and no machine of the Ray cluster has as many: ask "
                "for less with RayConfig(cpus=..., gpus=...)."
            )
        return config.workers or room


def _knock(address: str) -> None:
    """Raise OSError if nobody is at "host:port": Ray would go on trying for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()


@contextmanager
def _loopback(ray: Any) -> Iterator[None]:
    """A Ray that is started within takes no connections of other machines.

    `ray.init` replaces 127.0.0.1 by the address that others know, and listens everywhere, unless Ray is told as on
    macOS and Windows that there are no others.
    """
    constants = ray._private.ray_constants
    before, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    try:
        with warnings.catch_warnings():  # of LanceDB, about a fork that becomes another program at once
            warnings.filterwarnings("ignore", message="lancedb fork support")
            yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """No bars, logs and notices of Ray on the terminal; its log files have them."""
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    handlers = [it for it in logging.getLogger("ray.data").handlers if isinstance(it, logging.StreamHandler)]
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL)
    notices = ray._private.worker
    shown, notices._worker_logs_enabled = notices._worker_logs_enabled, False  # about lost workers, on stdout
    try:
        with ray.data.DataContext.current(context):
            yield
    finally:
        notices._worker_logs_enabled = shown
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)
