"""Shortcuts: how well the label follows from what has nothing to do with the face, such as the JPEG quality.

A model learns such a thing before it learns fakes, looks good on pictures of the same sources and fails on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train.datasets import LABELS, Facts, Sample

Values = npt.NDArray[np.float64]

# From these on a feature is told: the classes overlap in less than about two thirds; one source stands out.
WARN_AUC = 0.7
WARN_SOURCE_AUC = 0.95
_MOST = 20_000  # pictures looked at: more do not change the second digit
_FEWEST = 20  # of each class


REMEDIES = {
    "picture size": "scale or cut both classes alike before training",
    "format": "store both classes in one format",
    "JPEG quality": "recompress both classes alike, with qualities drawn from one range",
    "bytes per pixel": "recompress both classes alike, with qualities drawn from one range",
    "sharpness": "rescale and blur both classes alike in augmentation, and add softer or sharper sources",
    "brightness": "vary brightness and contrast of both classes alike in augmentation",
    "face size": "add sources with other face sizes, or scale both classes alike",
    "share of the face in the picture": "cut both classes alike, or train on tight crops",
}
TOGETHER = "all together"


@dataclass(frozen=True, slots=True)
class Shortcut:
    """How well one feature alone tells fakes from photographs.

    Attributes:
        auc: cross-validated, [0, 1]; 0.5 tells nothing.
        source: where only this source was held against all of the other class, else "".
    """

    feature: str
    auc: float
    source: str = ""


def find_shortcuts(samples: Sequence[Sample], seed: int = 0) -> tuple[list[Shortcut], list[Shortcut]]:
    """Measure each feature alone and all together, by a shallow model in five-fold cross-validation.

    Returns:
        The features over all pictures, the most telling first, and the pairs of feature and source that reach
        ``WARN_SOURCE_AUC``. Both are empty where a class has fewer than 20 pictures or 5 videos.
    """
    kept = list(samples)
    if len(kept) > _MOST:
        kept = [kept[i] for i in np.sort(np.random.default_rng(seed).choice(len(kept), _MOST, replace=False))]
    targets = np.array([s.target for s in kept])
    folds = _folds(kept, seed)
    columns = _columns(kept)
    overall = [
        Shortcut(name, auc) for name, values in columns.items() if (auc := _auc(values, targets, folds)) is not None
    ]
    together = _auc(np.hstack(list(columns.values())), targets, folds, depth=5)
    if together is not None:
        overall.append(Shortcut(TOGETHER, together))
    sources = np.array([s.source for s in kept])
    single: list[Shortcut] = []
    for source, target in sorted({(s.source, s.target) for s in kept}):
        chosen = ((sources == source) & (targets == target)) | (targets != target)
        for name, values in columns.items():
            auc = _auc(values[chosen], targets[chosen], folds[chosen])
            if auc is not None and auc >= WARN_SOURCE_AUC:
                single.append(Shortcut(name, auc, source))
    return sorted(overall, key=lambda s: -s.auc), sorted(single, key=lambda s: -s.auc)


def shortcut_warnings(overall: Sequence[Shortcut]) -> list[str]:
    """A sentence for each feature that gives the label away."""
    told = [s for s in overall if s.auc >= WARN_AUC]
    if [s.feature for s in told] == [TOGETHER]:
        return [f"no feature alone tells the label, but {TOGETHER} they do with AUC {told[0].auc:.2f}: see report.md"]
    return [
        f"{s.feature} alone tells the label with AUC {s.auc:.2f}: {REMEDIES[s.feature]}"
        for s in told
        if s.feature != TOGETHER
    ]


def one_sided_sources(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """For each label the sources that have pictures of it alone, sorted."""
    labels: dict[str, set[str]] = {}
    for s in samples:
        labels.setdefault(s.source, set()).add(s.label)
    return {label: sorted(source for source, seen in labels.items() if seen == {label}) for label in LABELS}


def _columns(samples: Sequence[Sample]) -> dict[str, Values]:
    """What a model may see of each feature: float64 (N, columns)."""
    facts = [_facts(s) for s in samples]
    formats = sorted({f.format for f in facts})
    faces = [s.box.size if s.box is not None else 0.0 for s in samples]
    return {
        "picture size": np.array([(f.width, f.height) for f in facts], np.float64),
        # One column for each: a number for a format would have an order that means nothing.
        "format": np.array([[f.format == name for name in formats] for f in facts], np.float64),
        "JPEG quality": _column([-1 if f.quality is None else f.quality for f in facts]),
        "bytes per pixel": _column([f.bytes / (f.width * f.height) for f in facts]),
        "sharpness": _column([f.sharpness for f in facts]),
        "brightness": _column([f.brightness for f in facts]),
        "face size": _column(faces),
        "share of the face in the picture": _column(
            [face / min(f.width, f.height) for face, f in zip(faces, facts, strict=True)]
        ),
    }


def _column(values: Sequence[float]) -> Values:
    return np.array(values, np.float64).reshape(-1, 1)


def _facts(sample: Sample) -> Facts:
    assert sample.facts is not None
    return sample.facts


def _folds(samples: Sequence[Sample], seed: int, count: int = 5) -> npt.NDArray[np.int64]:
    """The fold of each sample, 0 to ``count`` - 1, even over each class; frames of a video share theirs."""
    rng = np.random.default_rng(seed)
    units: dict[tuple[str, str], int] = {}
    for label in LABELS:
        names = sorted({(label, _facts(s).video or str(s.path)) for s in samples if s.label == label})
        units |= {names[k]: i % count for i, k in enumerate(rng.permutation(len(names)))}
    return np.array([units[s.label, _facts(s).video or str(s.path)] for s in samples], np.int64)


def _auc(values: Values, targets: npt.NDArray[Any], folds: npt.NDArray[np.int64], depth: int = 3) -> float | None:
    """Cross-validated AUC of a decision tree; None with too few pictures of a class."""
    from sklearn.metrics import roc_auc_score
    from sklearn.tree import DecisionTreeClassifier

    for target in (0, 1):
        if (targets == target).sum() < _FEWEST or len(set(folds[targets == target])) < 5:
            return None
    scores = np.empty(len(targets))
    for fold in np.unique(folds):
        train = folds != fold
        tree = DecisionTreeClassifier(
            max_depth=depth, min_samples_leaf=max(5, len(targets) // 200), class_weight="balanced", random_state=0
        )
        scores[~train] = tree.fit(values[train], targets[train]).predict_proba(values[~train])[:, 1]
    return round(float(roc_auc_score(targets, scores)), 3)
