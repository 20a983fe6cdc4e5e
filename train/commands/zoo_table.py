"""``python -m train zoo-table``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError
from train.commands import WEIGHTS

HELP = "all trained models in one table and one figure: quality, size, speed, cost of the training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="RUN, the folder of a finished fit; NAME of an exported model; or NAME=RUN, one and what it came from",
    )
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder for zoo.md, zoo.json and zoo.png")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="to score runs that have not been scored on the test split"
    )
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, metavar="DIR", help="folder of all models (default: weights/)"
    )
    parser.add_argument("--rounds", type=int, default=15, help="of the measurement of speed (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    import json
    import os
    import platform
    import shlex
    from datetime import datetime

    from train import zoo_figure, zoo_table
    from train.figures import write_png
    from train.report import write_page

    if args.rounds < 1:
        raise UnmaskError("--rounds must be at least 1")
    entries = [zoo_table.entry(words, args.weights) for words in args.models]
    lines = zoo_table.table(entries, args.data, rounds=args.rounds)
    now = datetime.now().astimezone()
    where = f"{platform.machine()}, {os.cpu_count()} cores"
    document = {
        "schema": 1,
        "created": now.isoformat(timespec="seconds"),
        "machine": where,
        "rounds": args.rounds,
        "models": [line.as_json() for line in lines],
    }
    text = zoo_table.as_markdown(lines, where)
    print(text)
    args.to.mkdir(parents=True, exist_ok=True)
    write_page(args.to / "zoo.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    made = f"python -m train zoo-table {shlex.join(args.models)} --data DIR --to {shlex.quote(str(args.to))}"
    head = f"# All models in one table\n\nMade on {now.date()} by\n\n    {made}\n\n![The same as a figure](zoo.png)\n\n"
    write_page(args.to / "zoo.md", head + text)
    write_png(args.to / "zoo.png", zoo_figure.draw(lines))
    print(f"written: {args.to / 'zoo.md'}, zoo.json, zoo.png")
    return 0
