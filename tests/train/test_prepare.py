"""Preparing from end to end: what is found, measured, left out, remembered and told."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.crops import crop_face
from app.core.errors import UnmaskError
from app.core.records import Box, Detection, ImageU8
from app.vision.detector import MediaPipeDetector
from app.vision.sources import FileSource
from tests.video_tools import clip
from train.__main__ import main
from train.datasets import Facts, Sample, read_prepared, write_prepared
from train.examine import Tools, look_at_picture
from train.facts import jpeg_quality, picture_format
from train.layouts import read_layout, read_pair
from train.prepare import prepare, prepared_samples

ROOT = Path(__file__).resolve().parents[2]


class MiddleDetector:
    """Finds a face in the middle of every picture that is not dark, and counts."""

    looked = 0

    def detect(self, image: ImageU8) -> list[Detection]:
        type(self).looked += 1
        height, width = image.shape[:2]
        box = Box(width // 4, height // 4, width - width // 4, height - height // 4)
        return [Detection(box, 0.9)] if image.mean() > 30 else []

    def close(self) -> None:
        pass


@pytest.fixture
def tools() -> Iterator[Tools]:
    MiddleDetector.looked = 0
    yield Tools(MiddleDetector, FileSource, "middle", frames=4, workers=2)


def picture(seed: int, side: int = 96) -> ImageU8:
    """A smooth random picture with some detail: different seeds have nothing in common."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (12, 12, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def save(path: Path, image: ImageU8, quality: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality])


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A two-class set with an unreadable, an empty and a faceless picture."""
    root = tmp_path / "faces"
    for split, first in (("train", 0), ("val", 100), ("test", 200)):
        for label, offset in (("real", 0), ("fake", 50)):
            for i in range(4):
                save(root / split / label / f"{i}.jpg", picture(first + offset + i))
    (root / "train/real/broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (root / "train/real/empty.png").touch()
    save(root / "train/fake/dark.png", np.zeros((96, 96, 3), np.uint8))
    return root


def test_a_prepared_folder_holds_everything(faces: Path, tmp_path: Path, tools: Tools) -> None:
    to = tmp_path / "out"
    table = prepare(read_layout(faces), to, tools=tools, crops=True)
    samples = read_prepared(to / "prepared.csv", to)
    assert len(samples) == 24 and table["counts"]["valid"] == {"real": 4, "fake": 4}
    first = next(s for s in samples if s.path == faces / "train/real/0.jpg")
    assert first.box == Box(24, 24, 72, 72) and first.facts is not None
    size = (faces / "train/real/0.jpg").stat().st_size
    assert replace(first.facts, sharpness=0, brightness=0) == Facts(96, 96, "JPEG", 90, size, 0, 0)
    assert first.facts.sharpness > 0 and 40 < first.facts.brightness < 216
    lines = (to / "left_out.txt").read_text().splitlines()
    assert [line.rsplit("/", 1)[1] for line in lines] == [
        "dark.png: no face found",
        "broken.jpg: unreadable",
        "empty.png: empty file",
    ]
    assert json.loads((to / "statistics.json").read_text()) == table
    assert table["left_out"] == {"no face found": 1, "unreadable": 1, "empty file": 1}
    report = (to / "report.md").read_text()
    assert "| train | 4 | 4 |" in report and "96x96" in report and "JPEG 12" in report
    assert len(list((to / "crops").rglob("*.jpg"))) == 24
    assert not list(to.rglob("*partial*"))


def test_the_prepared_folder_is_what_training_takes(
    faces: Path, tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    prepare(read_layout(faces), tmp_path / "out", tools=tools)
    monkeypatch.chdir(tmp_path)
    samples = prepared_samples(Path("out"), run)
    assert len(samples) == 24 and all(s.path.is_file() for s in samples)
    assert prepared_samples(Path("out"), run) == samples, "the run's own table says the same"
    assert {s.split for s in prepared_samples(tmp_path / "out", run, ("test",))} == {"test"}
    # Data and table may move together.
    (tmp_path / "elsewhere").mkdir()
    for name in ("faces", "out"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    moved = prepared_samples(tmp_path / "elsewhere/out", tmp_path / "elsewhere")
    assert len(moved) == 24 and all(s.path.is_file() for s in moved)


def test_only_new_and_changed_files_are_looked_at_again(faces: Path, tmp_path: Path, tools: Tools) -> None:
    to = tmp_path / "out"
    table = prepare(read_layout(faces), to, tools=tools)
    assert MiddleDetector.looked == 25
    before = (to / "prepared.csv").read_bytes()
    assert prepare(read_layout(faces), to, tools=tools) == table
    assert MiddleDetector.looked == 25 and (to / "prepared.csv").read_bytes() == before
    save(faces / "train/real/0.jpg", picture(900))
    save(faces / "train/real/new.jpg", picture(901))
    assert prepare(read_layout(faces), to, tools=tools)["pictures"] == 25
    assert MiddleDetector.looked == 27
    prepare(read_layout(faces), to, tools=replace(tools, identity="another"))
    assert MiddleDetector.looked == 27 + 26, "what another detector found is not believed"


@pytest.mark.parametrize("torn", [b"", b'{"path": "tor', b'{"path":"x","stamp":[],"faces":[],"why":""}'])
def test_an_interruption_leaves_no_table_and_loses_little(
    faces: Path, tmp_path: Path, tools: Tools, torn: bytes
) -> None:
    class Interrupted(MiddleDetector):
        def detect(self, image: ImageU8) -> list[Detection]:
            if MiddleDetector.looked == 10:
                raise KeyboardInterrupt
            MiddleDetector.looked += 1
            return MiddleDetector.detect(self, image)

    to = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        prepare(read_layout(faces), to, tools=replace(tools, make_detector=Interrupted, workers=1))
    assert not (to / "prepared.csv").exists() and not list(to.rglob("*partial*"))
    kept = (to / "examined.jsonl").read_bytes()
    assert kept.count(b"\n") > 5
    (to / "examined.jsonl").write_bytes(kept + torn)
    MiddleDetector.looked = 0
    assert prepare(read_layout(faces), to, tools=tools)["pictures"] == 24
    assert MiddleDetector.looked < 22


def test_results_go_nowhere_near_the_pictures(faces: Path, tmp_path: Path, tools: Tools) -> None:
    with pytest.raises(UnmaskError, match="choose a --to outside of the pictures"):
        prepare(read_layout(faces), faces, tools=tools)
    only_dark = tmp_path / "dark"
    for label in ("real", "fake"):
        save(only_dark / label / "1.png", np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(UnmaskError, match="no face was found in any of 2 files"):
        prepare(read_layout(only_dark), tmp_path / "out", tools=tools)


def test_samples_survive_the_table_with_their_facts(tmp_path: Path) -> None:
    facts = Facts(640, 480, "WebP", None, 1234, 0.1234, 99.5, video="a, b", group="g00001")
    points = tuple((float(i), i / 4) for i in range(6))
    full = Sample(tmp_path / "x/é.png", "test", "fake", 'a "b"', Box(-3.25, 0.5, 40.75, 61), points, facts)
    plain = replace(full, path=tmp_path / "y.png", facts=None, keypoints=())
    (tmp_path / "deep/down").mkdir(parents=True)
    for root in (tmp_path, tmp_path / "deep/down"):
        write_prepared(root / "p.csv", [full, plain], root)
        assert read_prepared(root / "p.csv", root) == [full, plain]
    (tmp_path / "p.csv").write_text("path,split\na.png,train\n")
    with pytest.raises(UnmaskError, match="not a table of prepared pictures"):
        read_prepared(tmp_path / "p.csv", tmp_path)


@given(st.integers(1, 100))
def test_jpeg_quality_is_read_from_the_file(quality: int) -> None:
    coded = cv2.imencode(".jpg", picture(1, 32), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    found = jpeg_quality(coded)
    assert found is not None and abs(found - quality) <= (0 if quality > 5 else 4)
    assert jpeg_quality(coded[:100]) in (found, None) and jpeg_quality(coded[:3]) is None


def test_formats_are_told_by_content(tmp_path: Path) -> None:
    for suffix, name in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WebP"), ("bmp", "BMP"), ("tiff", "TIFF")):
        data = cv2.imencode(f".{suffix}", picture(1, 32))[1].tobytes()
        assert picture_format(data) == (name if suffix != "webp" else picture_format(data)), suffix
        assert picture_format(data).startswith(name)
    assert picture_format(b"GIF89a") == "GIF" and picture_format(b"") == "other"


def test_a_planted_shortcut_is_told(tmp_path: Path, tools: Tools) -> None:
    rng = np.random.default_rng(0)
    for i in range(120):
        for k, label in enumerate(("real", "fake")):
            image = picture(1000 + 2 * i + k)
            save(tmp_path / "faces" / label / f"{i}.jpg", image, int(rng.integers(60, 75)) + 20 * k)
    table = prepare(read_layout(tmp_path / "faces"), tmp_path / "out", tools=tools)
    assert table["shortcuts"]["JPEG quality"] > 0.95 and table["shortcuts"]["bytes per pixel"] > 0.9
    assert table["shortcuts"]["format"] == 0.5 and table["shortcuts"]["picture size"] == 0.5
    assert 0.3 < table["shortcuts"]["brightness"] < 0.65
    assert any(w.startswith("JPEG quality alone tells the label with AUC 1.0") for w in table["warnings"])
    assert any("2 of 2 sources have pictures of one class only" in w for w in table["warnings"])
    assert not any("duplicates" in w for w in table["warnings"])


def test_videos_give_frames_split_by_video(tmp_path: Path, tools: Tools) -> None:
    for label in ("real", "fake"):
        (tmp_path / label).mkdir()
        for i in range(3):
            clip(tmp_path / label / f"{i}.mp4", audio=None, extra=("-vf", f"hue=h={30 * i}"))
    (tmp_path / "fake/broken.mp4").write_bytes(b"no video")
    save(tmp_path / "real/still.png", picture(3))
    to = tmp_path / "out"
    table = prepare(read_pair([tmp_path / "real"], [tmp_path / "fake"]), to, tools=tools)
    samples = read_prepared(to / "prepared.csv", to)
    assert table["pictures"] == len(samples) == 6 * 4 + 1
    splits: dict[str, set[str]] = {}
    for s in samples:
        assert s.facts is not None
        splits.setdefault(s.facts.video, set()).add(s.split)
        if s.facts.video:
            assert (s.facts.width, s.facts.height, s.facts.format) == (320, 180, "mp4")
            assert s.path.is_relative_to(to / "frames" / s.facts.video) and s.path.suffix == ".png"
    assert len(splits) == 7 and all(len(found) == 1 for found in splits.values())
    assert "broken.mp4: not a video" in (to / "left_out.txt").read_text()
    with pytest.raises(UnmaskError, match="videos have to be prepared first"):
        prepared_samples(tmp_path, tmp_path / "fake")


def test_a_kept_frame_gives_the_crop_of_the_whole_frame(tmp_path: Path) -> None:
    """Real detector, real video: boxes are those of today, and nothing the crop shows is cut away."""
    folder = tmp_path / "clips"
    for label in ("real", "fake"):
        (folder / label).mkdir(parents=True)
    shutil.copy(ROOT / "app/assets/demo.mp4", folder / "fake/demo.mp4")
    save(folder / "real/frame.png", np.asarray(cv2.imread(str(ROOT / "tests/golden/frame.png")), np.uint8))
    prepare(read_layout(folder), tmp_path / "out", tools=replace(TOOLS_OF_THE_APP, frames=8, workers=1))
    samples = read_prepared(tmp_path / "out/prepared.csv", tmp_path / "out")
    assert [s.box for s in samples if s.label == "real"] == [Box(69, 68, 318, 317)]
    found = {int(s.path.stem): s for s in samples if s.label == "fake"}
    assert {i: (s.box.width, s.box.height) for i, s in found.items() if s.box} == {
        20: (156, 156),
        60: (166, 166),
        101: (218, 218),
        142: (236, 236),
        182: (277, 277),
        223: (314, 314),
        304: (239, 239),
    }
    whole_boxes = {101: Box(814, 301, 1032, 519), 223: Box(443, 247, 757, 561)}
    with FileSource(folder / "fake/demo.mp4") as video:
        frames = {frame.index: frame.image for frame in video if frame.index in whole_boxes}
    for index, box in whole_boxes.items():
        region, kept = cv2.imread(str(found[index].path)), found[index].box
        assert region is not None and kept is not None
        for scale in (1.0, 1.5, 2.0):
            expected = crop_face(frames[index], box, 224, scale)
            assert np.array_equal(crop_face(np.asarray(region, np.uint8), kept, 224, scale), expected)


TOOLS_OF_THE_APP = Tools(MediaPipeDetector, FileSource, "app")


def test_a_picture_that_goes_away_is_listed(tmp_path: Path) -> None:
    assert look_at_picture(tmp_path / "gone.jpg", MiddleDetector()).why == "cannot be read (No such file or directory)"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "x"], "give either --data DIR, or --real DIR and --fake DIR"),
        (["--data", "a", "--real", "b", "--to", "x"], "give either --data DIR"),
        (["--data", "nowhere", "--to", "x"], "nowhere: no such folder"),
        (["--data", "a", "--to", "x", "--frames", "0"], "--frames and --workers must be at least 1"),
        (["--data", "a", "--to", "x", "--similarity", "2"], "--similarity must lie in 0 .. 1"),
        (["--data", "a", "--to", "x", "--shares", "0", "1", "1"], "--shares takes three numbers"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", *words]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_the_command_tells_what_it_found(
    faces: Path, tmp_path: Path, tools: Tools, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.prepare.TOOLS", tools)
    save(faces / "test/real/again.jpg", picture(0), 60)
    to = tmp_path / "out"
    assert main(["prepare", "--data", str(faces), "--to", str(to), "--move-duplicates"]) == 0
    told = capsys.readouterr().out
    assert "valid: 4 real, 4 fake" in told and "3 of 28 files left out" in told and "warning: " in told
    with (to / "duplicates.csv").open() as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    assert [(row["split_1"], row["split_2"]) for row in rows] == [("train", "train")]
    assert main(["prepare", "--data", str(to), "--to", str(tmp_path / "twice")]) == 2
    assert "is prepared already" in capsys.readouterr().err
