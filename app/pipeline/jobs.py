"""One source's scan as plain data, so that this process, another one or another machine can do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from app.core.channels import Stop
from app.core.errors import UnmaskError
from app.pipeline.batch import Models, ScanOptions, fingerprint_of, scan
from app.pipeline.guards import told
from app.pipeline.records import failure
from app.pipeline.run import finished_before, write_outputs
from app.vision.sources import open_source, without_password


@dataclass(frozen=True, slots=True)
class Job:
    """A source to be scanned.

    Attributes:
        number: its place in the run, from 0.
        address: file or URL.
        place: folder of its outputs.
        problem: why it cannot be scanned, if that is known already.
        resume: go on from what ``place`` may hold.
    """

    number: int
    address: str
    place: Path
    problem: str | None = None
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The source's object in ``summary.json``, and sentences for people about what went wrong."""

    entry: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loading:
    """What has to be loaded before anything can be scanned.

    Attributes:
        models: names of the models that judge.
        device: "auto", "cpu" or "gpu".
        conf, min_face: see :class:`ScanOptions`.
    """

    models: tuple[str, ...]
    device: str
    conf: float
    min_face: float

    def load(self) -> Models:
        """Load it; this takes a second or two.

        Raises:
            UnmaskError: a model is missing or was altered, or there is no such device.
        """
        from app.models.artifact import load_ensemble, read_consensus
        from app.vision.detector import MediaPipeDetector

        ensemble = load_ensemble(read_consensus(self.models), self.device)
        return Models(MediaPipeDetector(self.conf, self.min_face), ensemble)


def do(
    job: Job,
    models: Models,
    options: ScanOptions,
    stop: Stop,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Outcome:
    """Scan one source, or find it complete already; whatever goes wrong with it is told, not raised."""
    device = models.ensemble.device
    notes: list[str] = []
    try:
        if job.problem is not None:
            raise UnmaskError(job.problem)
        with told(without_password(job.address), job.place):
            entry = _done_before(job, models, options)
            if entry is None:
                report = scan(
                    job.address, job.place, models, options, resume=job.resume, stop=stop, on_progress=on_progress
                )
                write_outputs(job.place, report)
                entry = report.summary()
        if entry["error"]:
            notes.append(str(entry["error"]))
    except UnmaskError as error:
        notes.append(str(error))
        entry = failed(job, models.consensus.name, str(error)).entry
    if models.ensemble.device != device:
        notes.append(f"{device} had too little memory; went on with {models.ensemble.device}")
    return Outcome(entry, tuple(notes))


def failed(job: Job, model: str, why: str) -> Outcome:
    """What becomes of a source that could not be scanned."""
    return Outcome(failure(without_password(job.address), model, why), (why,))


def _done_before(job: Job, models: Models, options: ScanOptions) -> dict[str, Any] | None:
    if not job.resume:
        return None
    source = open_source(job.address)
    source.close()
    return finished_before(job.place, partial(fingerprint_of, source, models.consensus, options))
