"""``python -m tests.fuzz``: thousands of hostile inputs through the program; what it takes up again where it ended.

Prints how many ended how, and every failure with its number: ``python -m tests.fuzz --only 1234`` runs that one again
and ``--keep FOLDER`` leaves its file there.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.cases import Cases
from tests.fuzz.watch import MOST_MB, MOST_SECONDS, Watched


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=2500, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (default: %(default)s)")
    parser.add_argument("--only", type=int, nargs="+", help="these numbers alone, and remember nothing")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="with --only: leave the files there")
    parser.add_argument("--folder", type=Path, default=Path("runs/fuzz"), help="of the summary (default: %(default)s)")
    args = parser.parse_args()
    cases = Cases(args.folder / "made")
    if args.only:
        watched = Watched()
        for seed in args.only:
            case = cases.case(seed)
            if args.keep:
                args.keep.mkdir(parents=True, exist_ok=True)
                (args.keep / f"{seed}-{case.name}").write_bytes(case.data)
            print(json.dumps(watched.judge(case), indent=2), flush=True)
        watched.close()
        return
    summary = args.folder / "outcomes.jsonl"
    done = read(summary)
    wanted = range(args.first, args.first + args.inputs)
    todo = iter([seed for seed in wanted if seed not in done])
    lock = threading.Lock()
    threads = [threading.Thread(target=work, args=(cases, todo, summary, done, lock)) for _ in range(args.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit(tell([done[seed] for seed in wanted]))


def work(
    cases: Cases, todo: Iterator[int], summary: Path, done: dict[int, dict[str, Any]], lock: threading.Lock
) -> None:
    """Judge inputs until none are left, a line of the summary each."""
    watched = Watched()
    try:
        while True:
            with lock:
                seed = next(todo, None)
            if seed is None:
                return
            outcome = watched.judge(cases.case(seed))
            with lock:
                done[seed] = outcome
                with summary.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(outcome) + "\n")
                if outcome["wrong"]:
                    print(f"{seed}: {outcome['input']}: {outcome['wrong']}", flush=True)
                if len(done) % 100 == 0:
                    print(f"{len(done)} done", flush=True)
    finally:
        watched.close()


def read(summary: Path) -> dict[int, dict[str, Any]]:
    """What earlier runs found; failures are tried again."""
    if not summary.exists():
        return {}
    found = [json.loads(line) for line in summary.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return {outcome["seed"]: outcome for outcome in found if not outcome["wrong"]}


def tell(outcomes: list[dict[str, Any]]) -> int:
    """Print the counts and the failures; the exit code."""
    counts = Counter((outcome["input"].split()[0], outcome["outcome"]) for outcome in outcomes)
    print(f"{len(outcomes)} inputs")
    for (verb, word), count in sorted(counts.items()):
        print(f"  {verb:<6} {word:<16} {count:6}")
    for key, words in (("peak_mb", "MB"), ("seconds", "s")):
        worst = max((o for o in outcomes if key in o), key=lambda o: o[key], default=None)
        if worst is not None:
            limit = MOST_MB if key == "peak_mb" else MOST_SECONDS
            print(f"  most: {worst[key]} of {limit:g} {words}, by {worst['seed']}, {worst['input']}")
    failed = [outcome for outcome in outcomes if outcome["wrong"]]
    for outcome in failed:
        print(f"  FAILED --only {outcome['seed']}: {outcome['input']}: {outcome['wrong']}")
    return 1 if failed else 0


if __name__ == "__main__":
    main()
