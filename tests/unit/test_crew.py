"""A crew's bookkeeping, with made-up workers: every job once, lost ones again, stopping keeps what was done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path

import pytest

from app.pipeline.crew import TRIES, Crew, Lost
from app.pipeline.jobs import Job, Outcome


class Made:
    """A worker that does at once what ``act`` says: an outcome, an exception, or None for never."""

    def __init__(self, act: Callable[[Job], Outcome | BaseException | None]) -> None:
        self._act = act
        self.begun: list[Job] = []
        self.renewed = self.stopped = self.closed = 0
        self.unfinished: Future[Outcome] | None = None

    def begin(self, job: Job) -> Future[Outcome]:
        self.begun.append(job)
        future: Future[Outcome] = Future()
        found = self._act(job)
        if isinstance(found, Outcome):
            future.set_result(found)
        elif found is not None:
            future.set_exception(found)
        else:
            self.unfinished = future
        return future

    def progress(self) -> tuple[int, int]:
        return 3, 10

    def renew(self) -> None:
        self.renewed += 1

    def stop(self) -> None:
        self.stopped += 1
        if self.unfinished is not None:
            self.unfinished.set_result(Outcome({"partial": True}))

    def close(self) -> None:
        self.closed += 1


def jobs(count: int) -> list[Job]:
    return [Job(n, f"{n}.mp4", Path(str(n))) for n in range(count)]


def done(job: Job) -> Outcome:
    return Outcome({"source": job.address})


def outcomes(crew: Crew, count: int, stop: threading.Event | None = None) -> dict[int, Outcome]:
    found = [f for f in crew.run(jobs(count), stop or threading.Event()) if f is not None]
    assert len({job.number for job, _ in found}) == len(found)
    return {job.number: outcome for job, outcome in found}


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_job_is_done_once(workers: int) -> None:
    made = [Made(done) for _ in range(workers)]
    found = outcomes(Crew(made, "m"), 7)
    assert {n: outcome.entry["source"] for n, outcome in found.items()} == {n: f"{n}.mp4" for n in range(7)}
    assert sum(len(worker.begun) for worker in made) == 7


@pytest.mark.parametrize("lost", [Lost("gone"), BrokenExecutor("gone")])
def test_a_lost_job_is_gone_on_with(lost: Exception) -> None:
    losses = iter([lost])
    worker = Made(lambda job: next(losses, None) or done(job) if job.number == 1 else done(job))
    assert sorted(outcomes(Crew([worker], "m"), 3)) == [0, 1, 2]
    again = [job for job in worker.begun if job.number == 1]
    assert [job.resume for job in again] == [False, True] and worker.renewed == 1


def test_what_every_worker_is_lost_on_is_given_up() -> None:
    worker = Made(lambda job: Lost("gone") if job.number == 0 else done(job))
    found = outcomes(Crew([worker], "m"), 2)
    assert found[1].entry == {"source": "1.mp4"}
    assert "0.mp4: ended the process" in found[0].entry["error"] and found[0].entry["model"] == "m"
    assert worker.renewed == TRIES, "whoever comes after it is not lost too"


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        outcomes(Crew([Made(lambda job: ZeroDivisionError())], "m"), 1)


def test_stopping_keeps_what_was_done_and_begins_nothing_more() -> None:
    stop = threading.Event()
    worker = Made(lambda job: None)
    crew = Crew([worker], "m")
    run = crew.run(jobs(3), stop)
    assert next(run) is None
    assert crew.doing() == [(jobs(3)[0], 3, 10)]
    stop.set()
    assert [(job.number, outcome.entry) for job, outcome in filter(None, run)] == [(0, {"partial": True})]
    assert worker.stopped == 1 and len(worker.begun) == 1


def test_what_is_lost_while_stopping_waits_for_resume() -> None:
    stop = threading.Event()
    worker = Made(lambda job: None)
    run = Crew([worker], "m").run(jobs(2), stop)
    assert next(run) is None and worker.unfinished is not None
    stop.set()
    worker.unfinished.set_exception(Lost("gone"))
    worker.unfinished = None
    assert list(run) == [] and worker.renewed == 0 and len(worker.begun) == 1


def test_closing_closes_all() -> None:
    made, ended = [Made(done), Made(done)], []
    Crew(made, "m", on_close=lambda: ended.append(True)).close()
    assert [worker.closed for worker in made] == [1, 1] and ended == [True]
