"""A scan of good files: every frame, by its own time, upright, every face, and everything that is to be left."""

from __future__ import annotations

import http.server
import re
import threading
from functools import partial
from pathlib import Path

import cv2
import pytest

from app.models.runtimes import FakeClassifier, OpenVINOClassifier
from app.pipeline.batch import ScanOptions, scan
from app.vision.analyzer import AnalyzerOptions
from tests.e2e.conftest import Cli
from tests.e2e.support import (
    SquareDetector,
    fake_models,
    ffmpeg,
    frame_count,
    frame_times,
    kept,
    leftovers,
    lines,
    movie,
    same_box,
    streams,
    table,
)


def test_a_scan_leaves_all_its_outputs_and_nothing_else(unmask: Cli, clip: Path, tmp_path: Path) -> None:
    ran = unmask("scan", clip, "--json", "--name", "n")
    folder = tmp_path / "runs" / "n"
    assert ran.code == 0 and ran.err == ""
    assert {p.name for p in folder.iterdir()} == {
        "annotated.mp4", "faces.jsonl", "tracks.csv", "summary.json", "report.html"
    }  # fmt: skip
    (entry,) = ran.entries
    assert (entry["source"], entry["frames"], entry["faces"], entry["partial"]) == (str(clip), 25, 25, False)
    assert entry["verdict"] == "real" and entry["tracks"][0]["last_s"] == pytest.approx(0.96)
    assert [row["frame"] for row in lines(folder)] == list(range(25))
    (row,) = table(folder)
    assert (row["source"], row["track"], row["verdict"], row["faces"]) == (str(clip), "1", "real", "25")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert clip.name in page and "REAL" in page


def test_the_annotated_video_plays_everywhere(unmask: Cli, clip: Path, tmp_path: Path) -> None:
    unmask("scan", clip, "--name", "n")
    video = tmp_path / "runs" / "n" / "annotated.mp4"
    said = streams(video)
    assert re.search(r"Video: h264 .*yuv420p\(.*320x240", said), said
    assert re.search(r"Audio: aac", said), said
    content = video.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert frame_count(video) == 25
    before, after = cv2.VideoCapture(str(clip)).read()[1], cv2.VideoCapture(str(video)).read()[1]
    assert cv2.absdiff(before, after).max() > 100, "nothing was drawn"
    assert cv2.absdiff(before, after)[200:, :].max() < 30, "something was drawn where no face is"


def test_each_face_keeps_its_id_and_gets_its_own_verdict(unmask: Cli, two_faces: Path, tmp_path: Path) -> None:
    (entry,) = unmask("scan", two_faces, "--json", "--name", "n", "--no-save").entries
    assert {t["id"]: t["verdict"] for t in entry["tracks"]} == {1: "fake", 2: "real"}
    assert entry["verdict"] == "fake" and entry["frames"] == 50 and entry["faces"] == 100
    rows = lines(tmp_path / "runs" / "n")
    for row in rows:
        expected = (
            (200, 140, 280, 220) if row["track"] == 1 else (20 + 30 * row["time_s"], 20, 80 + 30 * row["time_s"], 80)
        )
        assert same_box(row["box"], expected), row
    assert not (tmp_path / "runs" / "n" / "annotated.mp4").exists()
    assert "Audio" not in streams(two_faces)


def test_no_face_is_no_error(unmask: Cli, no_face: Path, tmp_path: Path) -> None:
    ran = unmask("scan", no_face, "--json", "--name", "n")
    (entry,) = ran.entries
    assert ran.code == 0 and entry["tracks"] == [] and entry["verdict"] == "uncertain" and entry["p_fake"] is None
    assert lines(tmp_path / "runs" / "n") == []
    assert frame_count(tmp_path / "runs" / "n" / "annotated.mp4") == entry["frames"] >= 12


def test_a_soundless_file_gives_a_soundless_copy(unmask: Cli, two_faces: Path, tmp_path: Path) -> None:
    unmask("scan", two_faces, "--name", "n")
    said = streams(tmp_path / "runs" / "n" / "annotated.mp4")
    assert "Video: h264" in said and "Audio" not in said


@pytest.mark.parametrize("size", ["321x241", "333x250", "322x242"])
def test_odd_sizes(unmask: Cli, made: Path, tmp_path: Path, size: str) -> None:
    source = made / f"{size}.mkv"
    movie(source, size=size, seconds=0.4, after=("-pix_fmt", "yuv444p"))
    assert size in streams(source)
    (entry,) = unmask("scan", source, "--json", "--name", "n").entries
    assert entry["frames"] == entry["faces"] == 10
    width, height = (int(v) + int(v) % 2 for v in size.split("x"))
    assert f"{width}x{height}" in streams(tmp_path / "runs" / "n" / "annotated.mp4")


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_phone_video_is_looked_at_upright(
    unmask: Cli, clip: Path, made: Path, tmp_path: Path, turn: int
) -> None:
    source = made / f"turned{turn}.mp4"
    ffmpeg("-v", "error", "-display_rotation", turn, "-i", clip, "-c", "copy", source)
    upright = made / f"turned{turn}.png"
    ffmpeg("-v", "error", "-i", source, "-frames:v", 1, "-update", 1, upright)
    picture = cv2.imread(str(upright))
    (face,) = SquareDetector().detect(picture)
    unmask("scan", source, "--name", "n")
    assert same_box(lines(tmp_path / "runs" / "n")[0]["box"], face.box.xyxy)
    video = tmp_path / "runs" / "n" / "annotated.mp4"
    assert f"{picture.shape[1]}x{picture.shape[0]}" in streams(video)
    assert "rotation of" not in streams(video)


def vfr(folder: Path, suffix: str = ".mp4") -> Path:
    """30 frames a second, of which only every third is there after the first second; 3 s."""
    path = folder / f"vfr{suffix}"
    if not path.exists():
        base = movie(folder / "cfr30.mkv", fps=30, seconds=3)
        ffmpeg("-v", "error", "-i", base, "-vf", r"select='lt(t\,1)+not(mod(n\,3))'", "-fps_mode", "vfr", path)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_times_are_the_streams_own_at_a_variable_frame_rate(
    unmask: Cli, made: Path, tmp_path: Path, suffix: str
) -> None:
    source = vfr(made, suffix)
    expected = frame_times(source)
    assert len(expected) == 50 and max(expected) > 2.8, "the clip is not what this test needs"
    (entry,) = unmask("scan", source, "--json", "--name", "n").entries
    rows = lines(tmp_path / "runs" / "n")
    assert entry["frames"] == 50
    assert [row["time_s"] for row in rows] == pytest.approx([t - expected[0] for t in expected], abs=0.0011)
    shown = frame_times(tmp_path / "runs" / "n" / "annotated.mp4")
    assert shown[-1] == pytest.approx(expected[-1] - expected[0], abs=1 / 30)


def test_a_stride_decodes_all_and_analyses_every_nth(unmask: Cli, two_faces: Path, tmp_path: Path) -> None:
    (entry,) = unmask("scan", two_faces, "--json", "--name", "n", "--vid-stride", 7).entries
    assert entry["frames"] == 8 and not entry["partial"]
    rows = lines(tmp_path / "runs" / "n")
    assert sorted({row["frame"] for row in rows}) == list(range(0, 50, 7))
    assert all(row["time_s"] == pytest.approx(row["frame"] / 25) for row in rows)
    assert frame_times(tmp_path / "runs" / "n" / "annotated.mp4")[-1] == pytest.approx(49 / 25, abs=7 / 25)


def test_the_threshold_decides(unmask: Cli, clip: Path) -> None:
    def verdict(*options: object) -> tuple[int, str]:
        ran = unmask("scan", clip, "--json", "--no-save", "--fail-on-fake", *options)
        return ran.code, ran.entries[0]["verdict"]

    assert verdict() == (0, "real")
    assert verdict("--threshold", 0) == (1, "fake")
    assert verdict("--threshold", 1) == (0, "real")


def test_fail_on_fake_is_an_option(unmask: Cli, two_faces: Path) -> None:
    assert unmask("scan", two_faces, "--no-save").code == 0
    assert unmask("scan", two_faces, "--no-save", "--fail-on-fake").code == 1


def test_without_json_people_read_the_verdicts(unmask: Cli, two_faces: Path) -> None:
    ran = unmask("scan", two_faces, "--name", "n")
    assert f"{two_faces}: AI-GENERATED" in ran.out and re.search(r"face 2 .*REAL", ran.out)
    assert "annotated.mp4" in ran.out and "report.html" in ran.out


def test_a_folder_a_glob_and_a_file_twice_are_one_run(
    unmask: Cli, clip: Path, no_face: Path, two_faces: Path, tmp_path: Path
) -> None:
    inner = tmp_path / "in" / "deep"
    inner.mkdir(parents=True)
    for path in (clip, no_face):
        (inner / path.name).write_bytes(path.read_bytes())
    (inner / "notes.txt").write_text("no video")
    (inner / "UPPER.MP4").write_bytes(no_face.read_bytes())
    ran = unmask("scan", tmp_path / "in", inner / "*.mp4", two_faces, "--json", "--no-save", "--name", "n")
    assert ran.code == 0
    assert [Path(e["source"]).name for e in ran.entries] == ["UPPER.MP4", "clip.mp4", "none.mp4", "two.mp4"]
    assert {p.name for p in (tmp_path / "runs" / "n").iterdir()} == {"UPPER", "clip", "none", "two", "summary.json"}
    assert kept(tmp_path / "runs" / "n" / "two")[0] == ran.entries[3]
    assert leftovers(tmp_path / "runs") == []


@pytest.fixture
def server(clip: Path) -> object:
    handler = partial(_Quiet, directory=str(clip.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_an_http_address(unmask: Cli, server: str, clip: Path, tmp_path: Path) -> None:
    ran = unmask("scan", f"{server}/{clip.name}", "--json", "--name", "n")
    assert ran.code == 0 and ran.entries[0]["frames"] == 25
    assert frame_count(tmp_path / "runs" / "n" / "annotated.mp4") == 25


def test_an_http_address_without_a_video(unmask: Cli, server: str) -> None:
    ran = unmask("scan", f"{server}/nothing.mp4", "--json")
    assert ran.code == 2 and "nothing that can be played" in ran.err and ran.err.count("\n") == 1
    ran = unmask("scan", "ftp://127.0.0.1/a.mp4", "--json")
    assert ran.code == 2 and "only http" in ran.err


def test_faces_of_several_frames_are_one_batch(clip: Path, tmp_path: Path) -> None:
    models = fake_models()
    scan(str(clip), tmp_path / "n", models, ScanOptions(analyzer=AnalyzerOptions(score_interval_s=0)))
    (classifier,) = models.ensemble.classifiers
    assert isinstance(classifier, FakeClassifier)
    assert classifier.batches == [OpenVINOClassifier.MAX_BATCH] * 6 + [1]
