"""The table of all models as it is kept: ``zoo.json``, ``zoo.md`` and ``zoo.png`` in one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from app.core.errors import UnmaskError
from app.core.files import write_whole
from train.config import FitConfig
from train.figures import write_png
from train.zoo_figure import draw
from train.zoo_table import Line, as_markdown, left_out_auc

SCHEMA = 2
TABLE = "zoo.json"


@dataclass(frozen=True, slots=True)
class Step:
    """A command that made the table or added to it, and the day on which it did, as in ``2026-11-22``."""

    day: str
    command: str


@dataclass(frozen=True, slots=True)
class Document:
    """The table, and how it came about.

    Attributes:
        machine: that the speed was measured on, in words; ``rounds``: of that measurement.
        steps: the first made the table, the others filled in what it lacked.
    """

    machine: str
    rounds: int
    steps: tuple[Step, ...]
    lines: tuple[Line, ...]

    def write(self, folder: Path) -> None:
        """Raises: UnmaskError, if a file cannot be written."""
        folder.mkdir(parents=True, exist_ok=True)
        values = {
            "schema": SCHEMA,
            "machine": self.machine,
            "rounds": self.rounds,
            "steps": [asdict(step) for step in self.steps],
            "models": [line.as_json() for line in self.lines],
        }
        write_whole(folder / TABLE, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
        write_whole(folder / "zoo.md", self.as_markdown())
        write_png(folder / "zoo.png", draw(self.lines))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The inverse of :meth:`write`.

        Raises:
            UnmaskError: there is no table in ``folder``, or another program's.
        """
        path = folder / TABLE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["schema"] != SCHEMA:
                raise ValueError(f"schema {values['schema']}, not {SCHEMA}")
            steps = tuple(Step(str(step["day"]), str(step["command"])) for step in values["steps"])
            lines = tuple(Line.from_json(model) for model in values["models"])
            return cls(str(values["machine"]), int(values["rounds"]), steps, lines)
        except FileNotFoundError:
            raise UnmaskError(f"{path}: no such table; name the models, and it will be made") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnmaskError(f"{path}: no table of this version ({error!r}); name models to make it anew") from None

    def after(self, step: Step) -> Self:
        return replace(self, steps=(*self.steps, step))

    def with_left_out(self, runs: Mapping[str, Path]) -> Self:
        """The table with the mean AUC on generators left out of some of its models; all else stays as it was measured.

        Args:
            runs: by the name of the model, the folder of ``train leave-out`` of its family.

        Raises:
            UnmaskError: the table has no such model, or the folder no finished leave-out of its family.
        """
        lines = {line.name: line for line in self.lines}
        for name, run in runs.items():
            if name not in lines:
                raise UnmaskError(f"--left-out {name}: not in the table; its models are {', '.join(lines)}")
            lines[name] = replace(lines[name], unseen=unseen_auc(run, lines[name].family))
        return replace(self, lines=tuple(lines.values()))

    def as_markdown(self) -> str:
        first, *later = self.steps
        text = f"# All models in one table\n\nMade on {first.day} by\n\n    {first.command}\n\n"
        for step in later:
            text += f"and, on {step.day}, generators left out of more models by\n\n    {step.command}\n\n"
        return text + "![The same as a figure](zoo.png)\n\n" + as_markdown(self.lines, self.machine)


def unseen_auc(run: Path, family: str) -> float:
    """The mean AUC on generators left out, of the ``train leave-out`` in ``run``.

    Raises:
        UnmaskError: there is none, it is not finished, or it is of another family than ``family``.
    """
    auc = left_out_auc(run)
    if auc is None:
        raise UnmaskError(f"{run}: no generator was left out here; name the folder of a finished train leave-out")
    configs = [*run.glob("fold-*/config.json"), *run.glob("leave-out/fold-*/config.json")]
    families = {FitConfig.read(path).model for path in configs}
    if families != {family}:
        told = ", ".join(sorted(families)) or "nobody knows what"
        raise UnmaskError(f"{run}: a leave-out of {told}, not of {family}; name one of that family")
    return auc
