"""Workers that share the sources of a run: each has the models loaded, and one that is lost costs no source."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any, Protocol

from app.core.channels import Stop
from app.core.errors import UnmaskError
from app.pipeline.batch import Models, ScanOptions
from app.pipeline.jobs import Job, Loading, Outcome, do, failed

TRIES = 2
"""A source that two workers were lost on is given up: it is the source, not the worker."""
POLL_S = 0.2


class Lost(Exception):
    """The worker is gone, and what it was doing is not finished."""


class Worker(Protocol):
    """Scans one source at a time."""

    def begin(self, job: Job) -> Future[Outcome]:
        """Start a job; the result may be :class:`Lost` or a :class:`BrokenExecutor`."""
        ...

    def progress(self) -> tuple[int, int]:
        """Frames done of the present job, and frames in all; 0 where that is not known."""
        ...

    def renew(self) -> None:
        """Be a new worker in the place of one that was lost."""
        ...

    def stop(self) -> None:
        """End the present job soon; what was done of it is kept."""
        ...

    def close(self) -> None: ...


class Crew:
    """Spreads jobs over workers.

    Args:
        workers: at least one.
        model: the name that goes into the summary of a source that could not be scanned.
        on_close: called when all workers are closed.
    """

    def __init__(self, workers: Sequence[Worker], model: str, on_close: Callable[[], None] = lambda: None) -> None:
        self._workers = workers
        self._model = model
        self._on_close = on_close
        self._running: dict[Future[Outcome], tuple[Worker, Job]] = {}

    def doing(self) -> list[tuple[Job, int, int]]:
        """The jobs at work: frames done, and frames in all, 0 where that is not known."""
        return [(job, *worker.progress()) for worker, job in self._running.values()]

    def run(self, jobs: Sequence[Job], stop: Stop) -> Iterator[tuple[Job, Outcome] | None]:
        """Every job with its outcome as it gets done, and None now and then while nothing does.

        A job that a worker was lost on goes on with another one from its last checkpoint.
        """
        waiting, idle, tries = deque(jobs), list(self._workers), Counter[int]()
        stopping = False
        while self._running or (waiting and not stop.is_set()):
            while idle and waiting and not stop.is_set():
                job, worker = waiting.popleft(), idle.pop()
                self._running[worker.begin(job)] = (worker, job)
            if stop.is_set() and not stopping:
                stopping = True
                for worker in self._workers:
                    worker.stop()
            done, _ = wait(self._running, POLL_S, FIRST_COMPLETED)
            for future in done:
                worker, job = self._running.pop(future)
                try:
                    yield job, future.result()
                except (Lost, BrokenExecutor):
                    tries[job.number] += 1
                    if not stop.is_set():
                        worker.renew()
                    if stop.is_set() or tries[job.number] < TRIES:
                        waiting.appendleft(replace(job, resume=True))
                    else:
                        why = f"{job.address}: ended the process that scanned it, {TRIES} times; try another copy of it"
                        yield job, failed(job, self._model, why)
                idle.append(worker)
            if not done:
                yield None

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self._on_close()


def on_this_machine(count: int, loading: Loading, options: ScanOptions) -> Crew:
    """A crew of ``count`` processes, which share the processor's cores evenly."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    shares = [cores[k::count] for k in range(count)] if count <= len(cores) else [[]] * count
    return Crew([_Process(loading, options, share) for share in shares], "+".join(loading.models))


class _Process:
    """A worker in a process of its own."""

    def __init__(self, loading: Loading, options: ScanOptions, cores: list[int]) -> None:
        self._loading, self._options, self._cores = loading, options, cores
        self.renew()

    def renew(self) -> None:
        context = multiprocessing.get_context("spawn")
        # No locks: a process that is killed while it holds one would hold up the others.
        self._frames = context.RawArray("q", 2)
        self._stop = context.Event()
        setting = (self._loading, self._options, self._cores, self._frames, self._stop)
        self._pool = ProcessPoolExecutor(1, context, _set_up, setting)

    def begin(self, job: Job) -> Future[Outcome]:
        self._frames[:] = (0, 0)
        try:
            return self._pool.submit(_work, job)
        except BrokenProcessPool as error:  # It was lost while it had nothing to do.
            future: Future[Outcome] = Future()
            future.set_exception(error)
            return future

    def progress(self) -> tuple[int, int]:
        return self._frames[0], self._frames[1]

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class Station:
    """What a worker process keeps between jobs; loads the models for the first."""

    def __init__(self, loading: Loading, options: ScanOptions) -> None:
        self._loading, self._options = loading, options
        self._models: Models | None = None

    def do(self, job: Job, stop: Stop, frames: Any) -> Outcome:
        """Do a job; ``frames`` is where it tells frames done and frames in all."""

        def on_progress(done: int, total: int | None) -> None:
            frames[:] = (done, total or 0)

        try:
            if self._models is None:
                self._models = self._loading.load()
        except UnmaskError as error:
            return failed(job, "+".join(self._loading.models), str(error))
        return do(job, self._models, self._options, stop, on_progress)


_here: tuple[Station, Any, Stop] | None = None


def _set_up(loading: Loading, options: ScanOptions, cores: list[int], frames: Any, stop: Any) -> None:
    """In the new process: it ends when it is told to, or with the one that made it."""
    global _here
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    if cores:
        os.sched_setaffinity(0, cores)
    _here = Station(loading, options), frames, stop


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job) -> Outcome:
    assert _here is not None
    station, frames, stop = _here
    return station.do(job, stop, frames)
