"""Samples: pictures with a split, a label, a source and the box of the face, and the table they are kept in."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.core.errors import UnmaskError
from app.core.files import whole_file
from app.core.records import Box

SPLITS = ("train", "valid", "test")
LABELS = ("real", "fake")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a picture besides what it shows.

    Attributes:
        width, height: pixels, of the picture or of the video's frames as they were given.
        format: "JPEG", "PNG" ... by the file's first bytes; a video's suffix.
        quality: the libjpeg quality, 1 to 100, whose tables come nearest to the JPEG's; None for other formats.
        bytes: the file's size; of a video, its size over its frames.
        sharpness, brightness: as in :class:`app.core.records.Quality`.
        video: name of the video that this is a frame of, else "".
        group: name of the group of near-duplicates that it belongs to, else "".
    """

    width: int
    height: int
    format: str
    quality: int | None
    bytes: int
    sharpness: float
    brightness: float
    video: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture.

    Attributes:
        box: the face, pixels; None until prepared.
        keypoints: six (x, y) pixels as in :class:`app.core.records.Detection`, or empty.
        facts: None where the table does not have them.
    """

    path: Path
    split: str
    label: str
    source: str
    box: Box | None = None
    keypoints: tuple[tuple[float, float], ...] = ()
    facts: Facts | None = None

    @property
    def target(self) -> int:
        return int(self.label == "fake")


def limited(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """At most ``limit`` pictures of each split, taken evenly over the sorted list so that all sources stay in."""
    if limit is None:
        return list(samples)
    kept: list[Sample] = []
    for split in SPLITS:
        part = [s for s in samples if s.split == split]
        step = max(1.0, len(part) / limit)
        kept += [part[int(i * step)] for i in range(min(limit, len(part)))]
    return kept


def counts(samples: Iterable[Sample]) -> dict[str, dict[str, int]]:
    """Pictures per split and label."""
    tally = Counter((s.split, s.label) for s in samples)
    return {split: {label: tally[split, label] for label in LABELS} for split in SPLITS}


_COLUMNS = (
    "path split label source x0 y0 x1 y1 keypoints "
    "width height format quality bytes sharpness brightness face_px video group"
).split()


def write_prepared(path: Path, samples: Sequence[Sample], root: Path) -> None:
    """Write samples with their boxes as CSV, paths relative to ``root``; whole or not at all."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        for s in samples:
            assert s.box is not None
            row: dict[str, object] = {"path": relative(s.path, root)}
            row |= {"split": s.split, "label": s.label, "source": s.source}
            row |= dict(zip(("x0", "y0", "x1", "y1"), s.box.xyxy, strict=True))
            row["keypoints"] = " ".join(f"{v:.2f}" for point in s.keypoints for v in point)
            if s.facts is not None:
                row |= {name: getattr(s.facts, name) for name in Facts.__dataclass_fields__}
                row["face_px"] = round(s.box.size)
            writer.writerow(row)


def read_prepared(path: Path, root: Path) -> list[Sample]:
    """The inverse of :func:`write_prepared`.

    Raises:
        UnmaskError: the table cannot be read, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                Sample(
                    _located(row["path"], root),
                    row["split"],
                    row["label"],
                    row["source"],
                    Box(*(float(row[k]) for k in ("x0", "y0", "x1", "y1"))),
                    _points(row.get("keypoints") or ""),
                    _facts(row) if row.get("width") else None,
                )
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UnmaskError(f"{path}: not a table of prepared pictures ({error!r}); prepare the data again") from None


def relative(path: Path, root: Path) -> str:
    """``path`` as seen from ``root``, with "/" and, where it lies elsewhere, "..": both can move together."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        # Resolved, because ".." leaves the folder that a link points to, not the one that holds the link.
        return Path(os.path.relpath(path.absolute(), root.resolve())).as_posix()


def _located(text: str, root: Path) -> Path:
    """The inverse of :func:`relative`."""
    return Path(os.path.normpath(root.resolve() / text)) if text.startswith("..") else root / text


def _points(text: str) -> tuple[tuple[float, float], ...]:
    values = [float(v) for v in text.split()]
    return tuple(zip(values[::2], values[1::2], strict=True))


def _facts(row: dict[str, str]) -> Facts:
    return Facts(
        width=int(row["width"]),
        height=int(row["height"]),
        format=row["format"],
        quality=int(row["quality"]) if row["quality"] else None,
        bytes=int(row["bytes"]),
        sharpness=float(row["sharpness"]),
        brightness=float(row["brightness"]),
        video=row["video"],
        group=row["group"],
    )
