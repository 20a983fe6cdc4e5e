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
from train.config import ARCHS, SEGMENTERS, FitConfig
from train.datasets import LABELS, SPLITS, Sample, relative, write_prepared
from train.evaluate import probabilities
from train.fit import fit
from train.metrics import Estimate
from train.prepare import TABLE, prepared_samples
from train.runs import claim
from train.scores import Scored, arrays
from train.trained import CONFIG, SCORES, scores_of

MEASURES = ("accuracy", "auc", "tpr_at_1_fpr")
MODES = (0, 1, 2)
START = "start.json"
PUBLISHED = {
    ("mobilenet_v2", 0, True): 0.9857,
    ("resnet50", 0, True): 0.9892,
    ("mobilenet_v2", 2, True): 0.9844,
    ("resnet50", 2, True): 0.9873,
    ("mobilenet_v2", 0, False): 0.9821,
    ("resnet50", 0, False): 0.9854,
}
"""Accuracy by backbone, mode and "with SAM", on FFHQ against 1-Million-Fake-Faces, of the published system."""
NOTE = (
    "The published accuracies are those of FFHQ against 1-Million-Fake-Faces, with CycleISP for denoiser: other "
    "pictures, so not to be compared number by number. Beside every segmenter but `none` stands the one with SAM; no "
    "row here used SAM."
)


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
    """What was measured of a variant; no estimates where it is not trained yet.

    Attributes:
        start: what its training starts from, as :meth:`Start.told` says it.
        pictures: of the test split.
    """

    variant: Variant
    start: str
    pictures: int = 0
    estimates: dict[str, Estimate] = dataclasses.field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        found = {name: [round(v, 5) for v in e] for name, e in self.estimates.items()}
        row = {**dataclasses.asdict(self.variant), "run": self.variant.folder, "start": self.start}
        return {**row, "pictures": self.pictures, "published_accuracy": self.variant.published, **found}


@dataclass(frozen=True, slots=True)
class Start:
    """What the trainings of a backbone start from; from scratch where both are None.

    Attributes:
        init: a model of that family.
        imagenet: ImageNet's weights.
    """

    init: Path | None = None
    imagenet: Path | None = None

    def told(self, run: Path) -> str:
        """In the words of the flags, a model's path as seen from ``run``: both can move together."""
        if self.init is not None:
            return f"init {relative(self.init.resolve(), run.resolve())}"
        return "none" if self.imagenet is None else f"imagenet {self.imagenet.name}"


def variants(archs: Sequence[str], modes: Sequence[int], segmenters: Sequence[str]) -> list[Variant]:
    """Every combination once, the backbone outermost."""
    return list(dict.fromkeys(Variant(*combination) for combination in product(archs, modes, segmenters)))


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

    Returns:
        The lines of ``chosen``, and of what else is finished in ``run``.

    Raises:
        UnmaskError: the data cannot be used, or ``run`` holds trainings of other settings, sources or starts.
    """
    run.mkdir(parents=True, exist_ok=True)
    samples = [s for s in prepared_samples(data, run) if source in s.source]
    if any(not any((s.split, s.label) == kind for s in samples) for kind in product(SPLITS, LABELS)):
        raise UnmaskError(
            f"{data}: no real and fake pictures in train, valid and test whose source contains {source!r}; "
            "name another --source, '' for all"
        )
    starts: dict[str, Start] = {}
    for arch in dict.fromkeys(v.arch for v in chosen):
        own = dataclasses.replace(config, model="lnp_fusion", arch=arch)
        given = (init or {}).get(arch)
        starts[arch] = Start(imagenet=imagenet(own)) if given is None else Start(init=given)
    told = {arch: start.told(run) for arch, start in starts.items()}
    configs = {
        v: dataclasses.replace(config, model="lnp_fusion", **dataclasses.asdict(v))
        for v in variants(ARCHS, MODES, SEGMENTERS)
    }
    finished = [v for v in configs if (run / v.folder / SCORES).is_file()]
    # All of them before the first training: hours later would be too late to refuse.
    for variant in configs:
        if variant in chosen or variant in finished:
            _check(run / variant.folder, configs[variant], source, told)
    lines = {v: Line(v, told[v.arch]) for v in chosen}
    for variant in finished:
        folder = run / variant.folder
        lines[variant] = measured(variant, scores_of(folder, data), _kept(folder)[1], seed)

    def write() -> list[Line]:
        """Both files; the lines in their order."""
        ordered = [lines[v] for v in configs if v in lines]
        write_whole(run / "lnp-table.json", _document(ordered, config, source, seed))
        write_whole(run / "lnp-table.md", as_markdown(ordered))
        return ordered

    for n, variant in enumerate(chosen, 1):
        if variant not in finished:
            folder, start = run / variant.folder, told[variant.arch]
            print(f"model {n} of {len(chosen)}: {variant.folder}", flush=True)
            folder.mkdir(exist_ok=True)
            write_whole(folder / START, json.dumps({"schema": 1, "source": source, "start": start}, indent=2) + "\n")
            claim(folder, configs[variant])
            _train(configs[variant], data, folder, samples, starts[variant.arch])
            lines[variant] = measured(variant, scores_of(folder, data), start, seed)
            write()
    return write()


def measured(variant: Variant, rows: Sequence[Scored], start: str, seed: int = 0) -> Line:
    """The line of a variant from its scores of the test split."""
    found = metrics.estimates(*arrays(rows), probabilities(rows), seed=seed)
    return Line(variant, start, len(rows), {name: found[name] for name in MEASURES})


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
    starts = dict.fromkeys(f"{line.variant.arch} {line.start}" for line in lines)
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return (
        f"{table}\nPercent, with 95 % intervals of the bootstrap, on {counted} test pictures; accuracy at a calibrated "
        f"probability of 0.5. Starts: {', '.join(starts)}. {NOTE}\n"
    )


def _check(folder: Path, config: FitConfig, source: str, starts: Mapping[str, str]) -> None:
    """Make sure that a variant's folder, where it is begun, belongs into this table.

    Args:
        starts: of the backbones that are trained now; another one only has to start from the like.

    Raises:
        UnmaskError: it has other settings, another source or start, or does not tell.
    """
    if not ((folder / START).exists() or (folder / CONFIG).exists()):
        return
    claim(folder, config)
    learned, start = _kept(folder)
    own = starts.get(config.arch)
    like = start == own if own is not None else _kind(start) in map(_kind, starts.values())
    if learned != source or not like:
        now = own if own is not None else " or ".join(dict.fromkeys(map(_kind, starts.values())))
        raise UnmaskError(
            f"{folder}: holds a model of the source {learned!r} and the start {start!r}, now they are {source!r} and "
            f"{now!r}; give the same --source, --init and --imagenet, or another --run"
        )


def _kept(folder: Path) -> tuple[str, str]:
    """Source and start of the training in a variant's folder."""
    path = folder / START
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return str(found["source"]), str(found["start"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnmaskError(
            f"{path}: does not tell source and start of this training ({error!r}); restore it, or name another --run"
        ) from None


def _kind(start: str) -> str:
    return start.partition(" ")[0]


def _train(config: FitConfig, data: Path, folder: Path, samples: Sequence[Sample], start: Start) -> None:
    import keras

    if not (folder / TABLE).is_file():
        write_prepared(folder / TABLE, samples, data)
    fit(config, data, folder, imagenet=start.imagenet, init=start.init)
    # The graph of this model would stay in memory beside the next one's.
    keras.utils.clear_session()


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not trained"
    return f"{100 * estimate.value:.2f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _document(lines: Sequence[Line], config: FitConfig, source: str, seed: int) -> str:
    document = {
        "schema": 2,
        "source": source,
        "bootstrap_seed": seed,
        "training": dataclasses.asdict(config),
        "models": [line.as_json() for line in lines],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
