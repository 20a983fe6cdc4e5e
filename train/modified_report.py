"""What modified copies did to a model's answers, for people: printed, and as a page with the flipped pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from train.evaluate import plain
from train.figures import INK, QUIET, SERIES, STYLE, data_uri
from train.modified import Answers, Outcome, pair
from train.report import crop_uri, environment
from train.trained import Trained

SHOWN = 8
"""Flipped pictures shown of each modification, those that moved most first."""
ROWS = 60
"""Pictures in the table of flips, those that are flipped most often first."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A flipped picture: the crops before and after, as ``data:`` addresses, and the probabilities."""

    name: str
    truth: str
    before: str
    after: str
    p_before: float
    p_after: float


def print_outcomes(model: Trained, answers: Answers, found: Sequence[Outcome]) -> None:
    """Print the outcomes, for people."""
    fakes = int(np.sum(answers.p[0] > 0.5))
    print(f"{plain(model.name)}: {len(answers.names)} originals, of which {fakes} are called generated at p = 0.5")
    print(
        f"{'modification':<26} {'flipped':>22} {'to generated':>13} {'to real':>8} {'mean logit shift':>25} {'size':>6}"
    )
    for o in found:
        flips = f"{o.flips.value:6.1%} [{o.flips.low:5.1%}, {o.flips.high:5.1%}]"
        shift = f"{o.shift.value:+.2f} [{o.shift.low:+.2f}, {o.shift.high:+.2f}]"
        print(f"{o.name:<26} {flips:>22} {o.to_fake:>13} {o.to_real:>8} {shift:>25} {o.spread:>6.2f}")
    if answers.left_out:
        print(f"{len(answers.left_out)} pictures not scored, such as {plain(next(iter(answers.left_out)))}")


def render(model: Trained, answers: Answers, found: Sequence[Outcome], created: datetime, seed: int) -> str:
    """The page, self-contained; it shows the faces that were flipped."""
    flipped = answers.flipped
    often = [int(i) for i in np.argsort(-flipped.sum(axis=0), kind="stable") if flipped[:, i].any()]
    shown = {}
    for which, outcome in enumerate(found):
        shown[outcome.name] = [_flip(model, answers, i, which, seed) for i in answers.order(which)[:SHOWN]]
    with mpl.rc_context(STYLE):
        figure = Figure((9, 0.9 + 0.3 * len(found)), layout="constrained")
        draw_shifts(figure.subplots(), answers)
        drawn = data_uri(figure)
    return (
        environment()
        .get_template("modified.html.j2")
        .render(
            title=f"How modified copies turn the answers of {model.name}",
            created=created,
            model=model,
            a=answers,
            outcomes=found,
            originals_fake=int(np.sum(answers.p[0] > 0.5)),
            flipped=flipped.tolist(),
            p=answers.p.tolist(),
            often=often[:ROWS],
            more=max(0, len(often) - ROWS),
            steady=len(answers.names) - len(often),
            shown=shown,
            most=SHOWN,
            shifts=drawn,
            seed=seed,
        )
    )


def draw_shifts(axes: Axes, answers: Answers) -> None:
    """How far each modification moves the logit of each picture: median, quartiles, 5 % to 95 %, and every picture."""
    shifts = answers.logits[1:] - answers.logits[0]
    y = np.arange(len(shifts))[::-1]
    rng = np.random.default_rng(0)  # only spreads the points so that they do not hide each other
    for place, values, flipped in zip(y, shifts, answers.flipped, strict=True):
        height = place + rng.uniform(-0.28, 0.28, values.size)
        axes.plot(values[~flipped], height[~flipped], ".", color=QUIET, markersize=3, alpha=0.6, zorder=1)
        axes.plot(values[flipped], height[flipped], ".", color=SERIES[2], markersize=5, zorder=3)
        low, quarter, middle, three_quarters, high = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95))
        axes.plot([low, high], [place, place], color=INK, linewidth=1, zorder=2)
        axes.plot([quarter, three_quarters], [place, place], color=INK, linewidth=4, alpha=0.7, zorder=2)
        axes.plot(middle, place, "|", color="white", markersize=7, markeredgewidth=2, zorder=4)
    axes.plot([], [], ".", color=QUIET, label="answer stays")
    axes.plot([], [], ".", color=SERIES[2], label="answer flips")
    axes.axvline(0, color=QUIET, linestyle=":", linewidth=1)
    axes.set_yticks(y, [m.name for m in answers.modifications])
    axes.set(
        ylim=(-0.6, len(shifts) - 0.4), xlabel="← towards real      change of the raw logit      towards generated →"
    )
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.1, fontsize=8)


def _flip(model: Trained, answers: Answers, picture: int, which: int, seed: int) -> Flip:
    before, after = pair(model, answers, picture, which, seed)
    return Flip(
        answers.names[picture],
        answers.samples[picture].label,
        crop_uri(before),
        crop_uri(after),
        float(answers.p[0, picture]),
        float(answers.p[1 + which, picture]),
    )
