"""All trained models in one table: how good each is, how large, how quick, and what its training cost."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from app.core.cards import ModelCard
from app.core.errors import UnmaskError
from app.models.artifact import load_classifier
from app.models.keras_form import load_model, with_evidence_map
from app.models.runtimes import Classifier, OpenVINOClassifier, import_openvino
from train import metrics
from train.course import Course, whole_course
from train.evaluate import plain, probabilities
from train.export import to_openvino
from train.metrics import Estimate
from train.scores import Scored, arrays
from train.trained import BEST, SCORES, Trained, exported, family_of, of_run, scores_of

ROUNDS = 15
"""Times that every model takes its turn when the speed is measured."""
BATCHES = (1, 4)
"""Faces a call: one face in a picture, and as many as the app gives a model at once."""
NONE = Estimate(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the table, as it was named.

    Attributes:
        model: the exported one where there is one.
        run: the folder of its training or its evaluation; None for an exported model alone.
    """

    model: Trained
    run: Path | None


@dataclass(frozen=True, slots=True)
class Speed:
    """Milliseconds a face on the CPU, medians over the rounds, by faces a call; and the form that was measured."""

    form: str
    form_bytes: int
    parameters: int
    milliseconds: dict[int, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table.

    Attributes:
        auc, tpr: of the test split, the latter at 1 % false alarms; ``part``: AUC on its 140k part. NaN where unknown.
        pictures: of the test split.
        unseen: mean AUC on generators left out of training, from ``train leave-out``; None where not measured.
    """

    name: str
    family: str
    size: int
    auc: Estimate
    tpr: Estimate
    part: Estimate
    pictures: int | None
    unseen: float | None
    speed: Speed
    course: Course | None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "family": self.family,
            "size": self.size,
            "test_auc": listed(self.auc),
            "tpr_at_1_fpr": listed(self.tpr),
            "test_auc_140k": listed(self.part),
            "test_pictures": self.pictures,
            "auc_generators_left_out": self.unseen,
            "parameters": self.speed.parameters,
            "cpu_form": self.speed.form,
            "cpu_form_bytes": self.speed.form_bytes,
            "cpu_ms_per_face": {str(n): round(ms, 3) for n, ms in self.speed.milliseconds.items()},
            "training": None if self.course is None else self.course.as_json(),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of :meth:`as_json`.

        Raises:
            KeyError, TypeError, ValueError: ``values`` are no line of the table.
        """
        times = {int(n): float(ms) for n, ms in values["cpu_ms_per_face"].items()}
        if tuple(times) != BATCHES:
            raise ValueError(f"cpu_ms_per_face of {tuple(times)} faces, not {BATCHES}")
        return cls(
            str(values["name"]),
            str(values["family"]),
            int(values["size"]),
            _estimate(values["test_auc"]),
            _estimate(values["tpr_at_1_fpr"]),
            _estimate(values["test_auc_140k"]),
            values["test_pictures"],
            values["auc_generators_left_out"],
            Speed(str(values["cpu_form"]), int(values["cpu_form_bytes"]), int(values["parameters"]), times),
            None if values["training"] is None else Course(**values["training"]),
        )


def entry(words: str, weights: Path) -> Entry:
    """The model that ``words`` name: RUN, the folder of a run; NAME, exported to ``weights``; or NAME=RUN.

    Raises:
        UnmaskError: there is no such model.
    """
    name, equals, folder = words.partition("=")
    if equals and not Path(words).is_dir():
        if not Path(folder).is_dir():
            raise UnmaskError(f"{folder}: no such run folder; give NAME=RUN, the folder that {name} was exported from")
        model, other = exported(name, weights), family_of(Path(folder))
        if other and other != model.family:
            raise UnmaskError(f"{folder}: a run of {other}, while {name} is {model.family}; give the run it came from")
        return Entry(model, Path(folder))
    path = Path(words)
    if (path / BEST).is_file():
        return Entry(of_run(path), path)
    if (path / "card.json").is_file():
        return Entry(exported(path.resolve().name, path.resolve().parent), None)
    if path.is_dir() and not (weights / words / "card.json").is_file():
        raise UnmaskError(f"{path}: neither {BEST} nor card.json here; finish train fit, or name an exported model")
    return Entry(exported(words, weights), None)


def table(entries: Sequence[Entry], data: Path | None, *, rounds: int = ROUNDS, seed: int = 0) -> list[Line]:
    """A line for each model; their speed is measured in turns, so that a slow minute meets all of them.

    Args:
        data: to score runs that have not been scored; None where all are.
        seed: of the bootstrap, and of the crops that the speed is measured on.

    Raises:
        UnmaskError: a model or its scores cannot be read or made.
    """
    qualities = [_quality(e, data, seed) for e in entries]
    speeds = measure([e.model for e in entries], rounds=rounds, seed=seed)
    return [
        Line(
            e.model.name,
            e.model.family,
            e.model.crop.size,
            *quality,
            left_out_auc(e.run),
            speed,
            None if e.run is None else whole_course(e.run),
        )
        for e, quality, speed in zip(entries, qualities, speeds, strict=True)
    ]


def measure(models: Sequence[Trained], *, rounds: int = ROUNDS, seed: int = 0) -> list[Speed]:
    """The CPU form of each model: its size, and the time it takes on crops of noise.

    A model that is not exported is converted with 16-bit weights; what ``train export`` makes may be INT8.
    """
    forms = [_cpu_form(model) for model in models]
    rng = np.random.default_rng(seed)
    crops = [rng.integers(0, 256, (max(BATCHES), m.crop.size, m.crop.size, 3), np.uint8) for m in models]
    times: list[dict[int, list[float]]] = [{n: [] for n in BATCHES} for _ in models]
    for turn in range(rounds + 1):
        for (classifier, *_), batch, taken in zip(forms, crops, times, strict=True):
            for n in BATCHES:
                started = time.perf_counter()
                classifier.score(batch[:n])
                if turn:  # the first one warms up
                    taken[n].append((time.perf_counter() - started) / n * 1e3)
    found = []
    for (classifier, form, size, parameters), taken in zip(forms, times, strict=True):
        classifier.close()
        found.append(Speed(form, size, parameters, {n: statistics.median(v) for n, v in taken.items()}))
    return found


def left_out_auc(run: Path | None) -> float | None:
    """Mean AUC on generators that training never saw: of ``summary.json`` in ``run`` or its folder ``leave-out``.

    Raises:
        UnmaskError: there is a summary, but not one of ``train leave-out``, or some of its folds are still to be done.
    """
    for path in () if run is None else (run / "summary.json", run / "leave-out" / "summary.json"):
        if path.is_file():
            try:
                summary = json.loads(path.read_text(encoding="utf-8"))
                value, missing = summary["mean_auc"], int(summary.get("folds_missing", 0))
                auc = None if value is None else float(value)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise UnmaskError(
                    f"{path}: not a summary of train leave-out ({error!r}); run that again, or remove the file"
                ) from None
            if missing:
                raise UnmaskError(f"{path}: {missing} of its folds are still to be done; finish train leave-out first")
            return auc
    return None


def as_markdown(lines: Sequence[Line], where: str) -> str:
    """The table for a document.

    Args:
        where: the machine, in words.
    """
    out = [
        "| model | input | test AUC | TPR at 1 % FPR | AUC, 140k part | AUC, generators left out | parameters "
        "| CPU form | ms a face: alone / of four | training |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for x in lines:
        name = plain(x.name).replace("|", "\\|").replace("<", "&lt;")
        cells = (
            name if x.family in x.name else f"{name} ({x.family})",
            f"{x.size} px",
            shown(x.auc),
            shown(x.tpr, 3),
            shown(x.part),
            "–" if x.unseen is None else f"{x.unseen:.4f}",
            f"{x.speed.parameters / 1e6:.2f} M",
            f"{x.speed.form}, {x.speed.form_bytes / 1e6:.1f} MB",
            " / ".join(f"{ms:.1f}" for ms in x.speed.milliseconds.values()),
            cost(x.course),
        )
        out.append("| " + " | ".join(cells) + " |")
    counts = sorted({x.pictures for x in lines if x.pictures is not None})
    told = " or ".join(f"{n:,}" for n in counts) or "–"
    out += [
        "",
        f"Test split: {told} pictures; intervals are 95 %. Speed: {where}, medians, models in turn. "
        "Training: as logged, with all runs that the weights came from. Generators left out: mean AUC of trainings of "
        "the same family that did without them (`train leave-out`), – where there are none.",
    ]
    return "\n".join(out) + "\n"


def shown(estimate: Estimate, digits: int = 4) -> str:
    """An estimate for people: "0.9921 [0.986, 0.997]"; a dash where there is none."""
    if np.isnan(estimate.value):
        return "–"
    text = f"{estimate.value:.{digits}f}"
    return text if np.isnan(estimate.low) else f"{text} [{estimate.low:.3f}, {estimate.high:.3f}]"


def cost(course: Course | None) -> str:
    """What a training cost, for people."""
    if course is None:
        return "–"
    pictures = "" if course.pictures is None else f", {course.pictures:,} pictures"
    epochs = "1 epoch" if course.epochs == 1 else f"{course.epochs} epochs"
    took = f"{course.seconds:.0f} s" if course.seconds < 90 else f"{course.seconds / 60:.0f} min"
    return f"{took}, {epochs}{pictures}"


def listed(estimate: Estimate) -> list[float | None]:
    """[value, low, high] for JSON, null for what is not known."""
    return [None if np.isnan(v) else round(v, 5) for v in estimate]


def _estimate(numbers: Sequence[float | None]) -> Estimate:
    """The inverse of :func:`listed`."""
    value, low, high = (float("nan") if v is None else float(v) for v in numbers)
    return Estimate(value, low, high)


def _quality(e: Entry, data: Path | None, seed: int) -> tuple[Estimate, Estimate, Estimate, int | None]:
    """AUC, TPR at 1 % FPR, AUC on the 140k part, and how many pictures the test split has."""
    if e.run is not None and (e.model.card is None or (e.run / SCORES).is_file()):
        return _from_scores(scores_of(e.run, data), seed)
    assert e.model.card is not None
    return _from_card(e.model.card)


def _from_scores(rows: Sequence[Scored], seed: int) -> tuple[Estimate, Estimate, Estimate, int | None]:
    targets, logits = arrays(rows)
    whole = metrics.estimates(targets, logits, probabilities(rows), seed=seed)
    inside = np.asarray(["140k" in r.source for r in rows], bool)
    part = NONE
    if np.unique(targets[inside]).size == 2:
        part = metrics.auc_estimate(targets[inside], logits[inside], seed=seed)
    return whole["auc"], whole["tpr_at_1_fpr"], part, len(rows)


def _from_card(card: ModelCard) -> tuple[Estimate, Estimate, Estimate, int | None]:
    """What the card says of the test split; older cards have no intervals."""

    def value(row: str, name: str) -> Estimate:
        found = card.metrics.get(f"test, {row}", {})
        numbers = (found.get(key) for key in (name, f"{name}_low", f"{name}_high"))
        return Estimate(*(float("nan") if v is None else float(v) for v in numbers))

    pictures = card.metrics.get("test, all", {}).get("pictures")
    return (
        value("all", "auc"),
        value("all", "tpr_at_1_fpr"),
        value("140k part", "auc"),
        None if pictures is None else int(pictures),
    )


def _cpu_form(model: Trained) -> tuple[Classifier, str, int, int]:
    """The CPU form, what it is called, its bytes, and the parameters of the model."""
    try:
        network = load_model(model.verified())
    except (ValueError, OSError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnmaskError(f"{model.file}: the model cannot be loaded safely ({reason}); train it anew") from None
    parameters = int(network.count_params())
    card = model.card
    if card is not None and "openvino_xml" in card.files:
        files = [model.file.parent / card.files[key].name for key in ("openvino_xml", "openvino_bin")]
        return (
            load_classifier(card, "cpu", model.weights),
            card.cpu_form,
            sum(f.stat().st_size for f in files),
            parameters,
        )
    ov = import_openvino()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "model.xml"
        ov.save_model(to_openvino(with_evidence_map(network)), place, compress_to_fp16=True)
        xml, weights = place.read_bytes(), place.with_suffix(".bin").read_bytes()
    return OpenVINOClassifier(xml, weights, model.crop.size, "FP16"), "FP16", len(xml) + len(weights), parameters
