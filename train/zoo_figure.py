"""The table of models as a figure: quality, speed and size side by side, one row a model."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from train.evaluate import plain
from train.figures import FAKE, INK, QUIET, REAL, SERIES, STYLE
from train.zoo_table import BATCHES, Line


def draw(lines: Sequence[Line]) -> Figure:
    """A figure of the table, models from the best test AUC down."""
    ordered = sorted(lines, key=lambda x: (np.isnan(x.auc.value), -x.auc.value))
    with mpl.rc_context(STYLE):
        figure = Figure((11, 1.5 + 0.55 * len(ordered)), layout="constrained")
        quality, speed, size = figure.subplots(1, 3, sharey=True, width_ratios=(5, 3, 3))
        y = np.arange(len(ordered))[::-1]
        _quality(quality, ordered, y)
        times = [[x.speed.milliseconds[n] for x in ordered] for n in BATCHES]
        _points(speed, times, y, "ms a face on the CPU")
        for n, colour in zip(BATCHES, SERIES[1:], strict=False):
            speed.plot([], [], "o", color=colour, markersize=5, label=f"{n} {'face' if n == 1 else 'faces'} a call")
        _legend(speed, 1)
        megabytes = [[x.speed.form_bytes / 1e6 for x in ordered]]
        _points(size, megabytes, y, "MB of the CPU form", [x.speed.form for x in ordered])
        quality.set_yticks(y, [f"{textwrap.fill(plain(x.name), 26)}\n{x.size} px" for x in ordered])
        quality.set_ylim(-0.6, len(ordered) - 0.4)
    return figure


def _quality(axes: Axes, lines: Sequence[Line], y: Sequence[int] | np.ndarray) -> None:
    series = (
        ("test split", FAKE, "o", 0.0, [x.auc for x in lines]),
        ("its 140k part", REAL, "s", -0.2, [x.part for x in lines]),
    )
    for name, colour, marker, shift, estimates in series:
        for place, e in zip(y, estimates, strict=True):
            axes.plot([e.low, e.high], [place + shift] * 2, color=colour, linewidth=1.4)
            axes.plot(e.value, place + shift, marker, color=colour, markersize=5)
        axes.plot([], [], marker, color=colour, markersize=5, label=name)
    unseen = [(place + 0.2, x.unseen) for place, x in zip(y, lines, strict=True) if x.unseen is not None]
    if unseen:
        places, aucs = zip(*unseen, strict=True)
        axes.plot(aucs, places, "D", color=INK, fillstyle="none", markersize=5, label="generators left out")
    values = [v for x in lines for v in (*x.auc, *x.part, np.nan if x.unseen is None else x.unseen)]
    low = min([0.95, *(v for v in values if np.isfinite(v))])
    axes.set(xlim=(np.floor(low * 20 - 0.2) / 20, 1.005), xlabel="AUC")
    if low < 0.5:
        axes.axvline(0.5, color=QUIET, linestyle=":", linewidth=1)
    _legend(axes, 2)


def _points(
    axes: Axes,
    values: Sequence[Sequence[float]],
    y: Sequence[int] | np.ndarray,
    label: str,
    notes: Sequence[str] | None = None,
) -> None:
    """A point for each series in every row, its number beside it, on a logarithmic axis: models differ by thousands."""
    for k, (series, colour) in enumerate(zip(values, SERIES[1:], strict=False)):
        shift = 0.0 if len(values) == 1 else 0.2 - 0.4 * k
        for n, (place, value) in enumerate(zip(y, series, strict=True)):
            axes.plot(value, place + shift, "o", color=colour, markersize=5)
            text = f"{value:.3g}" if value < 100 else f"{value:.0f}"
            text = text if notes is None else f"{text} ({notes[n]})"
            axes.annotate(text, (value, place + shift), (6, 0), textcoords="offset points", va="center", fontsize=8)
    least, most = (f(f(series) for series in values) for f in (min, max))
    axes.set_xscale("log")
    axes.set(xlim=(least / 2, most * 20), xlabel=f"{label} (logarithmic)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


def _legend(axes: Axes, columns: int) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.1, fontsize=8)
