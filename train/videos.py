"""Verdicts on whole videos: the app scans them, as people run it, and its own summaries are read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from app.core.errors import UnmaskError
from app.core.records import Verdict
from train import metrics
from train.evaluate import plain
from train.metrics import Estimate

SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"})


@dataclass(frozen=True, slots=True)
class Track:
    """One face followed through a video; see :class:`app.core.records.TrackResult`."""

    id: int
    verdict: Verdict
    p_fake: float | None
    reason: str
    scored: int


@dataclass(frozen=True, slots=True)
class Video:
    """What the app said of one video.

    Attributes:
        name: of the file.
        label: the truth, "real" or "fake", by the folder.
        p_fake: of the faces behind the verdict, [0, 1]; None where nothing was scored.
        error: one sentence where the video could not be scanned, else None.
    """

    name: str
    label: str
    verdict: Verdict
    p_fake: float | None
    reason: str
    tracks: tuple[Track, ...]
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        faces = [
            {"id": t.id, "verdict": t.verdict, "p_fake": t.p_fake, "scored": t.scored, "reason": t.reason}
            for t in self.tracks
        ]
        return {
            "name": self.name,
            "label": self.label,
            "verdict": self.verdict,
            "p_fake": self.p_fake,
            "reason": self.reason,
            "error": self.error,
            "tracks": faces,
        }


def find(folder: Path) -> list[tuple[Path, str]]:
    """The videos of ``folder/real`` and ``folder/fake`` with their labels.

    Raises:
        UnmaskError: there are none.
    """
    found = [
        (path, label)
        for label in ("real", "fake")
        for path in sorted((folder / label).glob("*"))
        if path.suffix.lower() in SUFFIXES
    ]
    if not found:
        raise UnmaskError(f"{folder}: no videos in real/ or fake/ here; give a folder that has these two")
    return found


def scan(videos: Sequence[tuple[Path, str]], model: str, folder: Path) -> list[Video]:
    """Scan each video with ``python -m app scan``, with a progress bar.

    Args:
        videos: of :func:`find`.
        model: name of a model in ``weights/``.
        folder: gets the app's outputs, a folder for each video; what the same model completed before is taken over.
    """
    return [_scanned(path, label, model, folder) for path, label in track(videos, description="scanning videos")]


def of_summary(entry: dict[str, Any], name: str, label: str) -> Video:
    """A video from its object in the app's ``summary.json``."""
    faces = tuple(Track(t["id"], Verdict(t["verdict"]), t["p_fake"], t["reason"], t["scored"]) for t in entry["tracks"])
    return Video(name, label, Verdict(entry["verdict"]), entry["p_fake"], entry["reason"], faces, entry["error"])


def shares(videos: Sequence[Video]) -> dict[str, dict[Verdict, Estimate]]:
    """For each label, the share of its videos with each verdict; those that could not be scanned do not count."""
    found: dict[str, dict[Verdict, Estimate]] = {}
    for label in ("real", "fake"):
        said = [v.verdict for v in videos if v.label == label and v.error is None]
        if said:
            found[label] = {verdict: metrics.share([s is verdict for s in said]) for verdict in Verdict}
    return found


def print_videos(videos: Sequence[Video]) -> None:
    """Print the verdicts, for people."""
    width = max(len(plain(v.name)) for v in videos)
    print(f"\n{'video':<{width}} {'truth':<6} {'verdict':<13} {'p':>6}  faces")
    for v in videos:
        p = "" if v.p_fake is None else f"{v.p_fake:.3f}"
        print(f"{plain(v.name):<{width}} {v.label:<6} {v.verdict.words:<13} {p:>6}  {len(v.tracks)}  {v.error or ''}")


def _scanned(path: Path, label: str, model: str, folder: Path) -> Video:
    place = ["--project", str(folder), "--name", f"{label}-{path.stem}", "--resume"]
    command = [sys.executable, "-m", "app", "scan", str(path), "--model", model, "--json", "--no-save", *place]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    try:
        (entry,) = json.loads(done.stdout)
        return of_summary(entry, path.name, label)
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines()
        said = lines[-1].removeprefix("unmask: ") if lines else f"it ended with code {done.returncode}"
        raise UnmaskError(f"{path}: the app could not scan it ({said}); mend that, or leave the video out") from None
