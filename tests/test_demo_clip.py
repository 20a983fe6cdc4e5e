"""The demo clip is what its ground truth says; made by tests/tools/make_demo_clip.py."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import pytest

ASSETS = Path(__file__).resolve().parents[1] / "app" / "assets"
CLIP = ASSETS / "demo.mp4"


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ASSETS / "demo.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def header() -> dict[str, Any]:
    reader = imageio_ffmpeg.read_frames(CLIP)
    meta: dict[str, Any] = next(reader)
    reader.close()
    return meta


def test_clip_is_at_most_one_megabyte() -> None:
    assert CLIP.stat().st_size <= 1_000_000


def test_clip_is_h264_with_sound(header: dict[str, Any]) -> None:
    assert header["codec"] == "h264"
    assert header["pix_fmt"].startswith("yuv420p")
    assert header["audio_codec"] == "aac"
    assert header["size"] == (1280, 720)
    assert header["fps"] == 25
    assert 10 <= header["duration"] <= 15


def test_clip_can_start_before_it_is_wholly_read() -> None:
    content = CLIP.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_frames_match_the_ground_truth(truth: dict[str, Any]) -> None:
    capture = cv2.VideoCapture(str(CLIP))
    frames = 0
    while capture.grab():
        frames += 1
    capture.release()
    assert frames == truth["frames"] == round(truth["duration_s"] * truth["fps"])


def test_spans_cover_the_clip_and_every_case(truth: dict[str, Any]) -> None:
    spans = truth["spans"]
    assert spans[0]["start"] == 0
    assert spans[-1]["end"] == truth["duration_s"]
    assert all(before["end"] == after["start"] for before, after in pairwise(spans))
    shown = {tuple(span["faces"]) for span in spans if span["steady"]}
    assert shown == {("real",), ("fake",), ("fake", "real"), ()}


@pytest.mark.parametrize("face", ["real", "fake"])
def test_boxes_are_given_exactly_while_a_face_is_on_screen(truth: dict[str, Any], face: str) -> None:
    rows = truth["boxes"][face]
    width, height = truth["size"]
    assert all(0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height for _, x0, y0, x1, y1 in rows)
    times = {row[0] for row in rows}
    for index in range(0, truth["frames"], truth["fps"] // 5):
        time = index / truth["fps"]
        span = next(s for s in truth["spans"] if s["start"] <= time + 1e-6 < s["end"])
        if face not in span["faces"]:
            assert time not in times
        elif span["steady"]:
            assert time in times
