"""How a model does on sources that it never saw: each source is left out of one of a few trainings.

Leaving out one source at a time needs as many trainings as there are sources (27 here). ``folds`` deals the sources to
a few groups instead; a model that misses a whole group has less to learn from, so these figures are on the safe side.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from app.core.cards import Calibration
from app.core.errors import UnmaskError
from app.core.files import write_whole
from app.models.runtimes import Classifier
from train import metrics
from train.calibrate import apply, platt, thresholds
from train.config import IN_MODEL, FitConfig
from train.datasets import Sample
from train.evaluate import raw_logits
from train.fit import fit
from train.prepare import prepared_samples
from train.scores import Scored, arrays, read_scores, write_scores
from train.trained import of_file
from train.zoo import family

HELD_OUT = "held-out-scores.csv"


def folds(samples: Sequence[Sample], count: int) -> list[tuple[str, ...]]:
    """The sources dealt to ``count`` groups of like size, photographs and generators each by themselves.

    Raises:
        UnmaskError: there are fewer sources than groups.
    """
    groups: list[list[str]] = [[] for _ in range(count)]
    for target in (0, 1):
        sizes = Counter(s.source for s in samples if s.target == target)
        if len(sizes) < min(count, 2):
            raise UnmaskError("leave-out needs at least two sources of each class; name them in manifest.csv")
        filled = [0] * count
        for n, (source, size) in enumerate(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))):
            # The largest generator is not left out together with the largest photographs: the one imitates the other.
            k = (n + target) % count if n < count else min(range(count), key=lambda g: (filled[g], g))
            groups[k].append(source)
            filled[k] += size
    return [tuple(sorted(group)) for group in groups]


def leave_out(
    config: FitConfig,
    data: Path,
    run: Path,
    *,
    imagenet: Path | None,
    init: Path | None = None,
    count: int,
    only: Sequence[int] = (),
) -> dict[str, Any]:
    """Train one model a fold, score what it never saw, and sum up; folds already done are not done again.

    Args:
        run: gets ``fold-K/``, a run folder with ``held-out-scores.csv``, and ``summary.json``.
        init: another such ``run``, of the same folds: each model starts from the one that did not see them either.
        only: folds to train now, from 0; empty trains all.

    Returns:
        The summary, of the folds that are done.

    Raises:
        UnmaskError: as by :func:`train.fit.fit`; the folds of ``init`` are others, or the faces would have to be cut
            out before.
    """
    if config.segmenter not in IN_MODEL and "segmenter" in family(config.model).options:
        raise UnmaskError(f"--segmenter {config.segmenter}: leave-out takes {' or '.join(IN_MODEL)} only")
    run.mkdir(parents=True, exist_ok=True)
    samples = prepared_samples(data, run)
    groups = folds(samples, count)
    starts = _starts(init, groups)
    for k, group in enumerate(groups):
        folder = run / f"fold-{k}"
        if (only and k not in only) or (folder / HELD_OUT).is_file():
            continue
        print(f"fold {k + 1} of {count}, without {', '.join(group)}", flush=True)
        folder.mkdir(exist_ok=True)
        if not (folder / "prepared.csv").exists():
            write_whole(folder / "prepared.csv", (run / "prepared.csv").read_bytes())
        best = fit(dataclasses.replace(config, leave_out=group), data, folder, imagenet=imagenet, init=starts[k])
        chosen = [s for s in samples if s.split != "train" or s.source in group]
        classifier = of_file(best).classifier()
        write_scores(folder / HELD_OUT, scored(classifier, chosen, config, data, set(group)))
    done = [path for k in range(count) if (path := run / f"fold-{k}" / HELD_OUT).is_file()]
    summary = {**summed_up([_of_a_fold(path) for path in done]), "folds_missing": count - len(done)}
    write_whole(run / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _of_a_fold(path: Path) -> list[Scored]:
    """The scores of a fold.

    Raises:
        UnmaskError: its model cannot be calibrated, which is that fold's fault alone.
    """
    rows = read_scores(path)
    try:
        Fold.of(rows).calibration()
    except UnmaskError as error:
        raise UnmaskError(f"{path.parent}: {error}; remove this folder, the other folds are kept") from None
    return rows


def _starts(init: Path | None, groups: Sequence[tuple[str, ...]]) -> list[Path | None]:
    if init is None:
        return [None] * len(groups)
    found: list[Path | None] = []
    for k, group in enumerate(groups):
        best = init / f"fold-{k}" / "best.keras"
        if not best.is_file() or FitConfig.read(best.parent / "config.json").leave_out != group:
            raise UnmaskError(f"{best}: no model that did without fold {k + 1}; give --init a leave-out of these folds")
        found.append(best)
    return found


def scored(
    classifier: Classifier, samples: Sequence[Sample], config: FitConfig, data: Path, held_out: set[str]
) -> list[Scored]:
    """Scores of samples through the app's crop."""
    rows: list[Scored] = []
    for i in range(0, len(samples), 256):
        part = samples[i : i + 256]
        logits = raw_logits(classifier, part, config.preprocessing)
        for s, logit in zip(part, logits, strict=True):
            left_out = s.source if s.source in held_out else ""
            path = s.path.relative_to(data).as_posix()
            rows.append(Scored(path, s.split, s.label, s.source, float(logit), held_out=left_out))
    return rows


@dataclass(frozen=True, slots=True)
class Fold:
    """The scores of one fold's model as arrays, (N,) each.

    Attributes:
        targets: 1 = fake; ``logits``: raw; ``source``: where each picture is from.
        unseen: of sources that were left out.
        known: validation pictures of the sources that the model knew: what it is calibrated on.
        known_reals: the test split's photographs from such sources: what generators are told from.
    """

    targets: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float64]
    source: npt.NDArray[np.str_]
    unseen: npt.NDArray[np.bool_]
    known: npt.NDArray[np.bool_]
    known_reals: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Sequence[Scored]) -> Self:
        targets, logits = arrays(rows)
        split = np.asarray([r.split for r in rows])
        unseen = np.asarray([bool(r.held_out) for r in rows])
        known_reals = (split == "test") & ~unseen & (targets == 0)
        source = np.asarray([r.source for r in rows])
        return cls(targets, logits, source, unseen, (split == "valid") & ~unseen, known_reals)

    def calibration(self) -> Calibration:
        return platt(self.targets[self.known], self.logits[self.known], "validation pictures")


def summed_up(parts: Sequence[Sequence[Scored]]) -> dict[str, Any]:
    """What the models of all folds did on sources that they never saw.

    Calibration and thresholds are each model's own, from the validation pictures of the sources that it knew, as
    ``train export`` makes them. A generator's AUC is against the test split's photographs from sources that its model
    knew, and once more against photographs that it never saw either.
    """
    generators: dict[str, Any] = {}
    photographs: dict[str, Any] = {}
    for rows in parts:
        fold = Fold.of(rows)
        targets, unseen = fold.targets, fold.unseen
        p = apply(fold.calibration(), fold.logits)
        limits = thresholds(targets[fold.known], p[fold.known], "validation pictures")
        for name in sorted(set(fold.source[unseen])):
            chosen = unseen & (fold.source == name)
            verdicts = {
                "pictures": int(chosen.sum()),
                "flagged": round(float(np.mean(p[chosen] >= limits.fake)), 4),
                "called_real": round(float(np.mean(p[chosen] <= limits.real)), 4),
            }
            if targets[chosen][0] == 0:
                photographs[name] = verdicts
                continue
            for key, others in (("auc", fold.known_reals), ("auc_unseen_reals", unseen & (targets == 0))):
                both = chosen | others
                verdicts[key] = round(metrics.auc(targets[both], p[both]), 4)
            generators[name] = verdicts
    false_alarms = [row["flagged"] for row in photographs.values()]
    aucs = [row["auc"] for row in generators.values()]
    return {
        "generators": generators,
        "photographs": photographs,
        "mean_auc": round(float(np.mean(aucs)), 4) if aucs else None,
        "mean_auc_unseen_reals": round(float(np.mean([r["auc_unseen_reals"] for r in generators.values()])), 4)
        if aucs
        else None,
        "mean_false_alarms": round(float(np.mean(false_alarms)), 4) if false_alarms else None,
        "worst_false_alarms": max(false_alarms, default=None),
    }
