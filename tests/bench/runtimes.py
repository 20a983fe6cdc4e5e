"""What runs the shipped model fastest, and whether it still knows its business: faces a second, beside the AUC."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from app.core.records import ImageU8
from app.models.artifact import verified_path
from app.models.keras_form import load_model, with_evidence_map
from app.models.runtimes import import_openvino
from app.pipeline.batch import Models
from app.vision.sources import FileSource
from tests.bench.results import Row, row

Run = Callable[[ImageU8], Any]
"""Logits (N,) of uint8 RGB crops."""
BASE = "Keras predict, one face a call"


def measure(models: Models, clip: Path, repeats: int, most: int, data: Path | None, run: Path) -> list[Row]:
    """Every runtime on the same crops, in turn, so that a slow minute of the machine meets all of them.

    Args:
        most: crops a turn at most.
        data: prepared pictures, whose test split gives the AUC; None for none.
        run: where ``data``'s faces are kept once they were found.
    """
    crops = demo_crops(models, clip, most)
    cases, absent = _cases(models, crops)
    pictures = None if data is None else _pictures(data, run, models)
    notes = {name: "" if pictures is None else f"AUC {_auc(call, *pictures):.4f}" for name, (call, _) in cases.items()}
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(repeats + 1):  # The first is to warm up.
        for name, (call, batch) in cases.items():
            some = crops[: max(batch, len(crops) // 4)] if name == BASE else crops
            began = time.perf_counter()
            for start in range(0, len(some), batch):
                call(some[start : start + batch])
            if turn:
                rates[name].append(len(some) / (time.perf_counter() - began))
    base = float(np.median(rates[BASE]))
    rows = [row("runtimes", name, rates[name], "faces/s", base, "predict", notes[name]) for name in cases]
    return [*rows, *(row("runtimes", name, [0.0], "faces/s", note=why) for name, why in absent.items())]


def demo_crops(models: Models, clip: Path, most: int) -> ImageU8:
    """The first faces of a clip."""
    crops: list[ImageU8] = []
    with FileSource(clip) as source:
        for frame in source:
            for face in models.detector.detect(frame.image):
                crops += [views[0] for views in models.ensemble.crops(frame.image, face.box).values()]
            if len(crops) >= most:
                break
    return np.stack(crops[:most])


def _cases(models: Models, crops: ImageU8) -> tuple[dict[str, tuple[Run, int]], dict[str, str]]:
    """Name -> how to run it and how many crops a call; and what there is not, with the reason."""
    import tensorflow as tf

    keras_path = verified_path(models.consensus.cards[0], "keras")
    model = load_model(keras_path)
    size = models.consensus.cards[0].preprocessing.size
    compiled = tf.function(
        lambda x: model(x, training=False), input_signature=[tf.TensorSpec((None, size, size, 3), tf.uint8)]
    )
    shipped = models.ensemble.classifiers[0]
    cases: dict[str, tuple[Run, int]] = {
        BASE: (lambda x: model.predict(x, verbose=0), 1),
        "Keras predict, all faces a call": (lambda x: model.predict(x, verbose=0), len(crops)),
        "tf.function, one face a call": (lambda x: compiled(x).numpy(), 1),
        "tf.function, four faces a call": (lambda x: compiled(x).numpy(), 4),
    }
    absent: dict[str, str] = {}
    try:
        cases["LiteRT, one face a call"] = (_litert(model), 1)
    except Exception as error:  # Its converter fails in many ways; that it does is the finding.
        absent["LiteRT"] = f"cannot be made: {type(error).__name__}"
    try:
        call = _onnx(model)
        cases["ONNX Runtime, one face a call"] = (call, 1)
        cases["ONNX Runtime, four faces a call"] = (call, 4)
    except ImportError:
        absent["ONNX Runtime"] = 'not installed: pip install -e ".[bench]"'
    for name, call in _openvino(keras_path, crops, absent).items():
        cases[f"{name}, one face a call"] = (call, 1)
        cases[f"{name}, four faces a call"] = (call, 4)
    cases[f"shipped: {shipped.device}, four faces a call"] = (lambda x: shipped.score(x).logits, 4)
    return cases, absent


def _litert(model: Any) -> Run:
    import tensorflow as tf

    with contextlib.redirect_stdout(io.StringIO()):  # It lists every variable.
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    interpreter = tf.lite.Interpreter(model_content=content, num_threads=os.cpu_count())
    interpreter.allocate_tensors()
    given, found = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call(crops: ImageU8) -> Any:
        logits = []
        for crop in crops:
            interpreter.set_tensor(given, crop[None])
            interpreter.invoke()
            logits.append(interpreter.get_tensor(found).copy())
        return np.concatenate(logits)

    call(np.zeros((1, *model.input_shape[1:]), np.uint8))
    return call


def _onnx(model: Any) -> Run:
    import onnxruntime

    model(np.zeros((1, *model.input_shape[1:]), np.uint8))  # Keras exports only what was called once.
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        model.export(path, format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda crops: session.run(None, {given.name: crops})[0]


def _openvino(keras_path: Path, crops: ImageU8, absent: dict[str, str]) -> dict[str, Run]:
    """The float model in three precisions, and quantized to INT8 as ``python -m train export`` would."""
    from train.export import _quantized, to_openvino

    ov = import_openvino()
    core = ov.Core()
    exact = to_openvino(with_evidence_map(load_model(keras_path)))
    forms = {f"OpenVINO {name}": (exact, name) for name in ("f32", "bf16", "f16")}
    forms["OpenVINO int8"] = (_quantized(exact, crops), "f32")
    found: dict[str, Run] = {}
    for name, (form, precision) in forms.items():
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        try:
            request = core.compile_model(form, "CPU", options).create_infer_request()
        except RuntimeError:
            absent[name] = "not on this processor"
            continue
        found[name] = lambda x, request=request: np.array(request.infer({0: x})["logit"])  # type: ignore[misc]
    return found


def _pictures(data: Path, run: Path, models: Models) -> tuple[ImageU8, Any]:
    from train.pipeline import plain_crops
    from train.prepare import prepared_samples

    samples = [s for s in prepared_samples(data, run, ("test",)) if s.split == "test"]
    input_ = models.consensus.cards[0].preprocessing
    return plain_crops(samples, input_.size, input_.crop_scale), np.asarray([s.target for s in samples])


def _auc(call: Run, crops: ImageU8, targets: Any) -> float:
    from train import metrics

    logits = [np.asarray(call(crops[start : start + 4])).reshape(-1) for start in range(0, len(crops), 4)]
    return metrics.auc(targets, np.concatenate(logits))
