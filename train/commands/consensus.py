"""``python -m train consensus``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError
from train.commands import WEIGHTS

HELP = "fit how several exported models judge together: weights, calibration and thresholds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", required=True, metavar="A,B,...", help="two or more models in weights/")
    parser.add_argument("--data", type=Path, required=True, help="data whose validation split no model was trained on")
    parser.add_argument("--run", type=Path, required=True, help="folder for the scores and the faces found")
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, metavar="DIR", help="folder of all models (default: weights/)"
    )
    parser.add_argument(
        "--left-out",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="train leave-out of each model, in order: also judge together on generators that none of them saw",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the figures and write no consensus card")


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from app.models.artifact import consensus_path, load_classifier, read_card, verified_path
    from train import consensus
    from train.evaluate import print_table, raw_logits, scored
    from train.prepare import prepared_samples
    from train.scores import write_scores
    from train.trained import family_of
    from train.unseen import unseen

    names = [name.strip() for name in args.models.split(",")]
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise UnmaskError(f"--models {args.models}: name two or more different models, separated by commas")
    cards = [read_card(name, args.weights) for name in names]
    for card in cards:
        verified_path(card, "keras", args.weights)
    for card, left_out in zip(cards, args.left_out, strict=False):  # unseen tells of another number.
        if others := {family_of(best.parent) for best in left_out.glob("fold-*/best.keras")} - {card.family}:
            raise UnmaskError(
                f"{left_out}: of {', '.join(others)}, not {card.family}; name the folders in the models' order"
            )
    together = unseen(args.left_out, names) if args.left_out else None
    args.run.mkdir(parents=True, exist_ok=True)
    samples = prepared_samples(args.data, args.run, splits=("valid", "test"))
    splits = []
    for split, name in (("valid", "validation"), ("test", "test")):
        chosen = [s for s in samples if s.split == split]
        targets = np.asarray([s.target for s in chosen], np.int64)
        if min(np.sum(targets == 0), np.sum(targets == 1)) < 2:
            if split == "valid":
                raise UnmaskError(f"{args.data}: the validation split lacks real or fake pictures; fitting needs both")
            print("the test split lacks real or fake pictures: the figures are those of the validation split alone")
            continue
        columns = []
        for card in cards:
            classifier = load_classifier(card, "cpu", args.weights)
            progress = f"{card.name}: scoring {name} pictures"
            raw = raw_logits(classifier, chosen, card.preprocessing, progress=progress)
            classifier.close()
            write_scores(args.run / f"{split}-{card.name}.csv", scored(chosen, raw, card.calibration, args.data))
            columns.append(consensus.calibrated(raw, card.calibration))
        splits.append(consensus.Split(name, targets, np.stack(columns, axis=1)))

    fitted = consensus.fit(cards, splits[0], f"{len(splits[0].targets)} validation pictures")
    fitted = consensus.measured(fitted, cards, splits)
    print_table(fitted.metrics, f"\n{args.data.name}; quality gates not applied, every picture counts")
    if together is not None:
        rows, conclusion = together.rows(), f"{fitted.conclusion} {together.conclusion()}"
        fitted = fitted.model_copy(update={"metrics": {**fitted.metrics, **rows}, "conclusion": conclusion})
        print()
        for name, row in rows.items():
            print(f"{name}: " + ", ".join(f"{column} {value}" for column, value in row.items()))
    print("\nweights: " + ", ".join(f"{member.name} {member.weight:.3f}" for member in fitted.members))
    print(f"calibration: {fitted.calibration.method}, slope {fitted.calibration.slope:g}, ", end="")
    print(f"offset {fitted.calibration.offset:g}")
    print(f"thresholds: {fitted.thresholds.chosen}")
    print(f"AI-GENERATED from {fitted.thresholds.fake:g}, REAL up to {fitted.thresholds.real:g}")
    print(fitted.conclusion)
    path = consensus_path(names, args.weights)
    if args.dry_run:
        print(f"{path}: left as it is")
    else:
        consensus.write(fitted, path)
        print(f"{path}: written")
    return 0
