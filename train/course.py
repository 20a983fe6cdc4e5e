"""How a training went, from what it left in its folder: its stages, and what it cost."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from app.core.errors import UnmaskError
from train.config import FitConfig
from train.datasets import counts, read_prepared
from train.fit import chosen_samples
from train.prepare import TABLE
from train.runs import origin

LOG = "log.csv"


@dataclass(frozen=True, slots=True)
class Course:
    """The course of one training. AUCs are on the validation split.

    Attributes:
        head_auc: after the new top had learned alone; None without that stage, or where it was not logged.
        first_auc: after the first epoch of fine-tuning; ``best_auc``: of the epoch whose weights were kept.
        best_epoch: from 1; ``epochs``: done.
        seconds: spent training, validation included; of both stages where the first was logged.
        pictures: shown to the model, of both stages; None where the folder does not tell.
    """

    head_auc: float | None
    first_auc: float
    best_auc: float
    best_epoch: int
    epochs: int
    seconds: float
    pictures: int | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read_course(run: Path) -> Course | None:
    """The course of the run in the folder ``run``; None where it has no log, or no epoch is done.

    Raises:
        UnmaskError: the log cannot be read.
    """
    path = run / LOG
    if not path.is_file():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = {int(row["epoch"]): (float(row["valid_auc"]), float(row["seconds"])) for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise UnmaskError(f"{path}: is no log of train fit ({error!r}); restore it, or remove it") from None
    head = rows.pop(0, None)
    if not rows:
        return None
    best = max(rows, key=lambda epoch: (rows[epoch][0], -epoch))
    return Course(
        head_auc=None if head is None else head[0],
        first_auc=rows[min(rows)][0],
        best_auc=rows[best][0],
        best_epoch=best,
        epochs=len(rows),
        seconds=rows[max(rows)][1] + (0.0 if head is None else head[1]),
        pictures=_pictures(run, len(rows)),
    )


def whole_course(run: Path) -> Course | None:
    """The course of ``run`` with the epochs, seconds and pictures of all runs that its weights came from, each once.

    The AUCs and the best epoch are those of ``run``, or where it is a mean of weights, of the first run averaged.
    None where one of them has no log: part of the cost would pass for the whole.

    Raises:
        UnmaskError: a log or an ``origin.json`` cannot be read.
    """
    folders, courses = [run.resolve()], []
    for folder in folders:  # which grow on the way
        parents = origin(folder)
        folders += [parent for parent in parents if parent not in folders]
        course = read_course(folder)
        if course is not None:
            courses.append(course)
        elif not parents:  # with parents it is a mean of weights, which costs no training
            return None
    pictures = [course.pictures for course in courses]
    return replace(
        courses[0],
        epochs=sum(course.epochs for course in courses),
        seconds=sum(course.seconds for course in courses),
        pictures=None if None in pictures else sum(p for p in pictures if p is not None),
    )


def _pictures(run: Path, epochs: int) -> int | None:
    """How many pictures the model saw, repetitions included."""
    try:
        config = FitConfig.read(run / "config.json")
        shown = counts(chosen_samples(read_prepared(run / TABLE, run), config))["train"]
    except (OSError, ValueError, TypeError, UnmaskError):
        return None
    steps = sum(shown.values()) // 2 * 2 // config.batch
    return (epochs * steps + config.head_steps) * config.batch
