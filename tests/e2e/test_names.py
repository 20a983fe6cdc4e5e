"""File names of every kind, and run folders that never overwrite each other."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Cli
from tests.e2e.support import checked, frame_count, kept, leftovers, lines, table

NAMES = [
    "with spaces.mp4", "it's \"quoted\".mp4", "two\nlines.mp4", "-x.mp4", "--threshold.mp4", "日本語 émoji 🙂.mp4",
    "[x]*?.mp4",     "a:b%03d.mp4", "$(touch x);&|.mp4", "=1+1.mp4", "<b>&amp;.mp4",
    "tab\t\x1b[31m.mp4", "ends with dot..mp4", ".hidden.mp4",
    "concat:a.mp4", "http:--x.mp4", "n" * 240 + ".mp4", "\udcff\udcfe not utf8 \udce9.mp4", "summary.json.mp4",
]  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def test_every_name_in_one_run(unmask: Cli, no_face: Path, here: Path, tmp_path: Path) -> None:
    for name in NAMES:
        shutil.copyfile(no_face, here / name)
    ran = unmask("scan", *(f"./{name}" for name in NAMES), "--json", "--no-save", "--name", "n")
    assert ran.code == 0 and ran.err == ""
    assert [e["source"] for e in ran.entries] == [f"./{name}" for name in NAMES]
    folder = tmp_path / "runs" / "n"
    places = [p for p in folder.iterdir() if p.is_dir()]
    assert len(places) == len(NAMES) and leftovers(folder) == []
    sources = {kept(place)[0]["source"] for place in places}
    assert sources == {f"./{name}" for name in NAMES}
    assert kept(folder) == ran.entries
    for place in places:
        assert os.fsencode(place.name).decode("utf-8") == place.name, "a folder that not every system can hold"
        (place / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_alone_with_its_video_and_words_for_people(
    unmask: Cli, clip: Path, here: Path, tmp_path: Path, name: str
) -> None:
    shutil.copyfile(clip, here / name)
    ran = unmask("scan", f"./{name}", "--vid-stride", 5)
    assert ran.code == 0 and ran.err == ""
    assert "\x1b" not in ran.out and len(ran.out.splitlines()) == 4
    (folder,) = (tmp_path / "runs").iterdir()
    assert frame_count(folder / "annotated.mp4") == 5
    assert len(lines(folder)) == 5
    (row,) = table(folder)
    assert row["source"] == f"./{name}".encode(errors="backslashreplace").decode()
    assert sorted(p.name for p in here.iterdir()) == [name]


def test_a_bad_file_with_a_bad_name_is_told_in_one_line(unmask: Cli, here: Path) -> None:
    (here / "two\nunmask: lines\x1b.mp4").write_text("no video")
    ran = unmask("scan", "./two\nunmask: lines\x1b.mp4", "--json")
    assert ran.code == 2 and ran.err.count("\n") == 1 and "\x1b" not in ran.err


def test_pictures_with_any_name(unmask: Cli, here: Path, tmp_path: Path) -> None:
    import cv2

    from tests.e2e.support import squares

    data = cv2.imencode(".png", squares((20, 20, 60, (255, 255, 255))))[1].tobytes()
    names = [name.replace(".mp4", ".png") for name in NAMES]
    for name in names:
        (here / name).write_bytes(data)
    ran = unmask("image", *(f"./{name}" for name in names), "--json", "--name", "n")
    assert ran.code == 0 and [e["source"] for e in ran.entries] == [f"./{name}" for name in names]
    assert len(list((tmp_path / "runs" / "n" / "annotated").iterdir())) == len(names)
    assert len(table(tmp_path / "runs" / "n")) == len(names)


def test_sources_with_the_same_stem_stay_apart(unmask: Cli, clip: Path, no_face: Path, tmp_path: Path) -> None:
    sources = []
    for place, name, original in (
        ("a", "v.mp4", clip), ("b", "v.mp4", no_face), ("c", "v-2.mp4", clip), ("d", "v.mkv", no_face),
        ("e", "V.mp4", clip)
    ):  # fmt: skip
        (tmp_path / place).mkdir()
        sources.append(tmp_path / place / name)
        shutil.copyfile(original, sources[-1])
    ran = unmask("scan", *sources, "--json", "--no-save", "--name", "n")
    folder = tmp_path / "runs" / "n"
    places = [p for p in folder.iterdir() if p.is_dir()]
    assert len({p.name.casefold() for p in places}) == 5
    assert {kept(p)[0]["source"] for p in places} == {str(s) for s in sources}
    for place in places:
        assert len(lines(place)) == kept(place)[0]["faces"]
    assert [e["frames"] for e in ran.entries] == [25, 13, 25, 13, 25]


def test_runs_do_not_overwrite_each_other_unless_told(unmask: Cli, clip: Path, no_face: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for _ in range(3):
        unmask("scan", clip, "--name", "n", "--no-save")
    assert {p.name for p in runs.iterdir()} == {"n", "n-2", "n-3"}
    unmask("scan", no_face, "--name", "n", "--no-save", "--exist-ok")
    assert {p.name for p in runs.iterdir()} == {"n", "n-2", "n-3"}
    assert kept(runs / "n")[0]["source"] == str(no_face) and kept(runs / "n-2")[0]["source"] == str(clip)
    unmask("scan", clip, "--no-save")
    unmask("scan", clip, no_face, "--no-save")
    assert {p.name for p in runs.iterdir()} == {"n", "n-2", "n-3", "clip", "batch"}


def test_a_terminal_that_knows_ascii_only(
    unmask: Cli, no_face: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(no_face, here / "日本.mp4")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", out)
    assert unmask("scan", "日本.mp4", "--no-save").code == 0
    assert out.buffer.getvalue().startswith(b"??.mp4: CAN'T TELL")  # type: ignore[attr-defined]
    out.buffer.seek(0)
    out.buffer.truncate()
    unmask("scan", "日本.mp4", "--no-save", "--json")
    assert checked(json.loads(out.buffer.getvalue()))[0]["source"] == "日本.mp4"  # type: ignore[attr-defined]
