"""A trained model, whether exported to ``weights/NAME`` or still in the folder of its run, and its test scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.core.cards import Calibration, ModelCard, Preprocessing
from app.core.errors import UnmaskError
from app.models.artifact import load_classifier, read_card, verified_path
from app.models.runtimes import Classifier, TensorFlowClassifier
from train.calibrate import fitted
from train.config import IN_MODEL, FitConfig
from train.datasets import Sample, limited
from train.evaluate import plain, raw_logits, scored
from train.prepare import prepared_samples
from train.scores import Scored, read_scores, write_scores
from train.segment import cut_out_for
from train.zoo import family

BEST, CONFIG, SCORES = "best.keras", "config.json", "scores.csv"
UNCALIBRATED = Calibration(slope=1.0, offset=0.0, method="none", fitted_on="nothing")


@dataclass(frozen=True, slots=True)
class Trained:
    """A model, and what has to be known to use it.

    Attributes:
        name: of the model, or of the folder of its run.
        family: in ``train.zoo``.
        file: its Keras form; of an exported model it is verified when :meth:`classifier` or :meth:`verified` is called.
        crop: how faces are cut for it.
        calibration: of the card; :data:`UNCALIBRATED` without one.
        card: None for a model that is not exported.
        cut_out_by: the segmenter that cut out the faces it learned from, where that is no part of the model, else "".
    """

    name: str
    family: str
    file: Path
    crop: Preprocessing
    calibration: Calibration = UNCALIBRATED
    card: ModelCard | None = None
    cut_out_by: str = ""

    @property
    def weights(self) -> Path:
        """The folder of all models that an exported one lies in."""
        return self.file.parent.parent

    def classifier(self) -> Classifier:
        """The form that the app runs on a CPU, or the Keras form of a model that is not exported.

        Raises:
            UnmaskError: a file is missing, was altered, or does not load safely.
        """
        if self.card is not None:
            return load_classifier(self.card, "cpu", self.weights)
        return TensorFlowClassifier(self.file, self.crop.size)

    def needs_no_cutting(self) -> None:
        """Make sure that the model can be asked about pictures as they are.

        Raises:
            UnmaskError: it learned from faces that were cut out before it saw them.
        """
        if self.cut_out_by:
            raise UnmaskError(
                f"{self.file}: learned from faces that {self.cut_out_by} cut out, whole pictures would mislead "
                f"it; take a model trained with --segmenter {' or '.join(IN_MODEL)}"
            )

    def verified(self) -> Path:
        """The Keras form, an exported one after its hash was found right.

        Raises:
            UnmaskError: it is missing or was altered.
        """
        return self.file if self.card is None else verified_path(self.card, "keras", self.weights)


def exported(name: str, weights: Path) -> Trained:
    """The model ``weights/NAME``.

    Raises:
        UnmaskError: there is no such model, or its card is not valid.
    """
    card = read_card(name, weights)
    if "keras" not in card.files:
        raise UnmaskError(f"{weights / name}: this model's card names no keras file; restore the weights folder")
    file = weights / name / card.files["keras"].name
    return Trained(name, card.family, file, card.preprocessing, card.calibration, card)


def of_file(file: Path) -> Trained:
    """A ``.keras`` file in the folder of its run, whose ``config.json`` says how faces are cut for it.

    Raises:
        UnmaskError: there is no such file, or no config beside it.
    """
    if not file.is_file():
        raise UnmaskError(f"{file}: no such model; finish python -m train fit first, or name the run's {BEST}")
    beside = file.parent / CONFIG
    try:
        config = FitConfig.read(beside)
    except (OSError, ValueError, TypeError) as error:
        raise UnmaskError(
            f"{beside}: cannot be read ({type(error).__name__}), but says how faces are cut for {file.name}; "
            "give a model in the folder of its run"
        ) from None
    outside = config.segmenter not in IN_MODEL and "segmenter" in family(config.model).options
    cut_out_by = config.segmenter if outside else ""
    return Trained(file.resolve().parent.name, config.model, file, config.preprocessing, cut_out_by=cut_out_by)


def of_run(run: Path) -> Trained:
    """The best model of the run in the folder ``run``.

    Raises:
        UnmaskError: it holds none.
    """
    return of_file(run / BEST)


def family_of(run: Path) -> str:
    """The family of the model that a run folder is about; "" where it does not tell."""
    try:
        return of_run(run).family
    except UnmaskError:
        return ""


def scores_of(run: Path, data: Path | None) -> list[Scored]:
    """Scores of the test split: from ``run/scores.csv``, or made with the run's best model and kept there.

    What is made here is calibrated on the validation split, as ``train export`` does it, where that is possible.

    Args:
        run: folder of a finished ``fit``, or of an ``evaluate``.
        data: what it was trained on; None where the scores must be there already.

    Raises:
        UnmaskError: there are neither scores nor a model, the scores are older than the model, or the test split has
            pictures of one class only.
    """
    table, best = run / SCORES, run / BEST
    if table.is_file() and not (best.is_file() and best.stat().st_mtime_ns > table.stat().st_mtime_ns):
        return read_scores(table)
    if not best.is_file():
        raise UnmaskError(f"{run}: neither {SCORES} nor {BEST} here; run train evaluate first, or finish train fit")
    if data is None:
        raise UnmaskError(f"{run}: its model has not been scored on the test split; give --data DIR, and it will be")
    model, config = of_run(run), FitConfig.read(run / CONFIG)
    samples = limited(prepared_samples(data, run), config.limit)
    valid, test = ([s for s in samples if s.split == split] for split in ("valid", "test"))
    if len({s.label for s in test}) < 2:
        raise UnmaskError(f"{data}: the test split needs both real and fake pictures; add some, then score again")
    classifier = model.classifier()

    def logits(chosen: list[Sample], what: str) -> np.typing.NDArray[np.float64]:
        told = f"{plain(model.name)}: scoring {what} pictures"
        pictures = cut_out_for(config, chosen, run)
        return raw_logits(classifier, pictures, model.crop, progress=told)

    try:
        on = f"{len(valid)} validation pictures"
        calibration = fitted(np.asarray([s.target for s in valid]), logits(valid, "validation"), on)
    except UnmaskError as error:
        print(f"{run}: not calibrated, because {error}")
        calibration = UNCALIBRATED
    rows = scored(test, logits(test, "test"), calibration, data)
    classifier.close()
    write_scores(table, rows)
    return rows
