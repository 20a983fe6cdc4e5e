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

    @classmethod
    def read(cls, path: Path) -> Self:
        """The inverse of :meth:`write`.

        Raises:
            OSError, ValueError, TypeError: it does not hold a position.
        """
        state = cls(**json.loads(path.read_text(encoding="utf-8")))
        whole = (state.epoch, state.step, state.best_epoch)
        numbers = (state.best_auc, state.loss_sum, state.seconds)
        drawn = [n for row in state.generators for n in row]
        if not (
            all(type(n) is int for n in whole)
            and all(type(n) in (int, float) for n in numbers)
            and all(type(n) is int and 0 <= n < 2**32 for n in drawn)
        ):
            raise ValueError("a value that it cannot have")
        return state


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
    """Load the newest complete checkpoint into ``model``; its position, or the start where there is none.

    Raises:
        UnmaskError: it is damaged, or there is no more of it than its position.
    """
    positions = sorted(folder.glob("e*.json"), reverse=True)
    for position in positions:
        weights = position.with_suffix(".weights.h5")
        if not weights.is_file():
            continue
        try:
            state = State.read(position)
        except (OSError, ValueError, TypeError) as error:
            raise _damaged(position, error) from None
        try:
            model.load_weights(weights)
        except Exception as error:  # Whatever a damaged file brings HDF5 and Keras to.
            if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, which may not be the backend
                raise
            raise _damaged(weights, error) from None
        try:
            for variable, value in zip(_generators(model), state.generators, strict=False):
                variable.assign(value)
        except ValueError as error:
            raise _damaged(position, error) from None
        return state
    if positions:
        # A kill never leaves this: the position is written after its weights.
        raise UnmaskError(
            f"{positions[0]}: its {positions[0].stem}.weights.h5 is missing; restore it, or remove {folder} "
            "to train from the start, or name another --run"
        )
    return State()


def _damaged(path: Path, error: Exception) -> UnmaskError:
    """The sentence for a checkpoint that does not load; nothing trains over it until a person has decided."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return UnmaskError(
        f"{path}: this checkpoint is damaged ({reason}); restore it, or remove {path.parent} to train from the start, "
        "or name another --run"
    )


def _generators(model: keras.Model) -> list[keras.Variable]:
    return [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]


def claim(run: Path, config: FitConfig) -> None:
    """Write ``config.json`` into a new run folder.

    Raises:
        UnmaskError: the folder holds a run with another config, or one that cannot be read.
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


def write_origin(run: Path, parents: Sequence[Path], start: str = "") -> None:
    """Keep in ``origin.json`` what the weights of ``run`` started from.

    Args:
        parents: the runs, kept as paths from the folder of ``run``.
        start: where there are none: the name of a file of weights, or other words; "" does not tell.
    """
    parents_from_here = [Path(os.path.relpath(parent.resolve(), run.resolve())).as_posix() for parent in parents]
    document = {"schema": 1, "runs": parents_from_here, **({"start": start} if start else {})}
    write_whole(run / ORIGIN, json.dumps(document, indent=2) + "\n")


def origin(run: Path) -> list[Path]:
    """The runs that ``run`` started from; none where it began by itself, or does not tell.

    Raises:
        UnmaskError: ``origin.json`` cannot be read.
    """
    return _origin(run)[0]


def start_of(run: Path) -> str:
    """What the weights of a run without parents began as, in words; "" where it does not tell.

    Raises:
        UnmaskError: ``origin.json`` cannot be read.
    """
    return _origin(run)[1]


def _origin(run: Path) -> tuple[list[Path], str]:
    path = run / ORIGIN
    if not path.is_file():
        return [], ""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [(run / parent).resolve() for parent in document["runs"]], str(document.get("start", ""))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnmaskError(f"{path}: does not name runs ({error!r}); restore it, or remove it") from None


def append_log(path: Path, row: dict[str, float]) -> None:
    """Add the row of one epoch, in place of one that a kill left of the same epoch or a later one.

    Raises:
        UnmaskError: the file is no log, or cannot be written.
    """
    rows = []
    if path.exists():
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = [r for r in csv.DictReader(file) if int(r["epoch"]) < row["epoch"]]
        except (KeyError, ValueError, TypeError, csv.Error) as error:
            raise UnmaskError(f"{path}: is no log of train fit ({error!r}); restore it, or remove it") from None
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
        UnmaskError: the run began with other data, or it cannot be read with which.
    """
    path, data = run / "facts.json", data_hash(samples)
    try:
        before = json.loads(path.read_text(encoding="utf-8")).get("data", data) if path.exists() else data
    except (ValueError, AttributeError) as error:
        raise UnmaskError(
            f"{path}: does not tell which pictures this run began with ({error!r}); restore it, or name another --run"
        ) from None
    if before != data:
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
