"""Fine-tuning, resumable to the step: a loop that reads top to bottom."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from app.core.errors import UnmaskError
from app.core.records import ImageU8
from train import metrics
from train.augment import Policy
from train.config import FitConfig
from train.datasets import Sample, counts, limited
from train.distribute import Devices, Forward, Step, connect
from train.model import built_for_training, renew_averages_on, save_float32, start_from_file
from train.pipeline import Mixture, TrainingBatches, plain_crops
from train.prepare import prepared_samples
from train.progress import training_progress
from train.reconstruct import reconstruct
from train.runs import Interruption, State, append_log, checkpoint, claim, resume, write_facts, write_origin
from train.segment import cut_out_for
from train.tensorboard import EventLog
from train.zoo import family

if TYPE_CHECKING:
    import keras

HEAD_LEARNING_RATE = 2e-3
HEAD_EPOCH = 1_000_000
"""The data order of the first stage is that of an epoch that no run reaches."""
LOG_EVERY = 10
"""Steps between two points of a curve in TensorBoard."""

Logits = npt.NDArray[np.float32]


def fit(
    config: FitConfig,
    data: Path,
    run: Path,
    *,
    imagenet: Path | None,
    init: Path | None = None,
    distribute: str = "none",
) -> Path:
    """Train ``config.model`` on ``data`` and keep everything under ``run``.

    A run folder that holds a checkpoint is continued from it, with the same data order. Left in the folder:
    ``config.json``, ``facts.json`` (data hash, versions, commit), ``origin.json`` (of ``init``), ``prepared.csv``,
    ``left_out.txt``, ``log.csv``, ``tensorboard/``, ``checkpoint/`` and ``best.keras``, the model of the epoch with the
    best AUC on the validation split.

    Args:
        imagenet: weights to start from; None starts from scratch.
        init: an earlier ``best.keras`` of the same family, or of that of its backbone, to start from instead.
        distribute: one of :data:`train.distribute.KINDS`; several workers share the folder ``run``.

    Returns:
        The path of ``best.keras``.

    Raises:
        UnmaskError: the data cannot be used, ``run`` belongs to a run with another config or other data, the devices
            cannot be used, the loss is no number any more, or every picture gets the same score.
    """
    devices = connect(distribute, config.batch)

    def ready() -> list[Sample]:
        run.mkdir(parents=True, exist_ok=True)
        claim(run, config)
        samples = chosen_samples(prepared_samples(data, run), config)
        if devices.chief:
            print("pictures:", json.dumps(counts(samples)), flush=True)
            write_facts(run, samples)
        samples = cut_out_for(config, samples, run)
        if config.reconstructed:
            judge = imagenet if config.model == "densenet121" else None
            reconstruct([s for s in samples if s.split == "train"], run / "reconstructed", judge, config.seed)
        return samples

    samples = devices.chief_first(ready)
    train, valid = ([s for s in samples if s.split == split] for split in ("train", "valid"))
    batches = _batches(train, config, run, devices)
    import keras  # Only now: a mistake in the data shows before the 9 seconds that TensorFlow takes to import.

    keras.utils.set_random_seed(config.seed)
    with devices.scope():
        model = built_for_training(config, imagenet)
        if init is not None:
            start_from_file(model, init)
        state, head = resume(model, run / "checkpoint"), None
    if state.epoch or state.step:
        print(f"resuming at epoch {state.epoch + 1}, step {state.step}", flush=True)
    else:
        if devices.chief:
            parents = [init.parent] if init is not None and (init.parent / "config.json").is_file() else []
            weights = init or imagenet
            write_origin(run, parents, "" if parents else "random weights" if weights is None else weights.name)
        if "denoiser" in family(config.model).options and not config.frozen_batch_norm:
            renew_averages_on(train, model, config)
        if config.head_steps:
            with devices.scope():
                head = _fit_head(model, config, batches, devices)
    done = state.epoch * batches.steps + state.step
    with EventLog(run / "tensorboard" if devices.chief else None, done + 1) as log, Interruption() as interruption:
        if not done:
            log.text(0, "config", f"```json\n{json.dumps(dataclasses.asdict(config), indent=2)}\n```")
        _Training(config, run, model, state, batches, valid, devices, log, interruption).to_the_end(head)
    return run / "best.keras"


@dataclass(slots=True)
class _Training:
    """A run under way: every worker takes the steps, the chief alone validates and writes."""

    config: FitConfig
    run: Path
    model: keras.Model
    state: State
    batches: TrainingBatches
    valid: Sequence[Sample]
    devices: Devices
    log: EventLog
    interruption: Interruption

    @property
    def done(self) -> int:
        """Steps done since the run began."""
        return self.state.epoch * self.batches.steps + self.state.step

    def to_the_end(self, head: _Head | None = None) -> None:
        """The epochs that are left, or fewer where the validation AUC rises no more.

        Args:
            head: what the first stage did, where it was now.
        """
        config, state = self.config, self.state
        train_step, forward = self.devices.step(self.model), self.devices.forward(self.model)
        crops = plain_crops(self.valid if self.devices.chief else [], config.size, config.crop_scale)
        total = config.epochs * self.batches.steps
        with training_progress(config.batch, self.devices.chief) as progress:
            if head is not None and self.devices.chief:
                progress.console.print(self._log_head(head, forward, crops), soft_wrap=True)
            bar = progress.add_task("training", total=total, completed=self.done, note="")

            def advance() -> None:
                note = f"loss {state.loss_sum / state.step:.3f} best AUC {max(0.0, state.best_auc):.4f}"
                progress.update(bar, advance=1, note=note)

            while state.epoch < config.epochs and state.epoch - state.best_epoch <= config.patience:
                self._steps(train_step, total, advance)
                auc = 0.0
                if self.devices.chief:
                    auc, told = self._validate(forward, crops)
                    progress.console.print(told, soft_wrap=True)
                auc = self.devices.from_chief(auc)
                if auc > state.best_auc:
                    state.best_auc, state.best_epoch = auc, state.epoch
                state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0
                self._checkpoint()
                self.interruption.raise_if_asked()
            if state.epoch < config.epochs:
                progress.console.print(
                    f"stopping early: {config.patience} epochs without a better validation AUC than "
                    f"{state.best_auc} of epoch {state.best_epoch + 1}",
                    soft_wrap=True,
                )

    def _steps(self, train_step: Step, total: int, advance: Callable[[], None]) -> None:
        """What is left of an epoch, with checkpoints in between."""
        config, state = self.config, self.state
        started = saved_at = logged_at = time.monotonic()
        losses: list[float] = []
        for crops, targets in self.batches.epoch(state.epoch, first_step=state.step):
            rate = learning_rate(config, self.done, total)
            self.model.optimizer.learning_rate.assign(rate)
            losses.append(train_step(crops, targets))
            if not math.isfinite(losses[-1]):
                raise UnmaskError(f"the loss is {losses[-1]} at step {self.done + 1}; lower --learning-rate")
            state.loss_sum += losses[-1]
            state.step += 1
            self.interruption.raise_if_asked()
            advance()
            now = time.monotonic()
            if self.done % LOG_EVERY == 0:
                speed = len(losses) * config.batch / (now - logged_at)
                curves = {"train/loss": float(np.mean(losses)), "train/learning_rate": rate}
                self.log.scalars(self.done, {**curves, "train/pictures_per_second": speed})
                losses, logged_at = [], now
            if now - saved_at > config.checkpoint_minutes * 60:
                state.seconds += now - started
                self._checkpoint()
                started = saved_at = time.monotonic()
        state.seconds += time.monotonic() - started

    def _validate(self, forward: Forward, crops: ImageU8) -> tuple[float, str]:
        """The AUC of the weights that would be kept, which are kept where it is the best; and what to tell."""
        config, state = self.config, self.state
        trained = self.model.get_weights()
        if config.ema:
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        row = {
            "epoch": state.epoch + 1,
            "loss": round(state.loss_sum / max(1, state.step), 5),
            **_validation(self.valid, _alive(predict(self.model, crops, config.batch, forward))),
            "seconds": round(state.seconds),
        }
        if row["valid_auc"] > state.best_auc:
            save_float32(self.model, config, self.run / "best.keras")
        self.model.set_weights(trained)
        append_log(self.run / "log.csv", row)
        self.log.scalars(self.done, {k.replace("_", "/", 1): v for k, v in row.items() if k.startswith("valid_")})
        speed = self.done * config.batch / max(state.seconds, 1e-9)
        return row["valid_auc"], (
            " ".join(f"{k} {v}" for k, v in row.items())
            + f", {speed:.1f} pictures/s, at most {_minutes(state, config.epochs)} min left"
        )

    def _log_head(self, head: _Head, forward: Forward, crops: ImageU8) -> str:
        """Epoch 0 of the log: what the new top alone is worth; nothing of the run depends on it. What to tell."""
        found = _validation(self.valid, predict(self.model, crops, self.config.batch, forward))
        row = {"epoch": 0, "loss": round(head.loss, 5), **found, "seconds": round(head.seconds)}
        append_log(self.run / "log.csv", row)
        self.log.scalars(0, {k.replace("_", "/", 1): v for k, v in found.items()})
        return "new top alone: " + " ".join(f"{k} {v}" for k, v in row.items())

    def _checkpoint(self) -> None:
        if self.devices.chief:
            self.log.flush()
            checkpoint(self.model, self.state, self.run / "checkpoint")


def chosen_samples(samples: Sequence[Sample], config: FitConfig) -> list[Sample]:
    """The samples that a run trains and validates on.

    Raises:
        UnmaskError: a source to be left out does not exist.
    """
    unknown = sorted(set(config.leave_out) - {s.source for s in samples})
    if unknown:
        raise UnmaskError(f"--leave-out {', '.join(unknown)}: no such source; see the column source of prepared.csv")
    kept = limited([s for s in samples if s.source not in config.leave_out], config.limit)
    if config.share == 1:
        return kept
    seen: Counter[str] = Counter()
    part = []
    for s in kept:
        seen[s.source] += s.split == "train"
        # Evenly from every source: picture n is in where the rounded count goes up.
        n = seen[s.source]
        if s.split != "train" or math.ceil(n * config.share) > math.ceil((n - 1) * config.share):
            part.append(s)
    return part


def learning_rate(config: FitConfig, step: int, total: int) -> float:
    """Linear warm-up, then half a cosine down to a hundredth of the peak (Loshchilov and Hutter, ICLR 2017)."""
    warm = config.warmup * total
    if step < warm:
        return config.learning_rate * (step + 1) / (warm + 1)
    progress = (step - warm) / max(1.0, total - warm)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def predict(
    model: keras.Model, crops: npt.NDArray[np.uint8], batch: int = 32, forward: Forward | None = None
) -> Logits:
    """Logits of crops uint8 RGB (N, size, size, 3): float32 (N,)."""
    forward = forward or model.predict_on_batch
    parts = [np.asarray(forward(crops[i : i + batch])) for i in range(0, len(crops), batch)]
    return np.concatenate(parts).reshape(-1).astype(np.float32) if parts else np.empty(0, np.float32)


def _batches(train: list[Sample], config: FitConfig, run: Path, devices: Devices) -> TrainingBatches:
    mixture = Mixture(
        source_balance=config.source_balance,
        even=config.even_batches,
        self_blended=config.self_blended,
        reconstructed=config.reconstructed,
        toned=config.toned,
        reconstructions=run / "reconstructed",
    )
    policy = Policy(config.size, config.crop_scale, config.scale_range, config.strength, config.h264)
    return TrainingBatches(train, config.batch, policy, config.seed, mixture, (devices.worker, devices.workers))


@dataclass(frozen=True, slots=True)
class _Head:
    """The first stage: its mean loss, and the seconds it took."""

    loss: float
    seconds: float


def _fit_head(model: keras.Model, config: FitConfig, batches: TrainingBatches, devices: Devices) -> _Head:
    """Train the new top alone, so that its first, random gradients do not spoil what the backbone knows.

    Short enough to begin anew after a kill: nothing is kept of it before it is done.
    """
    import keras

    started, losses = time.monotonic(), []
    whole, trainable = model.optimizer, [layer.trainable for layer in model.layers]
    top = max(n for n, layer in enumerate(model.layers) if layer.weights)
    for n, layer in enumerate(model.layers):
        layer.trainable = n == top
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    optimizer = keras.optimizers.AdamW(HEAD_LEARNING_RATE)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, loss, jit_compile=False)
    train_step = devices.step(model)
    for first in range(0, config.head_steps, batches.steps):
        for crops, targets in islice(batches.epoch(HEAD_EPOCH + first // batches.steps), config.head_steps - first):
            losses.append(train_step(crops, targets))
    for layer, value in zip(model.layers, trainable, strict=True):
        layer.trainable = value
    model.compile(whole, loss, jit_compile=False)
    return _Head(float(np.mean(losses)), time.monotonic() - started)


def _alive(logits: Logits) -> Logits:
    """The logits as they are, after an epoch of everything; a new top on random weights may yet say nothing."""
    if logits.size > 1 and np.ptp(logits) == 0:
        raise UnmaskError(
            f"all {logits.size} validation pictures get the same score: the network is dead, its activations are 0 "
            "whatever it sees; train it in a new --run with another --seed or a lower --learning-rate"
        )
    return logits


def _validation(valid: Sequence[Sample], logits: Logits) -> dict[str, float]:
    targets = np.asarray([s.target for s in valid])
    row = {
        "valid_auc": round(metrics.auc(targets, logits), 5),
        "valid_acc": round(metrics.accuracy(targets, logits), 4),
    }
    inside = np.asarray(["140k" in s.source for s in valid], bool)
    if np.unique(targets[inside]).size == 2:
        row["valid_auc_140k"] = round(metrics.auc(targets[inside], logits[inside]), 5)
    return row


def _minutes(state: State, epochs: int) -> int:
    """What the epochs left will take, as long as those before."""
    return math.ceil(state.seconds / 60 * (epochs / (state.epoch + 1) - 1))
