"""An error on any of the three threads ends the scan with that very error, and nothing is left running."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.core.records import Frame, ImageU8
from app.pipeline import batch, sinks
from app.pipeline.batch import Models, ScanOptions, scan
from app.vision.sources import SyntheticSource
from tests.e2e.support import children, fake_models

FRAMES = 400


class Broken(RuntimeError):
    pass


class Source(SyntheticSource):
    """Fails at a frame where asked to; knows whether it was closed."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__(FRAMES)
        self.fails_at = fails_at
        self.closed = False

    def read(self) -> Frame | None:
        if self._index == self.fails_at:
            raise Broken("reader")
        return super().read()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Scan a source that fails somewhere: it must end with ``Broken``, soon, and leave nothing running."""

    def go(source: Source, models: Models | None = None) -> None:
        monkeypatch.setattr(batch, "open_source", lambda address: source)
        before, started = set(threading.enumerate()), time.monotonic()
        with pytest.raises(Broken):
            scan("synthetic", tmp_path / "n", models or fake_models(), ScanOptions())
        assert time.monotonic() - started < 30
        assert set(threading.enumerate()) == before
        assert not [name for name in children() if "ffmpeg" in name]
        assert source.closed

    return go


@pytest.mark.parametrize("at", [0, 1, 200])
def test_the_reader_fails(run: Callable[..., None], at: int) -> None:
    run(Source(fails_at=at))


@pytest.mark.parametrize("at", [1, 20])
def test_the_classifier_fails(run: Callable[..., None], at: int) -> None:
    calls = 0

    def logit(crop: ImageU8) -> float:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Broken("classifier")
        return 0.0

    run(Source(), fake_models(logit))
    assert calls == at


@pytest.mark.parametrize("at", [0, 50])
@pytest.mark.parametrize("sink", [sinks.JsonlSink, sinks.VideoSink])
def test_the_writer_fails(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch, sink: type[sinks.JsonlSink], at: int
) -> None:
    take = sink.take

    def failing(self: sinks.JsonlSink, frame: Frame, result: object) -> None:
        if frame.index == at:
            raise Broken("writer")
        take(self, frame, result)  # type: ignore[arg-type]

    monkeypatch.setattr(sink, "take", failing)
    run(Source())


def test_the_checkpoint_fails(run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise Broken("checkpoint")

    monkeypatch.setattr(batch, "save_highlights", failing)
    run(Source())


def test_the_listener_to_the_progress_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    monkeypatch.setattr(batch, "open_source", lambda address: source)

    def failing(done: int, total: int | None) -> None:
        assert total == FRAMES
        raise Broken("progress")

    with pytest.raises(Broken):
        scan("synthetic", tmp_path, fake_models(), ScanOptions(), on_progress=failing)
    assert source.closed


@pytest.mark.skipif(sys.platform == "win32", reason="needs a script for ffmpeg")
@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo out of luck >&2; exit 1", "out of luck"),
        ("head -c 3000000 >/dev/null; echo No space left on device >&2; exit 1", "no space left"),
        ("cat >/dev/null; exit 9", "ffmpeg stopped"),
    ],
    ids=["at once", "in the middle", "at the end"],
)
def test_ffmpeg_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str) -> None:
    fake = tmp_path / "ffmpeg.sh"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("UNMASK_FFMPEG", str(fake))
    source = Source()
    monkeypatch.setattr(batch, "open_source", lambda address: source)
    with pytest.raises(UnmaskError, match=says) as failed:
        scan("synthetic", tmp_path / "n", fake_models(), ScanOptions())
    assert "--no-save" in str(failed.value) and source.closed
    assert not [name for name in children() if "ffmpeg" in name]


def test_a_broken_score_is_an_error_not_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "open_source", lambda address: Source())
    with pytest.raises(ValueError, match="no score"):
        scan("synthetic", tmp_path, fake_models(lambda crop: float(np.nan)), ScanOptions(save=False))
