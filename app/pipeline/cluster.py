"""A crew of actors on a Ray cluster, each with the models loaded; sources and outputs lie on disks that all can reach.

Ray is the optional extra ``unmask[cluster]`` (Moritz et al., OSDI 2018).
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from app.core.errors import UnmaskError
from app.pipeline.batch import ScanOptions
from app.pipeline.crew import Crew, Lost, Station
from app.pipeline.jobs import Job, Loading, Outcome

PATIENCE_S = 10.0
"""How long a cluster may take to answer."""


def on_a_cluster(count: int, loading: Loading, options: ScanOptions, address: str | None) -> Crew:
    """A crew of ``count`` actors.

    Args:
        address: of the cluster, as for ``ray.init``; None starts one on this machine, which ends with the crew.

    Raises:
        UnmaskError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Nothing leaves the machine unasked.
    # Ray would print its own words on a lost worker to standard output, where results go.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise UnmaskError("--engine ray: Ray is not installed; install unmask[cluster]") from None
    how = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init("local", include_dashboard=False, **how)
        else:
            _knock(address)
            ray.init(address, **how)
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnmaskError(f"--address {address}: no Ray cluster can be reached there ({reason}); check it") from None
    found = ray.cluster_resources()
    share: dict[str, float] = {"num_cpus": max(1, int(found.get("CPU", 1) // count))}
    if loading.device != "cpu" and found.get("GPU"):
        share["num_gpus"] = found["GPU"] / count
    workers = [_Actor(ray, share, loading, options) for _ in range(count)]
    return Crew(workers, "+".join(loading.models), on_close=ray.shutdown)


def _knock(address: str) -> None:
    """Make sure that somebody is there: Ray itself would try for minutes.

    Raises:
        OSError: nobody answers.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():  # Else it is a word, such as "auto".
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE_S).close()


class Seat:
    """The actor: where the work is done."""

    def __init__(self, loading: Loading, options: ScanOptions, folder: str) -> None:
        os.chdir(folder)  # Relative names mean the same as where they were given.
        self._station = Station(loading, options)
        self._stop = threading.Event()
        self._frames = [0, 0]
        # Models are used on the thread that loaded them; Ray calls from any of its own.
        self._thread = ThreadPoolExecutor(1)

    def do(self, job: Job) -> Outcome:
        self._frames[:] = (0, 0)
        return self._thread.submit(self._station.do, job, self._stop, self._frames).result()

    def progress(self) -> tuple[int, int]:
        return self._frames[0], self._frames[1]

    def stop(self) -> None:
        self._stop.set()


class _Actor:
    """The worker: this end of the line to an actor."""

    def __init__(self, ray: Any, share: dict[str, float], loading: Loading, options: ScanOptions) -> None:
        self._ray, self._share, self._setting = ray, share, (loading, options, os.getcwd())
        self.renew()

    def renew(self) -> None:
        # Two calls at a time beside the job: how far it is, and to stop.
        seat = self._ray.remote(Seat).options(max_concurrency=3, **self._share)
        self._seat = seat.remote(*self._setting)
        self._told, self._asked = (0, 0), None

    def begin(self, job: Job) -> Future[Outcome]:
        self._told = (0, 0)
        future: Future[Outcome] = Future()
        self._seat.do.remote(job).future().add_done_callback(partial(self._hand_over, future))
        return future

    def _hand_over(self, future: Future[Outcome], done: Future[Outcome]) -> None:
        error = done.exception()
        if error is None:
            future.set_result(done.result())
        elif isinstance(error, self._ray.exceptions.RayActorError):
            future.set_exception(Lost(str(error)))
        else:
            future.set_exception(error)

    def progress(self) -> tuple[int, int]:
        """As the actor said it when it was last asked; never waits for an answer."""
        try:
            if self._asked is not None and self._ray.wait([self._asked], timeout=0)[0]:
                self._told, self._asked = self._ray.get(self._asked), None
            if self._asked is None:
                self._asked = self._seat.progress.remote()
        except self._ray.exceptions.RayError:
            self._asked = None
        return self._told

    def stop(self) -> None:
        self._seat.stop.remote()

    def close(self) -> None:
        self._ray.kill(self._seat)
