"""``python -m train compare``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError

HELP = "put evaluations of different models on the same pictures side by side, with paired tests"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="two or more folders of train evaluate or train fit, or tables of scores; all are compared with the first",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="to score the test split with models of train fit that have not been"
    )
    parser.add_argument(
        "--show",
        type=int,
        default=0,
        metavar="N",
        help="also show the N pictures on which models of train fit disagree most, with heatmaps; needs --data",
    )
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="folder for comparison.json and comparison.html (default: the last RUN)"
    )
    parser.add_argument("--resamples", type=int, default=2000, help="of the bootstrap (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    from datetime import datetime

    from train import compare
    from train.disputed import most_disputed
    from train.report import write_page

    if len(args.runs) < 2:
        raise UnmaskError("compare needs two runs at least; name the folders of two evaluations")
    if args.resamples < 100:
        raise UnmaskError("--resamples must be at least 100; fewer give no interval")
    if args.show and args.data is None:
        raise UnmaskError("--show needs the pictures; give --data DIR")
    last: Path = args.runs[-1]
    folder: Path = args.to or (last if last.is_dir() else last.parent)
    runs, dropped = compare.read_runs(args.runs, args.data)
    found = compare.compare(runs, dropped=dropped, resamples=args.resamples, seed=args.seed)
    folder.mkdir(parents=True, exist_ok=True)
    compare.print_comparison(found)
    write_page(folder / "comparison.json", compare.to_text(found))
    disputed = most_disputed(args.runs, [r.rows for r in runs], args.data, args.show) if args.show else []
    write_page(folder / "comparison.html", compare.render(found, datetime.now().astimezone(), disputed))
    print(f"\nreport: {folder / 'comparison.html'}")
    return 0
