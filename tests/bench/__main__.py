"""``python -m tests.bench``: speed as ratios within one run, on the demo clip and the shipped model.

Prints every figure and leaves them in docs/benchmarks, in place of the same parts' figures of the same machine and
versions. Nothing here asserts on seconds. Close other programs first: the machine's noise is in the spread. Beside
these: tests.bench.window (needs a display), tests.bench.long (hours).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from app import DEMO
from app.models.artifact import DEFAULT_MODEL, load_ensemble, read_consensus
from app.pipeline.batch import Models, ScanOptions, scan
from app.pipeline.run import write_outputs
from app.vision.detector import MediaPipeDetector
from tests.bench import live, results, runtimes, schedule, stages, start, workers
from tests.bench.results import Row, row

PARTS = ("scan", "workers", "runtimes", "stages", "schedule", "growth", "start", "live", "train")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="which (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="of every figure (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of the clips that are made (default: %(default)s)")
    parser.add_argument("--crops", type=int, default=64, help="faces scored a turn (default: %(default)s)")
    parser.add_argument(
        "--clips", type=Path, nargs="+", default=[DEMO], help="of the schedule (default: the demo clip)"
    )
    parser.add_argument(
        "--data", type=Path, help="pictures: the AUC of their test split beside the speed, and the part train"
    )
    parser.add_argument("--run", type=Path, default=Path("runs/bench"), help="keeps the faces found in --data")
    parser.add_argument("--to", type=Path, default=Path("docs/benchmarks"), help="(default: %(default)s)")
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    consensus = read_consensus([DEFAULT_MODEL])
    print(", ".join(f"{name} {value}" for name, value in results.machine().items()), flush=True)
    rows: list[Row] = []
    with Models(MediaPipeDetector(), load_ensemble(consensus, "cpu")) as models:
        if "scan" in args.parts:
            rows += _scans(models, args.repeats)
        if "stages" in args.parts:
            rows += stages.measure(models, args.seconds, args.repeats)
        if "schedule" in args.parts:
            rows += schedule.measure(models, args.clips)
        if "growth" in args.parts:
            rows += stages.growth(models, args.seconds, args.repeats)
        if "runtimes" in args.parts:  # Last: all that it loads would be in the memory that growth measures.
            rows += runtimes.measure(models, DEMO, args.repeats, args.crops, args.data, args.run)
    if "workers" in args.parts:
        rows += workers.measure(args.repeats)
    if "start" in args.parts:
        rows += start.measure(args.repeats)
    if "live" in args.parts:
        rows += live.rows(args.seconds, args.repeats)
    if "train" in args.parts:
        if args.data is None:
            print("train: needs --data")
        else:
            from tests.bench import train

            rows += train.rows(args.data, args.run)
    card = consensus.cards[0]
    settings = f"{card.name} ({card.cpu_form}), {args.repeats} repeats, clips of {args.seconds:g} s, {args.crops} crops"
    results.write(args.to, rows, settings)


def _scans(models: Models, repeats: int) -> list[Row]:
    """The whole scan against the clip's own length, report included, models loaded."""
    rows = []
    for label, save in (("annotated video, tables, report", True), ("--no-save: tables, report", False)):
        rates: list[float] = []
        for _ in range(repeats + 1):
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                report = scan(str(DEMO), Path(folder), models, ScanOptions(save=save))
                write_outputs(Path(folder), report)
                rates.append(report.frames / (time.perf_counter() - began))
        scored = sum(t.scored for t in report.tracks) / report.frames * statistics.median(rates[1:])
        real_time = report.frames / report.duration_s
        rows.append(row("scan", label, rates[1:], "frames/s", real_time, "real time", f"{scored:.1f} scored faces/s"))
    return rows


if __name__ == "__main__":
    main()
