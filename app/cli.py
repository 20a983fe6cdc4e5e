"""The headless verbs, their options and exit codes. Importing this loads neither Qt nor TensorFlow nor MediaPipe."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import DEMO
from app.arguments import build_parser
from app.core.errors import UnmaskError

if TYPE_CHECKING:
    from app.pipeline.batch import Models, ScanOptions

OK, FLAGGED, BAD_INPUT, PARTIAL = 0, 1, 2, 3


def main(argv: Sequence[str] | None = None, *, open_window: Callable[..., int] | None = None) -> int:
    """Run one verb and return its exit code.

    Args:
        open_window: shows the window until it is closed; None where there can't be one. Without a verb this is
            called, or else the demo clip is scanned.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        words = ["live"] if open_window else ["scan", os.path.relpath(DEMO), "--name", "demo"]
    args = build_parser().parse_args(words)
    try:
        if args.verb == "live":
            code = _live(args, open_window)
        else:
            code = {"scan": _scan, "image": _image, "models": _models, "info": _info}[args.verb](args)
        sys.stdout.flush()
        return code
    except UnmaskError as error:
        _tell(f"unmask: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        _tell("unmask: stopped at once; what the last checkpoint holds is kept for --resume")
        return PARTIAL
    except BrokenPipeError:
        # Whoever read our output is gone; Python would complain once more while shutting down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _live(args: argparse.Namespace, open_window: Callable[..., int] | None) -> int:
    if open_window is None:
        raise UnmaskError("live: there is no display for the window; use scan for recorded videos")
    return open_window(
        args.source,
        models=args.models,
        device=args.device,
        threshold=args.threshold,
        output=args.output,
        redact=args.redact,
    )


def _scan(args: argparse.Namespace) -> int:
    from app.pipeline.guards import alone_in, told
    from app.pipeline.records import failure
    from app.pipeline.run import expand, run_folder, safe_name, source_folders, write_summary
    from app.vision.sources import VIDEO_SUFFIXES, without_password

    found = expand(args.sources, VIDEO_SUFFIXES)
    addresses = [address for address, _ in found]
    entries: list[dict[str, Any]] = []
    with _load_models(args) as models, _stoppable() as stop, contextlib.ExitStack() as held:
        name = args.name or (safe_name(addresses[0]) if len(addresses) == 1 else "batch")
        folder = run_folder(args.project, name, exist_ok=args.exist_ok or args.resume)
        held.enter_context(alone_in(folder))
        for number, ((address, problem), place) in enumerate(
            zip(found, source_folders(folder, addresses), strict=True)
        ):
            if stop.is_set():
                break
            position = f"[{number + 1}/{len(found)}] " if len(found) > 1 else ""
            try:
                if problem is not None:
                    raise UnmaskError(problem)
                with told(without_password(address), place):
                    entry = _scan_one(args, address, place, models, stop, position + Path(address).name)
            except UnmaskError as error:
                _tell(f"unmask: {error}")
                entry = failure(without_password(address), models.consensus.name, str(error))
            entries.append(entry)
        try:
            # A source alone has written its own, unless it failed.
            if len(found) > 1 or any(e["frames"] == 0 for e in entries):
                write_summary(folder / "summary.json", entries)
        finally:
            code = _conclude(args, entries, interrupted=stop.is_set())
    if stop.is_set():
        _tell(f"unmask: stopped; what was done is kept in {folder}")
        _tell(f"unmask: to go on, give the same command with --name {folder.name} --resume")
    return code


def _scan_one(
    args: argparse.Namespace, address: str, place: Path, models: Models, stop: threading.Event, label: str
) -> dict[str, Any]:
    """Scan one source, or find it complete already, and print its verdict; its summary."""
    from app.pipeline.batch import fingerprint_of, scan
    from app.pipeline.run import finished_before, write_outputs
    from app.vision.sources import open_source

    options = _options(args)
    device = models.ensemble.device
    entry = None
    if args.resume:
        source = open_source(address)
        source.close()
        entry = finished_before(place, partial(fingerprint_of, source, models.consensus, options))
    if entry is None:
        with _progress(label) as advance:
            report = scan(address, place, models, options, resume=args.resume, stop=stop, on_progress=advance)
        write_outputs(place, report)
        entry = report.summary()
    if entry["error"]:
        _tell(f"unmask: {entry['error']}")
    if models.ensemble.device != device:
        _tell(f"unmask: {device} had too little memory; went on with {models.ensemble.device}")
    if not args.json:
        _print_verdicts(entry, place)
    return entry


def _image(args: argparse.Namespace) -> int:
    from app.pipeline.guards import alone_in, told
    from app.pipeline.pictures import PictureRun
    from app.pipeline.records import failure
    from app.pipeline.run import expand, run_folder, safe_name
    from app.vision.sources import PICTURE_SUFFIXES

    found = expand(args.sources, PICTURE_SUFFIXES)
    options = _options(args, picture=True)
    entries: list[dict[str, Any]] = []
    with _load_models(args) as models, _stoppable() as stop, contextlib.ExitStack() as held:
        name = args.name or (safe_name(found[0][0]) if len(found) == 1 else "batch")
        folder = run_folder(args.project, name, exist_ok=args.exist_ok)
        held.enter_context(alone_in(folder))
        run = PictureRun(folder, save=args.save)
        with _progress("pictures") as advance:
            for number, (path, problem) in enumerate(found, 1):
                if stop.is_set():
                    break
                try:
                    if problem is not None:
                        raise UnmaskError(problem)
                    with told(path, folder):
                        entries.append(run.add(path, models, options).summary())
                except UnmaskError as error:
                    _tell(f"unmask: {error}")
                    entries.append(failure(path, models.consensus.name, str(error)))
                advance(number, len(found))
        try:
            run.finish(entries)
        finally:
            code = _conclude(args, entries, interrupted=stop.is_set())
    if not args.json:
        for entry in entries:
            if entry["error"] is None:
                _print_verdicts(entry, None)
        if run.report is not None:
            print(f"report: {_plain(str(run.report))}")
    return code


def _models(args: argparse.Namespace) -> int:
    from app.models.artifact import available, read_card

    cards = [read_card(name) for name in available()]
    if args.json:
        print(json.dumps([card.model_dump(by_alias=True) for card in cards], indent=2))
    else:
        for card in cards:
            print(f"{card.name}: {card.summary}")
    return OK


def _info(args: argparse.Namespace) -> int:
    from app.system import describe

    facts = describe()
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            print(_plain(f"{name:<{width}}  {value}"))
    return OK


def _options(args: argparse.Namespace, *, picture: bool = False) -> ScanOptions:
    from app.pipeline.batch import ScanOptions
    from app.vision.analyzer import AnalyzerOptions

    return ScanOptions(
        analyzer=AnalyzerOptions(
            score_interval_s=getattr(args, "score_interval", 0.0),
            threshold=args.threshold,
            min_scores=1 if picture else None,
            all_views=picture,
        ),
        conf=args.conf,
        min_face=args.min_face,
        vid_stride=getattr(args, "vid_stride", 1),
        save=args.save,
        redact=args.redact,
    )


def _load_models(args: argparse.Namespace) -> Models:
    from app.models.artifact import DEFAULT_MODEL, load_ensemble, read_consensus
    from app.pipeline.batch import Models
    from app.vision.detector import MediaPipeDetector

    consensus = read_consensus(args.models or (DEFAULT_MODEL,))
    ensemble = load_ensemble(consensus, args.device)
    if consensus.note:
        _tell(f"unmask: {consensus.note}")
    return Models(MediaPipeDetector(args.conf, args.min_face), ensemble)


def _conclude(args: argparse.Namespace, entries: list[dict[str, Any]], *, interrupted: bool) -> int:
    """Print the JSON where asked for, and the exit code of the whole run."""
    if args.json:
        print(json.dumps(entries, indent=2))
    if any(e["error"] is not None and e["frames"] == 0 for e in entries):
        return BAD_INPUT
    if interrupted or any(e["partial"] for e in entries):
        return PARTIAL
    return FLAGGED if args.fail_on_fake and any(e["verdict"] == "fake" for e in entries) else OK


def _print_verdicts(entry: dict[str, Any], place: Path | None) -> None:
    from app.core.records import Verdict
    from app.core.scoring import percent

    print(f"{_plain(entry['source'])}: {Verdict(entry['verdict']).words} - {entry['reason']}")
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
            print(f"  annotated video: {_plain(str(place / 'annotated.mp4'))}")
        print(f"  report:          {_plain(str(place / 'report.html'))}", flush=True)


def _plain(text: str) -> str:
    """A name that cannot move the terminal's cursor, nor fail to print."""
    encoding = sys.stdout.encoding or "utf-8"
    return "".join(c if c.isprintable() else "?" for c in text).encode(encoding, "replace").decode(encoding)


def _tell(text: str) -> None:
    print(_plain(text), file=sys.stderr, flush=True)


@contextlib.contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second one interrupts at once."""
    stop = threading.Event()

    def on_signal(number: int, _: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _progress(label: str) -> Iterator[Any]:
    """A progress bar on standard error; yields a function of (frames done, frames in all or None)."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from app.core.channels import RateMeter

    rate = RateMeter()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(escape(_plain(label)), total=None, rate="")

        def advance(done: int, total: int | None) -> None:
            rate.tick()
            bar.update(task, completed=done, total=total, rate=f"{rate.rate:.0f}/s")

        yield advance
