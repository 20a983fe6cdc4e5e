"""The pictures on which models disagree most, with what each of them looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.core.errors import UnmaskError
from app.models.gradcam import blended, heatmap
from app.models.views import score_views
from train.config import FitConfig
from train.datasets import relative
from train.evaluate import probabilities
from train.pipeline import plain_views
from train.prepare import prepared_samples
from train.report import crop_uri
from train.scores import Scored
from train.segment import cut_out_for
from train.trained import CONFIG, of_run


@dataclass(frozen=True, slots=True)
class View:
    """A face as one model saw it and its heatmap, as ``data:`` addresses, and the probability that it gave."""

    crop: str
    heat: str
    p: float


@dataclass(frozen=True, slots=True)
class Disputed:
    """A picture, its truth in ``row``, and how each model saw it, in the order of the runs."""

    row: Scored
    views: tuple[View, ...]


def most_disputed(runs: Sequence[Path], rows: Sequence[Sequence[Scored]], data: Path, count: int) -> list[Disputed]:
    """The ``count`` pictures whose probabilities lie furthest apart.

    Args:
        runs: folders of finished trainings.
        rows: the scores of each, of the same pictures in one order.
        data: what they were trained on.

    Raises:
        UnmaskError: a run holds no model, or a picture is not among its prepared ones.
    """
    p = np.asarray([probabilities(r) for r in rows])
    chosen = [int(i) for i in np.argsort(-np.ptp(p, axis=0), kind="stable")[:count]]
    views: list[list[View]] = [[] for _ in chosen]
    for run, said in zip(runs, p, strict=True):
        model = of_run(run)
        known = {relative(s.path, data): s for s in prepared_samples(data, run)}
        missing = next((rows[0][i].path for i in chosen if rows[0][i].path not in known), None)
        if missing is not None:
            raise UnmaskError(f"{run}: has no prepared picture {missing}; give the --data that it was trained on")
        shown_to_it = cut_out_for(FitConfig.read(run / CONFIG), [known[rows[0][i].path] for i in chosen], run)
        looked_at = plain_views(shown_to_it, model.crop)
        classifier = model.classifier()
        maps = score_views(classifier, looked_at, model.crop).maps
        classifier.close()
        for i, (crop, *_), evidence, shown in zip(chosen, looked_at, maps, views, strict=True):
            heat = blended(crop, heatmap(evidence, crop.shape[0], toward_fake=bool(said[i] > 0.5)))
            shown.append(View(crop_uri(crop), crop_uri(heat), float(said[i])))
    return [Disputed(rows[0][i], tuple(v)) for i, v in zip(chosen, views, strict=True)]
