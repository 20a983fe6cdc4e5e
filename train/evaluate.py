"""Measures of a model from its scores: of the whole, by generator, by source, by size of the face, by compression."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track

from app.core.cards import Calibration, ModelCard, Preprocessing, Thresholds
from app.models.runtimes import Classifier
from app.models.views import score_views
from train import metrics
from train.calibrate import apply
from train.datasets import Sample, relative
from train.metrics import Estimate
from train.pipeline import plain_views
from train.scores import Scored, arrays

Floats = npt.NDArray[np.float64]
CardRow = dict[str, float | int | None]

FACE_PX = (0, 64, 96, 128, 160, 192, 256, math.inf)
JPEG_QUALITY = (0, 50, 60, 70, 75, 80, 85, 90, 95, 101)
LEAST_OF_A_CLASS = 5
"""Fewer real or fake pictures than this give no AUC: it would be chance."""
CHUNK = 64
"""Pictures in memory at a time, and between two steps of a progress bar."""


@dataclass(frozen=True, slots=True)
class Row:
    """Measures of one set of pictures.

    Attributes:
        name: of the set: a source, a range, "all".
        real: real pictures in it; ``fake``: generated ones.
        estimates: by name. Besides those of :func:`train.metrics.measures`: ``false_alarms`` (real pictures called
            AI-GENERATED), ``real_as_real``, ``fakes_flagged`` (called AI-GENERATED) and ``fakes_as_real``.
    """

    name: str
    real: int
    fake: int
    estimates: dict[str, Estimate]

    def as_json(self) -> dict[str, Any]:
        """Numbers as [value, low, high], null where there is none."""
        numbers = {k: [None if math.isnan(v) else round(v, 5) for v in e] for k, e in self.estimates.items()}
        return {"name": self.name, "real": self.real, "fake": self.fake, **numbers}


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything that follows from the scores of one split.

    Attributes:
        overall: the split, and its part from the 140k set where it has one.
        generators: fakes of each generator, with their AUC against all real pictures of the split.
        sources: real pictures of each source.
        face_sizes: by the shorter side of the face's box.
        compression: by the quality of the JPEG file.
    """

    overall: tuple[Row, ...]
    generators: tuple[Row, ...]
    sources: tuple[Row, ...]
    face_sizes: tuple[Row, ...]
    compression: tuple[Row, ...]

    def as_json(self) -> dict[str, list[dict[str, Any]]]:
        return {name: [row.as_json() for row in getattr(self, name)] for name in self.__slots__}


def raw_logits(
    classifier: Classifier, samples: Sequence[Sample], how: Preprocessing, *, progress: str | None = None
) -> Floats:
    """Raw logits of samples, float64 (N,), the mean over all views; a few dozen crops in memory at a time.

    Args:
        progress: what the progress bar says; None shows none.
    """
    starts: Iterable[int] = range(0, len(samples), CHUNK)
    if progress is not None:
        starts = track(starts, description=progress)
    parts = [score_views(classifier, plain_views(samples[i : i + CHUNK], how), how).logits for i in starts]
    return np.concatenate(parts).astype(np.float64) if parts else np.empty(0)


def scored(samples: Sequence[Sample], logits: Floats, calibration: Calibration, root: Path) -> list[Scored]:
    """Samples and their raw logits as rows of ``scores.csv``, paths as seen from ``root``."""
    return [
        Scored(
            path=relative(s.path, root),
            split=s.split,
            label=s.label,
            source=s.source,
            logit=float(logit),
            p=float(p),
            face_px=None if s.box is None else s.box.size,
            jpeg_quality=None if s.facts is None else s.facts.quality,
        )
        for s, logit, p in zip(samples, logits, apply(calibration, logits), strict=True)
    ]


def probabilities(rows: Sequence[Scored]) -> Floats:
    """Calibrated probabilities, float64 (N,); where a row has none, those of its raw logit."""
    raw = 1 / (1 + np.exp(-np.clip([r.logit for r in rows], -60, 60)))
    return np.asarray([q if r.p is None else r.p for r, q in zip(rows, raw, strict=True)], np.float64)


def tables(rows: Sequence[Scored], needs: Thresholds, *, resamples: int = metrics.RESAMPLES, seed: int = 0) -> Tables:
    """All tables of one split.

    Args:
        rows: its scores.
        needs: thresholds of AI-GENERATED and REAL. Quality gates are not applied: all pictures count.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    def measured(name: str, chosen: Sequence[Scored]) -> Row:
        targets, logits = arrays(chosen)
        found = metrics.estimates(targets, logits, probabilities(chosen), resamples=resamples, seed=seed)
        return _row(name, chosen, needs, found)

    def told(name: str, chosen: Sequence[Scored], against: Sequence[Scored] = ()) -> Row:
        together = [*chosen, *against]
        targets, logits = arrays(together)
        found = {}
        if both(together):
            found["auc"] = metrics.auc_estimate(targets, logits, resamples=resamples, seed=seed)
        return _row(name, chosen, needs, found)

    def both(chosen: Sequence[Scored]) -> bool:
        return bool(np.bincount(arrays(chosen)[0], minlength=2).min() >= LEAST_OF_A_CLASS)

    real = [r for r in rows if not r.target]
    part = [r for r in rows if "140k" in r.source]
    return Tables(
        overall=tuple(measured(n, c) for n, c in (("all", rows), ("140k part", part)) if n == "all" or both(c)),
        generators=tuple(
            told(source, [r for r in rows if r.target and r.source == source], real)
            for source in sorted({r.source for r in rows if r.target})
        ),
        sources=tuple(
            _row(source, [r for r in real if r.source == source], needs, {})
            for source in sorted({r.source for r in real})
        ),
        face_sizes=tuple(told(n, c) for n, c in binned(rows, FACE_PX, lambda r: r.face_px, " px", "not measured")),
        compression=tuple(
            told(n, c) for n, c in binned(rows, JPEG_QUALITY, lambda r: r.jpeg_quality, "", "no JPEG, or not known")
        ),
    )


def binned(
    rows: Sequence[Scored],
    edges: Sequence[float],
    value: Callable[[Scored], float | None],
    unit: str,
    without: str,
) -> list[tuple[str, list[Scored]]]:
    """Rows by ranges of a value, empty ranges left out; those without a value last, under the name ``without``."""
    groups: list[tuple[str, list[Scored]]] = []
    for low, high in itertools.pairwise(edges):
        inside = [r for r in rows if (v := value(r)) is not None and low <= v < high]
        name = f"{low:.0f} and more" if high == edges[-1] else f"below {high:.0f}"
        if low > 0 and high != edges[-1]:
            name = f"{low:.0f} to {high:.0f}"
        groups.append((name + unit, inside))
    groups.append((without, [r for r in rows if value(r) is None]))
    return [(name, inside) for name, inside in groups if inside]


def evaluate(samples: Sequence[Sample], logits: Floats, card: ModelCard) -> dict[str, CardRow]:
    """The measures that go into a card, by name of the set of pictures.

    Args:
        samples: one split.
        logits: raw, in the order of ``samples``.
    """
    return for_card(tables(scored(samples, logits, card.calibration, Path()), card.thresholds))


def for_card(found: Tables) -> dict[str, CardRow]:
    """The tables as a card holds them: the AUC with its interval, the other measures alone, four decimals."""
    whole = "auc accuracy tpr_at_1_fpr tpr_at_01_fpr average_precision eer brier ece".split()
    whole += ["false_alarms", "fakes_flagged", "fakes_as_real"]
    table: dict[str, CardRow] = {row.name: _card_row(row, {name: name for name in whole}) for row in found.overall}
    by_generator = {"auc": "auc", "fakes_flagged": "called_fake", "fakes_as_real": "called_real"}
    for row in found.generators:
        table[f"fake: {row.name}"] = _card_row(row, by_generator)
    for row in found.sources:
        table[f"real: {row.name}"] = _card_row(row, {"false_alarms": "called_fake", "real_as_real": "called_real"})
    return table


def print_tables(found: Tables, title: str) -> None:
    """Print the tables with their intervals, for people."""
    print(title)
    for row in found.overall:
        print(f"\n{plain(row.name)}: {row.real} real, {row.fake} fake")
        for name, estimate in row.estimates.items():
            print(f"  {name.replace('_', ' '):<18} {with_interval(estimate)}")
    for heading, rows in (("generator", found.generators), ("real source", found.sources)):
        width = max((len(plain(row.name)) for row in rows), default=0)
        columns = list(dict.fromkeys(name for row in rows for name in row.estimates))
        print(f"\n{heading:<{width}} {'n':>5}", *(f"{c.replace('_', ' '):>23}" for c in columns))
        for row in rows:
            cells = (with_interval(row.estimates[c]) if c in row.estimates else "" for c in columns)
            print(f"{plain(row.name):<{width}} {row.real + row.fake:>5}", *(f"{cell:>23}" for cell in cells))


def print_table(table: dict[str, CardRow], title: str) -> None:
    """Print a card's measures as aligned columns."""
    columns = list(dict.fromkeys(key for row in table.values() for key in row))
    width = max(len(name) for name in table)
    print(title)
    print(" " * width, *(f"{c:>12}" for c in columns))
    for name, row in table.items():
        print(f"{plain(name):<{width}}", *(f"{_cell(row.get(c)):>12}" for c in columns))


def with_interval(estimate: Estimate) -> str:
    """An estimate for people: "0.9921 [0.986, 0.997]"."""
    if math.isnan(estimate.value):
        return "-"
    if math.isnan(estimate.low):
        return f"{estimate.value:.4f}"
    return f"{estimate.value:.4f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def plain(text: str) -> str:
    """A name from outside that cannot move the terminal's cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _row(name: str, rows: Sequence[Scored], needs: Thresholds, found: dict[str, Estimate]) -> Row:
    """A row with the verdicts that the thresholds give, added to what was ``found``."""
    targets, p = arrays(rows)[0], probabilities(rows)
    real, fake = p[targets == 0], p[targets == 1]
    verdicts: dict[str, Estimate] = {}
    if real.size:
        verdicts |= {
            "false_alarms": metrics.share(real >= needs.fake),
            "real_as_real": metrics.share(real <= needs.real),
        }
    if fake.size:
        verdicts |= {
            "fakes_flagged": metrics.share(fake >= needs.fake),
            "fakes_as_real": metrics.share(fake <= needs.real),
        }
    return Row(name, int(real.size), int(fake.size), found | verdicts)


def _card_row(row: Row, names: dict[str, str]) -> CardRow:
    """``names``: of the estimate -> in the card."""
    out: CardRow = {"pictures": row.real + row.fake}
    for name, shown in names.items():
        estimate = row.estimates.get(name)
        out[shown] = None if estimate is None or math.isnan(estimate.value) else round(estimate.value, 4)
        if name == "auc" and estimate is not None:
            out["auc_low"], out["auc_high"] = round(estimate.low, 4), round(estimate.high, 4)
    return out


def _cell(value: float | int | None) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
