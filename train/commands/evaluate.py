"""``python -m train evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError
from app.core.files import write_whole
from train.commands import WEIGHTS, add_model_arguments

HELP = "measure a model through the app's own crop and runtime; writes a report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="the pictures, as for fit")
    parser.add_argument("--run", type=Path, required=True, help="folder for the results and the faces found")
    add_model_arguments(parser)
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test")
    parser.add_argument(
        "--form", choices=("cpu", "keras"), default="cpu", help="which form of the model (default: cpu)"
    )
    parser.add_argument(
        "--robustness", action="store_true", help="also compress, shrink and blur the pictures (22 times the work)"
    )
    parser.add_argument("--videos", type=Path, metavar="DIR", help="also scan the videos in DIR/real and DIR/fake")
    parser.add_argument(
        "--leave-out", type=Path, metavar="RUN", help="also report what train leave-out measured in this run folder"
    )
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    import json
    from datetime import datetime

    from app.models.artifact import load_classifier, read_card, verified_path
    from app.models.runtimes import TensorFlowClassifier
    from train import evaluate, report, robustness, videos
    from train.prepare import prepared_samples
    from train.scores import arrays, write_scores

    if args.resamples < 100:
        raise UnmaskError("--resamples must be at least 100; fewer give no interval")
    if args.videos is not None and args.weights.resolve() != WEIGHTS.resolve():
        raise UnmaskError("--videos: the app scans with the models in weights/ only; leave out --weights or --videos")
    clips = videos.find(args.videos) if args.videos is not None else []
    unseen = _summary(args.leave_out / "summary.json") if args.leave_out is not None else None
    args.run.mkdir(parents=True, exist_ok=True)
    card = read_card(args.name, args.weights)
    samples = prepared_samples(args.data, args.run, splits=(args.split,))
    if len({s.label for s in samples}) < 2:
        raise UnmaskError(
            f"{args.data}: the {args.split} split needs both real and fake pictures; name another --split"
        )
    if args.form == "cpu":
        classifier = load_classifier(card, "cpu", args.weights)
    else:
        classifier = TensorFlowClassifier(verified_path(card, "keras", args.weights), card.preprocessing.size)

    logits = evaluate.raw_logits(classifier, samples, card.preprocessing, progress="scoring")
    rows = evaluate.scored(samples, logits, card.calibration, args.data)
    write_scores(args.run / "scores.csv", rows)
    tables = evaluate.tables(rows, card.thresholds, resamples=args.resamples, seed=args.seed)
    evaluate.print_tables(tables, f"{card.name}, {classifier.device}, {args.split} split of {args.data.name}")
    found = []
    if args.robustness:
        table = args.run / "robustness-scores.csv"
        degraded = robustness.score(classifier, samples, card, table, args.data)
        found = robustness.outcomes(degraded, arrays(rows)[0], card, resamples=args.resamples, seed=args.seed)
        robustness.print_outcomes(found)
    scanned = videos.scan(clips, card.name, args.run / "videos") if clips else []
    if scanned:
        videos.print_videos(scanned)

    evaluation = report.Evaluation(
        title=f"How well {card.name} does on the {args.split} split of {args.data.name}",
        created=datetime.now().astimezone(),
        card=card,
        device=classifier.device,
        data=args.data.name,
        split=args.split,
        rows=rows,
        tables=tables,
        resamples=args.resamples,
        seed=args.seed,
        outcomes=found,
        videos=scanned,
        unseen=unseen,
        examples=report.examples(classifier, samples, rows, card, seed=args.seed),
    )
    text = json.dumps(evaluation.as_json(), indent=2, ensure_ascii=False) + "\n"
    write_whole(args.run / "evaluation.json", text)
    write_whole(args.run / "report.html", report.render(evaluation))
    print(f"\nreport: {args.run / 'report.html'}")
    return 0


def _summary(path: Path) -> dict[str, object]:
    import json

    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        if not {"generators", "photographs"} <= set(summary):
            raise ValueError("no generators and photographs in it")
    except (OSError, ValueError) as error:
        raise UnmaskError(f"{path}: not a summary of train leave-out ({error}); run that first") from None
    return dict(summary)
