"""The results of a run: JSON for programs, Markdown and a plot for people. No path and no name of a machine goes in."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

LIBRARIES = (
    "tensorflow",
    "keras",
    "openvino",
    "nncf",
    "onnxruntime",
    "mediapipe",
    "opencv-contrib-python",
    "numpy",
    "PySide6",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        part: what it belongs to: "runtimes", "stages"...
        label: what was measured.
        value, unit: the median, and of what.
        low, high: the least and the greatest of the repeats.
        ratio: to the figure ``of``, measured in the same run: what may be compared between machines.
        note: what else was found, such as an AUC.
    """

    part: str
    label: str
    value: float
    unit: str
    low: float
    high: float
    ratio: float | None = None
    of: str = ""
    note: str = ""


def row(
    part: str, label: str, values: Sequence[float], unit: str, base: float | None = None, of: str = "", note: str = ""
) -> Row:
    """The row of some repeats; ``base`` is what its ratio is to."""
    middle = statistics.median(values)
    ratio = middle / base if base else None
    found = Row(part, label, middle, unit, min(values), max(values), ratio, of, note)
    print(_line(found), flush=True)
    return found


def _line(r: Row) -> str:
    ratio = "" if r.ratio is None else f"{r.ratio:8.2f} x {r.of}"
    return f"{r.part:<10} {r.label:<52} {r.value:10.3f} {r.unit:<10} {r.low:.3f}-{r.high:.3f} {ratio} {r.note}"


def machine() -> dict[str, str]:
    """What the figures depend on."""
    facts = {"date": str(datetime.now(UTC).date()), "processor": processor(), "cores": str(os.cpu_count())}
    facts |= {"system": platform.system(), "Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            facts[name] = "none"
    return facts


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def write(folder: Path, rows: Sequence[Row], settings: str) -> None:
    """Leave ``bench.json``, ``bench.md`` and ``bench.png`` in ``folder``, each whole or not at all.

    Parts that were not measured this time stay as they are there, if machine and versions are the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts, path = machine(), folder / "bench.json"
    day = facts.pop("date")
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    measured = dict.fromkeys((r.part for r in rows), f"{day}: {settings}")
    if earlier.get("machine") == facts:
        kept = [Row(**found) for found in earlier["rows"] if found["part"] not in measured]
        rows, measured = [*kept, *rows], {r.part: earlier["settings"][r.part] for r in kept} | measured
    document = {"machine": facts, "settings": measured, "rows": [asdict(r) for r in rows]}
    _replace(path, json.dumps(document, indent=2) + "\n")
    _replace(folder / "bench.md", _markdown(rows, facts, measured))
    _plot(folder / "bench.png", rows)


def _replace(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _markdown(rows: Sequence[Row], facts: dict[str, str], settings: dict[str, str]) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench`; do not edit. Compare the ratios: seconds are of one machine.",
        "",
    ]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    for part in dict.fromkeys(r.part for r in rows):
        lines += ["", f"## {part}", "", f"{settings[part]}.", ""]
        lines += ["| | median | least to most | ratio | |", "|---|---:|---:|---:|---|"]
        for r in rows:
            if r.part == part:
                ratio = "" if r.ratio is None else f"{r.ratio:.2f} x {r.of}"
                spread = f"{_short(r.low)} to {_short(r.high)}"
                lines.append(f"| {r.label} | {_short(r.value)} {r.unit} | {spread} | {ratio} | {r.note} |")
    return "\n".join([*lines, "", "![The ratios](bench.png)", ""])


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _plot(path: Path, rows: Sequence[Row]) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    shown = [r for r in rows if r.ratio is not None]
    parts = list(dict.fromkeys(r.part for r in shown))
    if not parts:
        return
    counts = [sum(r.part == part for r in shown) for part in parts]
    figure, axes = plt.subplots(
        len(parts), 1, squeeze=False, height_ratios=counts, figsize=(9, 1.2 * len(parts) + 0.28 * sum(counts))
    )
    for axis, part in zip(axes[:, 0], parts, strict=True):
        these = [r for r in shown if r.part == part][::-1]
        axis.barh([r.label for r in these], [r.ratio or 0 for r in these], color="#3b6ea5")
        axis.axvline(1, color="#999999", linewidth=1)
        axis.set_title(f"{part}: ratio to {' or '.join(dict.fromkeys(r.of for r in these[::-1]))}", fontsize=9)
        axis.tick_params(labelsize=7)
        axis.margins(y=0.01)
    figure.tight_layout()
    partial = path.with_suffix(".partial.png")
    figure.savefig(partial, dpi=110)
    plt.close(figure)
    partial.replace(path)
