"""What people see on a terminal: sentences, verdicts and progress bars."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.core.channels import RateMeter

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def plain(text: str) -> str:
    """A name that cannot move the terminal's cursor, nor fail to print."""
    encoding = sys.stdout.encoding or "utf-8"
    return "".join(c if c.isprintable() else "?" for c in text).encode(encoding, "replace").decode(encoding)


def tell(text: str) -> None:
    """Print a sentence on standard error."""
    print(plain(text), file=sys.stderr, flush=True)


def print_verdicts(entry: dict[str, Any], place: Path | None) -> None:
    """Print a source's summary, and where its outputs lie."""
    from app.core.records import Verdict
    from app.core.scoring import percent

    print(f"{plain(entry['source'])}: {Verdict(entry['verdict']).words} - {entry['reason']}")
    for track in entry["tracks"]:
        words = Verdict(track["verdict"]).words
        where = (
            f"{track['first_s']:.1f}-{track['last_s']:.1f} s" if "box" not in track else f"{track['largest_px']:.0f} px"
        )
        print(f"  face {track['id']:<3} {where:>13}  {words:<12}  {track['reason']}")
        votes = track.get("models", {})
        width = max(map(len, votes), default=0)
        for name, vote in votes.items():
            print(f"{'':24}{Verdict(vote['verdict']).words:<12}  {name:<{width}}  AI {percent(vote['p_fake'])}")
    if entry["redacted"]:
        print("  redacted: faces not flagged AI-GENERATED are pixelated in what was written")
    if place is not None:
        if (place / "annotated.mp4").exists():
            print(f"  annotated video: {plain(str(place / 'annotated.mp4'))}")
        print(f"  report:          {plain(str(place / 'report.html'))}", flush=True)


@contextlib.contextmanager
def progress(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on standard error; yields a function of what is done, and of what there is in all or None."""
    rate = RateMeter()
    with _bar() as bar:
        task = _added(bar, label)

        def advance(done: int, total: int | None) -> None:
            rate.tick()
            bar.update(task, completed=done, total=total, rate=f"{rate.rate:.0f}/s")

        yield advance


@contextlib.contextmanager
def progress_of_many(label: str, total: int) -> Iterator[Callable[[int, Sequence[tuple[str, int, int]]], None]]:
    """A bar for a whole run and one for each source at work.

    Yields a function of how many of the ``total`` sources are done, and of the name, the frames done and the frames in
    all (0 where that is not known) of those at work.
    """
    with _bar() as bar:
        whole = _added(bar, label)
        bar.update(whole, total=total)
        shown: dict[str, TaskID] = {}

        def update(done: int, at_work: Sequence[tuple[str, int, int]]) -> None:
            bar.update(whole, completed=done)
            for gone in shown.keys() - {name for name, _, _ in at_work}:
                bar.remove_task(shown.pop(gone))
            for name, frames, all_frames in at_work:
                if name not in shown:
                    shown[name] = _added(bar, f"  {name}")
                bar.update(shown[name], completed=frames, total=all_frames or None)

        yield update


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # What is printed meanwhile goes above the bars, unless it goes somewhere else altogether.
        redirect_stdout=sys.stdout.isatty(),
        disable=not sys.stderr.isatty(),
    )


def _added(bar: Progress, label: str) -> TaskID:
    from rich.markup import escape

    return bar.add_task(escape(plain(label)), total=None, rate="")
