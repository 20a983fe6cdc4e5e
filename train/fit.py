"""Fine-tuning, resumable to the step: a loop that reads top to bottom."""

from __future__ import annotations

import csv
import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.core.errors import UnmaskError
from train import metrics
from train.config import FitConfig
from train.datasets import Sample, counts, limited
from train.pipeline import TrainingBatches, plain_crops
from train.prepare import prepared_samples

if TYPE_CHECKING:
    import keras

Logits = npt.NDArray[np.float32]


@dataclass(slots=True)
class State:
    """Where a run stands; written with every checkpoint."""

    epoch: int = 0
    step: int = 0
    best_auc: float = -1.0
    best_epoch: int = -1
    loss_sum: float = 0.0
    seconds: float = 0.0

    def write(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        partial.replace(path)


def fit(config: FitConfig, data: Path, run: Path, *, imagenet: Path | None, init: Path | None = None) -> Path:
    """Train ``config.model`` on ``data`` and keep everything under ``run``.

    A run folder that holds a checkpoint is continued from it, with the same data order. Left in the folder:
    ``config.json``, ``prepared.csv``, ``left_out.txt``, ``log.csv``, ``checkpoint/`` and ``best.keras``, the
    model of the epoch with the best AUC on the validation split.

    Args:
        imagenet: weights to start from; None starts from scratch.
        init: an earlier ``best.keras`` of the same family to start from instead.

    Returns:
        The path of ``best.keras``.

    Raises:
        UnmaskError: the data cannot be used, or ``run`` belongs to a run with another config.
    """
    run.mkdir(parents=True, exist_ok=True)
    _claim(run, config)
    samples = limited(prepared_samples(data, run), config.limit)
    train = [s for s in samples if s.split == "train"]
    valid = [s for s in samples if s.split == "valid"]
    print("pictures:", json.dumps(counts(samples)), flush=True)
    batches = TrainingBatches(train, config.batch, config.size, config.crop_scale, config.seed)

    import keras  # Only now: a mistake in the data shows before the 9 seconds that TensorFlow takes to import.

    keras.utils.set_random_seed(config.seed)
    model = _build(config, imagenet)
    if init is not None:
        _start_from(model, init)
    state = _resume(model, run / "checkpoint")
    if state.epoch or state.step:
        print(f"resuming at epoch {state.epoch + 1}, step {state.step}", flush=True)
    valid_crops = plain_crops(valid, config.size, config.crop_scale)
    total = config.epochs * batches.steps
    saved_at = time.monotonic()
    with _progress() as progress:
        bar = progress.add_task("training", total=total, completed=state.epoch * batches.steps + state.step, note="")
        while state.epoch < config.epochs and state.epoch - state.best_epoch <= config.patience:
            started = time.monotonic()
            for crops, targets in batches.epoch(state.epoch, first_step=state.step):
                model.optimizer.learning_rate.assign(
                    learning_rate(config, state.epoch * batches.steps + state.step, total)
                )
                state.loss_sum += float(model.train_on_batch(crops, targets))
                state.step += 1
                progress.update(
                    bar, advance=1, note=f"loss {state.loss_sum / state.step:.3f} best AUC {state.best_auc:.4f}"
                )
                if time.monotonic() - saved_at > config.checkpoint_minutes * 60:
                    saved_at = time.monotonic()
                    state.seconds += saved_at - started
                    started = saved_at
                    _checkpoint(model, state, run / "checkpoint")
            state.seconds += time.monotonic() - started
            loss, state.loss_sum = state.loss_sum / max(1, state.step), 0.0
            logits = predict(model, valid_crops, config.batch)
            row = _validation(valid, logits)
            _log(
                run / "log.csv",
                {"epoch": state.epoch + 1, "loss": round(loss, 5), **row, "seconds": round(state.seconds)},
            )
            progress.console.print(
                f"epoch {state.epoch + 1}: loss {loss:.4f} " + " ".join(f"{k} {v}" for k, v in row.items())
            )
            if row["valid_auc"] > state.best_auc:
                state.best_auc, state.best_epoch = row["valid_auc"], state.epoch
                _save_float32(model, config, run / "best.keras")
            state.epoch, state.step = state.epoch + 1, 0
            _checkpoint(model, state, run / "checkpoint")
            saved_at = time.monotonic()
    return run / "best.keras"


def learning_rate(config: FitConfig, step: int, total: int) -> float:
    """Linear warm-up, then half a cosine down to a hundredth of the peak (Loshchilov and Hutter, ICLR 2017)."""
    warm = config.warmup * total
    if step < warm:
        return config.learning_rate * (step + 1) / (warm + 1)
    progress = (step - warm) / max(1.0, total - warm)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def predict(model: keras.Model, crops: npt.NDArray[np.uint8], batch: int = 32) -> Logits:
    """Logits of crops: float32 (N,)."""
    parts = [np.asarray(model.predict_on_batch(crops[i : i + batch])) for i in range(0, len(crops), batch)]
    return np.concatenate(parts).reshape(-1).astype(np.float32) if parts else np.empty(0, np.float32)


def _build(config: FitConfig, imagenet: Path | None) -> keras.Model:
    import keras

    from train.zoo import build

    keras.config.set_dtype_policy("mixed_bfloat16" if config.mixed_precision else "float32")
    try:
        model = build(config.model, config.size, imagenet)
    finally:
        keras.config.set_dtype_policy("float32")
    optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
    optimizer.build(model.trainable_variables)
    return model


def _start_from(model: keras.Model, init: Path) -> None:
    """Copy the weights of an earlier model of the same family; it may have had another input size."""
    import keras

    try:
        model.set_weights(keras.saving.load_model(init, compile=False, safe_mode=True).get_weights())
    except (ValueError, OSError) as error:
        raise UnmaskError(f"{init}: not a model of this family ({str(error).splitlines()[0]}); check --init") from None


def _save_float32(model: keras.Model, config: FitConfig, path: Path) -> None:
    """Write the model without its optimizer and computing in float32, whatever it trained in."""
    from train.zoo import build

    plain = build(config.model, config.size, None)
    plain.set_weights(model.get_weights())
    partial = path.with_name("best.partial.keras")
    plain.save(partial)
    partial.replace(path)


def _validation(valid: list[Sample], logits: Logits) -> dict[str, float]:
    targets = np.asarray([s.target for s in valid])
    row = {
        "valid_auc": round(metrics.auc(targets, logits), 5),
        "valid_acc": round(metrics.accuracy(targets, logits), 4),
    }
    inside = np.asarray(["140k" in s.source for s in valid], bool)
    if inside.any():
        row["valid_auc_140k"] = round(metrics.auc(targets[inside], logits[inside]), 5)
    return row


def _checkpoint(model: keras.Model, state: State, folder: Path) -> None:
    """Weights, optimizer and position under one new name; the old checkpoint goes only when the new one stands."""
    folder.mkdir(exist_ok=True)
    name = f"e{state.epoch:03d}s{state.step:05d}"
    model.save_weights(folder / f"{name}.partial.weights.h5")
    os.replace(folder / f"{name}.partial.weights.h5", folder / f"{name}.weights.h5")
    state.write(folder / f"{name}.json")
    for old in folder.glob("e*"):
        if not old.name.startswith(name):
            old.unlink()


def _resume(model: keras.Model, folder: Path) -> State:
    """Load the newest complete checkpoint into ``model``; its position, or the start."""
    for position in sorted(folder.glob("e*.json"), reverse=True):
        weights = position.with_suffix(".weights.h5")
        if weights.is_file():
            model.load_weights(weights)
            return State(**json.loads(position.read_text(encoding="utf-8")))
    return State()


def _claim(run: Path, config: FitConfig) -> None:
    path = run / "config.json"
    if path.exists():
        before = FitConfig.read(path)
        if before != config:
            changed = [k for k, v in asdict(config).items() if asdict(before)[k] != v]
            raise UnmaskError(
                f"{run}: holds a run with other settings ({', '.join(changed)}); "
                "name another --run, or give the same settings to resume"
            )
    config.write(path)


def _log(path: Path, row: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
