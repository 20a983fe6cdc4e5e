"""What a prepared set consists of: tables by class, source and split as JSON and Markdown, and warnings in words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.core.files import write_whole
from train.datasets import LABELS, SPLITS, Sample, counts
from train.duplicates import Pair
from train.shortcuts import (
    WARN_AUC,
    WARN_SOURCE_AUC,
    find_shortcuts,
    one_sided_sources,
    shortcut_warnings,
)

_QUANTILES = (10, 50, 90)
_MEASURES = ("face_px", "quality", "bytes_per_pixel", "sharpness", "brightness")


def statistics(
    samples: Sequence[Sample], left_out: Sequence[tuple[Sample, str]], pairs: Sequence[Pair], moved: int = 0
) -> dict[str, Any]:
    """Everything that ``statistics.json`` holds, ``warnings`` among it.

    Args:
        samples: with facts, in the splits that they end up in.
        moved: how many pictures were put into another split.
    """
    overall, single = find_shortcuts(samples)
    across = [p for p in pairs if samples[p.first].split != samples[p.second].split]
    disputed = [p for p in pairs if samples[p.first].label != samples[p.second].label]
    table: dict[str, Any] = {
        "pictures": len(samples),
        "left_out": dict(Counter(why for _, why in left_out).most_common()),
        "counts": counts(samples),
        "classes": {label: _described(s for s in samples if s.label == label) for label in LABELS},
        "splits": {split: _described(s for s in samples if s.split == split) for split in SPLITS},
        "sources": [
            {
                "source": source,
                "label": label,
                "left_out": sum((s.source, s.label) == (source, label) for s, _ in left_out),
                **_described(s for s in samples if (s.source, s.label) == (source, label)),
            }
            for label, source in sorted(
                {(s.label, s.source) for s in (*samples, *(s for s, _ in left_out))}, reverse=True
            )
        ],
        "duplicates": {
            "groups": len({s.facts.group for s in samples if s.facts is not None and s.facts.group}),
            "pairs": len(pairs),
            "across_splits": len(across),
            "across_labels": len(disputed),
            "moved": moved,
        },
        "one_sided_sources": one_sided_sources(samples),
        "shortcuts": {s.feature: s.auc for s in overall},
        "shortcuts_of_sources": [{"source": s.source, "feature": s.feature, "auc": s.auc} for s in single],
    }
    table["warnings"] = [*_warnings(table), *shortcut_warnings(overall)]
    return table


def write_statistics(folder: Path, table: dict[str, Any]) -> None:
    """Write ``statistics.json`` and ``report.md``, each whole or not at all."""
    for name, text in (
        ("statistics.json", json.dumps(table, indent=2, ensure_ascii=False) + "\n"),
        ("report.md", as_markdown(table)),
    ):
        write_whole(folder / name, text)


def as_markdown(table: dict[str, Any]) -> str:
    """The report for people."""
    reasons = ", ".join(f"{why} {n}" for why, n in table["left_out"].items())
    twins = table["duplicates"]
    parts = [
        "# The prepared pictures",
        f"{table['pictures']} faces; left out: {sum(table['left_out'].values())}{f' ({reasons})' if reasons else ''}.",
        "## Warnings",
        "\n".join(f"- {text}." for text in table["warnings"]) or "None.",
        "## Counts",
        _grid(["split", *LABELS], ([split, *row.values()] for split, row in table["counts"].items())),
        "## Near-duplicates",
        f"{twins['pairs']} pairs in {twins['groups']} groups; {twins['across_splits']} across splits, "
        f"{twins['across_labels']} with both labels; {twins['moved']} pictures were moved to another split. "
        "All pairs are in duplicates.csv.",
        "## Shortcuts",
        "AUC of telling the label from one feature alone (0.5 tells nothing; a shallow tree, cross-validated). "
        f"From {WARN_AUC} on there is a warning.",
        _grid(["feature", "AUC"], ([name, f"{auc:.2f}"] for name, auc in table["shortcuts"].items())),
        f"Sources that one feature tells from all of the other class with an AUC of {WARN_SOURCE_AUC} or more:",
        _grid(
            ["source", "feature", "AUC"],
            ([s["source"], s["feature"], f"{s['auc']:.2f}"] for s in table["shortcuts_of_sources"]),
        )
        if table["shortcuts_of_sources"]
        else "None.",
        "## Classes, splits and sources",
        "The three numbers are the 10th, 50th and 90th percentile; face: shorter side of its box, px; size: the most "
        "frequent one.",
    ]
    heads = ["left out", "size", "formats", "face", "JPEG quality", "bytes/pixel", "sharpness", "brightness"]
    parts.append(
        _grid(
            ["", "pictures", *heads],
            (
                [name, row["pictures"], "", *_cells(row)]
                for name, row in (*table["classes"].items(), *table["splits"].items())
            ),
        )
    )
    parts.append(
        _grid(
            ["source", "label", *SPLITS, *heads],
            (
                [row["source"], row["label"], *row["by_split"].values(), row["left_out"], *_cells(row)]
                for row in table["sources"]
            ),
        )
    )
    return "\n\n".join(parts) + "\n"


def _described(chosen: Iterable[Sample]) -> dict[str, Any]:
    samples = list(chosen)
    facts = [s.facts for s in samples if s.facts is not None]
    sizes = Counter(f"{f.width}x{f.height}" for f in facts)
    numbers: dict[str, list[float]] = {
        "face_px": [s.box.size for s in samples if s.box is not None],
        "quality": [f.quality for f in facts if f.quality is not None],
        "bytes_per_pixel": [f.bytes / (f.width * f.height) for f in facts],
        "sharpness": [f.sharpness for f in facts],
        "brightness": [f.brightness for f in facts],
    }
    return {
        "pictures": len(samples),
        "videos": len({f.video for f in facts if f.video}),
        "by_split": {split: sum(s.split == split for s in samples) for split in SPLITS},
        "size": sizes.most_common(1)[0][0] if sizes else "",
        "sizes": len(sizes),
        "formats": dict(Counter(f.format for f in facts).most_common()),
        **{
            name: [round(float(v), 2) for v in np.percentile(values, _QUANTILES)] if values else []
            for name, values in numbers.items()
        },
    }


def _warnings(table: dict[str, Any]) -> list[str]:
    found = [
        f"split {split} has no {label} picture: check the folder, or give --shares"
        for split, row in table["counts"].items()
        for label, n in row.items()
        if n == 0
    ]
    twins = table["duplicates"]
    if twins["across_splits"]:
        found.append(
            f"{twins['across_splits']} pairs of near-duplicates lie across splits, which makes results look better "
            "than they are: look at duplicates.csv, or put each group into one split with --move-duplicates"
        )
    if twins["across_labels"]:
        found.append(
            f"{twins['across_labels']} pairs of near-duplicates are labelled both real and fake: look at "
            "duplicates.csv; a wrong label teaches the wrong thing, an edited photograph is worth keeping in one split"
        )
    lossy = [
        f"{row['source']} ({row['left_out']} of {row['left_out'] + row['pictures']})"
        for row in table["sources"]
        if row["left_out"] > max(5, 0.1 * (row["left_out"] + row["pictures"]))
    ]
    if lossy:
        found.append(f"more than a tenth of {', '.join(lossy)} is left out: see left_out.txt")
    sided = table["one_sided_sources"]
    total = len({row["source"] for row in table["sources"] if row["pictures"]})
    one = len(sided["real"]) + len(sided["fake"])
    if one:
        found.append(
            f"{one} of {total} sources have pictures of one class only (normal for generators), so knowing the source "
            "is knowing the label: believe only results on sources that were left out of training, and add "
            "photographs from many sources"
        )
    single = {s["source"]: s["feature"] for s in reversed(table["shortcuts_of_sources"])}
    if single:
        names = ", ".join(f"{source} by {feature}" for source, feature in single.items())
        found.append(f"{len(single)} sources are told from the other class by one feature alone: {names}")
    return found


def _cells(row: dict[str, Any]) -> list[str]:
    size = f"{row['size']} ({row['sizes']} sizes)" if row["sizes"] > 1 else row["size"]
    formats = ", ".join(f"{name} {n}" for name, n in row["formats"].items())
    return [size, formats, *(" / ".join(f"{v:g}" for v in row[name]) for name in _MEASURES)]


def _grid(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [list(head), ["---"] * len(head), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
