"""No real person is called AI-generated: whole clips of real people, where there are any.

``UNMASK_TEST_DATA`` names a folder with ``clips/real`` and ``clips/fake``; the clips are not part of the repository.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.models.artifact import DEFAULT_MODEL, load_ensemble, read_consensus
from app.pipeline.batch import Models, ScanOptions, scan
from app.vision.detector import MediaPipeDetector
from tests.e2e.support import checked

DATA = os.environ.get("UNMASK_TEST_DATA")
REAL = sorted(p for p in Path(DATA, "clips", "real").glob("*") if p.suffix in (".mp4", ".mkv")) if DATA else []
STRIDE = 5
"""A fifth of the frames gives as many scores a second as a scan of all of them, in a third of the time."""


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    ensemble = load_ensemble(read_consensus([DEFAULT_MODEL]), "cpu")
    with Models(MediaPipeDetector(), ensemble) as loaded:
        yield loaded


@pytest.mark.skipif(not DATA, reason="UNMASK_TEST_DATA names no folder with clips of real people")
def test_there_are_clips() -> None:
    assert REAL, f"UNMASK_TEST_DATA: {DATA} has no clips/real/*.mp4 or *.mkv"


@pytest.mark.parametrize("clip", REAL, ids=lambda path: path.name)
def test_a_real_person_is_not_called_generated(clip: Path, models: Models, tmp_path: Path) -> None:
    report = scan(str(clip), tmp_path, models, ScanOptions(vid_stride=STRIDE, save=False))
    (entry,) = checked([report.summary()])
    assert entry["frames"] > 0 and not entry["partial"]
    assert entry["verdict"] != "fake", [(t["id"], t["reason"]) for t in entry["tracks"] if t["verdict"] == "fake"]
