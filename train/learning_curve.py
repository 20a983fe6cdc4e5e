"""What more data would give: the same training on a part, a larger part and all of the pictures.

The error, 1 - AUC, of a detector falls about like a power of the number of training pictures (Hestness et al., "Deep
learning scaling is predictable, empirically", 2017). A straight line through its logarithms says where more of the
same data leads; it says nothing about sources that are not in it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from app.core.errors import UnmaskError
from app.core.files import write_whole
from app.models.runtimes import TensorFlowClassifier
from train import metrics
from train.config import FitConfig
from train.figures import QUIET, SERIES, STYLE, write_png
from train.fit import chosen_samples, fit
from train.leave_out import scored
from train.metrics import Floats
from train.prepare import prepared_samples
from train.scores import Scored, arrays, read_scores, write_scores

SCORES = "scores.csv"
PARTS = {"all": "", "140k part": "140k"}
"""Rows of the table, and what the names of their sources have in common."""
RESAMPLES = 1000
LEAST_ERROR = 1e-4
"""Of a resample in which nothing is wrong; its logarithm has to be a number."""


def learning_curve(
    config: FitConfig, data: Path, run: Path, *, imagenet: Path | None, shares: Sequence[float], goal: int, seed: int
) -> dict[str, Any]:
    """Train on each share of the training pictures, score the test split, and go on along the line to ``goal``.

    Args:
        run: gets ``share-S/``, a run folder with ``scores.csv``, for each; ``learning-curve.json`` and ``.png``.
            Shares already done are not done again.
        shares: of the training pictures of each source, (0, 1], at least two.
        goal: training pictures to predict for.
        seed: of the bootstrap.

    Returns:
        For each part of the test split: pictures, AUC with its interval, and the prediction with its interval.

    Raises:
        UnmaskError: there are fewer than two shares, or the test split lacks a class.
    """
    if len(set(shares)) < 2 or not all(0 < s <= 1 for s in shares):
        raise UnmaskError("--shares needs at least two different ones between 0 and 1, such as 0.25 0.5 1")
    run.mkdir(parents=True, exist_ok=True)
    samples = prepared_samples(data, run)
    test = [s for s in samples if s.split == "test"]
    if len({s.target for s in test}) < 2:
        raise UnmaskError(f"{data}: the test split needs both real and fake pictures")
    counts, tables = [], []
    for share in sorted(set(shares)):
        part, folder = dataclasses.replace(config, share=share), run / f"share-{share:g}"
        if not (folder / SCORES).is_file():
            folder.mkdir(exist_ok=True)
            if not (folder / "prepared.csv").exists():
                write_whole(folder / "prepared.csv", (run / "prepared.csv").read_bytes())
            best = fit(part, data, folder, imagenet=imagenet)
            rows = scored(TensorFlowClassifier(best, config.size), test, config, data, set())
            write_scores(folder / SCORES, rows)
        counts.append(sum(s.split == "train" for s in chosen_samples(samples, part)))
        tables.append(read_scores(folder / SCORES))
    found = {name: extrapolated(counts, _part(tables, key), goal, seed) for name, key in PARTS.items()}
    summary = {"pictures": counts, "goal": goal, **{name: row for name, row in found.items() if row}}
    write_whole(run / "learning-curve.json", json.dumps(summary, indent=2) + "\n")
    write_png(run / "learning-curve.png", _figure(summary))
    return summary


def extrapolated(counts: Sequence[int], tables: Sequence[Sequence[Scored]], goal: int, seed: int) -> dict[str, Any]:
    """AUC by number of training pictures, and where the line through them leads; empty where a class is missing.

    The interval of the prediction is that of the test pictures alone: resamples of them, each with a line of its own.
    """
    targets = arrays(tables[0])[0]
    if len(set(targets.tolist())) < 2:
        return {}
    scores = [arrays(rows)[1] for rows in tables]
    resampled = np.concatenate(list(metrics.bootstrap_counts(targets, RESAMPLES, seed)))
    drawn = np.stack([metrics.auc_of(targets, s, resampled) for s in scores])
    exact = np.asarray([metrics.auc(targets, s) for s in scores])
    slope, predicted = power_law(counts, exact[:, None], goal)
    low, high = metrics.middle(power_law(counts, drawn, goal)[1])
    return {
        "auc": [[round(float(v), 4) for v in (a, *metrics.middle(d))] for a, d in zip(exact, drawn, strict=True)],
        "exponent": round(float(slope[0]), 3),
        "predicted": [round(float(v), 4) for v in (predicted[0], low, high)],
    }


def power_law(counts: Sequence[int], aucs: Floats, goal: int) -> tuple[Floats, Floats]:
    """Exponents (R,) of the error by number of pictures, and the AUC (R,) at ``goal``, of columns ``aucs`` (S, R)."""
    x = np.log(np.asarray(counts, float))
    y = np.log(np.maximum(1 - aucs, LEAST_ERROR))
    slope = ((x - x.mean())[:, None] * (y - y.mean(0))).sum(0) / ((x - x.mean()) ** 2).sum()
    predicted: npt.NDArray[np.float64] = 1 - np.exp(y.mean(0) + slope * (np.log(goal) - x.mean()))
    return slope, predicted


def _part(tables: Sequence[Sequence[Scored]], key: str) -> list[list[Scored]]:
    return [[row for row in rows if key in row.source] for rows in tables]


def _figure(summary: dict[str, Any]) -> Figure:
    import matplotlib as mpl

    counts, goal = summary["pictures"], summary["goal"]
    with mpl.rc_context(STYLE):
        figure = Figure((6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        for name, colour in zip([n for n in PARTS if n in summary], SERIES[1:], strict=False):
            auc, low, high = np.asarray(summary[name]["auc"]).T
            predicted, least, most = summary[name]["predicted"]
            axes.errorbar(counts, 1 - auc, (high - auc, auc - low), fmt="o", color=colour, capsize=3, label=name)
            slope = summary[name]["exponent"]
            middle = np.exp(np.log(1 - predicted) - slope * np.log(goal))
            along = np.geomspace(counts[0], goal, 50)
            axes.plot(along, middle * along**slope, color=colour, linewidth=1, linestyle=":")
            error = ([most - predicted], [predicted - least])
            axes.errorbar([goal], [1 - predicted], error, fmt="o", mfc="white", color=colour, capsize=3)
        axes.set(xscale="log", yscale="log", xlabel="training pictures", ylabel="1 - AUC on the test split")
        axes.text(0.99, 0.98, "open: predicted", transform=axes.transAxes, ha="right", va="top", color=QUIET)
        axes.legend(loc="lower left")
    return figure
