"""``image``: every face of every picture, whatever its format; bad pictures do not stop the others."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.core.records import ImageU8
from tests.e2e.conftest import Cli
from tests.e2e.support import kept, leftovers, lines, same_box, squares, table

WHITE, RED = (255, 255, 255), (0, 0, 255)
PLACES = [(30, 20, 60, WHITE), (200, 140, 80, RED)]


def save(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def test_two_faces_and_all_outputs(unmask: Cli, tmp_path: Path) -> None:
    picture = save(tmp_path / "two.png", squares(*PLACES))
    ran = unmask("image", picture, "--json", "--name", "n", "--fail-on-fake")
    folder = tmp_path / "runs" / "n"
    (entry,) = ran.entries
    assert ran.code == 1 and ran.err == "" and entry["verdict"] == "fake" and entry["frames"] == 1
    assert [(t["verdict"], t["box"], t["first_s"]) for t in entry["tracks"]] == [
        ("fake", [200, 140, 280, 220], 0), ("real", [30, 20, 90, 80], 0)
    ]  # fmt: skip
    assert {p.name for p in folder.iterdir()} == {
        "annotated", "faces.jsonl", "tracks.csv", "summary.json", "report.html"
    }  # fmt: skip
    assert [row["verdict"] for row in table(folder)] == ["fake", "real"]
    rows = lines(folder)
    assert [(row["source"], row["verdict"]) for row in rows] == [(str(picture), "fake"), (str(picture), "real")]
    annotated = cv2.imread(str(folder / "annotated" / "two.jpg"))
    assert annotated.shape == (240, 320, 3)
    changed = cv2.absdiff(annotated, squares(*PLACES)).max(axis=2) > 60
    assert changed[10:90, 20:100].any() and changed[110:225, 190:290].any() and not changed[:, :15].any()
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "two.png" in page and "AI-GENERATED" in page


def test_a_folder_with_good_and_bad_pictures(unmask: Cli, tmp_path: Path) -> None:
    place = tmp_path / "in" / "deep"
    place.mkdir(parents=True)
    save(place / "a.png", squares(PLACES[0]))
    save(place / "b.JPG", squares())
    (place / "c.png").write_bytes((place / "a.png").read_bytes()[:200])
    (place / "d.jpg").write_bytes(b"")
    (place / "e.webp").write_text("text")
    save(place / "f.bmp", squares(PLACES[0]))
    (place / "notes.txt").write_text("no picture")
    ran = unmask("image", tmp_path / "in", tmp_path / "missing.png", "--json", "--name", "n")
    assert ran.code == 2
    assert {Path(e["source"]).name: (len(e["tracks"]), e["error"] is None) for e in ran.entries} == {
        "a.png": (1, True), "b.JPG": (0, True), "c.png": (0, False), "d.jpg": (0, False), "e.webp": (0, False),
        "f.bmp": (1, True), "missing.png": (0, False),
    }  # fmt: skip
    assert len(ran.err.splitlines()) == 4
    for name, remedy in (
        ("c.png", "another copy"),
        ("d.jpg", "0 bytes"),
        ("e.webp", "another copy"),
        ("missing", "check"),
    ):
        assert sum(name in line and remedy in line for line in ran.err.splitlines()) == 1, name
    folder = tmp_path / "runs" / "n"
    assert {p.name for p in (folder / "annotated").iterdir()} == {"a.jpg", "b.jpg", "f.jpg"}
    assert leftovers(folder) == [] and len(lines(folder)) == 2


def test_nothing_but_bad_pictures(unmask: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("text")
    ran = unmask("image", tmp_path / "a.png", "--json", "--name", "n")
    assert ran.code == 2 and kept(tmp_path / "runs" / "n")[0]["error"]
    ran = unmask("image", tmp_path / "*.tif", tmp_path, "--json")
    assert ran.code == 2 and len(ran.entries) == 2 and "no file matches" in ran.err


def with_alpha(image: ImageU8) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], 128, np.uint8)])


def grey(image: ImageU8) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def deep(image: ImageU8) -> np.ndarray:
    return image.astype(np.uint16) * 257


def grey_deep(image: ImageU8) -> np.ndarray:
    return deep(grey(image))  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [with_alpha, grey, deep, grey_deep])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_formats(unmask: Cli, tmp_path: Path, change: object, suffix: str) -> None:
    picture = save(tmp_path / f"p{suffix}", change(squares(PLACES[0])))  # type: ignore[operator]
    (entry,) = unmask("image", picture, "--json").entries
    (track,) = entry["tracks"]
    assert track["box"] == [30, 20, 90, 80] and track["verdict"] == "real"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_upright(unmask: Cli, tmp_path: Path, orientation: int) -> None:
    upright = squares(PLACES[0], (200, 140, 80, (180, 180, 180)))
    # What a camera stores so that its EXIF orientation turns it upright again (EXIF 2.3, tag 0x0112).
    stored = {
        1: upright, 2: cv2.flip(upright, 1), 3: cv2.flip(upright, -1), 4: cv2.flip(upright, 0),
        5: cv2.transpose(upright),
        6: cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE), 7: cv2.transpose(cv2.flip(upright, -1)),
        8: cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE),
    }[orientation]  # fmt: skip
    data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    tag = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, 0, 0, 0]) + b"\0\0\0\0"
    exif = b"Exif\0\0" + tag
    picture = tmp_path / "turned.jpg"
    picture.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    (entry,) = unmask("image", picture, "--json", "--name", "n").entries
    boxes = [track["box"] for track in entry["tracks"]]
    assert len(boxes) == 2
    assert same_box(boxes[0], (200, 140, 280, 220)) and same_box(boxes[1], (30, 20, 90, 80))
    assert cv2.imread(str(tmp_path / "runs" / "n" / "annotated" / "turned.jpg")).shape == (240, 320, 3)


def test_pictures_of_one_name_and_no_copies(unmask: Cli, tmp_path: Path) -> None:
    for place in "abc":
        (tmp_path / place).mkdir()
        save(tmp_path / place / "p.png", squares(PLACES[0]))
    save(tmp_path / "c" / "p-2.png", squares(PLACES[0]))
    words = ("image", tmp_path / "a", tmp_path / "b", tmp_path / "c", "--json")
    assert len(unmask(*words, "--name", "n").entries) == 4
    assert len(list((tmp_path / "runs" / "n" / "annotated").iterdir())) == 4
    unmask(*words, "--name", "m", "--no-save")
    assert not (tmp_path / "runs" / "m" / "annotated").exists()


def test_ctrl_c_keeps_the_pictures_done(unmask: Cli, tmp_path: Path) -> None:
    import signal

    from tests.e2e.support import fake_models

    for number in range(5):
        save(tmp_path / f"{number}.png", squares(PLACES[0]))

    asked: list[ImageU8] = []

    def stopping(crop: ImageU8) -> float:
        if not asked:  # A second one would end it at once.
            signal.raise_signal(signal.SIGINT)
        asked.append(crop)
        return -3.0

    ran = unmask("image", tmp_path / "*.png", "--json", "--name", "n", models=fake_models(stopping))
    assert ran.code == 3 and len(ran.entries) == 1 == len(lines(tmp_path / "runs" / "n"))


def test_what_people_read(unmask: Cli, tmp_path: Path) -> None:
    picture = save(tmp_path / "two.png", squares(*PLACES))
    ran = unmask("image", picture, "--name", "n")
    assert f"{picture}: AI-GENERATED" in ran.out and "report.html" in ran.out
    with_numbers = [line for line in ran.out.splitlines() if line.startswith("  face")]
    assert len(with_numbers) == 2 and "80 px" in with_numbers[0]


def test_lines_of_a_picture_name_it(unmask: Cli, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", squares(PLACES[0]))
    unmask("image", tmp_path / "*.png", "--name", "n")
    rows = (tmp_path / "runs" / "n" / "faces.jsonl").read_text(encoding="utf-8").splitlines()
    assert [Path(json.loads(row)["source"]).name for row in rows] == ["a.png", "b.png"]
