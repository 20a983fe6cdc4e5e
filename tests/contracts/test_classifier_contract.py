"""What every Classifier does: OpenVINO's, TensorFlow's and the fake one, on a tiny model made here.

The one module beside test_golden.py that imports TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.core.records import ImageU8
from app.models.gradcam import heatmap
from app.models.keras_form import with_evidence_map
from app.models.runtimes import (
    Classifier,
    FakeClassifier,
    OpenVINOClassifier,
    TensorFlowClassifier,
    import_openvino,
)

SIZE = 64
CELLS = SIZE // 4


@dataclass(frozen=True, slots=True)
class Tiny:
    """A model with random weights: as Keras file, as Keras object, as OpenVINO IR."""

    path: Path
    model: Any
    xml: bytes
    weights: bytes
    bias: float


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    folder = tmp_path_factory.mktemp("tiny")
    keras.utils.set_random_seed(3)
    inputs = keras.Input((SIZE, SIZE, 3), dtype="uint8", name="crop")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="scaling")(inputs)
    x = keras.layers.Conv2D(8, 5, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="last")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = keras.layers.Dense(1, dtype="float32", name="logit")(keras.layers.Dropout(0.3)(x))
    model = keras.Model(inputs, outputs, name="tiny")
    kernel, _ = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 10, np.asarray([0.7], np.float32)])
    model.save(folder / "model.keras")

    # As train/export.py makes the CPU form.
    ov = import_openvino()
    mapped = with_evidence_map(model)
    call = tf.function(
        lambda crop: dict(zip(("logit", "map"), mapped(crop, training=False), strict=True)),
        input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), tf.uint8, name="crop")],
    )
    frozen = convert_variables_to_constants_v2(call.get_concrete_function())
    exact = ov.convert_model(frozen.graph)
    for output in exact.outputs:
        output.set_names({"logit"} if len(output.partial_shape) == 2 else {"map"})
    ov.save_model(exact, folder / "model.xml", compress_to_fp16=False)
    return Tiny(
        folder / "model.keras",
        model,
        (folder / "model.xml").read_bytes(),
        (folder / "model.bin").read_bytes(),
        bias=0.7,
    )


def _tolerance(classifier: Classifier) -> float:
    """How exact logits are: OpenVINO computes in bfloat16, of 8 bits, on processors that can."""
    if not isinstance(classifier, OpenVINOClassifier):
        return 1e-3
    exact = "float32" in str(import_openvino().Core().get_property("CPU", "INFERENCE_PRECISION_HINT"))
    return 1e-3 if exact else 5e-2


@pytest.fixture(scope="module")
def crops() -> ImageU8:
    """Nine crops that differ much: noise of many contrasts with a bright patch somewhere."""
    rng = np.random.default_rng(8)
    made = np.stack([rng.integers(10 * n, 90 + 18 * n, (SIZE, SIZE, 3), np.uint8) for n in range(9)])
    for n, crop in enumerate(made):
        crop[6 * n : 6 * n + 12, 20:40] = 255
    return made


@pytest.fixture(scope="module", params=["openvino", "tensorflow", "fake"])
def classifier(request: pytest.FixtureRequest) -> Classifier:
    if request.param == "fake":
        return FakeClassifier(lambda crop: float(crop.mean()) / 40 - 2, SIZE)
    tiny: Tiny = request.getfixturevalue("tiny")
    if request.param == "openvino":
        return OpenVINOClassifier(tiny.xml, tiny.weights, SIZE, "FP32")
    return TensorFlowClassifier(tiny.path, SIZE)


@pytest.mark.parametrize(("size", "pieces"), [(SIZE, [32, 3]), (1024, [2, 2, 1]), (2048, [1, 1])])
def test_of_large_crops_fewer_are_scored_at_once(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, size: int, pieces: list[int]
) -> None:
    classifier, asked = TensorFlowClassifier(tiny.path, size), []

    def call(piece: ImageU8) -> tuple[np.ndarray, np.ndarray]:
        asked.append(len(piece))
        return np.zeros((len(piece), 1)), np.zeros((len(piece), 2, 2))

    monkeypatch.setattr(classifier, "_call", call)
    assert len(classifier.score(np.zeros((sum(pieces), size, size, 3), np.uint8)).logits) == sum(pieces)
    assert asked == pieces


class TestClassifier:
    def test_it_says_what_it_runs_on(self, classifier: Classifier) -> None:
        assert classifier.device

    @pytest.mark.parametrize("count", [0, 1, 5, 9])
    def test_a_batch_is_scored_as_its_crops_are(self, classifier: Classifier, crops: ImageU8, count: int) -> None:
        scores = classifier.score(crops[:count])
        assert (scores.logits.shape, scores.logits.dtype) == ((count,), np.float32)
        assert (scores.maps.ndim, scores.maps.dtype, len(scores.maps)) == (3, np.float32, count)
        for n in range(count):
            alone = classifier.score(crops[n : n + 1])
            assert scores.logits[n] == pytest.approx(alone.logits[0], abs=1e-4)
            assert np.allclose(scores.maps[n], alone.maps[0], atol=1e-3)

    def test_crops_get_scores_of_their_own(self, classifier: Classifier, crops: ImageU8) -> None:
        assert np.ptp(classifier.score(crops).logits) > 0.1

    def test_scores_do_not_change_when_more_are_scored(self, classifier: Classifier, crops: ImageU8) -> None:
        """What was returned is the caller's, not a buffer of the runtime."""
        first = classifier.score(crops[:2])
        kept = first.logits.copy(), first.maps.copy()
        classifier.score(crops[5:7])
        assert np.array_equal(first.logits, kept[0])
        assert np.array_equal(first.maps, kept[1])

    @pytest.mark.parametrize(
        ("shape", "dtype"),
        [
            ((2, SIZE, SIZE, 3), np.float32),
            ((2, SIZE, SIZE + 1, 3), np.uint8),
            ((2, SIZE, SIZE, 4), np.uint8),
            ((SIZE, SIZE, 3), np.uint8),
        ],
    )
    def test_other_arrays_are_refused(self, classifier: Classifier, shape: tuple[int, ...], dtype: type) -> None:
        with pytest.raises(ValueError, match="crops must be") as caught:
            classifier.score(np.zeros(shape, dtype))
        assert f"uint8 of shape (N, {SIZE}, {SIZE}, 3)" in str(caught.value)
        assert f"got {np.dtype(dtype)} of shape {shape}" in str(caught.value)

    def test_the_map_adds_up_to_the_logit(
        self, classifier: Classifier, crops: ImageU8, request: pytest.FixtureRequest
    ) -> None:
        bias = 0.0 if isinstance(classifier, FakeClassifier) else request.getfixturevalue("tiny").bias
        scores = classifier.score(crops)
        assert np.allclose(scores.maps.mean(axis=(1, 2)) + bias, scores.logits, atol=_tolerance(classifier))


def test_it_can_be_closed(tiny: Tiny) -> None:
    for made in (OpenVINOClassifier(tiny.xml, tiny.weights, SIZE, "FP32"), TensorFlowClassifier(tiny.path, SIZE)):
        made.close()


def test_both_runtimes_give_the_scores_of_the_model(tiny: Tiny, crops: ImageU8) -> None:
    expected = np.asarray(tiny.model(crops, training=False)).reshape(-1)
    on_cpu = OpenVINOClassifier(tiny.xml, tiny.weights, SIZE, "FP32")
    on_tensorflow = TensorFlowClassifier(tiny.path, SIZE)
    for classifier in (on_cpu, on_tensorflow):
        scores = classifier.score(crops)
        assert np.allclose(scores.logits, expected, atol=_tolerance(classifier))
        assert scores.maps.shape == (9, CELLS, CELLS)


def test_the_cpu_form_is_the_same_model(tiny: Tiny, crops: ImageU8) -> None:
    """Computed in float32, which takes the processor out of it."""
    ov = import_openvino()
    core = ov.Core()
    blob = ov.Tensor(np.frombuffer(tiny.weights, np.uint8))
    exact = core.compile_model(core.read_model(tiny.xml, blob), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    out = exact.create_infer_request().infer({0: crops})
    expected = TensorFlowClassifier(tiny.path, SIZE).score(crops)
    assert np.allclose(np.asarray(out["logit"]).reshape(-1), expected.logits, atol=1e-3)
    assert np.allclose(out["map"], expected.maps, atol=1e-3)


@pytest.mark.parametrize("toward_fake", [True, False])
def test_the_heatmap_is_grad_cam(tiny: Tiny, crops: ImageU8, toward_fake: bool) -> None:
    """The claim of with_evidence_map, against the gradient itself."""
    import keras
    import tensorflow as tf

    upto = keras.Model(tiny.model.inputs[0], tiny.model.get_layer("last").output)
    features = upto(crops, training=False)
    with tf.GradientTape() as tape:
        tape.watch(features)
        logits = tiny.model.layers[-1](tiny.model.get_layer("pool")(features))
        answer = logits if toward_fake else -logits
    gradient = tape.gradient(answer, features)
    importance = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)
    grad_cam = np.maximum(np.asarray(tf.reduce_sum(importance * features, axis=-1)), 0)
    maps = TensorFlowClassifier(tiny.path, SIZE).score(crops).maps
    for evidence, expected in zip(maps, grad_cam, strict=True):
        assert expected.max() > 0
        found = heatmap(evidence, CELLS, toward_fake=toward_fake)
        assert np.allclose(found, expected / expected.max(), atol=1e-4)


def test_a_lambda_layer_is_refused(tmp_path: Path, tiny: Tiny) -> None:
    """A file that would run its own code when loaded."""
    import keras

    inputs = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = keras.layers.Lambda(lambda v: v * 2.0)(keras.layers.Rescaling(1 / 255)(inputs))
    keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(x))).save(tmp_path / "evil.keras")
    with pytest.raises(UnmaskError, match=r"evil\.keras: the model cannot be loaded safely"):
        TensorFlowClassifier(tmp_path / "evil.keras", SIZE)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04 but no archive")
    with pytest.raises(UnmaskError, match=r"model\.keras: the model cannot be loaded safely"):
        TensorFlowClassifier(tmp_path / "model.keras", SIZE)


@pytest.mark.parametrize("place", ["weights", "contents"])
def test_a_damaged_model_is_refused(tmp_path: Path, tiny: Tiny, place: str) -> None:
    """A byte of the weights, or of the archive's list of contents, is another."""
    content = bytearray(tiny.path.read_bytes())
    content[{"weights": content.find(b"\x89HDF") + 9, "contents": content.rfind(b"PK\x01\x02")}[place]] ^= 0xFF
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(UnmaskError, match=r"model\.keras: the model cannot be loaded safely \(.+\); restore the file"):
        TensorFlowClassifier(tmp_path / "model.keras", SIZE)


def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.keras"):
        with pytest.raises(UnmaskError, match=r"no such file; name a \.keras model"):
            TensorFlowClassifier(path, SIZE)


@pytest.mark.parametrize("ending", ["max pooling", "flatten, two units", "two units", "sigmoid"])
def test_a_model_that_ends_otherwise_has_no_map(ending: str) -> None:
    import keras

    inputs = keras.Input((8, 8, 3))
    pools = {"max pooling": keras.layers.GlobalMaxPooling2D, "flatten, two units": keras.layers.Flatten}
    x = pools.get(ending, keras.layers.GlobalAveragePooling2D)()(inputs)
    units, activation = (2 if ending.endswith("two units") else 1), ("sigmoid" if ending == "sigmoid" else None)
    model = keras.Model(inputs, keras.layers.Dense(units, activation=activation)(x))
    with pytest.raises(ValueError, match="does not end in"):
        with_evidence_map(model)
