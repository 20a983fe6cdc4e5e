"""Models that judge together on generators that none of them saw: their ``train leave-out``, fold by fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.core.errors import UnmaskError
from train import metrics
from train.consensus import Figures, calibrated, fit_weights
from train.leave_out import HELD_OUT, Fold
from train.metrics import Estimate, Floats
from train.scores import Scored, read_scores


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


@dataclass(frozen=True, slots=True)
class Unseen:
    """What models and their consensus do on generators left out; ``names`` are those of the models."""

    names: tuple[str, ...]
    generators: tuple[Generator, ...]

    def aucs(self) -> Floats:
        """float64 (generators, M + 1)."""
        return np.asarray([[metrics.auc(g.targets, column) for column in g.logits.T] for g in self.generators])

    def rows(self) -> dict[str, Figures]:
        """The mean AUC of each model and of the consensus, and its AUC on each generator, for a card."""
        fakes = int(sum(generator.targets.sum() for generator in self.generators))
        found: dict[str, Figures] = {}
        for name, aucs in zip((*self.names, "consensus"), self.aucs().T, strict=True):
            each = {f"auc, {g.name}": round(float(auc), 4) for g, auc in zip(self.generators, aucs, strict=True)}
            found[f"generators left out, {name}"] = {"pictures": fakes, "auc": round(float(aucs.mean()), 4), **each}
        return found

    def conclusion(self) -> str:
        """Whether the consensus is as good as its best member where generators are new, by a paired bootstrap."""
        means = self.aucs().mean(axis=0)
        best = int(np.argmax(means[:-1]))
        drawn = [
            metrics.auc_gains(g.targets, g.logits[:, -1], g.logits[:, best], seed=seed)
            for seed, g in enumerate(self.generators)
        ]
        gain = Estimate(float(means[-1] - means[best]), *metrics.middle(np.mean(drawn, axis=0)))
        what = (
            f"mean AUC on {len(self.generators)} generators left out of training {means[-1]:.4f} against "
            f"{means[best]:.4f}, difference {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
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
        found += _generators(_aligned(parts, runs, folder))
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


def _generators(parts: Sequence[Sequence[Scored]]) -> list[Generator]:
    """The generators that one fold left out, as all its models, one for each of ``parts``, see them."""
    folds = [Fold.of(rows) for rows in parts]
    first = folds[0]
    logits = np.stack([calibrated(fold.logits, fold.calibration()) for fold in folds], axis=1)
    weights = np.asarray(fit_weights(first.targets[first.known], logits[first.known]))
    logits = np.column_stack([logits, logits @ weights])
    found = []
    for name in sorted(set(first.source[first.unseen & (first.targets == 1)])):
        chosen = first.known_reals | (first.unseen & (first.source == name))
        found.append(Generator(str(name), first.targets[chosen], logits[chosen]))
    return found
