"""Runs side by side on the same pictures: what each measures, and whether the differences are more than chance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from app.core.errors import UnmaskError
from train import figures, metrics
from train.course import Course, read_course
from train.disputed import Disputed
from train.evaluate import plain, probabilities, with_interval
from train.metrics import Estimate, Floats
from train.report import WORDS, environment
from train.scores import Scored, arrays, read_scores
from train.trained import family_of, scores_of

MEASURES = ("auc", "tpr_at_1_fpr", "tpr_at_01_fpr", "average_precision", "accuracy", "eer", "brier", "ece")
LOWER_IS_BETTER = frozenset({"eer", "brier", "ece"})


@dataclass(frozen=True, slots=True)
class Run:
    """The scores of one model.

    Attributes:
        name: for people.
        rows: in the same order of pictures as every other run of the comparison.
        family: of the model, where the folder tells.
        course: of its training, where the folder holds its log.
    """

    name: str
    rows: Sequence[Scored]
    family: str = ""
    course: Course | None = None

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        return arrays(self.rows)[0]

    @property
    def logits(self) -> Floats:
        return arrays(self.rows)[1]


@dataclass(frozen=True, slots=True)
class Difference:
    """A run's measure minus the first run's, on the same pictures.

    Attributes:
        estimate: with its paired bootstrap interval.
        p_value: two-sided; of the bootstrap, or of McNemar's test for accuracy.
    """

    estimate: Estimate
    p_value: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All runs, and each against the first.

    Attributes:
        estimates: for each run, by measure.
        differences: for each run but the first, by measure.
        generators: for each generator, the AUC of each run against all real pictures.
        only_one_right: for each run but the first: pictures that only it has right, and that only the first has right.
        dropped: pictures that not all runs have scored.
    """

    runs: tuple[Run, ...]
    estimates: tuple[dict[str, Estimate], ...]
    differences: tuple[dict[str, Difference], ...]
    generators: dict[str, tuple[float, ...]]
    only_one_right: tuple[tuple[int, int], ...]
    dropped: int
    resamples: int
    seed: int

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "runs": [r.name for r in self.runs],
            "families": [r.family for r in self.runs],
            "pictures": len(self.runs[0].rows),
            "dropped": self.dropped,
            "bootstrap": {"resamples": self.resamples, "seed": self.seed, "level": 0.95},
            "measures": [{n: _listed(e) for n, e in found.items()} for found in self.estimates],
            "against_the_first": [
                {n: {"difference": _listed(d.estimate), "p_value": round(d.p_value, 5)} for n, d in found.items()}
                for found in self.differences
            ],
            "only_one_right": [list(pair) for pair in self.only_one_right],
            "training": [None if r.course is None else r.course.as_json() for r in self.runs],
            "generators": {n: [_rounded(v) for v in values] for n, values in self.generators.items()},
        }


def read_runs(paths: Sequence[Path], data: Path | None = None) -> tuple[list[Run], int]:
    """The scores of the pictures that all runs have, in one order, and how many pictures were left out for it.

    Args:
        paths: run folders of ``evaluate`` or ``fit``, or tables of scores. The models may be of different families.
        data: to score the test split with models of ``fit`` that have not been; None where all have.

    Raises:
        UnmaskError: a table cannot be read, two runs disagree about a picture's label, or they share too little.
    """
    tables = [{r.path: r for r in (scores_of(p, data) if p.is_dir() else read_scores(p))} for p in paths]
    shared = sorted(set(tables[0]).intersection(*tables[1:]))
    dropped = len(set().union(*tables)) - len(shared)
    for name in shared:
        if len({t[name].label for t in tables}) > 1:
            raise UnmaskError(f"{paths[0]}: {plain(name)} is real in one run and fake in another; evaluate both anew")
    targets = [tables[0][name].target for name in shared]
    if min(targets.count(0), targets.count(1)) < 2:
        raise UnmaskError(
            f"{paths[0]}: shares {len(shared)} pictures with the other runs, not both real and fake ones; "
            "evaluate all models on the same --data and --split"
        )
    runs = [
        Run(name, [t[p] for p in shared], family_of(path), read_course(path) if path.is_dir() else None)
        for name, t, path in zip(_names(paths), tables, paths, strict=True)
    ]
    return runs, dropped


def compare(runs: Sequence[Run], *, dropped: int = 0, resamples: int = 2000, seed: int = 0) -> Comparison:
    """Each run against the first: paired bootstrap of every measure, McNemar's exact test for accuracy (1947).

    Args:
        runs: two at least, of :func:`read_runs`.
    """
    targets = runs[0].targets
    p = [probabilities(r.rows) for r in runs]
    point = [metrics.measures(targets, r.logits, q) for r, q in zip(runs, p, strict=True)]
    drawn: list[dict[str, list[Floats]]] = [{n: [] for n in MEASURES} for _ in runs]
    for counts in metrics.bootstrap_counts(targets, resamples, seed):
        for run, q, kept in zip(runs, p, drawn, strict=True):
            for name, values in metrics.measures(targets, run.logits, q, counts).items():
                kept[name].append(values)
    samples = [{n: np.concatenate(parts) for n, parts in kept.items()} for kept in drawn]
    right = [(q > 0.5) == (targets == 1) for q in p]
    differences, pairs = [], []
    for i in range(1, len(runs)):
        better = (int(np.sum(right[i] & ~right[0])), int(np.sum(right[0] & ~right[i])))
        found = {}
        for name in MEASURES:
            spread = samples[i][name] - samples[0][name]
            estimate = Estimate(float(point[i][name][0] - point[0][name][0]), *metrics.middle(spread))
            found[name] = Difference(estimate, mcnemar(*better) if name == "accuracy" else _p_value(spread))
        differences.append(found)
        pairs.append(better)
    return Comparison(
        runs=tuple(runs),
        estimates=tuple(
            {n: Estimate(float(point[i][n][0]), *metrics.middle(samples[i][n])) for n in MEASURES}
            for i in range(len(runs))
        ),
        differences=tuple(differences),
        generators=_generators(runs),
        only_one_right=tuple(pairs),
        dropped=dropped,
        resamples=resamples,
        seed=seed,
    )


def mcnemar(only_one: int, only_other: int) -> float:
    """Two-sided exact p-value of McNemar's test from the two counts of pictures that just one model has right."""
    both = only_one + only_other
    return float(stats.binomtest(only_one, both, 0.5).pvalue) if both else 1.0


def print_comparison(found: Comparison) -> None:
    """Print the comparison, for people."""
    width = max(len(plain(r.name)) for r in found.runs)
    print(f"{len(found.runs[0].rows)} pictures; {found.dropped} left out that not all runs have")
    for name in MEASURES:
        print(f"\n{WORDS[name][0]}{' (lower is better)' if name in LOWER_IS_BETTER else ''}")
        for i, run in enumerate(found.runs):
            line = f"  {plain(run.name):<{width}} {with_interval(found.estimates[i][name])}"
            if i:
                d = found.differences[i - 1][name]
                e = d.estimate
                line += f"   difference {e.value:+.4f} [{e.low:+.4f}, {e.high:+.4f}], p = {d.p_value:.4g}"
            print(line)
    for run in found.runs:
        if run.course is not None:
            c = run.course
            head = "" if c.head_auc is None else f"{c.head_auc:.4f} with the new top alone, "
            print(
                f"\n{plain(run.name)} on the validation split: AUC {head}{c.first_auc:.4f} after an epoch of "
                f"fine-tuning, {c.best_auc:.4f} at best (epoch {c.best_epoch} of {c.epochs}, {c.seconds / 60:.0f} min)"
            )


def render(found: Comparison, created: datetime, disputed: Sequence[Disputed] = ()) -> str:
    """The comparison as one self-contained HTML page; it shows no pictures but those in ``disputed``."""
    curves = [(r.name, r.targets, r.logits) for r in found.runs]
    honest = [(r.name, r.targets, probabilities(r.rows)) for r in found.runs]
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            c=found,
            created=created,
            title=f"{len(found.runs)} runs on the same {len(found.runs[0].rows)} pictures",
            words=WORDS,
            measures=MEASURES,
            lower=LOWER_IS_BETTER,
            roc=figures.roc(curves),
            reliability=figures.reliability(honest),
            disputed=disputed,
        )
    )


def to_text(found: Comparison) -> str:
    """``comparison.json``."""
    return json.dumps(found.as_json(), indent=2, ensure_ascii=False) + "\n"


def _p_value(spread: Floats) -> float:
    """Two-sided: how seldom resampled differences fall on the other side of nothing; never 0 (Davison and Hinkley)."""
    values = spread[np.isfinite(spread)]
    if not values.size:
        return float("nan")
    beyond = min(np.sum(values <= 0), np.sum(values >= 0))
    return float(min(1.0, 2 * (beyond + 1) / (values.size + 1)))


def _generators(runs: Sequence[Run]) -> dict[str, tuple[float, ...]]:
    targets = runs[0].targets
    source = np.asarray([r.source for r in runs[0].rows])
    found = {}
    for name in sorted(set(source[targets == 1])):
        chosen = (targets == 0) | (source == name)
        found[str(name)] = tuple(metrics.auc(targets[chosen], r.logits[chosen]) for r in runs)
    return found


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest endings of the paths that tell them apart."""
    parts = [p.resolve().parts for p in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-length:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{n}: {'/'.join(p[-1:])}" for n, p in enumerate(parts, 1)]


def _listed(estimate: Estimate) -> list[float | None]:
    return [_rounded(v) for v in estimate]


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 5)
