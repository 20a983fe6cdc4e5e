"""Bad input: one sentence that names the file and a remedy, the right exit code, and the other files get done."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from app import cli
from app.core.errors import UnmaskError
from app.models import artifact
from tests.e2e.conftest import Cli
from tests.e2e.support import ROOT, ffmpeg, frame_count, kept, leftovers, lines, movie, squares


def empty(path: Path, clip: Path) -> None:
    path.write_bytes(b"")


def without_index(path: Path, clip: Path) -> None:
    slow = path.with_suffix(".slow.mp4")
    ffmpeg("-v", "error", "-i", clip, "-c", "copy", slow)
    content = slow.read_bytes()
    slow.unlink()
    assert content.index(b"mdat") < content.index(b"moov")
    path.write_bytes(content[: len(content) // 2])


def text(path: Path, clip: Path) -> None:
    path.write_text("This is not a video.\n" * 100)


def only_sound(path: Path, clip: Path) -> None:
    ffmpeg("-v", "error", "-i", clip, "-vn", "-c", "copy", path)


def song_with_cover(path: Path, clip: Path) -> None:
    cover = path.with_suffix(".jpg")
    cv2.imwrite(str(cover), squares((10, 10, 60, (255, 255, 255))))
    ffmpeg("-v", "error", "-i", clip, "-i", cover, "-map", "0:a", "-map", "1:v", "-c", "copy",
           "-disposition:v", "attached_pic", path)  # fmt: skip
    cover.unlink()


def nothing_there(path: Path, clip: Path) -> None:
    pass


def folder_without_videos(path: Path, clip: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("nothing here")


def pipe(path: Path, clip: Path) -> None:
    os.mkfifo(path)


def web_playlist(path: Path, clip: Path) -> None:
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")


CASES = [
    (nothing_there, "no such file", "check the name"),
    (empty, "empty (0 bytes)", "try another copy"),
    (without_index, "cut off", "try another copy"),
    (text, "not a video", "try another copy"),
    (only_sound, "only sound", "give a video with pictures"),
    (song_with_cover, "only sound", "give a video with pictures"),
    (folder_without_videos, "no file of these kinds", ".mp4"),
    (pipe, "not a regular file", "give a file"),
    (web_playlist, "this is a playlist", "give the videos that it names"),
]


@pytest.mark.parametrize(("make", "says", "remedy"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_bad_file_between_two_good_ones(
    unmask: Cli, clip: Path, no_face: Path, tmp_path: Path, make: object, says: str, remedy: str
) -> None:
    bad = tmp_path / "bad.mp4"
    make(bad, clip)  # type: ignore[operator]
    ran = unmask("scan", clip, bad, no_face, "--json", "--no-save", "--name", "n")
    assert ran.code == 2
    (said,) = ran.err.splitlines()
    assert str(bad) in said and says in said and remedy in said
    first, middle, last = ran.entries
    assert (first["frames"], first["error"]) == (25, None)
    assert last["frames"] > 0 and last["error"] is None
    assert (middle["source"], middle["frames"], middle["verdict"]) == (str(bad), 0, "uncertain")
    assert middle["error"] in said


@pytest.mark.parametrize("make", [empty, text], ids=["empty", "text"])
def test_a_bad_file_alone_is_kept_in_the_summary(unmask: Cli, clip: Path, tmp_path: Path, make: object) -> None:
    bad = tmp_path / "bad.mp4"
    make(bad, clip)  # type: ignore[operator]
    ran = unmask("scan", bad, "--json", "--name", "n")
    assert ran.code == 2 and kept(tmp_path / "runs" / "n")[0]["error"]


def test_a_glob_without_match(unmask: Cli, tmp_path: Path) -> None:
    ran = unmask("scan", tmp_path / "*.mp4", "--json", "--name", "n")
    assert ran.code == 2
    assert ran.err == f"unmask: {tmp_path}/*.mp4: no file matches this pattern; check it\n"


def test_a_file_cut_in_the_middle_gives_what_it_has(unmask: Cli, made: Path, tmp_path: Path) -> None:
    whole = movie(made / "long.mp4", seconds=4, sound=True, after=("-movflags", "+faststart", "-g", 10))
    content = whole.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: int(len(content) * 0.6)])
    ran = unmask("scan", cut, "--json", "--name", "n")
    folder = tmp_path / "runs" / "n"
    (entry,) = ran.entries
    assert ran.code == 3 and entry["partial"]
    assert 10 < entry["frames"] < 95 and entry["tracks"]
    assert ran.err.count("\n") == 1 and str(cut) in ran.err and "ends early" in ran.err and "another copy" in ran.err
    assert len(lines(folder)) == entry["frames"] == frame_count(folder / "annotated.mp4")
    assert leftovers(folder) == []


def test_a_picture_for_scan_and_a_video_for_image(unmask: Cli, clip: Path, tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    cv2.imwrite(str(picture), squares((10, 10, 60, (255, 255, 255))))
    ran = unmask("scan", picture, "--json")
    assert ran.code == 2 and str(picture) in ran.err and "python -m app image" in ran.err
    ran = unmask("image", clip, "--json")
    assert ran.code == 2 and str(clip) in ran.err and "python -m app scan" in ran.err


@pytest.mark.parametrize("verb", ["scan", "image"])
@pytest.mark.parametrize("below", ["file", "file/deep/er"])
def test_an_output_folder_that_cannot_be(unmask: Cli, clip: Path, tmp_path: Path, verb: str, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    ran = unmask(verb, clip, "--json", "--project", tmp_path / below)
    assert ran.code == 2 and ran.out == ""
    assert ran.err.count("\n") == 1 and str(tmp_path / below) in ran.err and "--project" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ["scan"], ["nothing"], ["scan", "a.mp4", "--threshold", "2"], ["scan", "a.mp4", "--threshold", "nan"],
        ["scan", "a.mp4", "--vid-stride", "0"], ["scan", "a.mp4", "--conf", "-1"], ["scan", "a.mp4", "--device", "tpu"],
        ["scan", "a.mp4", "--score-interval", "-0.1"], ["scan", "a.mp4", "--vid-stride", "1.5"],
        ["image", "--resume", "a.png"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_options(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and "error:" in err


@pytest.mark.parametrize("verb", [[], ["scan"], ["image"]])
def test_help_names_the_exit_codes(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*verb, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert all(f"\n  {code}  " in text for code in (0, 1, 2, 3)) and "bad input" in text and "partial" in text


def test_an_unknown_model(clip: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("nothing", "../weights/unmask-densenet121"):
        assert cli.main(["scan", str(clip), "--model", name, "--project", str(tmp_path)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and name in err and artifact.DEFAULT_MODEL in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_where_there_is_none(
    clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(artifact, "_tensorflow_finds_gpu", lambda: False)
    assert cli.main(["scan", str(clip), "--device", "gpu", "--project", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "no GPU" in err and "--device cpu" in err and err.count("\n") == 1


@pytest.mark.parametrize("form", ["openvino_xml", "openvino_bin"])
def test_altered_weights_are_refused(tmp_path: Path, form: str) -> None:
    card = artifact.read_card(artifact.DEFAULT_MODEL)
    place = tmp_path / card.name
    shutil.copytree(artifact.WEIGHTS / card.name, place, ignore=shutil.ignore_patterns("*.keras"))
    file = place / card.files[form].name  # type: ignore[index]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UnmaskError, match=r"sha256 differs.*restore"):
        artifact.load_classifier(card, "cpu", tmp_path)
    file.unlink()
    with pytest.raises(UnmaskError, match=f"{file.name}.*cannot be read"):
        artifact.load_classifier(card, "cpu", tmp_path)


FULL_DISK = """
import resource, sys
from tests.e2e.support import fake_models
from app import cli
cli._load_models = lambda args: fake_models()
for limit in map(int, sys.argv[2].split(",")):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for verb, source in (("scan", sys.argv[3]), ("image", sys.argv[4])):
        code = cli.main([verb, source, "--json", "--name", f"{verb}{limit}", "--project", sys.argv[1]])
        print(f"{verb} {limit}: {code}", file=sys.stderr, flush=True)
"""


def test_a_full_disk(two_faces: Path, tmp_path: Path) -> None:
    """Each limit hits another file: the lines, the parts of the video, its final copy, the tables or the report."""
    picture = tmp_path / "p.png"
    cv2.imwrite(str(picture), squares((10, 10, 60, (255, 255, 255))))
    limits = (0, 300, 4_000, 20_000)
    words = [str(tmp_path / "runs"), ",".join(map(str, limits)), str(two_faces), str(picture)]
    command = [sys.executable, "-c", FULL_DISK, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    said = [line for line in done.stderr.splitlines() if line]
    for limit in limits:
        for verb in ("scan", "image"):
            end = said.index(f"{verb} {limit}: 2")
            assert end >= 1, (verb, limit)
            assert all(line.startswith(f"unmask: {tmp_path / 'runs'}") for line in said[:end]), said
            assert any("free some space" in line or "the space left" in line for line in said[:end]), said[:end]
            del said[: end + 1]


def test_a_full_disk_that_is_one(unmask: Cli, two_faces: Path, clip: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        ran = unmask("scan", two_faces, "--json", "--project", disk)
        assert ran.code == 2
        assert all(str(disk) in line and "free some space" in line for line in ran.err.splitlines()) and ran.err
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_nothing_listens_at_the_address(unmask: Cli) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ran = unmask("scan", f"http://127.0.0.1:{closed.getsockname()[1]}/a.mp4", "--json")
    assert ran.code == 2 and ran.err.count("\n") == 1 and "check the address" in ran.err
