"""What the end-to-end tests share: made-up faces, ways to look into media files, and the strict summary schema."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.core.records import Box, Detection, ImageU8
from app.models.artifact import DEFAULT_MODEL, read_card
from app.models.runtimes import FakeClassifier
from app.pipeline.batch import Models
from app.vision.media import ffmpeg_binary
from tests.ensembles import alone

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "app" / "assets" / "demo.mp4"
SIZE = 64


class SquareDetector:
    """Finds bright squares: faces whose place, number and lifetime a test decides by drawing them."""

    def detect(self, image: ImageU8) -> list[Detection]:
        mask = (image.max(axis=2) > 150).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        boxes = [Box(x, y, x + w, y + h) for x, y, w, h, area in stats[1:].tolist() if w >= 20 and h >= 20 and area]
        return sorted((Detection(box, 0.9) for box in boxes), key=lambda d: (-d.box.size, d.box.xyxy))

    def close(self) -> None:
        pass


def redness(crop: ImageU8) -> float:
    """A logit that differs a little from frame to frame: far above 0 for a red square, far below for a white one."""
    red, _, blue = crop.reshape(-1, 3).mean(axis=0)
    return float((red - blue) / 12 - 3 + crop.mean() / 500)


def fake_models(logit: Callable[[ImageU8], float] = redness, **thresholds: Any) -> Models:
    """Models that need no weights: red squares are AI-generated, white ones are real."""
    card = read_card(DEFAULT_MODEL)
    gates: dict[str, Any] = {"fake": 0.9, "real": 0.3, "min_size_px": 20.0, "min_sharpness": 0.0, "min_scores": 3}
    gates |= {"min_brightness": 0.0, "max_brightness": 255.0, "max_yaw": 1.0}
    card = card.model_copy(
        update={
            "preprocessing": card.preprocessing.model_copy(update={"size": SIZE, "crop_scale": 1.25}),
            "calibration": card.calibration.model_copy(update={"slope": 1.0, "offset": 0.0}),
            "thresholds": card.thresholds.model_copy(update=gates | thresholds),
        }
    )
    return Models(SquareDetector(), alone(FakeClassifier(logit, SIZE), card))


@dataclass(frozen=True)
class Ran:
    """A run of the program: exit code, what it printed, and the summaries that it printed with --json."""

    code: int
    out: str
    err: str

    @property
    def entries(self) -> list[dict[str, Any]]:
        return checked(json.loads(self.out))


def start(*words: object, **options: Any) -> Ran:
    """The program as a process of its own, with its real models."""
    command = [sys.executable, "-m", "app", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False, **options)
    ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in ran.err, ran.err
    return ran


def ffmpeg(*words: object) -> str:
    """Run ffmpeg and return what it said."""
    command = [ffmpeg_binary(), "-hide_banner", "-nostdin", "-y", *map(str, words)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    said = done.stderr.decode("utf-8", "replace")
    assert done.returncode == 0, said
    return said


def movie(
    path: Path,
    *,
    size: str = "320x240",
    fps: object = 25,
    seconds: float = 1,
    faces: str = "w",
    sound: bool = False,
    after: Sequence[object] = (),
) -> Path:
    """A clip with squares for faces: ``w`` a white one that moves at the top, ``r`` a red one that stands below."""
    inputs = [f"color=c=0x303030:s={size}:r={fps}:d={seconds}"]
    chain = "[0:v]format=yuv420p[base]"
    if "w" in faces:
        inputs.append(f"color=c=white:s=60x60:r={fps}:d={seconds}")
        chain += ";[base][1:v]overlay=x='20+30*t':y=20[base]"
    if "r" in faces:
        chain += ";[base]drawbox=x=200:y=140:w=80:h=80:c=red:t=fill[base]"
    maps: list[object] = ["-map", "[base]"]
    if sound:
        maps += ["-map", f"{len(inputs)}:a", "-c:a", "aac"]
        inputs.append(f"sine=d={seconds}")
    given = [word for source in inputs for word in ("-f", "lavfi", "-i", source)]
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p"]
    ffmpeg("-v", "error", *given, "-filter_complex", chain, *maps, *coding, *after, path)
    return path


def squares(*places: tuple[int, int, int, tuple[int, int, int]], size: tuple[int, int] = (320, 240)) -> ImageU8:
    """A picture with squares at (x, y, side, BGR colour)."""
    image = np.full((size[1], size[0], 3), 48, np.uint8)
    for x, y, side, colour in places:
        cv2.rectangle(image, (x, y), (x + side - 1, y + side - 1), colour, cv2.FILLED)
    return image


def frame_times(path: Path) -> list[float]:
    """Time of every frame by ffmpeg's own account, seconds from the start of the file."""
    said = ffmpeg("-i", path, "-map", "0:V:0", "-fps_mode", "passthrough", "-vf", "showinfo", "-f", "null", "-")
    return [float(t) for t in re.findall(r"showinfo.* pts_time:(-?[\d.]+)", said)]


def streams(path: Path) -> str:
    """ffmpeg's description of a file."""
    command = [ffmpeg_binary(), "-hide_banner", "-nostdin", "-i", str(path)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).stderr.decode("utf-8", "replace")


def flash_time(path: Path) -> float:
    """When the picture first turns bright, seconds from the start of the file."""
    graph = "signalstats,metadata=print:key=lavfi.signalstats.YMAX"
    picture = ["-map", "0:V:0", "-fps_mode", "passthrough", "-vf", f"crop=40:40:0:0,{graph}", "-f", "null", "-"]
    # The other stream is mapped too, here and below: of some formats ffmpeg counts time from the first stream in use.
    said = ffmpeg("-i", path, *picture, "-map", "0:a?", "-f", "null", "-")
    found = re.findall(r"pts_time:(-?[\d.]+).*?\n.*YMAX=(\d+)", said)
    return next(float(time) for time, level in found if int(level) > 180)


def beep_time(path: Path, rate: int = 8000) -> float:
    """When the sound starts to be loud, seconds from the start of the file."""
    command = [ffmpeg_binary(), "-v", "error", "-nostdin", "-i", str(path), "-map", "0:a:0", "-ac", "1"]
    command += ["-ar", str(rate), "-af", "aresample=async=1:first_pts=0", "-f", "f32le", "-"]
    command += ["-map", "0:V:0", "-f", "null", "-"]
    sound = np.frombuffer(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout, np.float32)
    loud = np.flatnonzero(np.abs(sound) > 0.25)
    assert loud.size, "no beep in this file"
    return float(loud[0]) / rate


def frame_count(path: Path) -> int:
    """How many frames of a video can be decoded."""
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def lines(folder: Path) -> list[dict[str, Any]]:
    """``faces.jsonl`` of a run, each line checked."""
    rows = [json.loads(line) for line in (folder / "faces.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        x0, y0, x1, y1 = row["box"]
        assert row["schema"] == 1
        assert x0 < x1 and y0 < y1
        assert isinstance(row["frame"], int) and row["frame"] >= 0
        assert isinstance(row["track"], int) and row["track"] >= 1
        assert row["time_s"] >= 0
        assert row["verdict"] in VERDICTS
        assert row["p_fake"] is None or 0 <= row["p_fake"] <= 1
        assert 0 <= row["confidence"] <= 1
    return rows


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders below ``folder``."""
    return sorted(p.name for p in folder.rglob("*") if p.name.startswith(".") or "partial" in p.name)


VERDICTS = {"real", "fake", "uncertain"}
KEYS = {"schema", "source", "verdict", "p_fake", "reason", "frames", "faces", "model", "tracks", "error", "partial"}
MORE_KEYS = {"duration_s", "device", "fingerprint", "redacted", "consensus"}
TRACK_KEYS = {"id", "verdict", "p_fake", "reason", "first_s", "last_s", "faces"}
MORE_TRACK_KEYS = {"scored", "largest_px", "models"}


def checked(entries: Any) -> list[dict[str, Any]]:
    """The array of summaries, held to the documented schema: names, types, ranges, and what follows from what."""
    assert isinstance(entries, list) and entries
    for entry in entries:
        assert set(entry) >= KEYS and set(entry) <= KEYS | MORE_KEYS, sorted(entry)
        assert entry["schema"] == 1 and type(entry["schema"]) is int
        assert all(isinstance(entry[key], str) and entry[key] for key in ("source", "reason", "model"))
        assert all(type(entry[key]) is int and entry[key] >= 0 for key in ("frames", "faces"))
        assert entry["error"] is None or (isinstance(entry["error"], str) and entry["error"])
        assert isinstance(entry["partial"], bool)
        _check_opinion(entry)
        assert [t["id"] for t in entry["tracks"]] == sorted({t["id"] for t in entry["tracks"]})
        assert sum(t["faces"] for t in entry["tracks"]) == entry["faces"]
        if entry["frames"] == 0:
            assert entry["error"], "nothing was analysed, and nothing says why"
        for track in entry["tracks"]:
            assert set(track) >= TRACK_KEYS and set(track) <= TRACK_KEYS | MORE_TRACK_KEYS | {"box"}, sorted(track)
            assert type(track["id"]) is int and track["id"] >= 1
            assert type(track["faces"]) is int and 1 <= track["faces"] <= entry["frames"]
            assert 0 <= track["first_s"] <= track["last_s"]
            _check_opinion(track)
            for vote in track.get("models", {}).values():
                assert set(vote) == {"verdict", "p_fake"} and vote["verdict"] in VERDICTS and 0 <= vote["p_fake"] <= 1
            if "box" in track:
                x0, y0, x1, y1 = (float(v) for v in track["box"])
                assert x0 < x1 and y0 < y1
        if any(t["verdict"] == "fake" for t in entry["tracks"]):
            assert entry["verdict"] == "fake"
    return list(entries)


def _check_opinion(said: dict[str, Any]) -> None:
    assert said["verdict"] in VERDICTS
    assert isinstance(said["reason"], str) and said["reason"]
    p = said["p_fake"]
    assert p is None or (type(p) in (int, float) and math.isfinite(p) and 0 <= p <= 1)
    assert p is not None or said["verdict"] == "uncertain"


def kept(folder: Path) -> list[dict[str, Any]]:
    """``summary.json`` of a run, checked."""
    return checked(json.loads((folder / "summary.json").read_text(encoding="utf-8")))


def table(folder: Path) -> list[dict[str, str]]:
    """``tracks.csv`` of a run."""
    with (folder / "tracks.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def same_box(a: Sequence[float], b: Sequence[float], within: float = 4.0) -> bool:
    """Whether two boxes are the same but for what compression blurs."""
    return all(abs(x - y) <= within for x, y in zip(a, b, strict=True))


def children() -> list[str]:
    """Names of the processes that this one has started and that still run, or wait to be collected."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = path.read_text(errors="replace").split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if int(rest.split()[1]) == os.getpid():
            found.append(name)
    return found
