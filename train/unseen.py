"""Models that judge together on generators that none of them saw: their ``train leave-out``, fold by fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.core.errors import UnmaskError
from train import metrics
from train.calibrate import platt
from train.consensus import Figures, calibrated, fit_weights
from train.leave_out import HELD_OUT
from train.metrics import Estimate, Floats
from train.scores import Scored, arrays, read_scores


@dataclass(frozen=True, slots=True)
class Generator:
    """A generator that was left out, beside the test split's photographs from sources that its models knew.

    Attributes:
        targets: int (N,), 1 = fake.
        logits: float64 (N, M + 1), calibrated: of each model, and last of the consensus.
    """

    name: str
    targets: npt.NDArray[np.int64]
    logits: Floats

    def aucs(self) -> list[float]:
        return [metrics.auc(self.targets, column) for column in self.logits.T]


@dataclass(frozen=True, slots=True)
class Unseen:
    """What models and their consensus do on generators left out; ``names`` are those of the models."""

    names: tuple[str, ...]
    generators: tuple[Generator, ...]

    def rows(self) -> dict[str, Figures]:
        """The mean AUC of each model and of the consensus, and its AUC on each generator, for a card."""
        aucs = np.asarray([generator.aucs() for generator in self.generators])
        fakes = int(sum(generator.targets.sum() for generator in self.generators))
        found: dict[str, Figures] = {}
        for column, name in enumerate((*self.names, "consensus")):
            each = {f"auc, {g.name}": round(float(aucs[row, column]), 4) for row, g in enumerate(self.generators)}
            mean = round(float(aucs[:, column].mean()), 4)
            found[f"generators left out, {name}"] = {"pictures": fakes, "auc": mean, **each}
        return found

    def gain(self, resamples: int = metrics.RESAMPLES) -> Estimate:
        """Mean AUC of the consensus less that of its best member, by a paired bootstrap of every generator."""
        aucs = np.asarray([generator.aucs() for generator in self.generators]).mean(axis=0)
        best = int(np.argmax(aucs[:-1]))
        drawn = np.zeros(resamples)
        for seed, g in enumerate(self.generators):
            parts = [
                metrics.auc_of(g.targets, g.logits[:, -1], counts)
                - metrics.auc_of(g.targets, g.logits[:, best], counts)
                for counts in metrics.bootstrap_counts(g.targets, resamples, seed)
            ]
            drawn += np.concatenate(parts) / len(self.generators)
        return Estimate(float(aucs[-1] - aucs[best]), *metrics.middle(drawn))

    def conclusion(self) -> str:
        """Whether the consensus is as good as its best member where generators are new."""
        aucs = np.asarray([generator.aucs() for generator in self.generators]).mean(axis=0)
        best, gain = int(np.argmax(aucs[:-1])), self.gain()
        what = (
            f"mean AUC on {len(self.generators)} generators left out of training {aucs[-1]:.4f} against "
            f"{aucs[best]:.4f}, difference {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        )
        if gain.value < 0:
            chance = "; it may be chance" if gain.high >= 0 else ""
            return f"On unknown generators it is not as good as its best member, {self.names[best]}: {what}{chance}."
        return f"On unknown generators it is at least as good as its best member, {self.names[best]}: {what}."


def unseen(runs: Sequence[Path], names: Sequence[str]) -> Unseen:
    """Let the models of several leave-out runs judge together, as ``train consensus`` would have them.

    In every fold each model is calibrated, and the weights are fitted, on validation pictures of the sources that all
    of them knew.

    Args:
        runs: folders of ``train leave-out``, with the same folds.
        names: of the models, in the same order.

    Raises:
        UnmaskError: scores are missing, or the runs left out different sources or saw different pictures.
    """
    if len(runs) != len(names):
        raise UnmaskError(
            f"{len(runs)} folders for {len(names)} models; give a leave-out folder for each model, in order"
        )
    folders = sorted(path.parent.name for path in runs[0].glob(f"fold-*/{HELD_OUT}"))
    if not folders:
        raise UnmaskError(f"{runs[0]}: no fold is finished here; run train leave-out first")
    found: list[Generator] = []
    for folder in folders:
        parts = [read_scores(run / folder / HELD_OUT) for run in runs]
        found += _fold(_aligned(parts, runs, folder))
    return Unseen(tuple(names), tuple(sorted(found, key=lambda g: g.name)))


def _aligned(parts: Sequence[Sequence[Scored]], runs: Sequence[Path], folder: str) -> list[list[Scored]]:
    """The rows of all models in the order of the first's."""
    first = {row.path: row.held_out for row in parts[0]}
    rows = []
    for part, run in zip(parts, runs, strict=True):
        by_path = {row.path: row for row in part}
        if {path: row.held_out for path, row in by_path.items()} != first:
            raise UnmaskError(
                f"{run / folder}: other pictures or other sources left out than in {runs[0] / folder}; "
                "run train leave-out on the same data with the same --folds"
            )
        rows.append([by_path[path] for path in first])
    return rows


def _fold(parts: Sequence[Sequence[Scored]]) -> list[Generator]:
    rows = parts[0]
    targets, _ = arrays(rows)
    split = np.asarray([r.split for r in rows])
    source = np.asarray([r.source for r in rows])
    left_out = np.asarray([bool(r.held_out) for r in rows])
    known = (split == "valid") & ~left_out
    columns = []
    for part in parts:
        _, raw = arrays(part)
        columns.append(calibrated(raw, platt(targets[known], raw[known], "validation pictures")))
    logits = np.stack(columns, axis=1)
    weights = np.asarray(fit_weights(targets[known], logits[known]))
    logits = np.column_stack([logits, logits @ weights])
    photographs = (split == "test") & ~left_out & (targets == 0)
    generators = sorted(set(source[left_out & (targets == 1)]))
    chosen = [(name, photographs | (left_out & (source == name))) for name in generators]
    return [Generator(name, targets[rows_], logits[rows_]) for name, rows_ in chosen]
