"""Sources that lie, tear their frames, change them, run backwards, break off or fall silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.core.cards import ModelCard
from app.core.errors import UnmaskError
from app.core.records import Frame
from app.pipeline import batch
from app.pipeline.batch import ScanOptions, scan
from app.pipeline.live import EventKind
from app.vision import media
from app.vision.sources import FileSource, SyntheticSource, UrlSource, may_wait
from tests.e2e.conftest import Cli
from tests.e2e.support import DEMO, fake_models, ffmpeg, frame_count, lines, movie, squares, streams
from tests.engine.support import Camera, Watched, models_of, until
from tests.mirror_server import Server
from tests.stream_server import StreamServer


@pytest.fixture
def changing(tmp_path: Path) -> Path:
    """Half a second each of 320x240, 640x240 and 160x240, a face in the middle of each, in one stream."""
    path = tmp_path / "changing.ts"
    parts = b""
    for number, (width, height) in enumerate(((320, 240), (640, 240), (160, 240))):
        picture, part = tmp_path / "p.png", tmp_path / "part.ts"
        face = (width // 2 - 40, height // 2 - 40, 80, (255, 255, 255))
        cv2.imwrite(str(picture), squares(face, size=(width, height)))
        start = ("-output_ts_offset", number * 0.5)
        ffmpeg("-loop", 1, "-r", 24, "-i", picture, "-t", 0.5, "-c:v", "mpeg2video", "-q:v", 2, *start, part)
        parts += part.read_bytes()
    path.write_bytes(parts)
    return path


def test_frames_that_change_size_are_scaled_to_the_first(unmask: Cli, changing: Path, tmp_path: Path) -> None:
    with FileSource(changing) as source:
        shapes = [frame.image.shape for frame in source]
    assert set(shapes) == {(240, 320, 3)} and len(shapes) > 30
    ran = unmask("scan", changing, "--json", "--name", "n")
    assert ran.code == 0
    folder = tmp_path / "runs" / "n"
    assert "320x240" in streams(folder / "annotated.mp4")
    rows = lines(folder)
    assert len({row["time_s"] for row in rows}) > 30, "the face is found at every size"
    assert all(0 <= x <= 320 and 0 <= y <= 240 for row in rows for x, y in (row["box"][:2], row["box"][2:]))
    assert frame_count(folder / "annotated.mp4") > 30


@pytest.mark.parametrize("most", ["MOST_FRAME_PIXELS", "MOST_FRAME_SIDE"])
def test_frames_that_are_too_large_are_never_decoded(most: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, most, 600)
    monkeypatch.setattr(cv2, "VideoCapture", None)
    with pytest.raises(UnmaskError, match=r"demo.mp4: its frames have more than .* resize_video.sh"):
        FileSource(DEMO)


def test_large_frames_wait_in_small_numbers() -> None:
    assert [may_wait(SyntheticSource(1, *size)) for size in ((1, 1), (3840, 2160), (7680, 4320))] == [8, 8, 2]


class Liar(Camera):
    """Announces another size and rate than those of its frames."""

    def __init__(self, frames: int = 40) -> None:
        super().__init__(frames, fps=50.0)
        self.width, self.height = 640, 360
        self.lies = False

    def read(self) -> Frame | None:
        frame = SyntheticSource.read(self)
        return None if frame is None else Frame(frame.index, frame.time_s, frame.image[:120, :160])


@pytest.mark.parametrize("fps", [1000.0, 0.5])
def test_a_source_that_lies_about_its_size_and_rate(
    fps: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Liar()
    source.frame_count = 40
    source.fps = 25.0
    frames = [source.read() for _ in range(40)]
    told = iter(frames)
    liar = Liar()
    liar.fps = fps
    monkeypatch.setattr(liar, "read", lambda: next(told, None))
    monkeypatch.setattr(batch, "open_source", lambda address: liar)
    report = scan("liar", tmp_path, fake_models(), ScanOptions())
    assert report.frames == 40 and report.duration_s == pytest.approx(39 / 25), "by the frames' own times"
    assert "640x360" in streams(tmp_path / "annotated.mp4") and frame_count(tmp_path / "annotated.mp4") > 20


def test_a_camera_that_lies_is_shown_and_recorded(
    watch: Callable[..., Watched], card: ModelCard, tmp_path: Path
) -> None:
    watched = watch(lambda: Liar(10**6), lambda: models_of(card), live=True)
    watched.engine.start()
    watched.engine.start_recording(tmp_path / "r")
    until(lambda: watched.engine.stats().frames > 20)
    watched.engine.stop_recording()
    until(lambda: watched.has(EventKind.RECORDING_SAVED))
    watched.end()
    assert frame_count(tmp_path / "r" / "annotated.mp4") > 5


def test_torn_frames_are_analysed_as_they_are(unmask: Cli, made: Path, tmp_path: Path) -> None:
    """Holes in the picture's data: what decodes is judged, and everything written is whole."""
    whole = movie(made / "torn.mp4", seconds=4, after=("-movflags", "+faststart", "-g", 25)).read_bytes()
    torn = bytearray(whole)
    rng = np.random.default_rng(3)
    begin = whole.index(b"mdat") + 2000
    for at in rng.integers(begin, len(whole) - 20, 40).tolist():
        torn[at : at + 8] = bytes(8)
    path = tmp_path / "torn.mp4"
    path.write_bytes(torn)
    ran = unmask("scan", path, "--json", "--name", "n")
    assert ran.code in (0, 3)
    (entry,) = ran.entries
    assert entry["frames"] > 20
    lines(tmp_path / "runs" / "n")
    assert frame_count(tmp_path / "runs" / "n" / "annotated.mp4") > 20


def test_times_that_jump_back_or_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = [0.0, 0.04, 0.08, 0.02, -5.0, float("nan"), 0.36]
    with FileSource(DEMO) as source:
        left = iter(stamps)
        decode = source._decode
        source._ahead = None
        monkeypatch.setattr(
            source, "_decode", lambda: (s, decode()[1]) if (s := next(left, None)) is not None else None
        )
        times = [frame.time_s for frame in source]
    assert len(times) == len(stamps) and all(a < b for a, b in pairwise(times))
    assert times[-1] == 0.36, "a good time is believed again"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with Server(ranges=False).serving() as serving:
        yield serving


def test_a_download_that_is_cut_is_no_whole_video(unmask: Cli, server: Server, made: Path, tmp_path: Path) -> None:
    content = movie(made / "far.mp4", seconds=8, after=("-movflags", "+faststart", "-g", 10)).read_bytes()
    server.files["far.mp4"] = content
    server.break_off_after = len(content) // 2
    ran = unmask("scan", f"{server.address}/far.mp4", "--json", "--name", "n")
    (entry,) = ran.entries
    assert ran.code == 3 and entry["partial"] and 20 < entry["frames"] < 180
    assert "far.mp4: the connection broke off" in ran.err and "try again" in ran.err and ran.err.count("\n") == 1
    assert frame_count(tmp_path / "runs" / "n" / "annotated.mp4") == entry["frames"]


def test_a_stream_that_falls_silent_ends_the_scan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    server = StreamServer()

    def hush(done: int, total: int | None) -> None:
        server.sends = done < 8

    try:
        monkeypatch.setattr(batch, "open_source", lambda address: UrlSource(address, silent_s=1.0))
        report = scan(server.address, tmp_path, fake_models(), ScanOptions(), on_progress=hush)
    finally:
        server.close()
    assert report.frames >= 8 and frame_count(tmp_path / "annotated.mp4") > 0
