"""Scoring by a track's state against scoring every face on every frame: what it saves, and whether verdicts change."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from app.pipeline.batch import Models, ScanOptions, scan
from app.vision.analyzer import AnalyzerOptions
from tests.bench.results import Row, row

EVERY_FRAME = AnalyzerOptions(score_interval_s=0.0)


def measure(models: Models, clips: Sequence[Path]) -> list[Row]:
    """A row for each clip: scores by state, as a ratio to those of every frame; both verdicts in the note."""
    rows: list[Row] = []
    for clip in clips:
        (count, verdicts), (most, all_verdicts) = (_scan(models, clip, o) for o in (AnalyzerOptions(), EVERY_FRAME))
        note = f"verdicts alike: {verdicts}" if verdicts == all_verdicts else f"{verdicts}; else {all_verdicts}"
        rows.append(row("schedule", f"{clip.name}: scores", [count], "scores", most, "every face on every frame", note))
    return rows


def _scan(models: Models, clip: Path, options: AnalyzerOptions) -> tuple[int, str]:
    """The number of scores, and the verdicts: of the whole, then of its faces."""
    with tempfile.TemporaryDirectory() as folder:
        report = scan(str(clip), Path(folder), models, ScanOptions(analyzer=options, save=False))
    faces = " ".join(track.opinion.verdict.value for track in report.tracks)
    return sum(track.scored for track in report.tracks), f"{report.opinion.verdict.value} ({faces})"
