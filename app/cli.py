"""The headless verbs, their options and exit codes. Importing this loads neither Qt nor TensorFlow nor MediaPipe."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import DEMO
from app.arguments import build_parser
from app.core.errors import UnmaskError
from app.terminal import plain, print_verdicts, progress, progress_of_many, tell
from app.vision.quiet import python_alone_on_stderr

if TYPE_CHECKING:
    from app.pipeline.batch import Models, ScanOptions
    from app.pipeline.jobs import Job, Loading, Outcome

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
            with python_alone_on_stderr():
                code = {"scan": _scan, "image": _image, "models": _models, "info": _info}[args.verb](args)
        sys.stdout.flush()
        return code
    except UnmaskError as error:
        tell(f"unmask: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        tell("unmask: stopped at once; what the last checkpoint holds is kept for --resume")
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
    from app.pipeline.guards import alone_in
    from app.pipeline.jobs import Job
    from app.pipeline.run import expand, run_folder, safe_name, source_folders, write_summary
    from app.vision.sources import VIDEO_SUFFIXES

    if args.address is not None and args.engine != "ray":
        raise UnmaskError("--address is that of a Ray cluster; give --engine ray too")
    found = expand(args.sources, VIDEO_SUFFIXES)
    addresses = [address for address, _ in found]
    done: dict[int, dict[str, Any]] = {}
    with contextlib.ExitStack() as held:
        together = args.workers > 1 or args.engine != "process"
        models = None if together else held.enter_context(_load_models(args))
        stop = held.enter_context(_stoppable())
        name = args.name or (safe_name(addresses[0]) if len(addresses) == 1 else "batch")
        folder = run_folder(args.project, name, exist_ok=args.exist_ok or args.resume)
        held.enter_context(alone_in(folder))
        jobs = [
            Job(number, address, place, problem, args.resume)
            for number, ((address, problem), place) in enumerate(
                zip(found, source_folders(folder, addresses), strict=True)
            )
        ]
        outcomes = _by_turns(args, jobs, models, stop) if models else _by_a_crew(args, jobs, stop)
        held.enter_context(contextlib.closing(outcomes))
        for job, outcome in outcomes:
            for note in outcome.notes:
                tell(f"unmask: {note}")
            done[job.number] = outcome.entry
            if not args.json and (outcome.entry["frames"] or outcome.entry["error"] is None):
                print_verdicts(outcome.entry, job.place)
        entries = [done[number] for number in sorted(done)]
        try:
            # A source alone has written its own, unless it failed.
            if len(found) > 1 or any(e["frames"] == 0 for e in entries):
                write_summary(folder / "summary.json", entries)
        finally:
            code = _conclude(args, entries, interrupted=stop.is_set())
    if stop.is_set():
        tell(f"unmask: stopped; what was done is kept in {folder}")
        tell(f"unmask: to go on, give the same command with --name {folder.name} --resume")
    return code


def _title(job: Job, jobs: Sequence[Job]) -> str:
    position = f"[{job.number + 1}/{len(jobs)}] " if len(jobs) > 1 else ""
    return position + Path(job.address).name


def _by_turns(
    args: argparse.Namespace, jobs: Sequence[Job], models: Models, stop: threading.Event
) -> Generator[tuple[Job, Outcome]]:
    """One source after the other, in this process."""
    from app.pipeline.jobs import do

    for job in jobs:
        if stop.is_set():
            break
        with progress(_title(job, jobs)) as advance:
            outcome = do(job, models, _options(args), stop, advance)
        yield job, outcome


def _by_a_crew(args: argparse.Namespace, jobs: Sequence[Job], stop: threading.Event) -> Generator[tuple[Job, Outcome]]:
    """Several sources at once, by processes of this machine or of a cluster."""
    loading = _loading(args)
    count = min(args.workers, len(jobs))
    if args.engine == "ray":
        from app.pipeline.cluster import on_a_cluster

        crew = on_a_cluster(count, loading, _options(args), args.address)
    else:
        from app.pipeline.crew import on_this_machine

        crew = on_this_machine(count, loading, _options(args))
    finished = 0
    with contextlib.closing(crew), progress_of_many("sources", len(jobs)) as update:
        for found in crew.run(jobs, stop):
            finished += found is not None
            at_work = [(_title(job, jobs), done, total) for job, done, total in crew.doing()]
            update(finished, at_work)
            if found is not None:
                yield found


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
        with progress("pictures") as advance:
            for number, (path, problem) in enumerate(found, 1):
                if stop.is_set():
                    break
                try:
                    if problem is not None:
                        raise UnmaskError(problem)
                    with told(path, folder):
                        entries.append(run.add(path, models, options).summary())
                except UnmaskError as error:
                    tell(f"unmask: {error}")
                    entries.append(failure(path, models.consensus.name, str(error)))
                advance(number, len(found))
        try:
            run.finish(entries)
        finally:
            code = _conclude(args, entries, interrupted=stop.is_set())
    if not args.json:
        for entry in entries:
            if entry["error"] is None:
                print_verdicts(entry, None)
        if run.report is not None:
            print(f"report: {plain(str(run.report))}")
    return code


def _models(args: argparse.Namespace) -> int:
    from app.models.artifact import available, fitted_together, read_card

    cards = [read_card(name) for name in available()]
    if args.json:
        print(json.dumps([card.model_dump(by_alias=True) for card in cards], indent=2))
    else:
        for card in cards:
            print(f"{card.name}: {card.summary}")
        for together in fitted_together():
            print(f"{','.join(card.name for card in together.cards)}: for --models; {together.note}")
    return OK


def _info(args: argparse.Namespace) -> int:
    from app.system import describe

    facts = describe()
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            print(plain(f"{name:<{width}}  {value}"))
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
    return _loading(args).load()


def _loading(args: argparse.Namespace) -> Loading:
    """What is to be loaded, here or by workers; how the models came by their weights is told."""
    from app.models.artifact import DEFAULT_MODEL, read_consensus
    from app.pipeline.jobs import Loading

    names = args.models or (DEFAULT_MODEL,)
    if note := read_consensus(names).note:
        tell(f"unmask: {note}")
    return Loading(names, args.device, args.conf, args.min_face)


def _conclude(args: argparse.Namespace, entries: list[dict[str, Any]], *, interrupted: bool) -> int:
    """Print the JSON where asked for, and the exit code of the whole run."""
    if args.json:
        print(json.dumps(entries, indent=2))
    if any(e["error"] is not None and e["frames"] == 0 for e in entries):
        return BAD_INPUT
    if interrupted or any(e["partial"] for e in entries):
        return PARTIAL
    return FLAGGED if args.fail_on_fake and any(e["verdict"] == "fake" for e in entries) else OK


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
