"""What a run folder holds: config, facts, position, checkpoints and log."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from app.core.errors import UnmaskError
from app.core.files import whole_file, write_whole
from train.config import FitConfig
from train.datasets import Sample

if TYPE_CHECKING:
    import keras

ORIGIN = "origin.json"
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "opencv-contrib-python", "mediapipe")


@dataclass(slots=True)
class State:
    """Where a run stands; written with every checkpoint.

    Attributes:
        generators: states of the model's random generators, which Keras leaves out of weight files.
    """

    epoch: int = 0
    step: int = 0
    best_auc: float = -1.0
    best_epoch: int = -1
    loss_sum: float = 0.0
    seconds: float = 0.0
    generators: list[list[int]] = field(default_factory=list)

    def write(self, path: Path) -> None:
        write_whole(path, json.dumps(asdict(self)) + "\n")


def checkpoint(model: keras.Model, state: State, folder: Path) -> None:
    """Weights, optimizer and position under one new name; the old checkpoint goes only when the new one stands."""
    folder.mkdir(exist_ok=True)
    name = f"e{state.epoch:03d}s{state.step:05d}"
    with whole_file(folder / f"{name}.weights.h5") as partial:
        model.save_weights(partial)
    state.generators = [np.asarray(v).tolist() for v in _generators(model)]
    state.write(folder / f"{name}.json")
    for old in folder.glob("e*"):
        if not old.name.startswith(name):
            old.unlink()


def resume(model: keras.Model, folder: Path) -> State:
    """Load the newest complete checkpoint into ``model``; its position, or the start."""
    for position in sorted(folder.glob("e*.json"), reverse=True):
        weights = position.with_suffix(".weights.h5")
        if weights.is_file():
            model.load_weights(weights)
            state = State(**json.loads(position.read_text(encoding="utf-8")))
            for variable, value in zip(_generators(model), state.generators, strict=False):
                variable.assign(value)
            return state
    return State()


def _generators(model: keras.Model) -> list[keras.Variable]:
    return [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]


def claim(run: Path, config: FitConfig) -> None:
    """Write ``config.json`` into a new run folder.

    Raises:
        UnmaskError: the folder holds a run with another config.
    """
    path = run / "config.json"
    if path.exists():
        before = FitConfig.read(path)
        if before != config:
            changed = [k for k, v in asdict(config).items() if asdict(before)[k] != v]
            raise UnmaskError(
                f"{run}: holds a run with other settings ({', '.join(changed)}); "
                "name another --run, or give the same settings to resume"
            )
        return
    config.write(path)


def write_origin(run: Path, parents: Sequence[Path]) -> None:
    """Keep in ``origin.json`` which runs the weights of ``run`` started from, as paths from its folder."""
    parents_from_here = [Path(os.path.relpath(parent.resolve(), run.resolve())).as_posix() for parent in parents]
    write_whole(run / ORIGIN, json.dumps({"schema": 1, "runs": parents_from_here}, indent=2) + "\n")


def origin(run: Path) -> list[Path]:
    """The runs that ``run`` started from; none where it began by itself, or does not tell.

    Raises:
        UnmaskError: ``origin.json`` cannot be read.
    """
    path = run / ORIGIN
    if not path.is_file():
        return []
    try:
        return [(run / parent).resolve() for parent in json.loads(path.read_text(encoding="utf-8"))["runs"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnmaskError(f"{path}: does not name runs ({error!r}); restore it, or remove it") from None


def append_log(path: Path, row: dict[str, float]) -> None:
    """Add the row of one epoch, in place of one that a kill left of the same epoch or a later one."""
    rows = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [r for r in csv.DictReader(file) if int(r["epoch"]) < row["epoch"]]
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerows([*rows, row])


class Interruption:
    """Ctrl-C, kept until the step is done: raised inside Keras or HDF5, Python may report it and go on.

    A second Ctrl-C is raised at once. Outside the main thread, and where it is ignored, nothing changes.
    """

    def __init__(self) -> None:
        self._asked = False
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if usual and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: object) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def raise_if_asked(self) -> None:
        """Raises: KeyboardInterrupt, if there was a Ctrl-C."""
        if self._asked:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if signal.getsignal(signal.SIGINT) == self._ask:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def write_facts(run: Path, samples: Sequence[Sample]) -> None:
    """``facts.json``: what the run's result depends on beside its config.

    Raises:
        UnmaskError: the run began with other data.
    """
    path, data = run / "facts.json", data_hash(samples)
    if path.exists() and json.loads(path.read_text(encoding="utf-8")).get("data", data) != data:
        raise UnmaskError(f"{path}: the pictures changed since this run began; restore them, or name another --run")
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    facts = {"data": data, "commit": _commit(), "python": platform.python_version(), **versions}
    write_whole(path, json.dumps(facts, indent=2) + "\n")


def data_hash(samples: Sequence[Sample]) -> str:
    """sha256 over names, sizes, splits, labels and boxes of the pictures: the same for the same data elsewhere."""
    digest = hashlib.sha256()
    for s in samples:
        box = s.box.xyxy if s.box else ()
        size = s.path.stat().st_size if s.path.is_file() else -1
        digest.update(repr((s.path.name, size, s.split, s.label, s.source, box)).encode())
    return digest.hexdigest()


def _commit() -> str:
    """The commit of the code, with a + where the working tree differs from it; "unknown" outside a clone."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed.strip() else "")
