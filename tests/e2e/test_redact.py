"""--redact: nobody who was not flagged can be recognised in any picture that is written."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.core.records import ImageU8
from app.pipeline import batch
from app.pipeline.batch import ScanOptions, scan
from tests.e2e.conftest import Cli
from tests.e2e.support import DEMO, fake_models, kept, lines, squares, start, streams

STRIDE = 5
"""The demo's true boxes stand at every fifth frame."""


def alike(a: ImageU8, b: ImageU8, box: Sequence[float]) -> float:
    """Correlation of what is finer than a face's outline in two pictures of one box: 1 the same, about 0 unrelated."""
    # The middle of the box: its frame is drawn on the picture.
    (bx0, by0, bx1, by1), k = box, 0.1
    x0, y0, x1, y1 = (
        round(v) for v in (bx0 + k * (bx1 - bx0), by0 + k * (by1 - by0), bx1 - k * (bx1 - bx0), by1 - k * (by1 - by0))
    )
    fine = []
    for image in (a, b):
        patch = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[max(0, y0) : y1, max(0, x0) : x1].astype(np.float32)
        fine.append((patch - cv2.GaussianBlur(patch, (0, 0), (x1 - x0) / 12)).ravel())
    return float(np.corrcoef(*fine)[0, 1])


def frames(path: Path, stride: int = 1) -> list[ImageU8]:
    capture = cv2.VideoCapture(str(path))
    kept_frames = []
    index = 0
    while (got := capture.read())[0]:
        if index % stride == 0:
            kept_frames.append(np.asarray(got[1], np.uint8))
        index += 1
    capture.release()
    return kept_frames


@pytest.fixture(scope="module")
def redacted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan of the demo clip, by the real models."""
    project = tmp_path_factory.mktemp("redacted")
    ran = start("scan", DEMO, "--redact", "--vid-stride", STRIDE, "--project", project, "--name", "n")
    assert ran.code == 0 and "redacted: faces not flagged" in ran.out
    return project / "n"


def test_the_video_shows_no_face_that_is_not_flagged(redacted: Path, demo_truth: dict[str, Any]) -> None:
    before, after = frames(DEMO, STRIDE), frames(redacted / "annotated.mp4")
    assert len(before) == len(after) == 65
    flagged = {(row["frame"] // STRIDE, row["track"]) for row in lines(redacted) if row["verdict"] == "fake"}
    assert flagged
    fps = demo_truth["fps"]
    seen = 0
    for at, *box in demo_truth["boxes"]["real"]:
        index = round(at * fps) // STRIDE
        assert alike(before[index], after[index], box) < 0.35, at
        seen += 1
    assert seen > 20
    clear = 0
    for row in lines(redacted):
        index = row["frame"] // STRIDE
        if row["verdict"] == "fake":
            clear += alike(before[index], after[index], row["box"]) > 0.8
        else:
            assert alike(before[index], after[index], row["box"]) < 0.35, row
    assert clear > 0.6 * len(flagged), "a flagged face stays recognisable"


def test_the_report_shows_the_flagged_face_only_and_says_so(redacted: Path) -> None:
    (entry,) = kept(redacted)
    assert entry["redacted"] is True
    page = (redacted / "report.html").read_text(encoding="utf-8")
    assert "It was redacted" in page and "flagged AI-GENERATED only" in page
    sections = re.split(r'<section class="face"|<h3 ', page)
    verdicts = {t["id"]: t["verdict"] for t in entry["tracks"]}
    assert {"fake", "real"} <= set(verdicts.values())
    shown = 0
    for section in sections:
        number = re.search(r"[Ff]ace (\d+)", section)
        for data in re.findall(r'class="pair">\s*<img src="data:image/jpeg;base64,([^"]+)', section):
            assert number is not None
            image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            assert is_mosaic(image) == (verdicts[int(number[1])] != "fake")
            shown += 1
    assert shown >= 2


def is_mosaic(image: ImageU8) -> bool:
    """Whether a picture is nothing but 4x4 even fields; a face that fades in differs from its own mosaic too."""
    side = image.shape[0]
    fields = cv2.resize(image.astype(np.float32), (4, 4), interpolation=cv2.INTER_AREA)
    mosaic = cv2.resize(fields, (side, side), interpolation=cv2.INTER_NEAREST)
    return bool(np.abs(image - mosaic).mean() < 1)


def test_the_video_says_what_it_contains(redacted: Path, unmask: Cli, clip: Path, tmp_path: Path) -> None:
    assert "faces not flagged AI-GENERATED are pixelated; the source's sound" in streams(redacted / "annotated.mp4")
    unmask("scan", clip, "--name", "plain")
    assert "faces can be recognised" in streams(tmp_path / "runs" / "plain" / "annotated.mp4")
    page = (tmp_path / "runs" / "plain" / "report.html").read_text(encoding="utf-8")
    assert "redacted" not in page and "pixelated" not in page and "This page contains" in page


def test_pictures(unmask: Cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    image = squares((20, 40, 80, (255, 255, 255)), (200, 40, 80, (0, 0, 255)))
    image[44:116, 24:96] -= rng.integers(0, 90, (72, 72, 1), np.uint8)
    image[44:116, 204:276] = cv2.merge(
        [np.zeros((72, 72), np.uint8)] * 2 + [255 - rng.integers(0, 90, (72, 72), np.uint8)]
    )
    cv2.imwrite(str(tmp_path / "two.png"), image)
    ran = unmask("image", tmp_path / "two.png", "--redact", "--json", "--name", "n")
    assert {t["verdict"] for t in ran.entries[0]["tracks"]} == {"real", "fake"} and ran.entries[0]["redacted"]
    (written,) = (tmp_path / "runs" / "n" / "annotated").iterdir()
    after = cv2.imread(str(written))
    assert after is not None
    for track in ran.entries[0]["tracks"]:
        same = alike(image, np.asarray(after, np.uint8), track["box"])
        assert same > 0.6 if track["verdict"] == "fake" else same < 0.3


def test_what_an_interrupted_scan_leaves_holds_no_face_that_is_not_flagged(
    two_faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch.shutil, "rmtree", lambda *_, **__: None)
    report = scan(str(two_faces), tmp_path / "n", fake_models(), ScanOptions(redact=True))
    fakes = {t.id for t in report.tracks if t.opinion.verdict == "fake"}
    with np.load(tmp_path / "n" / batch.WORK / "highlights.npz") as data:
        assert set(data["track"].tolist()) == fakes
    state = json.loads((tmp_path / "n" / batch.WORK / "state.json").read_text())
    assert state["sinks"]["video"]["held"]
