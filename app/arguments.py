"""The command line: verbs, options and what they accept. Importing this loads nothing heavy."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import __version__

_EXIT_CODES = """\
exit codes:
  0  done; with --fail-on-fake: nothing was judged AI-GENERATED
  1  with --fail-on-fake only: something was judged AI-GENERATED
  2  bad input: an option, a source or an output cannot be used (the other sources were still done)
  3  partial: interrupted, or a file ended early; what was done is kept
The highest that applies wins, in the order 2, 3, 1, 0.
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser; what it returns has the name of the verb in ``verb``."""
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Tell AI-generated faces from real ones. Without a verb: the window, or where there is no "
        "display a scan of the demo clip.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"unmask {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    scan = _verb(verbs, "scan", "scan recorded videos: files, folders, globs, http(s) and rtsp addresses")
    scan.add_argument("sources", nargs="+", metavar="SOURCE", help="video file, folder, glob or URL")
    _shared_options(scan, project="runs/scan")
    scan.add_argument(
        "--vid-stride", type=_positive_int, default=1, metavar="N", help="analyse every N-th frame (default: 1)"
    )
    scan.add_argument(
        "--score-interval",
        type=_seconds,
        default=0.2,
        metavar="S",
        help="score an unchanged face again after S seconds; 0 = every frame (default: 0.2)",
    )
    scan.add_argument(
        "--resume",
        action="store_true",
        help="go on with an interrupted run of the same --name and skip what it completed",
    )
    scan.add_argument(
        "--workers", type=_positive_int, default=1, metavar="N", help="sources scanned at the same time (default: 1)"
    )
    scan.add_argument(
        "--engine",
        choices=("process", "ray"),
        default="process",
        help="workers are processes of this machine, or actors of a Ray cluster (default: process)",
    )
    scan.add_argument(
        "--address", metavar="ADDRESS", help="of the Ray cluster, as for ray.init (default: a cluster of this machine)"
    )
    scan.set_defaults(verb="scan")

    image = _verb(verbs, "image", "judge the faces of pictures: files, folders, globs")
    image.add_argument("sources", nargs="+", metavar="PICTURE", help="picture file, folder or glob")
    _shared_options(image, project="runs/image")
    image.set_defaults(verb="image")

    models = _verb(verbs, "models", "list the models that are here")
    models.add_argument("--json", action="store_true", help="print the cards as JSON")
    models.set_defaults(verb="models")

    info = _verb(verbs, "info", "tell version, packages and machine, for a report of a fault; nothing private")
    info.add_argument("--json", action="store_true", help="print it as JSON")
    info.set_defaults(verb="info")

    live = _verb(verbs, "live", "open the window, on a camera, a screen, a stream or a file")
    live.add_argument(
        "--source", metavar="SOURCE", help="a camera's number, screen, screen:X,Y,WIDTH,HEIGHT, demo, a file or a URL"
    )
    _model_options(live)
    live.add_argument("--output", type=Path, metavar="DIR", help="folder of recordings, snapshots and reports")
    _redact_option(live)
    live.set_defaults(verb="live")
    return parser


def _verb(verbs: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _model_options(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--model",
        dest="models",
        type=lambda name: (name,),
        metavar="NAME",
        help="model in weights/ (default: unmask-densenet121)",
    )
    which.add_argument(
        "--models",
        type=_names,
        metavar="A,B,...",
        help="several models, which judge together; the heatmap is that of the first",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto", help="where scores are computed (default: auto)"
    )
    parser.add_argument(
        "--threshold",
        type=_probability,
        metavar="P",
        help="probability from which a face is AI-GENERATED (default: the model card's)",
    )


def _redact_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--redact",
        action="store_true",
        help="pixelate every face not flagged AI-GENERATED in all pictures and videos that are written (default: no)",
    )


def _shared_options(parser: argparse.ArgumentParser, project: str) -> None:
    _model_options(parser)
    parser.add_argument(
        "--conf",
        type=_probability,
        default=0.5,
        metavar="P",
        help="least confidence of the face detector (default: 0.5)",
    )
    parser.add_argument(
        "--min-face",
        type=_positive_int,
        default=20,
        metavar="PX",
        help="faces smaller than this are not looked at (default: 20)",
    )
    parser.add_argument(
        "--save", action=argparse.BooleanOptionalAction, default=True, help="write annotated copies (default: yes)"
    )
    _redact_option(parser)
    parser.add_argument(
        "--project", type=Path, default=Path(project), metavar="DIR", help=f"folder of all runs (default: {project})"
    )
    parser.add_argument("--name", metavar="NAME", help="folder of this run (default: after the source)")
    parser.add_argument(
        "--exist-ok", action="store_true", help="write into an existing run folder instead of NAME-2, NAME-3 ..."
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the summaries as one JSON array, and nothing else, on standard output",
    )
    parser.add_argument("--fail-on-fake", action="store_true", help="exit with 1 if anything is judged AI-GENERATED")


def _between(kind: Callable[[str], float], low: float, high: float, wanted: str) -> Callable[[str], float]:
    """A reader of option values that must be numbers from ``low`` to ``high``."""

    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            if low <= (value := kind(text)) <= high:
                return value
        raise argparse.ArgumentTypeError(f"{text}: give {wanted}")

    return read


def _names(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text}: give different names, separated by commas")
    return names


_positive_int = _between(int, 1, 10**9, "a whole number of at least 1")
_probability = _between(float, 0, 1, "a number from 0 to 1")
_seconds = _between(float, 0, 3600, "seconds, 0 to 3600")
