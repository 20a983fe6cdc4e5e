"""``python -m train modified``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError
from app.core.files import write_whole
from train.commands import WEIGHTS

HELP = "ask a model about pictures and about modified copies of them: which change turns which answer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--name", help="model in weights/ (default: unmask-densenet121)")
    which.add_argument("--model-file", type=Path, metavar="FILE", help="best.keras in the folder of its run")
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, metavar="DIR", help="folder of all models (default: weights/)"
    )
    parser.add_argument("--pictures", type=Path, required=True, metavar="DIR", help="folder of the originals")
    parser.add_argument("--run", type=Path, required=True, help="folder for the results and the faces found")
    parser.add_argument("--limit", type=int, help="pictures at most, taken evenly")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn at random (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    import json
    from datetime import datetime

    from app.models.artifact import DEFAULT_MODEL
    from train import modified, modified_report
    from train.trained import exported, of_file

    if args.limit is not None and args.limit < 1:
        raise UnmaskError("--limit must be at least 1")
    if args.seed < 0:
        raise UnmaskError("--seed must not be negative")
    pictures = modified.pictures_in(args.pictures, args.limit)
    if args.model_file is not None:
        model = of_file(args.model_file)
    else:
        model = exported(args.name or DEFAULT_MODEL, args.weights)
    model.needs_no_cutting()
    modified.refuse_another(args.run / "modified.json", model)
    args.run.mkdir(parents=True, exist_ok=True)
    classifier = model.classifier()
    answers = modified.ask(model, classifier, pictures, args.pictures, args.run, seed=args.seed)
    classifier.close()
    found = modified.outcomes(answers, seed=args.seed)
    modified_report.print_outcomes(model, answers, found)
    created = datetime.now().astimezone()
    document = {
        "schema": 1,
        "model": model.name,
        "family": model.family,
        "created": created.isoformat(timespec="seconds"),
        "seed": args.seed,
        "pictures": len(answers.names),
        "not_scored": answers.left_out,
        "modifications": [o.as_json() for o in found],
    }
    modified.write_answers(args.run / "modified.csv", answers)
    write_whole(args.run / "modified.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    write_whole(args.run / "modified.html", modified_report.render(model, answers, found, created, args.seed))
    print(f"\nreport: {args.run / 'modified.html'}")
    return 0
