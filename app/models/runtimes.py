"""Classifier backends: OpenVINO on a CPU, TensorFlow on a GPU, and a fake for tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from app.core.errors import UnmaskError
from app.core.records import ImageU8

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a classifier says of a batch.

    Attributes:
        logits: float32 (N,), raw (not yet calibrated) log-odds of "AI-generated".
        maps: float32 (N, h, w), each place's share in the logit: see :mod:`app.models.gradcam`.
    """

    logits: Floats
    maps: Floats


class Classifier(Protocol):
    """Scores crops. Made, used and closed on one thread."""

    device: str
    """What it runs on, for people: "CPU (OpenVINO INT8)"."""

    def score(self, crops: ImageU8) -> Scores:
        """Scores of uint8 RGB crops (N, size, size, 3), N >= 0.

        Raises:
            ValueError: the crops are not of the model's size or dtype.
        """
        ...

    def close(self) -> None: ...


def import_openvino() -> Any:
    """The ``openvino`` module, with its telemetry out of reach.

    Importing openvino (and using NNCF) reports the fact over the network through the package openvino_telemetry,
    wherever that can be imported. Here nothing leaves the machine, so it can't be, for the whole process.
    """
    if sys.modules.get("openvino_telemetry") is None:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


class OpenVINOClassifier:
    """The CPU form of a model: outputs ``logit`` (N, 1) and ``map`` (N, h, w).

    Batches are cut into pieces of at most 4: larger ones gain nothing on a laptop's cores and cost latency.
    """

    MAX_BATCH = 4

    def __init__(self, xml: bytes, weights: bytes, size: int, label: str) -> None:
        ov = import_openvino()
        core = ov.Core()
        blob = ov.Tensor(np.frombuffer(weights, np.uint8))
        model = core.read_model(xml, blob)
        # One request at a time on all cores, then quickly asleep again: a scan's other stages need the cores too.
        self._compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
        self._request = self._compiled.create_infer_request()
        self._size = size
        self._blob = blob
        self.device = f"CPU (OpenVINO {label})"

    def score(self, crops: ImageU8) -> Scores:
        _check(crops, self._size)
        logits: list[Floats] = []
        maps: list[Floats] = []
        for start in range(0, len(crops), self.MAX_BATCH):
            out = self._request.infer({0: crops[start : start + self.MAX_BATCH]})
            logits.append(np.array(out["logit"], np.float32).reshape(-1))
            maps.append(np.array(out["map"], np.float32))
        return _joined(logits, maps)

    def close(self) -> None:
        del self._request, self._compiled


class TensorFlowClassifier:
    """The Keras form of a model on TensorFlow; meant for a GPU, right on any device.

    Raises:
        UnmaskError: the file is not a model that loads safely.
    """

    MAX_BATCH = 32

    def __init__(self, path: Path, size: int) -> None:
        import keras
        import tensorflow as tf

        try:
            with_map = with_evidence_map(keras.saving.load_model(path, compile=False, safe_mode=True))
        except (ValueError, OSError, TypeError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UnmaskError(
                f"{path}: the model cannot be loaded safely ({reason}); restore the weights folder"
            ) from None
        self._call = tf.function(
            lambda crops: with_map(crops, training=False),
            input_signature=[tf.TensorSpec((None, size, size, 3), tf.uint8)],
        )
        self._size = size
        gpus = tf.config.list_physical_devices("GPU")
        self.device = "GPU (TensorFlow)" if gpus else "CPU (TensorFlow)"

    def score(self, crops: ImageU8) -> Scores:
        _check(crops, self._size)
        logits: list[Floats] = []
        maps: list[Floats] = []
        for start in range(0, len(crops), self.MAX_BATCH):
            logit, places = self._call(crops[start : start + self.MAX_BATCH])
            logits.append(np.asarray(logit, np.float32).reshape(-1))
            maps.append(np.asarray(places, np.float32))
        return _joined(logits, maps)

    def close(self) -> None:
        del self._call


class FakeClassifier:
    """Scores by a function of the crop; for tests."""

    device = "fake"

    def __init__(self, logit: Callable[[ImageU8], float], size: int = 192) -> None:
        self._logit = logit
        self._size = size
        self.batches: list[int] = []

    def score(self, crops: ImageU8) -> Scores:
        _check(crops, self._size)
        self.batches.append(len(crops))
        logits = np.asarray([self._logit(crop) for crop in crops], np.float32)
        return Scores(logits, np.broadcast_to(logits[:, None, None], (len(crops), 6, 6)).astype(np.float32))

    def close(self) -> None:
        pass


def with_evidence_map(model: Any) -> Any:
    """A Keras model with outputs ``logit`` and ``map`` from one that ends in pooling and one dense unit.

    ``map`` is the last feature map times the dense unit's weights, so that logit = mean(map) + bias. Up to a
    positive factor its positive part is Grad-CAM (Selvaraju et al., ICCV 2017) of the logit: the gradient of a
    dense unit after global average pooling is its weights (Zhou et al., CVPR 2016). So a heatmap costs no
    backward pass, and the CPU form can give it too.

    Raises:
        ValueError: the model does not end that way.
    """
    import keras

    pools = [layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    dense = model.layers[-1]
    one_unit = isinstance(dense, keras.layers.Dense) and dense.units == 1
    if len(pools) != 1 or not one_unit or dense.activation is not keras.activations.linear:
        raise ValueError(f"model {model.name} does not end in one global average pooling and one linear dense unit")
    kernel = np.asarray(dense.kernel).reshape(-1)
    features = pools[0].input
    places = keras.layers.Conv2D(1, 1, use_bias=False, dtype="float32", name="evidence")
    flat = keras.layers.Reshape(tuple(features.shape[1:3]), dtype="float32", name="map")(places(features))
    places.set_weights([kernel.reshape(1, 1, -1, 1)])
    return keras.Model(model.inputs, [model.outputs[0], flat])


def _check(crops: ImageU8, size: int) -> None:
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
        raise ValueError(
            f"crops must be uint8 of shape (N, {size}, {size}, 3), got {crops.dtype} of shape {crops.shape}"
        )


def _joined(logits: list[Floats], maps: list[Floats]) -> Scores:
    if not logits:
        return Scores(np.empty(0, np.float32), np.empty((0, 1, 1), np.float32))
    return Scores(np.concatenate(logits), np.concatenate(maps))
