"""``python -m train [fit] ...``: see ``python -m train --help``."""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.core.errors import UnmaskError
from train.config import PRESETS

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
VERBS = ("fit", "export", "evaluate")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; ``fit`` where none is named. Exit codes: 0 done, 2 bad input, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0] not in VERBS and words[0] not in ("-h", "--help")):
        words.insert(0, "fit")
    args = _parser().parse_args(words)
    # TensorFlow's start-up notices come from C++ and can only be turned off before it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return int(args.run_verb(args))
    except UnmaskError as error:
        print(f"unmask: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(
            f'unmask: {error.name} is missing; install what training needs: pip install -e ".[train]"', file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        print("unmask: interrupted; run the same command again to go on from the last checkpoint", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train", description="Make the models that the app runs.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    fit = verbs.add_parser("fit", help="train a model (the default verb)")
    fit.add_argument("--data", type=Path, required=True, help="folder in the layout of the 140k set")
    fit.add_argument("--run", type=Path, required=True, help="run folder; one that holds a checkpoint is resumed")
    fit.add_argument(
        "--preset", default="densenet121", help="train/presets/NAME.toml or a TOML file (default: %(default)s)"
    )
    fit.add_argument(
        "--imagenet",
        default=None,
        metavar="FILE|none",
        help="ImageNet weights (default: from weights/); none trains from scratch",
    )
    fit.add_argument("--init", type=Path, metavar="FILE", help="start from this .keras model of the same family")
    fit.add_argument("--model", help="model family")
    for name, kind, text in (
        ("size", int, "side of the crops, pixels"),
        ("crop-scale", float, "side of the crop over the face's box"),
        ("epochs", int, "passes over the training split at most"),
        ("patience", int, "epochs without improvement before stopping"),
        ("batch", int, "pictures a step"),
        ("learning-rate", float, "peak learning rate"),
        ("seed", int, "seed of data order and augmentation"),
        ("limit", int, "pictures of each split at most, for a trial"),
    ):
        fit.add_argument(f"--{name}", type=kind, help=text)
    fit.add_argument("--no-mixed-precision", dest="mixed_precision", action="store_const", const=False)
    fit.set_defaults(run_verb=_fit)

    export = verbs.add_parser("export", help="make weights/NAME/ from a run, verified and measured")
    export.add_argument("--run", type=Path, required=True, help="folder of a finished fit")
    export.add_argument("--data", type=Path, required=True, help="the data it was trained on")
    export.add_argument("--name", required=True, help="name of the model")
    export.add_argument(
        "--to", type=Path, default=WEIGHTS, metavar="DIR", help="folder of all models (default: weights/)"
    )
    export.add_argument(
        "--card",
        type=Path,
        default=PRESETS / "card.toml",
        metavar="FILE",
        help="TOML with the card's words (default: those of the shipped model)",
    )
    export.set_defaults(run_verb=_export)

    evaluate = verbs.add_parser("evaluate", help="measure a model through the app's own crop and runtime")
    evaluate.add_argument("--data", type=Path, required=True, help="folder in the layout of the 140k set")
    evaluate.add_argument("--run", type=Path, required=True, help="folder for the results and the faces found")
    evaluate.add_argument("--name", default="unmask-densenet121", help="model in weights/ (default: %(default)s)")
    evaluate.add_argument("--split", choices=("train", "valid", "test"), default="test")
    evaluate.add_argument(
        "--form", choices=("cpu", "keras"), default="cpu", help="which form of the model (default: cpu)"
    )
    evaluate.set_defaults(run_verb=_evaluate)
    return parser


def _fit(args: argparse.Namespace) -> int:
    from train.config import FitConfig
    from train.fit import fit
    from train.zoo import find_imagenet_weights

    options: dict[str, Any] = {
        key: getattr(args, key)
        for key in (
            "model",
            "size",
            "crop_scale",
            "epochs",
            "patience",
            "batch",
            "learning_rate",
            "seed",
            "limit",
            "mixed_precision",
        )
        if getattr(args, key) is not None
    }
    config = FitConfig.from_preset(args.preset, options)
    if args.imagenet == "none" or args.init is not None:
        imagenet = None
    elif args.imagenet is not None:
        imagenet = Path(args.imagenet)
        if not imagenet.is_file():
            raise UnmaskError(f"{imagenet}: no such file; give the ImageNet weights of {config.model}, or none")
    else:
        imagenet = find_imagenet_weights(config.model, WEIGHTS)
    best = fit(config, args.data, args.run, imagenet=imagenet, init=args.init)
    print(f"best model: {best}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from train.export import export

    try:
        words = tomllib.loads(args.card.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UnmaskError(
            f"{args.card}: the card's words cannot be read ({error}); see {PRESETS / 'card.toml'}"
        ) from None
    card = export(args.run, args.data, args.to, args.name, description=words)
    print(f"exported: {args.to / card.name} (CPU form {card.cpu_form})")
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    import json

    from app.models.artifact import load_classifier, read_card, verified_path
    from app.models.runtimes import TensorFlowClassifier
    from train.evaluate import evaluate, print_table, raw_logits
    from train.prepare import prepared_samples

    args.run.mkdir(parents=True, exist_ok=True)
    card = read_card(args.name)
    samples = prepared_samples(args.data, args.run, splits=(args.split,))
    size, scale = card.preprocessing.size, card.preprocessing.crop_scale
    if args.form == "cpu":
        classifier = load_classifier(card, "cpu")
    else:
        classifier = TensorFlowClassifier(verified_path(card, "keras"), size)
    table = evaluate(samples, raw_logits(classifier, samples, size, scale), card)
    (args.run / f"evaluation-{args.form}.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    print_table(table, f"{card.name}, {classifier.device}, {args.split} split of {args.data.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
