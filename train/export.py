"""``weights/NAME/`` from a run: the Keras model, its CPU form, and the card that binds them."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import tomllib
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from app.core.cards import ModelCard, WeightsFile, sha256_of
from app.core.errors import UnmaskError
from app.core.records import ImageU8
from app.models.keras_form import load_model, with_evidence_map
from app.models.runtimes import PRECISION_KEY, OpenVINOClassifier, TensorFlowClassifier, import_openvino
from app.models.signal_stack import signal_stack_kept
from train import metrics
from train.calibrate import Gates, apply, fitted, thresholds
from train.config import CARD, IN_MODEL, PRESETS, FitConfig
from train.datasets import Sample, counts, read_prepared
from train.evaluate import evaluate, plain, print_table, raw_logits
from train.fit import chosen_samples
from train.gates import Fitting, print_steps
from train.pipeline import plain_crops
from train.runs import origin, start_of
from train.zoo import family

if TYPE_CHECKING:
    import keras

MOST_AUC_LOST = 0.001
"""INT8 may cost this much AUC on the validation split; else the CPU form stays at 16 bits."""
CALIBRATION_CROPS = 320
OF_SOME = ("arch", "mode", "segmenter", "denoiser")
"""Options that a card names only where the model's family has them; all families have the others."""
MOST_SOURCES = 40
"""Sources of pictures that a card names; of more, the largest."""


class Words(BaseModel):
    """What a card says in words; the rest comes from the export itself."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    summary: str
    data: dict[str, str | int | float]
    intended_use: str
    limits: list[str]
    terms: str


def read_words(path: Path) -> dict[str, Any]:
    """The words of a card, from a TOML file such as ``train/presets/card.toml``.

    Raises:
        UnmaskError: it cannot be read, lacks some of them or has others.
    """
    try:
        return Words.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).model_dump()
    except ValidationError as error:
        reason = ", ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    except (OSError, ValueError) as error:
        reason = str(error)
    raise UnmaskError(f"{path}: the card's words cannot be read ({reason}); see {PRESETS / CARD}.toml")


def words_of(run: Path, config: FitConfig, samples: Sequence[Sample]) -> dict[str, Any]:
    """The words of a card as far as the run can tell them.

    Args:
        samples: what the model was trained on, and what the export calibrates and measures it on.

    Raises:
        UnmaskError: an ``origin.json`` cannot be read.
    """
    trained_on = sum(s.split == "train" for s in samples)
    # What a summary has behind a semicolon is about the family among the others.
    kind = family(config.model).summary.partition(";")[0]
    words: dict[str, Any] = tomllib.loads((PRESETS / f"{CARD}-own.toml").read_text(encoding="utf-8"))
    if not any(s.split == "test" for s in samples):
        words["limits"].append("It was not measured: there were no test pictures when it was exported.")
    summary = f"trained on {trained_on:,} pictures to tell generated faces from photographs"
    return {
        **words,
        "summary": f"{config.model} ({kind}), {summary}" if kind else f"{config.model}, {summary}",
        "data": {
            "started_from": _started_from(run),
            "set": f"{len(samples):,} pictures",
            "photographs": _sources(samples, "real"),
            "generated_faces": _sources(samples, "fake"),
        },
    }


def _started_from(run: Path) -> str:
    """What the weights of a run came from, and those of the runs before it."""
    folders, told = [run.resolve()], []
    for folder in folders:  # which grow on the way
        parents = origin(folder)
        folders += [parent for parent in parents if parent not in folders]
        names = " and ".join(plain(parent.name) for parent in parents)
        if len(parents) > 1:
            words = f"the mean of the weights of the runs {names}"
        else:
            words = f"the weights of the run {names}" if parents else plain(start_of(folder)) or "not recorded"
        told.append(words if folder == folders[0] else f"{plain(folder.name)}: {words}")
    return "; ".join(told)


def _sources(samples: Sequence[Sample], label: str) -> str:
    """How many pictures of a class there are, and where they are from, the largest sources first."""
    tally = Counter(s.source for s in samples if s.label == label)
    named = [f"{plain(source)} ({n:,})" for source, n in sorted(tally.items(), key=lambda item: (-item[1], item[0]))]
    more = f" and {len(named) - MOST_SOURCES} other sources" if len(named) > MOST_SOURCES else ""
    return f"{tally.total():,}: {', '.join(named[:MOST_SOURCES])}{more}"


def export(
    run: Path,
    data: Path,
    folder: Path,
    name: str,
    *,
    description: dict[str, Any] | None = None,
    gates: Gates | None = None,
) -> ModelCard:
    """Make ``folder/name/`` from the best model of a run, verified on the validation split, measured on the test split.

    Args:
        run: folder of a finished ``fit``.
        data: the data it was trained on.
        folder: of all models, usually ``weights/``.
        description: the card's words, as :func:`read_words` reads them; None makes them from the run.
        gates: quality gates to keep; None fits them on the validation split.

    Raises:
        UnmaskError: the name cannot be that of a model, the run holds no model, or no CPU form keeps the scores.
    """
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise UnmaskError(f"--name {plain(name)}: no name for a model; take letters and digits, then also _ . and -")
    if (folder / name).exists() and not (folder / name / "card.json").is_file():
        raise UnmaskError(f"{folder / name}: is there and holds no model; choose another --name")
    best = run / "best.keras"
    if not best.is_file():
        raise UnmaskError(f"{run}: no best.keras here; finish python -m train fit first")
    config = FitConfig.read(run / "config.json")
    options = family(config.model).options
    if config.segmenter not in IN_MODEL and "segmenter" in options:
        raise UnmaskError(
            f"{run}: was trained with --segmenter {config.segmenter}, which the app does not have; "
            f"train with --segmenter {' or '.join(IN_MODEL)} to export"
        )
    samples = read_prepared(run / "prepared.csv", data)
    split = {s: [x for x in samples if x.split == s] for s in ("train", "valid", "test")}
    if len({s.label for s in split["valid"]}) < 2:
        raise UnmaskError(
            f"{data}: the validation split needs both real and fake pictures, for calibration and thresholds; add some"
        )
    shown = [s for s in chosen_samples(samples, config) if s.split == "train"] + split["valid"] + split["test"]
    words = words_of(run, config, shown) if description is None else description
    training = {k: v for k, v in asdict(config).items() if k not in OF_SOME or k in options}

    with tempfile.TemporaryDirectory(dir=run) as scratch:
        place = Path(scratch) / name
        place.mkdir()
        save_compact(load_model(best), place / "model.keras")
        best = place / "model.keras"
        keras_logits = raw_logits(TensorFlowClassifier(best, config.size), split["valid"], config.preprocessing)
        cpu_form, cpu, check = _cpu_form(run, best, place, config, split, keras_logits)

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
                "training": {**training, "leave_out": ", ".join(config.leave_out)},
                "metrics": {"cpu form against keras, validation": check},
                **words,
                "data": {**words["data"], **_flat(counts(shown))},
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
    run: Path,
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
    raise UnmaskError(
        f"{run}: no CPU form keeps the scores that its best.keras gives {len(targets)} validation pictures, so nothing "
        "was exported; train again with another --seed or a lower --learning-rate, or validate on more pictures"
    )


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
