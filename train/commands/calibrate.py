"""``python -m train calibrate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError
from train.commands import add_model_arguments

HELP = "fit calibration, thresholds and quality gates of a model again, without exporting it anew"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="the data the model was trained on")
    parser.add_argument("--run", type=Path, required=True, help="folder for the scores and the faces found")
    add_model_arguments(parser)
    parser.add_argument(
        "--gates", choices=("fit", "keep"), default="fit", help="fit the quality gates too, or keep the card's"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what the card would say and leave it as it is")


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from app.models.artifact import load_classifier, read_card
    from train import calibrate
    from train.evaluate import evaluate, print_table, raw_logits, scored
    from train.gates import Fitting, print_steps
    from train.prepare import prepared_samples
    from train.scores import write_scores

    args.run.mkdir(parents=True, exist_ok=True)
    card = read_card(args.name, args.weights)
    classifier = load_classifier(card, "cpu", args.weights)
    crop = card.preprocessing
    samples = prepared_samples(args.data, args.run, splits=("valid", "test"))
    valid, test = ([s for s in samples if s.split == split] for split in ("valid", "test"))
    logits = raw_logits(classifier, valid, crop, progress="scoring validation pictures")
    targets = np.asarray([s.target for s in valid])
    if min(np.sum(targets == 0), np.sum(targets == 1)) < 2:
        raise UnmaskError(f"{args.data}: the validation split lacks real or fake pictures; calibration needs both")
    fitted_on = f"{len(targets)} validation pictures"
    calibration = calibrate.fitted(targets, logits, fitted_on)
    p = calibrate.apply(calibration, logits)
    kept = calibrate.Gates.of(card.thresholds)
    thresholds = calibrate.thresholds(targets, p, fitted_on, kept)
    if args.gates == "fit":
        fitting = Fitting(classifier, valid, crop, calibration, thresholds.fake)
        thresholds = calibrate.thresholds(targets, p, fitted_on, fitting.fit())
        print_steps(fitting.steps)
    card = card.model_copy(update={"calibration": calibration, "thresholds": thresholds})
    write_scores(args.run / "valid-scores.csv", scored(valid, logits, calibration, args.data))
    print(f"\n{calibration.method}: slope {calibration.slope:g}, offset {calibration.offset:g}")
    print(f"thresholds: {thresholds.chosen}")
    print(f"AI-GENERATED from {thresholds.fake:g}, REAL up to {thresholds.real:g}")

    # What the card says of the test split was measured with the old calibration and thresholds.
    metrics = {name: row for name, row in card.metrics.items() if not name.startswith("test, ")}
    if test:
        logits = raw_logits(classifier, test, crop, progress="scoring test pictures")
        table = evaluate(test, logits, card)
        print_table(table, f"test split of {args.data.name}")
        metrics |= {f"test, {name}": row for name, row in table.items()}
    card = card.model_copy(update={"metrics": metrics})
    path = args.weights / card.name / "card.json"
    if args.dry_run:
        print(f"{path}: left as it is")
    else:
        card.write(path)
        print(f"{path}: written")
    return 0
