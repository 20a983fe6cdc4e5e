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
from app.models.keras_form import load_model, with_evidence_map
from app.models.signal_stack import signal_stack_kept

Floats = npt.NDArray[np.float32]
PRECISION_KEY = ["unmask", "inference_precision"]
"""Where a CPU form says which arithmetic it needs; without it OpenVINO chooses."""


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
        try:
            model = core.read_model(xml, blob)
        except RuntimeError:
            raise UnmaskError(
                f"{label}: OpenVINO cannot read the CPU form of this model; restore the weights folder"
            ) from None
        # One request at a time on all cores, then quickly asleep again: a scan's other stages need the cores too.
        options = {"PERFORMANCE_HINT": "LATENCY"}
        if model.has_rt_info(PRECISION_KEY):
            options["INFERENCE_PRECISION_HINT"] = model.get_rt_info(PRECISION_KEY).astype(str)
        with signal_stack_kept():
            self._compiled = core.compile_model(model, "CPU", options)
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

    A GPU is shared with other programs, which may take its memory at any moment. Then faces are scored fewer at a time,
    and on the CPU where not even one will fit; ``device`` tells.

    Args:
        path: of the ``.keras`` file.
        size: side of the crops, pixels.

    Raises:
        UnmaskError: the file is not a model that loads safely.
    """

    MAX_BATCH = 32
    """Crops of up to 256 px that are scored at once, and of larger ones as many as have no more pixels: at 1024 px the
    first feature map of a single one takes a quarter of a gigabyte."""

    def __init__(self, path: Path, size: int) -> None:
        import tensorflow as tf

        self._path, self._size = path, size
        self._most = self._most_on_cpu = max(1, min(self.MAX_BATCH, self.MAX_BATCH * 256**2 // size**2))
        self._on_gpu = bool(tf.config.list_physical_devices("GPU"))
        self._out_of_memory: type[Exception] = tf.errors.ResourceExhaustedError
        self.device = "GPU (TensorFlow)" if self._on_gpu else "CPU (TensorFlow)"
        try:
            self._call = self._loaded(None)
        except self._out_of_memory:
            self._make_do(1)

    def score(self, crops: ImageU8) -> Scores:
        _check(crops, self._size)
        logits: list[Floats] = []
        maps: list[Floats] = []
        start = 0
        while start < len(crops):
            piece = crops[start : start + self._most]
            try:
                logit, places = self._call(piece)
                logits.append(np.asarray(logit, np.float32).reshape(-1))
                maps.append(np.asarray(places, np.float32))
                start += len(piece)
            except self._out_of_memory:
                self._make_do(len(piece))
        return _joined(logits, maps)

    def close(self) -> None:
        del self._call

    def _loaded(self, device: str | None) -> Callable[[ImageU8], Any]:
        """The model and its map as one function, on a device or wherever TensorFlow likes best."""
        import tensorflow as tf

        try:
            with tf.device(device):
                with_map = with_evidence_map(load_model(self._path))
        except ValueError as error:
            raise UnmaskError(f"{self._path}: {error}; restore the weights folder") from None

        def call(crops: Any) -> Any:
            with tf.device(device):
                return with_map(crops, training=False)

        signature = [tf.TensorSpec((None, self._size, self._size, 3), tf.uint8)]
        function: Callable[[ImageU8], Any] = tf.function(call, input_signature=signature)
        return function

    def _make_do(self, tried: int) -> None:
        """Go on with less after ``tried`` crops at once were too many."""
        if tried > 1:
            self._most = tried // 2
            where = self.device.split(" (")[0]
            self.device = f"{where} (TensorFlow, {self._most} at a time: its memory is short)"
        elif self._on_gpu:
            self._on_gpu, self._most = False, self._most_on_cpu
            self._call = self._loaded("/CPU:0")
            self.device = "CPU (TensorFlow: the GPU's memory is taken)"
        else:
            raise UnmaskError(f"{self._path}: no memory is left to score one face; close other programs")


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


def _check(crops: ImageU8, size: int) -> None:
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
        raise ValueError(
            f"crops must be uint8 of shape (N, {size}, {size}, 3), got {crops.dtype} of shape {crops.shape}"
        )


def _joined(logits: list[Floats], maps: list[Floats]) -> Scores:
    if not logits:
        return Scores(np.empty(0, np.float32), np.empty((0, 1, 1), np.float32))
    return Scores(np.concatenate(logits), np.concatenate(maps))
