"""A GPU whose memory other programs take: fewer faces at a time, then the CPU, and it says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.core.records import ImageU8
from app.models.runtimes import Scores, TensorFlowClassifier
from app.pipeline.batch import Models
from tests.contracts.test_classifier_contract import SIZE, Tiny
from tests.e2e.conftest import Cli
from tests.e2e.support import fake_models


class Room:
    """Stands for a GPU on which ``most`` crops fit at once; remembers what it was asked."""

    def __init__(self, call: Callable[[ImageU8], Any], most: int) -> None:
        self._call, self.most = call, most
        self.asked: list[int] = []

    def __call__(self, crops: ImageU8) -> Any:
        import tensorflow as tf

        self.asked.append(len(crops))
        if len(crops) > self.most:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return self._call(crops)


@pytest.fixture
def on_gpu(tiny: Tiny) -> Callable[[int], tuple[TensorFlowClassifier, Room]]:
    def make(most: int) -> tuple[TensorFlowClassifier, Room]:
        classifier = TensorFlowClassifier(tiny.path, SIZE)
        classifier._on_gpu, classifier.device = True, "GPU (TensorFlow)"
        room = Room(classifier._call, most)
        classifier._call = room
        return classifier, room

    return make


Make = Callable[[int], tuple[TensorFlowClassifier, Room]]


def test_fewer_at_a_time(on_gpu: Make, crops: ImageU8) -> None:
    (classifier, room), (roomy, _) = on_gpu(2), on_gpu(100)
    found, expected = classifier.score(crops), roomy.score(crops)
    assert room.asked == [9, 4, 2, 2, 2, 2, 1]
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    np.testing.assert_allclose(found.maps, expected.maps, atol=1e-5)
    assert classifier.device == "GPU (TensorFlow, 2 at a time: its memory is short)"
    room.asked.clear()
    classifier.score(crops)
    assert room.asked == [2, 2, 2, 2, 1], "it remembers"
    assert roomy.device == "GPU (TensorFlow)"


def test_memory_that_goes_in_the_middle(on_gpu: Make, crops: ImageU8) -> None:
    (classifier, room), (roomy, _) = on_gpu(100), on_gpu(100)
    classifier.score(crops)
    room.most = 4
    np.testing.assert_allclose(classifier.score(crops).logits, roomy.score(crops).logits, atol=1e-5)


def test_then_the_cpu(on_gpu: Make, crops: ImageU8) -> None:
    (classifier, room), (roomy, _) = on_gpu(0), on_gpu(100)
    found = classifier.score(crops)
    assert room.asked == [9, 4, 2, 1]
    np.testing.assert_allclose(found.logits, roomy.score(crops).logits, atol=1e-4)
    assert classifier.device == "CPU (TensorFlow: the GPU's memory is taken)"
    classifier.close()


def test_the_cpu_at_once_where_not_even_the_model_fits(
    tiny: Tiny, crops: ImageU8, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras
    import tensorflow as tf

    load, tried = keras.saving.load_model, []

    def full(*args: object, **options: object) -> Any:
        tried.append(1)
        if len(tried) == 1:
            raise tf.errors.ResourceExhaustedError(None, None, "failed to allocate memory")
        return load(*args, **options)

    expected = TensorFlowClassifier(tiny.path, SIZE).score(crops)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    monkeypatch.setattr(keras.saving, "load_model", full)
    classifier = TensorFlowClassifier(tiny.path, SIZE)
    assert classifier.device == "CPU (TensorFlow: the GPU's memory is taken)"
    np.testing.assert_allclose(classifier.score(crops).logits, expected.logits, atol=1e-4)


def test_no_memory_anywhere_is_told(on_gpu: Make, crops: ImageU8, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, room = on_gpu(0)
    monkeypatch.setattr(classifier, "_loaded", lambda device: room)
    with pytest.raises(UnmaskError, match=r"model.keras: no memory is left .* close other programs"):
        classifier.score(crops)


def test_a_scan_says_so(unmask: Cli, clip: Path, tmp_path: Path) -> None:
    models = fake_models()
    classifier: Any = models.ensemble.classifiers[0]
    score = classifier.score

    def moving(crops: ImageU8) -> Scores:
        classifier.device = "CPU (TensorFlow: the GPU's memory is taken)"
        return score(crops)

    classifier.device, classifier.score = "GPU (TensorFlow)", moving
    ran = unmask("scan", clip, "--json", "--no-save", models=Models(models.detector, models.ensemble))
    assert ran.code == 0 and ran.entries[0]["device"] == "CPU (TensorFlow: the GPU's memory is taken)"
    assert ran.err == (
        "unmask: GPU (TensorFlow) had too little memory; went on with CPU (TensorFlow: the GPU's memory is taken)\n"
    )
