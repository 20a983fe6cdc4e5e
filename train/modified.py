"""Which everyday changes to a picture turn a model's answer round: originals against modified copies.

The author of the naive CNN on high-resolution faces looked at such pairs by hand. Unlike :mod:`train.robustness`, which
measures how well a labelled split is still told apart, this asks of each picture whether the answer stays the same, so
it needs no truth.
"""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track

from app.core.errors import UnmaskError
from app.core.files import whole_file
from app.core.records import Box, ImageU8
from app.models.runtimes import Classifier
from app.models.views import Views, score_views, views_of
from train import degrade, metrics, robustness
from train.calibrate import apply
from train.datasets import Sample, relative
from train.layouts import PICTURE_SUFFIXES
from train.metrics import Estimate, Floats
from train.pipeline import read_picture
from train.prepare import faces_in
from train.trained import Trained

Modify = Callable[[ImageU8, Box, degrade.Rng], tuple[ImageU8, Box]]
CHUNK = 16
"""Pictures in memory at a time; a model of 1024 px takes 3 MB for each crop."""


@dataclass(frozen=True, slots=True)
class Modification:
    """One way to change a picture.

    Attributes:
        name: for people.
        modify: the picture, the box of its face and a random generator -> the copy and the box in it.
    """

    name: str
    modify: Modify


def _fixed(change: Callable[[Sequence[robustness.Picture]], list[robustness.Picture]]) -> Modify:
    return lambda image, box, rng: change([(image, box)])[0]


def _drawn(change: Callable[[ImageU8, degrade.Rng], ImageU8]) -> Modify:
    return lambda image, box, rng: (change(image, rng), box)


MODIFICATIONS: tuple[Modification, ...] = (
    *(Modification(f"resized to {s} %", _fixed(partial(robustness.shrunk, factor=s / 100))) for s in (75, 50, 25)),
    Modification("shrunk and enlarged again", _drawn(degrade.resampled)),
    *(Modification(f"JPEG {q}", _fixed(partial(robustness.compressed, quality=q))) for q in (90, 70, 50, 30)),
    Modification("WebP 50", lambda image, box, rng: (degrade.webp(image, 50), box)),
    Modification("half size and JPEG 50", _fixed(robustness.halved_and_compressed)),
    *(Modification(f"blurred, {s:g} px", _fixed(partial(robustness.blurred, sigma=s))) for s in (1.0, 2.0)),
    Modification("noise", _drawn(degrade.noisy)),
    Modification("sharpened", _drawn(degrade.sharpened)),
    Modification("smoothed", _drawn(degrade.smoothed)),
    Modification("other colours", _drawn(degrade.coloured)),
    Modification("filmed from a screen", _drawn(degrade.screen_captured)),
)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model said of pictures and of their modified copies.

    Attributes:
        samples: N pictures; the label is "real" or "fake" where a folder of that name holds the picture, else "".
        names: of the N pictures, relative to their folder.
        modifications: M.
        logits: raw, float64 (1 + M, N), the originals first.
        p: calibrated where the model is, the same shape.
        left_out: pictures that were not scored, and why.
    """

    samples: Sequence[Sample]
    names: Sequence[str]
    modifications: Sequence[Modification]
    logits: Floats
    p: Floats
    left_out: dict[str, str]

    @property
    def flipped(self) -> npt.NDArray[np.bool_]:
        """Whether the answer at p = 0.5 differs from the original's: (M, N)."""
        said = self.p > 0.5
        return np.asarray(said[1:] != said[0])

    def order(self, which: int) -> list[int]:
        """The pictures that modification ``which`` flips, those whose probability moved most first."""
        moved = np.abs(self.p[1 + which] - self.p[0])
        return [int(i) for i in np.argsort(-moved, kind="stable") if self.flipped[which, i]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one modification did.

    Attributes:
        flips: share of the pictures whose answer changed, with Wilson's interval.
        to_fake: how many turned from real to generated; ``to_real``: the other way.
        shift: mean change of the raw logit, with its bootstrap interval; above 0 towards "AI-generated".
        spread: mean absolute change of the raw logit.
    """

    name: str
    flips: Estimate
    to_fake: int
    to_real: int
    shift: Estimate
    spread: float

    def as_json(self) -> dict[str, Any]:
        return {
            "modification": self.name,
            "flips": [round(v, 5) for v in self.flips],
            "to_fake": self.to_fake,
            "to_real": self.to_real,
            "mean_logit_shift": [round(v, 5) for v in self.shift],
            "mean_absolute_logit_shift": round(self.spread, 5),
        }


def pictures_in(folder: Path, limit: int | None = None) -> list[Path]:
    """Pictures below ``folder``, sorted, at most ``limit`` of them, taken evenly.

    Raises:
        UnmaskError: there are none.
    """
    found = sorted(
        p
        for p in (folder.rglob("*") if folder.is_dir() else ())
        if p.suffix.lower() in PICTURE_SUFFIXES
        and p.is_file()
        and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )
    if not found:
        raise UnmaskError(f"{folder}: no pictures in it; give a folder of {', '.join(sorted(PICTURE_SUFFIXES))} files")
    step = max(1.0, len(found) / limit) if limit else 1.0
    return [found[int(i * step)] for i in range(min(limit or len(found), len(found)))]


def ask(
    model: Trained,
    classifier: Classifier,
    pictures: Sequence[Path],
    root: Path,
    run: Path,
    *,
    seed: int = 0,
    modifications: Sequence[Modification] = MODIFICATIONS,
) -> Answers:
    """Score pictures and their modified copies; the face is looked for in the original only.

    Args:
        root: what names are relative to.
        run: keeps the faces found.
        seed: what is drawn at random depends on it, on the modification and on the picture's name alone.

    Raises:
        UnmaskError: no picture shows a face.
    """
    found, why = faces_in(pictures, run)
    left_out = {relative(path, root): reason for path, reason in why.items()}
    if not found:
        raise UnmaskError(f"{root}: no face was found in any of {len(pictures)} pictures; give pictures of faces")
    names = [relative(s.path, root) for s in found]
    logits = np.empty((1 + len(modifications), len(found)))
    for start in track(range(0, len(found), CHUNK), description="modifying and scoring"):
        part = slice(start, start + CHUNK)
        images = [read_picture(s) for s in found[part]]
        for k, modification in enumerate((None, *modifications)):
            views = [
                _views(model, image, sample, modification, _rng(seed, modification, name))
                for image, sample, name in zip(images, found[part], names[part], strict=True)
            ]
            logits[k, part] = score_views(classifier, views, model.crop).logits
    samples = [Sample(s.path, s.split, _truth(name), s.source, s.box) for s, name in zip(found, names, strict=True)]
    p = apply(model.calibration, logits)
    return Answers(samples, names, modifications, logits, p, left_out)


def pair(model: Trained, answers: Answers, picture: int, which: int, seed: int) -> tuple[ImageU8, ImageU8]:
    """The crops of a picture and of its copy, as people are shown them: uint8 RGB (size, size, 3)."""
    sample, name, modification = answers.samples[picture], answers.names[picture], answers.modifications[which]
    image = read_picture(sample)
    before = _views(model, image, sample, None, _rng(seed, None, name))
    return before[0], _views(model, image, sample, modification, _rng(seed, modification, name))[0]


def outcomes(answers: Answers, *, resamples: int = metrics.RESAMPLES, seed: int = 0) -> list[Outcome]:
    """What each modification did, with 95 % intervals."""
    fake = answers.p[0] > 0.5
    drawn = np.random.default_rng(seed).integers(0, fake.size, (resamples, fake.size))
    found = []
    for modification, logits, flipped in zip(answers.modifications, answers.logits[1:], answers.flipped, strict=True):
        shift = logits - answers.logits[0]
        found.append(
            Outcome(
                modification.name,
                metrics.share(flipped),
                int(np.sum(flipped & ~fake)),
                int(np.sum(flipped & fake)),
                Estimate(float(shift.mean()), *metrics.middle(shift[drawn].mean(axis=1))),
                float(np.abs(shift).mean()),
            )
        )
    return found


def refuse_another(report: Path, model: Trained) -> None:
    """Make sure that ``modified.json``, where it is there, is about ``model``: it will be written anew.

    Raises:
        UnmaskError: it is about another model, or cannot be read.
    """
    if not report.exists():
        return
    try:
        document = json.loads(report.read_text(encoding="utf-8"))
        before = (str(document["model"]), str(document["family"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnmaskError(f"{report}: no report of train modified ({error!r}); name another --run") from None
    if before != (model.name, model.family):
        raise UnmaskError(f"{report}: is about {before[0]}, not about {model.name}; name another --run")


def write_answers(path: Path, answers: Answers) -> None:
    """``modified.csv``: a row for each picture and modification, the original's under "original".

    Raises:
        UnmaskError: the file cannot be written.
    """
    flipped = np.vstack([np.zeros((1, len(answers.names)), bool), answers.flipped])
    with (
        whole_file(path) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("picture", "truth", "modification", "logit", "p", "flipped"))
        for k, what in enumerate(("original", *(m.name for m in answers.modifications))):
            for i, (name, sample) in enumerate(zip(answers.names, answers.samples, strict=True)):
                numbers = (f"{answers.logits[k, i]:.6f}", f"{answers.p[k, i]:.6f}", int(flipped[k, i]))
                writer.writerow((name, sample.label, what, *numbers))


def _views(
    model: Trained, image: ImageU8, sample: Sample, modification: Modification | None, rng: degrade.Rng
) -> Views:
    assert sample.box is not None
    box = sample.box
    if modification is not None:
        image, box = modification.modify(image, box, rng)
    return views_of(image, box, model.crop)


def _rng(seed: int, modification: Modification | None, name: str) -> degrade.Rng:
    """Draws that do not depend on what else is scored, nor in which order."""
    words = (modification.name if modification else "", name)
    return np.random.default_rng((seed, *(zlib.crc32(w.encode("utf-8", "surrogateescape")) for w in words)))


def _truth(name: str) -> str:
    """The class that the nearest folder called real or fake stands for."""
    return next((part for part in reversed(Path(name).parts[:-1]) if part in ("real", "fake")), "")
