"""Prepared data: every picture with the box that the app's own detector finds. The one door to the detector."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
from rich.progress import track

from app.core.crops import crop_face
from app.core.errors import UnmaskError
from app.vision.detector import SHA256, MediaPipeDetector
from app.vision.sources import FileSource
from train.datasets import SPLITS, Sample, read_prepared, relative, write_prepared
from train.duplicates import LEAST_CORRELATION, Pair, find_pairs, grouped, moved, side_by_side, write_pairs
from train.examine import Tools, examine
from train.facts import CROP_SCALE, CROP_SIZE, Hash
from train.layouts import VIDEO_SUFFIXES, read_layout
from train.pipeline import read_picture
from train.statistics import statistics, write_statistics

TABLE = "prepared.csv"
TOOLS = Tools(MediaPipeDetector, FileSource, identity=" ".join(sorted(SHA256.values())))

T = TypeVar("T")


def prepared_samples(data: Path, run: Path, splits: Sequence[str] = SPLITS) -> list[Sample]:
    """Samples of ``data`` with their boxes: from the table in ``run`` where it exists, else found and kept there.

    Args:
        data: a folder that ``train prepare`` wrote, or pictures in any layout that it reads.
        splits: only these are looked at where they have to be found.

    Pictures that are unreadable or show no face are listed in ``run/left_out.txt`` and told.

    Raises:
        UnmaskError: the data cannot be used.
    """
    # A table of some splits has a name of its own: it must never pass for the whole.
    table = run / (TABLE if set(splits) == set(SPLITS) else f"prepared-{'-'.join(splits)}.csv")
    if table.is_file():
        return read_prepared(table, data)
    ready = (data / TABLE).is_file()
    samples = [s for s in (read_prepared(data / TABLE, data) if ready else read_layout(data)) if s.split in splits]
    if not samples:
        raise UnmaskError(f"{data}: no pictures in the split {' or '.join(splits)}; check the folder")
    if not ready:
        if any(s.path.suffix.lower() in VIDEO_SUFFIXES for s in samples):
            raise UnmaskError(
                f"{data}: videos have to be prepared first: python -m train prepare --data {data} --to DIR"
            )
        samples = _with_faces(samples, run, data, TOOLS)[0]
    write_prepared(table, samples, data)
    return samples


def faces_in(pictures: Sequence[Path], folder: Path) -> tuple[list[Sample], dict[Path, str]]:
    """The largest face of each picture of which no truth is known.

    Args:
        folder: exists; what was seen is remembered there.

    Returns:
        Samples with their boxes, without split, label and source; and why the other pictures have none, in words.
    """
    found, _, left_out = examine([Sample(p, "", "", "") for p in pictures], folder, TOOLS, _progress("finding faces"))
    return found, {s.path: why for s, why in left_out}


def prepare(
    samples: Sequence[Sample],
    folder: Path,
    *,
    tools: Tools = TOOLS,
    move_duplicates: bool = False,
    least_correlation: float = LEAST_CORRELATION,
    crops: bool = False,
) -> dict[str, Any]:
    """Find faces and near-duplicates, measure, and write everything to ``folder``.

    Left there: ``prepared.csv`` (last, so that where it lies the rest is complete), ``left_out.txt``,
    ``duplicates.csv``, ``statistics.json``, ``report.md``, ``examined.jsonl``, ``frames/`` of videos and, with
    ``crops``, pictures to look at in ``crops/``. A second call looks at new and changed files only.

    Args:
        move_duplicates: put each group of near-duplicates into one split.
        least_correlation: of the details of two near-duplicates, (0, 1].

    Returns:
        What ``statistics.json`` holds.

    Raises:
        UnmaskError: no face was found, or ``folder`` holds the pictures themselves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    home = folder.resolve()
    inside = next((s.path for s in samples if home in s.path.resolve().parents), None)
    if inside is not None:
        raise UnmaskError(f"{inside}: lies in the folder that is written to; choose a --to outside of the pictures")
    found, hashes, left_out = _with_faces(samples, folder, folder, tools)
    pairs = find_pairs(found, hashes, _progress("comparing"), least_correlation, tools.workers)
    found = grouped(found, pairs)
    changed = 0
    if move_duplicates:
        found, changed = moved(found)
    table = statistics(found, left_out, pairs, changed)
    write_pairs(folder / "duplicates.csv", found, pairs, folder)
    if crops:
        _write_crops(folder / "crops", found, pairs)
    write_statistics(folder, table)
    write_prepared(folder / TABLE, found, folder)
    return table


def _with_faces(
    samples: Sequence[Sample], folder: Path, root: Path, tools: Tools
) -> tuple[list[Sample], Hash, list[tuple[Sample, str]]]:
    """What :func:`train.examine.examine` returns; what is left out is listed, paths relative to ``root``, and told."""
    found, hashes, left_out = examine(samples, folder, tools, _progress("finding faces"))
    lines = sorted(f"{relative(s.path, root)}: {why}\n" for s, why in left_out)
    (folder / "left_out.txt").write_text("".join(lines), encoding="utf-8")
    if not found:
        raise UnmaskError(f"no face was found in any of {len(samples)} files; see {folder / 'left_out.txt'} for why")
    if left_out:
        print(f"{len(left_out)} of {len(samples)} files left out, listed in {folder / 'left_out.txt'}")
    return found, hashes, left_out


def _write_crops(folder: Path, samples: Sequence[Sample], pairs: Sequence[Pair]) -> None:
    """The app's crops by split and label, and near-duplicates side by side, those across splits by themselves."""
    shutil.rmtree(folder, ignore_errors=True)
    for i, sample in enumerate(track(samples, description="writing crops")):
        assert sample.box is not None
        crop = crop_face(read_picture(sample), sample.box, CROP_SIZE, CROP_SCALE)
        _save(folder / sample.split / sample.label / f"{i:06d}-{sample.path.stem}.jpg", crop[..., ::-1])
    for pair in pairs:
        across = samples[pair.first].split != samples[pair.second].split
        where = folder / "duplicates" / ("across" if across else "within")
        name = f"{pair.correlation:.3f}-{pair.first:06d}-{pair.second:06d}.jpg"
        _save(where / name, side_by_side(samples, pair))


def _save(path: Path, image: cv2.typing.MatLike) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())


def _progress(description: str) -> Callable[[Iterable[T], int], Iterable[T]]:
    return lambda items, total: track(items, description=description, total=total)
