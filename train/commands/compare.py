"""``python -m train compare``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError
from app.core.files import write_whole
from train.commands import WEIGHTS

HELP = "put models side by side: evaluations on the same pictures with paired tests, or all models in one table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        nargs="*",
        metavar="RUN",
        help="two or more folders of train evaluate or train fit, or tables of scores, compared with the first; "
        "with --zoo: folders of train fit, NAMEs of exported models, or NAME=RUN, one and what it came from",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="to score the test split with runs that have not been")
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="folder for what is written (default: the last RUN; --zoo has none)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)")
    pairs = parser.add_argument_group("paired tests: comparison.html and comparison.json")
    pairs.add_argument(
        "--show",
        type=int,
        default=0,
        metavar="N",
        help="also show the N pictures on which models of train fit disagree most, with heatmaps; needs --data",
    )
    pairs.add_argument("--resamples", type=int, default=2000, help="of the bootstrap (default: %(default)s)")
    zoo = parser.add_argument_group("all models in one table: zoo.md, zoo.json and zoo.png")
    zoo.add_argument("--zoo", action="store_true", help="quality, size, speed on the CPU and cost of the training")
    zoo.add_argument(
        "--left-out",
        nargs="+",
        default=[],
        metavar="NAME=RUN",
        help="folders of train leave-out, for models whose own run has none; without models to measure, they are "
        "filled into the table that is in --to already",
    )
    zoo.add_argument("--weights", type=Path, default=WEIGHTS, metavar="DIR", help="of all models (default: weights/)")
    zoo.add_argument("--rounds", type=int, default=15, help="of the measurement of speed (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    return _zoo(args) if args.zoo else _pairs(args)


def _pairs(args: argparse.Namespace) -> int:
    from datetime import datetime

    from train import compare
    from train.disputed import most_disputed

    paths = [Path(words) for words in args.models]
    if len(paths) < 2:
        raise UnmaskError("compare needs two runs at least; name the folders of two evaluations")
    if args.resamples < 100:
        raise UnmaskError("--resamples must be at least 100; fewer give no interval")
    if args.show and args.data is None:
        raise UnmaskError("--show needs the pictures; give --data DIR")
    last = paths[-1]
    folder: Path = args.to or (last if last.is_dir() else last.parent)
    runs, dropped = compare.read_runs(paths, args.data)
    found = compare.compare(runs, dropped=dropped, resamples=args.resamples, seed=args.seed)
    folder.mkdir(parents=True, exist_ok=True)
    compare.print_comparison(found)
    write_whole(folder / "comparison.json", compare.to_text(found))
    disputed = most_disputed(paths, [r.rows for r in runs], args.data, args.show) if args.show else []
    write_whole(folder / "comparison.html", compare.render(found, datetime.now().astimezone(), disputed))
    print(f"\nreport: {folder / 'comparison.html'}")
    return 0


def _zoo(args: argparse.Namespace) -> int:
    import os
    import platform
    import shlex
    from datetime import datetime

    from train import zoo_table
    from train.zoo_document import Document, Step

    if args.to is None:
        raise UnmaskError("--zoo needs a folder for its table; give --to DIR")
    if args.show:
        raise UnmaskError("--show compares models picture by picture; leave it out, or --zoo")
    if args.rounds < 1:
        raise UnmaskError("--rounds must be at least 1")
    left_out = dict(_left_out(words) for words in args.left_out)
    if args.models:
        entries = [zoo_table.entry(words, args.weights) for words in args.models]
        lines = zoo_table.table(entries, args.data, rounds=args.rounds, seed=args.seed)
        where = f"{platform.machine()}, {os.cpu_count()} cores"
        document = Document(where, args.rounds, (), tuple(lines))
    elif left_out:
        document = Document.read(args.to)
    else:
        raise UnmaskError("--zoo needs models; name runs or exported models, or fill in a table with --left-out")
    given = [*args.models, *(["--data", "DIR"] if args.models else []), "--to", str(args.to)]
    given += ["--left-out", *args.left_out] if left_out else []
    step = Step(datetime.now().astimezone().date().isoformat(), f"python -m train compare --zoo {shlex.join(given)}")
    document = document.with_left_out(left_out).after(step)
    print(document.as_markdown())
    document.write(args.to)
    print(f"written: {args.to / 'zoo.md'}, zoo.json, zoo.png")
    return 0


def _left_out(words: str) -> tuple[str, Path]:
    name, equals, folder = words.partition("=")
    if not (equals and name and folder):
        raise UnmaskError(f"--left-out {words}: give NAME=RUN, a model of the table and the folder of its leave-out")
    return name, Path(folder)
