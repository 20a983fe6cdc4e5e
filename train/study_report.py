"""What a study found, for people: printed, as Markdown, as a page and as a figure."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.core.files import write_whole
from train.evaluate import plain, with_interval
from train.figures import FAKE, INK, QUIET, REAL, STYLE, data_uri, write_png
from train.report import environment
from train.study import MIXED, Result, Study

_LABEL = 24
"""Characters of a generator's name in one line of a figure."""


def write_study(found: Study, said: Sequence[dict[str, Any]], folder: Path, created: datetime) -> None:
    """Write ``study.json``, ``study.md``, ``study.html`` and ``study.png`` to ``folder``, each whole or not at all.

    Args:
        said: what :func:`train.study.answers` returned; may be empty.

    Raises:
        UnmaskError: a file cannot be written.
    """
    document = {**found.as_json(), "created": created.isoformat(timespec="seconds"), "predictions": list(said)}
    write_whole(folder / "study.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    write_whole(folder / "study.md", as_markdown(found, said))
    write_whole(folder / "study.html", render(found, said, created))
    with mpl.rc_context(STYLE):
        figure = Figure((10.5, 2.2 + 0.95 * len(found.results)), layout="constrained")
        above, below = figure.subplots(2, 1)
        draw_accuracies(above, found.results)
        draw_matrix(below, found.results)
        write_png(folder / "study.png", figure)


def print_study(found: Study, said: Sequence[dict[str, Any]]) -> None:
    """Print the results and the answers, for people."""
    width = max([len(plain(r.member.name)) for r in found.results] + [9])
    head = (f"{'fakes':>12}", f"{'accuracy':>23}", f"{'AUC':>23}", f"{'mixed model':>23}", f"{'published':>10}")
    print(f"{found.model}; accuracy at p = 0.5, {found.photographs} photographs and the fakes weighing alike")
    print(f"{'generator':<{width}}", *head)
    for r in found.results:
        fakes = f"{r.member.training} / {r.member.test}"
        estimates = (with_interval(e) if e is not None else "" for e in (r.accuracy, r.auc, r.mixed_accuracy))
        known = "" if r.published is None else f"{r.published[1]:.3f}"
        print(f"{plain(r.member.name):<{width}} {fakes:>12}", *(f"{e:>23}" for e in estimates), f"{known:>10}")
    for name in found.waiting:
        print(f"not trained yet: {plain(name)}")
    for text in found.left_out:
        print(f"left out, too few pictures: {plain(text)}")
    for row in said:
        if row["why"]:
            print(f"\n{plain(row['picture'])}: {row['why']}")
            continue
        print(f"\n{plain(row['picture'])}: {row['votes']} of {len(row['p'])} models say that it is generated")
        for name, p in row["p"].items():
            print(f"  {plain(name):<{width}} {p:.3f}")


def as_markdown(found: Study, said: Sequence[dict[str, Any]]) -> str:
    """Tables that can be pasted into a document."""
    lines = [
        f"Test accuracy at p = 0.5 of {found.model}, {found.photographs} photographs and the fakes weighing alike, "
        "with 95 % intervals; published: the CNN of the ArtiFact study, where it has such a generator.",
        "",
        "| generator | fakes: training, test | accuracy | AUC | accuracy of the mixed model | published |",
        "|---|---|---|---|---|---|",
    ]
    for r in found.results:
        mixed = with_interval(r.mixed_accuracy) if r.mixed_accuracy is not None else ""
        known = "" if r.published is None else f"{r.published[1]:.3f} ({r.published[0]})"
        cells = [f"{r.member.training}, {r.member.test}", with_interval(r.accuracy), with_interval(r.auc), mixed, known]
        lines.append(f"| {_cell(r.member.name)} | " + " | ".join(cells) + " |")
    names = [name for r in found.results[:1] for name in r.aucs]
    lines += ["", "AUC of each model (row) on each generator (column) against all photographs:", ""]
    lines += ["| trained on | " + " | ".join(map(_cell, names)) + " |", "|---|" + "---|" * len(names)]
    for r in found.results:
        cells = [f"{r.aucs[name]:.3f}" for name in names]
        lines.append(f"| {_cell(r.member.name)} | " + " | ".join(cells) + " |")
    if found.left_out:
        lines += ["", f"Left out, too few pictures: {_cell('; '.join(found.left_out))}."]
    answered = [row for row in said if not row["why"]]
    if answered:
        models = list(answered[0]["p"])
        lines += ["", "| picture | " + " | ".join(map(_cell, models)) + " | say generated |"]
        lines += ["|---|" + "---|" * (len(models) + 1)]
        for row in answered:
            cells = [f"{row['p'][name]:.3f}" for name in models]
            lines.append(f"| {_cell(row['picture'])} | " + " | ".join(cells) + f" | {row['votes']} of {len(models)} |")
    return "\n".join(lines) + "\n"


def render(found: Study, said: Sequence[dict[str, Any]], created: datetime) -> str:
    """The study as one self-contained HTML page; it shows no pictures of people."""
    with mpl.rc_context(STYLE):
        accuracies = Figure((9, 1.2 + 0.42 * len(found.results)), layout="constrained")
        draw_accuracies(accuracies.subplots(), found.results)
        matrix = Figure((9, 1.8 + 0.4 * len(found.results)), layout="constrained")
        draw_matrix(matrix.subplots(), found.results)
        drawn = data_uri(accuracies), data_uri(matrix)
    return (
        environment()
        .get_template("study.html.j2")
        .render(
            s=found,
            said=said,
            created=created,
            title=f"{found.model}: one model for each generator, and one for all",
            accuracies=drawn[0],
            matrix=drawn[1],
            mixed=MIXED,
        )
    )


def draw_accuracies(axes: Axes, results: Sequence[Result]) -> None:
    """Accuracy of each model on its own generator, of the mixed one on the same, and as published."""
    y = np.arange(len(results))[::-1]
    for place, r in zip(y, results, strict=True):
        whole = r.member.name == MIXED
        known = r.published
        own = (REAL, "s") if whole else (FAKE, "o")
        pieces = ((r.accuracy, *own, 0.0), (r.mixed_accuracy, REAL, "s", -0.22))
        for estimate, colour, marker, shift in pieces:
            if estimate is not None:
                axes.plot(estimate[1:], [place + shift] * 2, color=colour, linewidth=1.4)
                axes.plot(estimate.value, place + shift, color=colour, marker=marker, markersize=5)
        if known is not None:
            axes.plot(known[1], place + 0.22, color=INK, marker="D", markersize=5, fillstyle="none")
        if whole and len(results) > 1:
            axes.axhline(place + 0.5, color=QUIET, linewidth=0.8)
    axes.axvline(0.5, color=QUIET, linestyle=":", linewidth=1)
    axes.text(0.502, y[-1] - 0.55, "guessing", color=INK, fontsize=7, va="bottom") if len(y) else None
    for words, colour, marker, fill in (
        ("trained on this generator alone", FAKE, "o", "full"),
        ("the model of all generators", REAL, "s", "full"),
        ("published, ArtiFact's CNN", INK, "D", "none"),
    ):
        axes.plot([], [], color=colour, marker=marker, fillstyle=fill, linestyle="", markersize=5, label=words)
    ticks = np.arange(0, 11) / 10
    axes.set_xticks(ticks, [f"{t * 100:.0f} %" for t in ticks])
    axes.set_yticks(y, [_wrapped(r.member.name) for r in results])
    low = min([0.5, *(e.low for r in results for e in (r.accuracy, r.mixed_accuracy) if e is not None)])
    axes.set(xlim=(np.floor(low * 20) / 20 - 0.02, 1.02), ylim=(-0.6, len(results) - 0.4))
    axes.set_xlabel("test accuracy at p = 0.5, both classes weighing alike")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, fontsize=8)


def draw_matrix(axes: Axes, results: Sequence[Result]) -> None:
    """AUC of every model on every generator."""
    names = [name for r in results[:1] for name in r.aucs]
    values = np.asarray([[r.aucs[name] for name in names] for r in results]).reshape(len(results), len(names))
    axes.imshow(values, cmap="cividis", vmin=0.4, vmax=1.0, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        own = results[row].member.name == names[column]
        axes.text(
            column,
            row,
            f"{value:.2f}",
            ha="center",
            va="center",
            color="black" if value > 0.72 else "white",
            fontsize=9,
            fontweight="bold" if own else "normal",
        )
    axes.grid(False)
    axes.set_xticks(range(len(names)), [_wrapped(n, 15) for n in names], fontsize=8)
    axes.set_yticks(range(len(results)), [_wrapped(r.member.name) for r in results])
    axes.set(xlabel="AUC on the fakes of this generator against all photographs", ylabel="trained on")


def _wrapped(name: str, width: int = _LABEL) -> str:
    return textwrap.fill(plain(name), width, max_lines=3, placeholder=" …", break_on_hyphens=False)


def _cell(text: str) -> str:
    """Text in a cell of a Markdown table: no line ends, no cell ends, no markup."""
    return plain(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
