"""Prepared data: every picture with the box that the app's own detector finds. The one door to the detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.progress import track

from app.core.errors import UnmaskError
from app.vision.detector import MediaPipeDetector
from train.datasets import SPLITS, Sample, locate_faces, read_140k_layout, read_prepared, write_prepared


def _advance(steps: Iterator[int]) -> None:
    next(steps, None)


def prepared_samples(data: Path, run: Path, splits: Sequence[str] = SPLITS) -> list[Sample]:
    """Samples of ``data`` with their boxes: from the table in ``run`` where it exists, else found and kept there.

    Only ``splits`` are looked at where they have to be found.

    Pictures that are unreadable or show no face are listed in ``run/left_out.txt`` and told.
    """
    # A table of some splits has a name of its own: it must never pass for the whole.
    table = run / ("prepared.csv" if set(splits) == set(SPLITS) else f"prepared-{'-'.join(splits)}.csv")
    if table.is_file():
        return read_prepared(table, data)
    samples = [s for s in read_140k_layout(data) if s.split in splits]
    if not samples:
        raise UnmaskError(f"{data}: no pictures in the split {' or '.join(splits)}; check the folder")
    with MediaPipeDetector() as detector:
        steps = iter(track(range(len(samples)), description="finding faces"))
        found, left_out = locate_faces(samples, detector.detect, lambda: _advance(steps))
        list(steps)
    if not found:
        raise UnmaskError(f"{data}: no face was found in any of {len(samples)} pictures; check the folder")
    (run / "left_out.txt").write_text(
        "".join(f"{path.relative_to(data)}: {reason}\n" for path, reason in left_out), encoding="utf-8"
    )
    if left_out:
        print(f"{len(left_out)} of {len(samples)} pictures left out, listed in {run / 'left_out.txt'}")
    write_prepared(table, found, data)
    return found
