"""File names of every kind, and run folders that never overwrite each other."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import pytest

from tests.e2e.conftest import Cli
from tests.e2e.support import checked, ffmpeg, frame_count, kept, leftovers, lines, squares, table

NAMES = [
    "with spaces.mp4", "it's \"quoted\".mp4", "two\nlines.mp4", "-x.mp4", "--threshold.mp4", "日本語 émoji 🙂.mp4",
    "[x]*?.mp4",     "a:b%03d.mp4", "$(touch x);&|.mp4", "=1+1.mp4", "<b>&amp;.mp4",
    "tab\t\x1b[31m.mp4", "ends with dot..mp4", ".hidden.mp4",
    "concat:a.mp4", "http:--x.mp4", "n" * 240 + ".mp4", "é" * 125 + "x.mp4",
    "\udcff\udcfe not utf8 \udce9.mp4", "summary.json.mp4",
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


HOSTILE = [
    "<script>alert(1)<script>.mp4", '"><img src=x onerror=alert(1)>.mp4', "' onmouseover='alert(1).mp4",
    "javascript:alert(1).mp4", "{{ 7*7 }}{% raw %}.mp4", "]]>--><!--<svg onload=alert(1)>.mp4", "&lt;b&gt;.mp4",
    "\u202egpj.mp4",
]  # fmt: skip


class _Page(HTMLParser):
    """Collects what a browser would act on, and the text that it would show."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.acts: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            inert = name in ("href", "src") and (value or "").startswith(("#", "data:image/jpeg;base64,"))
            if name.startswith("on") or (name in ("href", "src", "action", "formaction", "style") and not inert):
                self.acts.append((name, value))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("verb", ["scan", "image"])
def test_nothing_of_a_name_or_of_metadata_is_markup(
    unmask: Cli, clip: Path, here: Path, tmp_path: Path, verb: str
) -> None:
    titled = ["-i", clip, "-c", "copy", "-metadata", f"title={HOSTILE[0]}", "-metadata", f"comment={HOSTILE[1]}"]
    ffmpeg("-v", "error", *titled, here / "titled.mp4")
    names = HOSTILE if verb == "scan" else [name.replace(".mp4", ".png") for name in HOSTILE]
    picture = cv2.imencode(".png", squares((20, 20, 60, (255, 255, 255))))[1].tobytes()
    for name in names:
        (here / name).write_bytes((here / "titled.mp4").read_bytes() if verb == "scan" else picture)
    options = ["--no-save", "--vid-stride", "5"] if verb == "scan" else []
    assert unmask(verb, *(f"./{name}" for name in names), *options, "--name", "n").code == 0
    pages = list((tmp_path / "runs" / "n").rglob("report.html"))
    assert len(pages) == (len(names) if verb == "scan" else 1)
    shown = ""
    for path in pages:
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        assert page.acts == [] and not page.tags & {"script", "iframe", "object", "embed", "link", "base", "form"}
        shown += page.text
    assert "\u202e" not in shown
    assert all(name in shown for name in names if "\u202e" not in name)
