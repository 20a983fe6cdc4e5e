"""Pictures on disk -> samples with a split, a label, a source and the box of the face."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from app.core.errors import UnmaskError
from app.core.records import Box, Detection, ImageU8

SPLITS = ("train", "valid", "test")
LABELS = ("real", "fake")
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture; ``box`` is the face, pixels xyxy, None until prepared."""

    path: Path
    split: str
    label: str
    source: str
    box: Box | None = None

    @property
    def target(self) -> int:
        return int(self.label == "fake")


def read_140k_layout(root: Path) -> list[Sample]:
    """Samples of the layout of the "140k Real and Fake Faces" set: ``real_vs_fake/{train,valid,test}/{real,fake}/``.

    Where ``root`` has a ``manifest.csv`` with columns ``path`` and ``generator``, it names each picture's source;
    else the source is the label.

    Raises:
        UnmaskError: there is no such folder, or it has no pictures.
    """
    base = next((p for p in (root / "real_vs_fake", root / "real-vs-fake", root) if (p / "train").is_dir()), None)
    if base is None:
        raise UnmaskError(f"{root}: no real_vs_fake/train folder here; give the folder that holds the 140k layout")
    sources: dict[str, str] = {}
    if (root / "manifest.csv").is_file():
        with (root / "manifest.csv").open(newline="", encoding="utf-8") as file:
            sources = {row["path"]: row["generator"] for row in csv.DictReader(file)}
    samples = [
        Sample(path, split, label, sources.get(path.relative_to(root).as_posix(), label))
        for split in SPLITS
        for label in LABELS
        for path in sorted((base / split / label).glob("*"))
        if path.suffix.lower() in PICTURE_SUFFIXES
    ]
    if not samples:
        raise UnmaskError(f"{base}: no pictures under train/, valid/ or test/; check the folder")
    return samples


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


def locate_faces(
    samples: Iterable[Sample],
    detect: Callable[[ImageU8], list[Detection]],
    on_step: Callable[[], None] = lambda: None,
) -> tuple[list[Sample], list[tuple[Path, str]]]:
    """Give each sample the box of its largest face.

    Returns:
        The samples with a box, and the pictures left out with the reason in words.
    """
    found: list[Sample] = []
    left_out: list[tuple[Path, str]] = []
    for sample in samples:
        image = cv2.imread(str(sample.path), cv2.IMREAD_COLOR)
        detections = detect(image) if image is not None else []  # type: ignore[arg-type]
        if image is None:
            left_out.append((sample.path, "unreadable"))
        elif not detections:
            left_out.append((sample.path, "no face found"))
        else:
            found.append(Sample(sample.path, sample.split, sample.label, sample.source, detections[0].box))
        on_step()
    return found, left_out


def write_prepared(path: Path, samples: Sequence[Sample], root: Path) -> None:
    """Write samples with their boxes as CSV, paths relative to ``root``."""
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "split", "label", "source", "x0", "y0", "x1", "y1"])
        for s in samples:
            assert s.box is not None
            writer.writerow([s.path.relative_to(root).as_posix(), s.split, s.label, s.source, *s.box.xyxy])
    partial.replace(path)


def read_prepared(path: Path, root: Path) -> list[Sample]:
    """The inverse of :func:`write_prepared`."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Sample(
                root / row["path"],
                row["split"],
                row["label"],
                row["source"],
                Box(*(float(row[k]) for k in ("x0", "y0", "x1", "y1"))),
            )
            for row in csv.DictReader(file)
        ]


def counts(samples: Iterable[Sample]) -> dict[str, dict[str, int]]:
    """Pictures per split and label."""
    tally = Counter((s.split, s.label) for s in samples)
    return {split: {label: tally[split, label] for label in LABELS} for split in SPLITS}
