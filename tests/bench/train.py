"""``python -m tests.bench.train --data DIR --run DIR``: what the input pipeline costs of a training step.

The whole step (decode, degrade, crop, train) and a bare one on a synthetic batch take turns in blocks, so that the
machine's noise hits both. A block of whole steps ends when the batches made ahead stand ready again: it pays for as
many batches as it uses. The options are those of ``python -m train fit``; RUN keeps the faces that were found.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from tests.bench.results import Row, row
from train.commands.fit import add_fit_arguments, config_from, imagenet_from
from train.config import FitConfig
from train.distribute import Devices
from train.fit import _batches, _build, chosen_samples
from train.pipeline import AHEAD, Batch, Order, TrainingBatches
from train.prepare import prepared_samples
from train.reconstruct import reconstruct


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.train", description=__doc__)
    add_fit_arguments(parser)
    parser.add_argument("--blocks", type=int, default=8, help="of each kind (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="in a block (default: %(default)s)")
    args = parser.parse_args()
    config = config_from(args)
    args.run.mkdir(parents=True, exist_ok=True)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {config}\n")
    imagenet = imagenet_from(args, config) if config.reconstructed else None
    speeds = measure(config, args.data, args.run, args.blocks, args.steps, imagenet)
    ratios = [whole / bare for bare, whole in speeds]
    quarters = statistics.quantiles(ratios, n=4)
    bare_speed, whole_speed = (statistics.median(s) for s in zip(*speeds, strict=True))
    print(
        f"\nbare {bare_speed:.2f} pictures/s, whole {whole_speed:.2f}; whole over bare {statistics.median(ratios):.3f} "
        f"(quartiles {quarters[0]:.3f} to {quarters[2]:.3f}, all {min(ratios):.3f} to {max(ratios):.3f})"
    )


def rows(data: Path, run: Path) -> list[Row]:
    """The step of the shipped model's training; its made fakes, which are decoded like any other, are left out."""
    config = FitConfig.from_preset("densenet121", {"reconstructed": 0.0})
    speeds = measure(config, data, run)
    bare = statistics.median(speed for speed, _ in speeds)
    label = f"{config.model}, {config.size} px, {config.batch} a step"
    return [
        row("train", f"{label}: synthetic", [speed for speed, _ in speeds], "pictures/s"),
        row("train", f"{label}: pictures", [speed for _, speed in speeds], "pictures/s", bare, "a synthetic batch"),
    ]


def measure(
    config: FitConfig, data: Path, run: Path, blocks: int = 8, steps: int = 6, imagenet: Path | None = None
) -> list[tuple[float, float]]:
    """Pictures a second of bare and of whole steps, for each block; ``run`` exists."""
    train = [s for s in chosen_samples(prepared_samples(data, run), config) if s.split == "train"]
    if config.reconstructed:
        reconstruct(train, run / "reconstructed", imagenet, config.seed)
    batches = _batches(train, config, run, Devices())
    if blocks * steps + 1 + AHEAD > batches.steps:
        sys.exit(f"{batches.steps} batches are too few for {blocks} blocks of {steps}: lower --blocks or --batch")
    print(f"the pipeline alone: {_alone(batches) / config.batch * 1e3:.2f} ms a crop on one thread", flush=True)

    ready, used = Ready(batches), 1
    whole = batches.epoch(0)
    train_step = Devices().step(_build(config, None))
    rng = np.random.default_rng(0)
    shape = (config.batch, config.size, config.size, 3)
    bare = rng.integers(0, 256, shape).astype(np.uint8), rng.integers(0, 2, (config.batch, 1)).astype(np.float32)
    for batch in (bare, next(whole), bare):  # traced and warm
        train_step(*batch)
    speeds = []
    for block in range(blocks):
        ready.wait(used)
        times = {}
        # Each goes first in turn: a machine that slows down must not favour one.
        for kind in ("bare", "whole") if block % 2 else ("whole", "bare"):
            started = time.perf_counter()
            for _ in range(steps):
                train_step(*(next(whole) if kind == "whole" else bare))
            if kind == "whole":
                used += steps
                ready.wait(used)
            times[kind] = time.perf_counter() - started
        speeds.append((steps * config.batch / times["bare"], steps * config.batch / times["whole"]))
        print(
            "block {}: bare {:.2f}, whole {:.2f} pictures/s, ratio {:.3f}".format(
                block, *speeds[-1], speeds[-1][1] / speeds[-1][0]
            ),
            flush=True,
        )
    return speeds


def _alone(batches: TrainingBatches, steps: int = 20) -> float:
    """Seconds of one thread and its children a batch."""
    order = batches.order(0)
    started = time.perf_counter()
    for step in range(steps):
        batches.make(0, step, order)
    return (time.perf_counter() - started) / steps


class Ready:
    """Counts the batches that are made."""

    def __init__(self, batches: TrainingBatches) -> None:
        self._make, self._steps = batches.make, set[int]()
        batches.make = self._counted  # type: ignore[method-assign]

    def _counted(self, epoch: int, step: int, order: Order) -> Batch:
        batch = self._make(epoch, step, order)
        self._steps.add(step)
        return batch

    def wait(self, used: int) -> None:
        """Until those made ahead of the ``used`` ones stand ready."""
        while len(self._steps) < used + AHEAD:
            time.sleep(0.001)


if __name__ == "__main__":
    main()
