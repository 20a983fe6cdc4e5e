"""What is kept in memory stays small however long or crowded a video is."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from app.pipeline import highlights as module
from app.pipeline.batch import ScanOptions, read_timelines, scan
from app.pipeline.highlights import MAX_TRACKS, Highlights, save_highlights
from app.vision.analyzer import ScoredFace
from app.vision.sources import SyntheticSource
from tests.e2e.support import fake_models


def face(track: int, time_s: float, logit: float) -> ScoredFace:
    return ScoredFace(track, time_s, logit, np.zeros((8, 8, 3), np.uint8), np.zeros((2, 2), np.float32))


def test_a_crowd_of_short_tracks(tmp_path: Path) -> None:
    kept = Highlights()
    for track in range(1, 1000):
        kept.offer(face(track, track / 10, track % 7 - 3.0))
    snapshot = kept.snapshot()
    assert {h.track for _, h in snapshot} == set(range(1, MAX_TRACKS + 1))
    assert kept.telling(MAX_TRACKS + 1, toward_fake=True) == ()
    save_highlights(tmp_path / "h.npz", snapshot)
    again = Highlights()
    again.load(tmp_path / "h.npz")
    again.offer(face(5000, 1.0, 8.0))
    assert {h.track for _, h in again.snapshot()} == set(range(1, MAX_TRACKS + 1))


def test_a_long_track_keeps_its_best_moments_apart() -> None:
    kept = Highlights(per_side=3, apart_s=1.0)
    logits = np.random.default_rng(5).normal(size=3000)
    for number, logit in enumerate(logits):
        kept.offer(face(1, number * 0.05, float(logit)))
    for toward_fake in (True, False):
        moments = kept.telling(1, toward_fake=toward_fake)
        times = sorted(h.time_s for h in moments)
        assert len(moments) == 3 and all(b - a >= 1.0 for a, b in itertools.pairwise(times)), times
        assert moments[0].logit == (max if toward_fake else min)(logits)


def test_a_scan_with_more_faces_than_a_report_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TRACKS", 3)
    monkeypatch.setattr("app.pipeline.batch.open_source", lambda address: Blinking(120))
    report = scan("synthetic", tmp_path, fake_models(min_scores=1), ScanOptions(save=False))
    assert len(report.tracks) == 6
    assert {h.track for h in report.highlights} == {1, 2, 3}


class Blinking(SyntheticSource):
    """One frame in twenty has a face; too rare for the tracker to take it for the same one."""

    def read(self):  # type: ignore[no-untyped-def]
        frame = super().read()
        if frame is not None:
            image = np.full_like(frame.image, 48)
            if frame.index % 20 == 0:
                image[40:100, 40:100] = 255
            frame = type(frame)(frame.index, frame.index / 10, image)
        return frame


def test_timelines_are_thinned_evenly(tmp_path: Path) -> None:
    path = tmp_path / "faces.jsonl"
    with path.open("w") as file:
        for number in range(10_000):
            row = {"track": 1 + (number % 10 == 0), "time_s": number / 25, "p_fake": None if number < 50 else 0.5}
            file.write(json.dumps(row) + "\n")
    timelines = read_timelines(path, most_points=100)
    assert set(timelines) == {1, 2}
    for points in timelines.values():
        times = [p.time_s for p in points]
        steps = np.diff(times)
        assert 50 <= len(points) <= 100
        assert times[0] < 2.5 and times[-1] > 390
        assert steps.min() > 0 and steps.max() < 1.5 * steps.mean()
