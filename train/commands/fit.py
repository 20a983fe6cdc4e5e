"""``python -m train fit``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError
from train.commands import WEIGHTS
from train.config import FitConfig
from train.distribute import KINDS
from train.zoo import family, find_imagenet_weights

HELP = "train a model (the default verb)"
OPTIONS = (
    ("arch", str, "backbone of lnp_fusion: mobilenet_v2 or resnet50"),
    ("mode", int, "fusion of lnp_fusion: 0, 1 or 2"),
    ("segmenter", str, "face mask of lnp_fusion: none, landmarks, mediapipe or mobilesam"),
    ("denoiser", str, "where lnp_fusion takes its noise from: dncnn or cycleisp"),
    ("size", int, "side of the crops, pixels"),
    ("crop-scale", float, "side of the crop over the face's box"),
    ("second-scale", float, "scale of a second, mirrored crop that the finished model looks at too, 0 for none"),
    ("scale-range", float, "training crops vary between the crop scale over and times this"),
    ("strength", float, "of the degradations, 0 to 1"),
    ("h264", float, "share of the crops that go through H.264"),
    ("toned", float, "share of degraded pictures in the colours of one of the other class"),
    ("source-balance", float, "0: sources by their size, 1: all alike"),
    ("self-blended", float, "share of the fakes that are self-blended photographs"),
    ("reconstructed", float, "share of the fakes that are photographs drawn by small decoders"),
    ("share", float, "share of the training pictures to use"),
    ("epochs", int, "passes over the training split at most"),
    ("patience", int, "epochs without improvement before stopping"),
    ("batch", int, "pictures a step"),
    ("head-steps", int, "steps for the new top alone, first"),
    ("ema", float, "decay of the weights' moving average, 0 for none"),
    ("learning-rate", float, "peak learning rate"),
    ("seed", int, "seed of data order and augmentation"),
    ("limit", int, "pictures of each split at most, for a trial"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_fit_arguments(parser)
    parser.add_argument(
        "--init",
        type=Path,
        metavar="RUN|FILE",
        help="start from the best model of this run, or this .keras file, of the same family or of lnp_fusion's --arch",
    )
    parser.add_argument(
        "--distribute",
        choices=KINDS,
        default="none",
        help="train on all GPUs of this machine (mirrored), or on several that TF_CONFIG names and that share --run "
        "(multi-worker); --batch is for all of them together",
    )
    parser.add_argument("--leave-out", nargs="+", metavar="SOURCE", help="sources that the run must not see")


def add_fit_arguments(parser: argparse.ArgumentParser) -> None:
    """What every verb that trains can be told."""
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that train prepare wrote, or pictures in a layout it reads"
    )
    parser.add_argument("--run", type=Path, required=True, help="run folder; one that holds a checkpoint is resumed")
    parser.add_argument(
        "--preset", help="train/presets/NAME.toml or a TOML file (default: that of --model, or else densenet121)"
    )
    parser.add_argument(
        "--imagenet",
        default=None,
        metavar="FILE|none",
        help="ImageNet weights (default: from weights/); none trains from scratch",
    )
    parser.add_argument("--model", help="model family")
    for name, kind, text in OPTIONS:
        parser.add_argument(f"--{name}", type=kind, help=text)
    parser.add_argument(
        "--no-mixed-precision",
        dest="mixed_precision",
        action="store_const",
        const=False,
        help="compute in float32 even where bfloat16 is faster",
    )


def config_from(args: argparse.Namespace) -> FitConfig:
    """The preset with the flags on top."""
    names = ["model", "mixed_precision", "leave_out", *(name.replace("-", "_") for name, _, _ in OPTIONS)]
    given = {name: getattr(args, name, None) for name in names}
    preset = args.preset
    if preset is None:
        preset = args.model or "densenet121"
        family(preset)  # Of the two lists of names it could fail on, the models' is the one to be told.
    return FitConfig.from_preset(preset, {name: value for name, value in given.items() if value is not None})


def imagenet_from(args: argparse.Namespace, config: FitConfig) -> Path | None:
    """The weights to start from; None starts from scratch."""
    if args.imagenet == "none":
        return None
    if args.imagenet is None:
        return find_imagenet_weights(config.model, WEIGHTS, config.arch)
    path = Path(args.imagenet)
    if not path.is_file():
        raise UnmaskError(f"{path}: no such file; give the ImageNet weights of {config.model}, or none")
    return path


def init_from(path: Path) -> Path:
    """The ``.keras`` file to start from: ``path``, or the best model of the run in that folder.

    Raises:
        UnmaskError: there is none.
    """
    file = path / "best.keras" if path.is_dir() else path
    if not file.is_file():
        raise UnmaskError(f"{file}: no such file; give --init a finished run, or a .keras file")
    return file


def run(args: argparse.Namespace) -> int:
    from train.fit import fit

    config = config_from(args)
    imagenet = imagenet_from(args, config) if args.init is None or config.reconstructed else None
    init = init_from(args.init) if args.init is not None else None
    best = fit(config, args.data, args.run, imagenet=imagenet, init=init, distribute=args.distribute)
    print(f"best model: {best}")
    return 0
