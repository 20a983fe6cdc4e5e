"""A run over many sources: which they are, where their outputs go, one summary, and nothing lost on the way."""

from __future__ import annotations

import csv
import glob
import itertools
import json
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.core.errors import UnmaskError
from app.core.files import ANOTHER_PROJECT, whole_file, write_whole
from app.pipeline.records import VideoReport
from app.pipeline.report import write_report
from app.vision.sources import is_url


def expand(addresses: Sequence[str], suffixes: frozenset[str]) -> list[tuple[str, str | None]]:
    """Files, folders, globs and URLs -> one address per source, in order, each once.

    A folder gives the files below it with one of ``suffixes``; a pattern that is not the name of a file is a glob.
    One that holds nothing comes back itself, with the sentence that says so: the others still get done.
    """
    found: dict[str, str | None] = {}
    for address in addresses:
        if is_url(address):
            found[address] = None
        elif os.path.isdir(address):
            inside = _files_below(address, suffixes)
            kinds = " ".join(sorted(suffixes))
            found |= dict.fromkeys(inside) or {address: f"{address}: no file of these kinds in this folder: {kinds}"}
        elif glob.has_magic(address) and not os.path.lexists(address):
            matches = sorted(p for p in glob.glob(address, recursive=True) if os.path.isfile(p))
            found |= dict.fromkeys(matches) or {address: f"{address}: no file matches this pattern; check it"}
        else:
            found[address] = None
    return list(found.items())


def _files_below(folder: str, suffixes: frozenset[str]) -> list[str]:
    return sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in suffixes
    )


def run_folder(project: Path, name: str, *, exist_ok: bool) -> Path:
    """The folder of a run, made: ``project/name``, or ``name-2``, ``name-3``... where that exists already.

    Raises:
        UnmaskError: it cannot be made.
    """
    try:
        for number in range(1, 10_000):
            folder = project / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir(parents=True, exist_ok=exist_ok)
            except FileExistsError:
                if not exist_ok:
                    continue
                raise
            return folder
    except OSError as error:
        raise UnmaskError(
            f"{project / name}: the output folder cannot be made ({error.strerror}); name another --project"
        ) from None
    raise UnmaskError(f"{project / name}: too many runs of this name; remove some or name another")


def safe_name(address: str) -> str:
    """A folder name for a source: its stem, with anything but letters, digits, ``._-`` and spaces replaced."""
    stem = Path(address.rstrip("/").split("?")[0]).stem or "source"
    kept = "".join(c if c.isalnum() or c in "._- " else "_" for c in stem).strip(" .").lstrip("-")
    # 255 bytes is the limit of file systems; room for a suffix stays.
    return kept.encode("utf-8", "replace")[:120].decode("utf-8", "ignore") or "source"


def source_folders(folder: Path, addresses: Sequence[str]) -> list[Path]:
    """Where each source's outputs go: the run's folder itself for one source, else a folder each."""
    if len(addresses) == 1:
        return [folder]
    taken = {"summary.json"}
    return [folder / unique_name(safe_name(address), taken) for address in addresses]


def unique_name(name: str, taken: set[str]) -> str:
    """``name``, or ``name-2``, ``name-3``... where that is ``taken`` already; from now on it is."""
    # File systems that do not tell upper from lower case must not mix two sources up either.
    tries = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    chosen = next(t for t in tries if t.casefold() not in taken)
    taken.add(chosen.casefold())
    return chosen


def finished_before(place: Path, fingerprint: Callable[[], str]) -> dict[str, Any] | None:
    """The summary of a source that an earlier run completed with the same file, model and options, or None."""
    try:
        entry = json.loads((place / "summary.json").read_text(encoding="utf-8"))[0]
        done = entry["partial"] is False and entry["error"] is None
        return entry if done and entry["fingerprint"] == fingerprint() else None
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


def write_outputs(place: Path, report: VideoReport) -> None:
    """Leave ``tracks.csv``, ``summary.json`` and ``report.html`` of one scanned video in ``place``.

    Raises:
        UnmaskError: one of them cannot be written.
    """
    write_tracks(place / "tracks.csv", [report])
    title = f"Unmask: {Path(report.source).name}"
    write_report(place / "report.html", [report], title=title, created=datetime.now(UTC))
    write_summary(place / "summary.json", [report.summary()])


def write_summary(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Write the array of per-source summaries.

    Raises:
        UnmaskError: it cannot be written.
    """
    # In JSON, backslashreplace's \udcff is the very escape for a byte of a name that is not UTF-8.
    write_whole(path, json.dumps(list(entries), indent=2, ensure_ascii=False) + "\n", ANOTHER_PROJECT)


def write_tracks(path: Path, reports: Sequence[VideoReport]) -> None:
    """``tracks.csv``: a line per track of every report.

    Raises:
        UnmaskError: it cannot be written.
    """
    with (
        whole_file(path, ANOTHER_PROJECT) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        columns = [
            "source",
            "track",
            "verdict",
            "p_fake",
            "reason",
            "first_s",
            "last_s",
            "faces",
            "scored",
            "largest_px",
        ]
        writer = csv.writer(file)
        writer.writerow(columns)
        for report in reports:
            for entry in report.summary()["tracks"]:
                row = {**entry, "source": _no_formula(report.source), "track": entry["id"]}
                writer.writerow(["" if row[c] is None else row[c] for c in columns])


def _no_formula(text: str) -> str:
    """A cell that a spreadsheet does not take for a formula."""
    return "'" + text if text[:1] in "=+-@" else text
