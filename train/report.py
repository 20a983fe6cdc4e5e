"""The report of an evaluation: one HTML file that needs nothing but a browser.

It shows faces from the data, so it is written into the run folder and nowhere else. Markup is made by the templates
alone, with autoescape on; here are only numbers, texts and pictures.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment

from app.core import pages
from app.core.cards import ModelCard
from app.core.records import ImageU8, Verdict
from app.models.gradcam import blended, heatmap
from app.models.runtimes import Classifier
from app.models.views import score_views
from train import figures, metrics
from train.datasets import Sample
from train.evaluate import Row, Tables, probabilities
from train.metrics import Estimate
from train.pipeline import plain_views
from train.robustness import MOST_AUC_LOST, Outcome
from train.scores import Scored, arrays
from train.videos import Video, shares

WORST = 12
"""Mistakes shown of each class."""
RIGHT = 6
"""Right answers shown of each class, drawn at random."""
_SIDE = 168

WORDS: dict[str, tuple[str, str, str]] = {
    "auc": (
        "AUC",
        "number",
        "The chance that a generated picture gets a higher score than a real one, both drawn at random. "
        "1 is perfect, 0.5 is guessing.",
    ),
    "tpr_at_1_fpr": (
        "found at 1 % false alarms",
        "rate",
        "Generated pictures that are found when the threshold is set so that 1 in 100 real pictures is flagged.",
    ),
    "tpr_at_01_fpr": (
        "found at 0.1 % false alarms",
        "rate",
        "The same for 1 in 1,000 real pictures; with fewer than 1,000 of them, no real picture at all may be flagged.",
    ),
    "average_precision": (
        "average precision",
        "number",
        "How pure the list stays from the most suspicious picture downwards. It depends on the share of generated "
        "pictures: guessing gives that share.",
    ),
    "accuracy": ("accuracy", "rate", "Pictures on the right side of a probability of 50 %."),
    "eer": (
        "equal error rate",
        "rate",
        "With the threshold at which both errors are equally frequent: how frequent they are. Lower is better.",
    ),
    "brier": (
        "Brier score",
        "number",
        "Mean squared distance of the probability from the truth. 0 is perfect; always saying 50 % gives 0.25.",
    ),
    "ece": (
        "calibration error (ECE)",
        "number",
        "How far the stated probabilities are from what then turns out true, on average. 0.02 is two points of 100.",
    ),
    "false_alarms": ("real, called AI-GENERATED", "rate", "False alarms at the shipped threshold."),
    "real_as_real": ("real, called REAL", "rate", "Real pictures cleared; the rest is CAN'T TELL or a false alarm."),
    "fakes_flagged": ("generated, called AI-GENERATED", "rate", "Generated pictures found at the shipped threshold."),
    "fakes_as_real": ("generated, called REAL", "rate", "Generated pictures wrongly cleared: the worst kind of miss."),
}
"""What each measure is called, how it is written, and what it means in one sentence."""


@dataclass(frozen=True, slots=True)
class Example:
    """A picture with its heatmap, both as ``data:`` addresses."""

    crop: str
    heat: str
    row: Scored
    p: float
    verdict: Verdict
    toward_fake: bool


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that one evaluation found.

    Attributes:
        title: heading of the page.
        created: when.
        device: what scored, for people; ``data``: name of the data folder; ``split``: of it.
        rows: the scores.
        outcomes: of the robustness conditions; empty where they were not measured.
        videos: empty where none were scanned.
        unseen: what models did on sources left out of their training: ``summary.json`` of ``train leave-out``.
        examples: by what they are: "missed", "alarms", "found", "cleared".
    """

    title: str
    created: datetime
    card: ModelCard
    device: str
    data: str
    split: str
    rows: Sequence[Scored]
    tables: Tables
    resamples: int
    seed: int
    outcomes: Sequence[Outcome] = ()
    videos: Sequence[Video] = ()
    unseen: Mapping[str, Any] | None = None
    examples: Mapping[str, Sequence[Example]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The object in ``evaluation.json``: every number as [value, low, high] or alone."""
        return {
            "schema": 1,
            "model": self.card.name,
            "device": self.device,
            "data": self.data,
            "split": self.split,
            "created": self.created.isoformat(timespec="seconds"),
            "bootstrap": {"resamples": self.resamples, "seed": self.seed, "level": 0.95},
            "calibration": self.card.calibration.model_dump(),
            "thresholds": self.card.thresholds.model_dump(),
            **self.tables.as_json(),
            "confusion": confusion(self.rows, self.card),
            "robustness": [o.as_json() for o in self.outcomes],
            "videos": [v.as_json() for v in self.videos],
            "left_out": self.unseen,
        }


def confusion(rows: Sequence[Scored], card: ModelCard) -> dict[str, dict[str, int]]:
    """How many pictures of each class got which verdict at the card's thresholds."""
    verdicts = verdicts_of(rows, card)
    return {
        label: {
            v.value: sum(r.label == label and said is v for r, said in zip(rows, verdicts, strict=True))
            for v in Verdict
        }
        for label in ("real", "fake")
    }


def verdicts_of(rows: Sequence[Scored], card: ModelCard) -> list[Verdict]:
    """The verdict on each picture by its probability alone, without quality gates."""
    needs = card.thresholds
    return [
        Verdict.FAKE if p >= needs.fake else Verdict.REAL if p <= needs.real else Verdict.UNCERTAIN
        for p in probabilities(rows)
    ]


def examples(
    classifier: Classifier, samples: Sequence[Sample], rows: Sequence[Scored], card: ModelCard, *, seed: int = 0
) -> dict[str, list[Example]]:
    """The worst mistakes and some right answers, each with its heatmap.

    Args:
        samples: in the order of ``rows``.
    """
    targets, p = arrays(rows)[0], probabilities(rows)
    rng = np.random.default_rng(seed)
    real, fake = np.flatnonzero(targets == 0), np.flatnonzero(targets == 1)
    chosen: dict[str, Sequence[int]] = {
        "alarms": [i for i in real[np.argsort(-p[real])] if p[i] > 0.5][:WORST],
        "missed": [i for i in fake[np.argsort(p[fake])] if p[i] < 0.5][:WORST],
        "found": list(rng.permutation([i for i in fake if p[i] >= card.thresholds.fake])[:RIGHT]),
        "cleared": list(rng.permutation([i for i in real if p[i] <= card.thresholds.real])[:RIGHT]),
    }
    verdicts = verdicts_of(rows, card)
    shown: dict[str, list[Example]] = {}
    for name, indices in chosen.items():
        index = [int(i) for i in indices]
        views = plain_views([samples[i] for i in index], card.preprocessing)
        toward_fake = name in ("alarms", "found")
        maps = score_views(classifier, views, card.preprocessing).maps
        shown[name] = [
            Example(
                crop_uri(crop),
                crop_uri(blended(crop, heatmap(evidence, crop.shape[0], toward_fake=toward_fake))),
                rows[i],
                float(p[i]),
                verdicts[i],
                toward_fake,
            )
            for i, (crop, *_), evidence in zip(index, views, maps, strict=True)
        ]
    return shown


def render(evaluation: Evaluation) -> str:
    """The report as one self-contained HTML page."""
    targets, logits = arrays(evaluation.rows)
    p = probabilities(evaluation.rows)
    card = evaluation.card
    curves = [(row.name, *_part(row.name, evaluation.rows, targets, logits)) for row in evaluation.tables.overall]
    return (
        environment()
        .get_template("evaluation.html.j2")
        .render(
            e=evaluation,
            title=evaluation.title,
            card=card,
            needs=card.thresholds,
            words=WORDS,
            whole=evaluation.tables.overall[0],
            generators=_sorted(evaluation.tables.generators, lambda r: _value(r, "auc")),
            sources=_sorted(evaluation.tables.sources, lambda r: -_value(r, "false_alarms")),
            confusion=confusion(evaluation.rows, card),
            verdicts=(Verdict.REAL, Verdict.UNCERTAIN, Verdict.FAKE),
            roc=figures.roc(curves),
            reliability=figures.reliability([(card.name, targets, p)]),
            histogram=figures.histogram(targets, p, card.thresholds),
            robustness=figures.robustness([(card.name, evaluation.outcomes)]) if evaluation.outcomes else None,
            allowed=MOST_AUC_LOST,
            video_shares=shares(evaluation.videos),
            unseen=_unseen(evaluation.unseen),
        )
    )


def environment() -> Environment:
    """Templates of this package, with the filters that they use."""
    found = pages.environment(Path(__file__).parent / "templates")
    found.filters["percent"] = lambda p: f"{p * 100:.4g} %"
    found.filters["fixed"] = _fixed
    return found


def _part(name: str, rows: Sequence[Scored], targets: Any, logits: Any) -> tuple[Any, Any]:
    """Targets and logits of the pictures that a row of the overall table stands for."""
    inside = np.asarray([name == "all" or "140k" in r.source for r in rows], bool)
    return targets[inside], logits[inside]


def _sorted(rows: Iterable[Row], key: Callable[[Row], float]) -> list[Row]:
    return sorted(rows, key=lambda r: (key(r), -(r.real + r.fake)))


def _value(row: Row, name: str) -> float:
    estimate = row.estimates.get(name)
    return math.inf if estimate is None or math.isnan(estimate.value) else estimate.value


def _unseen(summary: Mapping[str, Any] | None) -> dict[str, list[tuple[str, int, float | None, Estimate]]]:
    """Name, pictures, AUC and share flagged with its interval, of each source left out; worst first."""
    if summary is None:
        return {}
    out = {}
    for kind in ("generators", "photographs"):
        lines = []
        for name, row in summary[kind].items():
            n = int(row["pictures"])
            flagged = metrics.share(np.arange(n) < round(row["flagged"] * n))
            lines.append((name, n, row.get("auc"), flagged))
        out[kind] = sorted(lines, key=lambda line: line[2] if line[2] is not None else -line[3].value)
    return out


def crop_uri(crop: ImageU8) -> str:
    """An RGB crop, made smaller, as a JPEG in a ``data:`` address."""
    small = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _fixed(value: float, digits: int, sign: bool = False) -> str:
    """A number with so many decimals; nothing is never less than nothing."""
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text if float(text) else f"{0:.{digits}f}"
