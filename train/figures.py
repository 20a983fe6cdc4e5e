"""Figures of the reports, each as a ``data:`` address of an SVG picture: no markup of theirs becomes the page's.

Figures of a verb of its own are drawn beside it, with the style and the helpers from here.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.core.cards import Thresholds
from app.core.files import whole_file
from train import metrics
from train.metrics import Floats
from train.robustness import AS_IT_IS, MOST_AUC_LOST, Outcome

Targets = npt.NDArray[np.int64]

# Okabe and Ito's colours, told apart by everyone; as in the app.
REAL, FAKE, BETWEEN, INK, QUIET = "#0072b2", "#d55e00", "#f7f0b4", "#1b1f24", "#868e96"
SERIES = ("#1b1f24", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195")
STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # a name with dollars in it is a name
    "font.size": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e6ea",
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "unmask",
}
_LOGIT_END = 8.0


def roc(curves: Sequence[tuple[str, Targets, Floats]]) -> str:
    """ROC curves, once as usual and once with a logarithmic axis of false alarms, where detectors differ.

    Args:
        curves: name, targets (N,), 1 = fake, and scores (N,) of each.
    """
    with mpl.rc_context(STYLE):
        figure = Figure((9, 3.9), layout="constrained")
        whole, log = figure.subplots(1, 2)
        most = max(int(np.sum(t == 0)) for _, t, _ in curves)
        for (name, targets, scores), colour in zip(curves, colours(len(curves)), strict=True):
            curve = metrics.roc(targets, scores)
            label = f"{name}: AUC {metrics.auc(targets, scores):.4f}"
            for axes in (whole, log):
                axes.plot(curve.fpr[0], curve.tpr[0], color=colour, label=label, drawstyle="steps-post", linewidth=1.6)
        whole.plot([0, 1], [0, 1], color=QUIET, linestyle=":", linewidth=1)
        whole.set(xlim=(-0.01, 1), ylim=(0, 1.01), xlabel="real pictures flagged (false alarms)")
        whole.set_ylabel("generated pictures flagged")
        whole.legend(loc="lower right")
        log.set_xscale("log")
        log.axvline(0.01, color=QUIET, linestyle="--", linewidth=1)
        log.text(0.0105, 0.03, "1 % false alarms", color=INK, fontsize=8)
        log.set(xlim=(max(1e-4, 0.8 / max(most, 1)), 1), ylim=(0, 1.01))
        log.set_xlabel("real pictures flagged, logarithmic")
        percent_axis(whole, "xy")
        percent_axis(log, "y")
        ticks = [t for t in (1e-4, 1e-3, 1e-2, 1e-1, 1.0) if t >= log.get_xlim()[0]]
        log.set_xticks(ticks, [f"{t * 100:g} %" for t in ticks])
        log.minorticks_off()
        return data_uri(figure)


def reliability(curves: Sequence[tuple[str, Targets, Floats]]) -> str:
    """Of the pictures given about this probability, how many are generated; below, how many pictures that are.

    Args:
        curves: name, targets (N,), 1 = fake, and calibrated probabilities (N,) of each.
    """
    with mpl.rc_context(STYLE):
        figure = Figure((5.4, 4.6), layout="constrained")
        axes, counts = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        axes.plot([0, 1], [0, 1], color=QUIET, linestyle=":", linewidth=1, label="perfectly calibrated")
        edges = np.linspace(0, 1, metrics.ECE_BINS + 1)
        for (name, targets, p), colour in zip(curves, colours(len(curves)), strict=True):
            index = metrics.bin_of(p)
            full = [b for b in range(metrics.ECE_BINS) if np.any(index == b)]
            x = [float(p[index == b].mean()) for b in full]
            found = [metrics.share(targets[index == b] == 1) for b in full]
            y = np.asarray([e.value for e in found])
            reach = np.abs(np.asarray([(e.low, e.high) for e in found]).T - y)
            axes.errorbar(
                x, y, yerr=reach, color=colour, marker="o", markersize=4, linewidth=1.4, capsize=2, label=name
            )
            tally = [int(np.sum(index == b)) for b in range(metrics.ECE_BINS)]
            counts.stairs(tally, edges, color=colour, fill=len(curves) == 1, alpha=0.85)
        axes.set(ylim=(-0.02, 1.02), xlim=(0, 1), ylabel="of these, generated")
        axes.legend(loc="upper left")
        counts.set_yscale("log")
        counts.yaxis.set_major_formatter("{x:g}")
        counts.minorticks_off()
        counts.set(ylabel="pictures", xlabel="probability of AI generation that the model gives")
        percent_axis(axes, "xy")
        return data_uri(figure)


def histogram(targets: Targets, p_fake: Floats, needs: Thresholds) -> str:
    """How probabilities are spread over real and over generated pictures, with the thresholds."""
    with mpl.rc_context(STYLE):
        figure = Figure((9, 3.1), layout="constrained")
        axes = figure.subplots()
        edges = np.linspace(-_LOGIT_END, _LOGIT_END, 49)
        logits = np.clip(_logit(p_fake), -_LOGIT_END + 1e-6, _LOGIT_END - 1e-6)
        low, high = _logit(np.asarray([needs.real, needs.fake]))
        axes.axvspan(low, high, color=BETWEEN, label="undecided: CAN'T TELL", zorder=0)
        for target, colour, name in ((0, REAL, "real pictures"), (1, FAKE, "generated pictures")):
            axes.hist(logits[targets == target], edges.tolist(), color=colour, alpha=0.6, label=name, zorder=2)
        ticks = np.asarray([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
        axes.set_xticks(_logit(ticks), [f"{t * 100:g} %" for t in ticks])
        axes.set(
            xlabel="probability of AI generation (log-odds scale, what lies beyond its ends is in the outermost bars)",
            ylabel="pictures",
            xlim=(-_LOGIT_END, _LOGIT_END),
        )
        axes.legend(loc="upper center")
        return data_uri(figure)


def robustness(runs: Sequence[tuple[str, Sequence[Outcome]]]) -> str:
    """Curves over the strength of each degradation: above, the AUC; below, what the thresholds say.

    Args:
        runs: name and outcomes of each; the lower row is drawn for a single run only.
    """
    kinds = list(dict.fromkeys(o.condition.kind for _, found in runs for o in found if o.condition.level is not None))
    single = len(runs) == 1
    with mpl.rc_context(STYLE):
        figure = Figure((10.5, 4.9 if single else 3.1), layout="constrained")
        grid = figure.subplots(2 if single else 1, max(1, len(kinds)), squeeze=False, sharey="row", sharex="col")
        for column, kind in enumerate(kinds):
            top = grid[0][column]
            for (name, found), colour in zip(runs, colours(len(runs)), strict=True):
                own = [o for o in found if o.condition.kind == kind]
                x, labels = np.arange(len(own) + 1), [AS_IT_IS, *(f"{o.condition.level:g}" for o in own)]
                clean = next(o for o in found if o.condition.kind == AS_IT_IS)
                series = [clean, *own]
                auc = np.asarray([o.auc for o in series])
                top.plot(x, auc[:, 0], color=colour, marker="o", markersize=3.5, linewidth=1.5, label=name)
                top.fill_between(x, auc[:, 1], auc[:, 2], color=colour, alpha=0.13, linewidth=0)
                top.axhline(auc[0, 0] - MOST_AUC_LOST, color=colour, linestyle="--", linewidth=0.9, alpha=0.7)
                if single:
                    below = grid[1][column]
                    for key, shade, words in (
                        ("fakes_flagged", FAKE, "generated, flagged"),
                        ("false_alarms", REAL, "real, flagged"),
                    ):
                        shares = np.asarray([getattr(o, key) for o in series])
                        below.plot(x, shares[:, 0], color=shade, marker="o", markersize=3.5, label=words)
                        below.fill_between(x, shares[:, 1], shares[:, 2], color=shade, alpha=0.13, linewidth=0)
                    below.set_ylim(-0.02, 1.02)
                    percent_axis(below, "y")
            grid[-1][column].set_xlabel(kind)
            grid[-1][column].set_xticks(x, labels, rotation=45, rotation_mode="anchor", ha="right")
        grid[0][0].set_ylabel("AUC")
        if single:
            grid[1][0].set_ylabel("called AI-GENERATED")
            grid[1][0].legend(loc="center left", fontsize=8)
        else:
            grid[0][0].legend(loc="lower left", fontsize=8)
        return data_uri(figure)


def colours(count: int) -> list[str]:
    """A colour for each of so many series."""
    return [SERIES[i % len(SERIES)] for i in range(count)]


def _logit(p: Floats) -> Floats:
    inside = np.clip(p, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)


def percent_axis(axes: Axes, which: str) -> None:
    """Ticks from 0 to 100 % on the axes named in ``which``, "x", "y" or "xy"."""
    ticks = np.linspace(0, 1, 6)
    labels = [f"{t * 100:.0f} %" for t in ticks]
    if "x" in which:
        axes.set_xticks(ticks, labels)
    if "y" in which:
        axes.set_yticks(ticks, labels)


def data_uri(figure: Figure) -> str:
    """A figure as a ``data:`` address of an SVG picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def write_png(path: Path, figure: Figure) -> None:
    """Write a figure as a PNG picture; one that is there stays whole until the new one is.

    Raises:
        UnmaskError: the file cannot be written.
    """
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=150, facecolor="white", metadata={"Software": None})
