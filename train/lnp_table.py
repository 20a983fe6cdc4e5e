"""The fusion's variants side by side: mode, backbone and segmenter, each trained and tested on the same pictures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from app.core.errors import UnmaskError
from app.core.files import write_whole
from train import metrics
from train.config import FitConfig
from train.datasets import LABELS, SPLITS, Sample, write_prepared
from train.evaluate import probabilities
from train.fit import fit
from train.metrics import Estimate
from train.prepare import TABLE, prepared_samples
from train.runs import claim
from train.scores import Scored, arrays
from train.trained import SCORES, scores_of

MEASURES = ("accuracy", "auc", "tpr_at_1_fpr")
PUBLISHED = {
    ("mobilenet_v2", 0, True): 0.9857,
    ("resnet50", 0, True): 0.9892,
    ("mobilenet_v2", 2, True): 0.9844,
    ("resnet50", 2, True): 0.9873,
    ("mobilenet_v2", 0, False): 0.9821,
    ("resnet50", 0, False): 0.9854,
}
"""Accuracy by backbone, mode and "with a segmenter", on FFHQ against 1-Million-Fake-Faces, of the published system."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One model of the table."""

    arch: str
    mode: int
    segmenter: str

    @property
    def folder(self) -> str:
        return f"{self.arch}-mode{self.mode}-{self.segmenter}"

    @property
    def published(self) -> float | None:
        return PUBLISHED.get((self.arch, self.mode, self.segmenter != "none"))


@dataclass(frozen=True, slots=True)
class Line:
    """What was measured of a variant; no estimates where it is not trained yet."""

    variant: Variant
    pictures: int = 0
    estimates: dict[str, Estimate] = dataclasses.field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        found = {name: [round(v, 5) for v in e] for name, e in self.estimates.items()}
        row = {**dataclasses.asdict(self.variant), "run": self.variant.folder, "pictures": self.pictures}
        return {**row, "published_accuracy": self.variant.published, **found}


def variants(archs: Sequence[str], modes: Sequence[int], segmenters: Sequence[str]) -> list[Variant]:
    """Every combination, the backbone outermost."""
    return [Variant(*combination) for combination in product(archs, modes, segmenters)]


def lnp_table(
    config: FitConfig,
    data: Path,
    run: Path,
    chosen: Sequence[Variant],
    *,
    imagenet: Callable[[FitConfig], Path | None],
    init: Mapping[str, Path] | None = None,
    source: str = "140k",
    seed: int = 0,
) -> list[Line]:
    """Train and test every variant; those that are done are not done again.

    Args:
        config: of all trainings, but for what the variants are about.
        run: gets a run folder for each variant, and after each of them ``lnp-table.json`` and ``lnp-table.md``.
        imagenet: the weights that a config starts from; None starts from scratch.
        init: backbone -> a model of that family to start from instead.
        source: only pictures whose source contains this; "" takes all.
        seed: of the bootstrap.

    Raises:
        UnmaskError: the data cannot be used, or a folder holds a training with other settings.
    """
    run.mkdir(parents=True, exist_ok=True)
    starts = {arch: str(path) for arch, path in (init or {}).items()}
    table = run / "lnp-table.json"
    if table.is_file() and json.loads(table.read_text(encoding="utf-8")).get("init", {}) != starts:
        raise UnmaskError(f"{run}: its models started from others; give the same --init, or another --run")
    samples = [s for s in prepared_samples(data, run) if source in s.source]
    if any(not any((s.split, s.label) == kind for s in samples) for kind in product(SPLITS, LABELS)):
        raise UnmaskError(
            f"{data}: no real and fake pictures in train, valid and test whose source contains {source!r}; "
            "name another --source, '' for all"
        )
    lines = [Line(v) for v in chosen]
    for n, variant in enumerate(chosen):
        folder = run / variant.folder
        own = dataclasses.replace(config, model="lnp_fusion", **dataclasses.asdict(variant))
        folder.mkdir(exist_ok=True)
        claim(folder, own)
        if not (folder / SCORES).is_file():
            print(f"model {n + 1} of {len(chosen)}: {variant.folder}", flush=True)
            start = starts.get(variant.arch)
            _train(own, data, folder, samples, None if start else imagenet(own), Path(start) if start else None)
        lines[n] = measured(variant, scores_of(folder, data), seed)
        write_whole(table, _document(lines, config, source, seed, starts))
        write_whole(run / "lnp-table.md", as_markdown(lines))
    return lines


def measured(variant: Variant, rows: Sequence[Scored], seed: int = 0) -> Line:
    """The line of a variant from its scores of the test split."""
    found = metrics.estimates(*arrays(rows), probabilities(rows), seed=seed)
    return Line(variant, len(rows), {name: found[name] for name in MEASURES})


def as_markdown(lines: Sequence[Line]) -> str:
    """The table, ready for a document: estimates in percent with their 95 % intervals."""
    head = ("backbone", "mode", "segmenter", "accuracy", "AUC", "TPR at 1 % FPR", "published accuracy")
    rows = [head, ("---",) * len(head)]
    for line in lines:
        v = line.variant
        cells = [_percent(line.estimates.get(name)) for name in MEASURES]
        published = "" if v.published is None else f"{100 * v.published:.2f}"
        rows.append((v.arch, str(v.mode), v.segmenter, *cells, published))
    counted = max((line.pictures for line in lines), default=0)
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return (
        f"{table}\nPercent, with 95 % intervals of the bootstrap, on {counted} test pictures; accuracy at a calibrated "
        "probability of 0.5. The published accuracies are those of FFHQ against 1-Million-Fake-Faces, with SAM for "
        "segmenter and CycleISP for denoiser: other pictures, so not to be compared number by number.\n"
    )


def _train(
    config: FitConfig, data: Path, folder: Path, samples: Sequence[Sample], imagenet: Path | None, init: Path | None
) -> None:
    import keras

    if not (folder / TABLE).is_file():
        write_prepared(folder / TABLE, samples, data)
    fit(config, data, folder, imagenet=imagenet, init=init)
    # The graph of this model would stay in memory beside the next one's.
    keras.utils.clear_session()


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not trained"
    return f"{100 * estimate.value:.2f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _document(lines: Sequence[Line], config: FitConfig, source: str, seed: int, init: Mapping[str, str]) -> str:
    document = {
        "schema": 1,
        "source": source,
        "bootstrap_seed": seed,
        "training": dataclasses.asdict(config),
        "init": init,
        "models": [line.as_json() for line in lines],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
