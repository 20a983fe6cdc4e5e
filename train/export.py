"""``weights/NAME/`` from a run: the Keras model, its CPU form, and the card that binds them."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from app.core.cards import ModelCard, WeightsFile, sha256_of
from app.core.errors import UnmaskError
from app.core.records import ImageU8
from app.models.keras_form import load_model, with_evidence_map
from app.models.runtimes import PRECISION_KEY, OpenVINOClassifier, TensorFlowClassifier, import_openvino
from app.models.signal_stack import signal_stack_kept
from train import metrics
from train.calibrate import Gates, apply, fitted, thresholds
from train.config import IN_MODEL, FitConfig
from train.datasets import Sample, counts, read_prepared
from train.evaluate import evaluate, print_table, raw_logits
from train.gates import Fitting, print_steps
from train.pipeline import plain_crops

if TYPE_CHECKING:
    import keras

MOST_AUC_LOST = 0.001
"""INT8 may cost this much AUC on the validation split; else the CPU form stays at 16 bits."""
CALIBRATION_CROPS = 320


def export(
    run: Path, data: Path, folder: Path, name: str, *, description: dict[str, Any], gates: Gates | None = None
) -> ModelCard:
    """Make ``folder/name/`` from the best model of a run, verified on the validation split, measured on the test split.

    Args:
        run: folder of a finished ``fit``.
        data: the data it was trained on.
        folder: of all models, usually ``weights/``.
        description: the card's words: ``summary``, ``data``, ``intended_use``, ``limits``, ``terms``.
        gates: quality gates to keep; None fits them on the validation split.

    Raises:
        UnmaskError: the run holds no model, or no CPU form keeps the scores.
    """
    best = run / "best.keras"
    if not best.is_file():
        raise UnmaskError(f"{run}: no best.keras here; finish python -m train fit first")
    config = FitConfig.read(run / "config.json")
    if config.segmenter not in IN_MODEL:
        raise UnmaskError(
            f"{run}: was trained with --segmenter {config.segmenter}, which the app does not have; "
            f"train with --segmenter {' or '.join(IN_MODEL)} to export"
        )
    samples = read_prepared(run / "prepared.csv", data)
    split = {s: [x for x in samples if x.split == s] for s in ("train", "valid", "test")}
    if not split["valid"]:
        raise UnmaskError(f"{data}: no validation pictures; calibration and thresholds need them")

    with tempfile.TemporaryDirectory(dir=run) as scratch:
        place = Path(scratch) / name
        place.mkdir()
        save_compact(load_model(best), place / "model.keras")
        best = place / "model.keras"
        keras_logits = raw_logits(TensorFlowClassifier(best, config.size), split["valid"], config.preprocessing)
        cpu_form, cpu, check = _cpu_form(best, place, config, split, keras_logits)

        targets = np.asarray([s.target for s in split["valid"]])
        valid_logits = raw_logits(cpu, split["valid"], config.preprocessing)
        fitted_on = f"{len(targets)} validation pictures"
        calibration = fitted(targets, valid_logits, fitted_on)
        p = apply(calibration, valid_logits)
        if gates is None:
            fitting = Fitting(
                cpu, split["valid"], config.preprocessing, calibration, thresholds(targets, p, fitted_on).fake
            )
            gates = fitting.fit()
            print_steps(fitting.steps)
        needs = thresholds(targets, p, fitted_on, gates)
        files = {
            key: WeightsFile(name=path, sha256=sha256_of((place / path).read_bytes()))
            for key, path in (("keras", "model.keras"), ("openvino_xml", "model.xml"), ("openvino_bin", "model.bin"))
        }
        card = ModelCard.model_validate(
            {
                "schema": 1,
                "name": name,
                "family": config.model,
                "created": datetime.now(UTC).date().isoformat(),
                "files": files,
                "cpu_form": cpu_form,
                "preprocessing": config.preprocessing,
                "calibration": calibration,
                "thresholds": needs,
                "training": {**asdict(config), "leave_out": ", ".join(config.leave_out)},
                "metrics": {"cpu form against keras, validation": check},
                **description,
                "data": {**description["data"], **_flat(counts(samples))},
            }
        )
        if split["test"]:
            test_logits = raw_logits(cpu, split["test"], config.preprocessing)
            table = evaluate(split["test"], test_logits, card)
            print_table(table, f"test split of {data.name}, CPU form {cpu_form}")
            card = card.model_copy(update={"metrics": {**card.metrics, **{f"test, {k}": v for k, v in table.items()}}})
        card.write(place / "card.json")
        _replace(folder / name, place)
    return card


def _replace(target: Path, made: Path) -> None:
    """Put the folder ``made`` in the place of ``target``; a kill leaves the old or the new one, whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, old = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.old")
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(made, partial)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def save_compact(model: keras.Model, path: Path) -> None:
    """Save a model with its weights rounded to 11 significant bits, as in float16 but without its narrow range.

    Every form of the model is made from these weights. What the rounding leaves compresses well: the file is half
    as large, and scores move by less than a hundredth of a logit.
    """
    model.set_weights([_rounded(w) for w in model.get_weights()])
    loose = path.with_suffix(".loose.keras")
    model.save(loose)
    with zipfile.ZipFile(loose) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for member in source.namelist():
            target.writestr(member, source.read(member))
    loose.unlink()


def _rounded(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    bits = np.ascontiguousarray(weights, np.float32).view(np.uint32)
    # Round half to even on the 13 bits that go.
    bits = (bits + np.uint32(0x0FFF) + ((bits >> 13) & np.uint32(1))) & np.uint32(0xFFFFE000)
    return bits.view(np.float32)


def to_openvino(model: keras.Model) -> Any:
    """The OpenVINO form, in float32, of a model with the outputs ``logit`` and ``map``."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from app.models.layers import Spectrum

    call = tf.function(
        lambda crop: dict(zip(("logit", "map"), model(crop, training=False), strict=True)),
        input_signature=[tf.TensorSpec(model.input_shape, tf.uint8, name="crop")],
    )
    # Frozen first: OpenVINO's reader of SavedModels does not find the variables of a Keras 3 model.
    frozen = convert_variables_to_constants_v2(call.get_concrete_function())
    exact = import_openvino().convert_model(frozen.graph)
    for output in exact.outputs:
        output.set_names({"logit"} if len(output.partial_shape) == 2 else {"map"})
    if any(isinstance(layer, Spectrum) for layer in model.layers):
        # The noise is so small beside the picture that bfloat16, OpenVINO's choice where there is it, would drown it.
        exact.set_rt_info("f32", PRECISION_KEY)
    return exact


def _cpu_form(
    best: Path,
    place: Path,
    config: FitConfig,
    split: dict[str, list[Sample]],
    keras_logits: npt.NDArray[np.float64],
) -> tuple[str, OpenVINOClassifier, dict[str, float]]:
    """Write ``model.xml`` and ``model.bin``: INT8 if it keeps the scores, else 16-bit weights."""
    ov = import_openvino()
    exact = to_openvino(with_evidence_map(load_model(best)))
    rng = np.random.default_rng(config.seed)
    chosen = [split["train"][i] for i in rng.permutation(len(split["train"]))[:CALIBRATION_CROPS]]
    crops = plain_crops(chosen, config.size, config.crop_scale)
    targets = np.asarray([s.target for s in split["valid"]])
    for label, form in (("INT8", _quantized(exact, crops)), ("FP16", exact)):
        ov.save_model(form, place / "model.xml", compress_to_fp16=True)
        xml, weights = (place / "model.xml").read_bytes(), (place / "model.bin").read_bytes()
        classifier = OpenVINOClassifier(xml, weights, config.size, label)
        logits = raw_logits(classifier, split["valid"], config.preprocessing)
        check = {
            "auc_keras": round(metrics.auc(targets, keras_logits), 5),
            "auc_cpu": round(metrics.auc(targets, logits), 5),
            "mean_logit_difference": round(float(np.abs(logits - keras_logits).mean()), 4),
            "largest_logit_difference": round(float(np.abs(logits - keras_logits).max()), 4),
        }
        print(f"{label} against Keras on {len(targets)} validation pictures: {json.dumps(check)}")
        if abs(check["auc_keras"] - check["auc_cpu"]) <= MOST_AUC_LOST:
            return label, classifier, check
    raise UnmaskError(f"{best}: no CPU form keeps the scores of the Keras model; nothing was exported")


def _quantized(exact: Any, crops: ImageU8) -> Any:
    """INT8 by post-training quantization with NNCF, calibrated on training crops."""
    import nncf

    batches: Sequence[ImageU8] = [crops[i : i + 1] for i in range(len(crops))]
    with signal_stack_kept():
        return nncf.quantize(
            exact,
            nncf.Dataset(batches),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(batches),
        )


def _flat(table: dict[str, dict[str, int]]) -> dict[str, int]:
    return {f"{split} {label}": n for split, row in table.items() for label, n in row.items()}
