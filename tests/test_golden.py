"""One golden crop: every path from picture to score gives the numbers recorded by tests/tools/make_golden.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.core.cards import ModelCard
from app.core.crops import crop_face
from app.core.records import Box, ImageU8
from app.models.artifact import load_classifier, read_card, verified_path

GOLDEN = Path(__file__).parent / "golden"
REMEDY = "run python tests/tools/make_golden.py and commit tests/golden/"


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    missing = [name for name in ("golden.json", "frame.png", "crop.png") if not (GOLDEN / name).is_file()]
    if missing:
        pytest.fail(f"tests/golden/ lacks {', '.join(missing)}: {REMEDY}", pytrace=False)
    loaded: dict[str, Any] = json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def card(recorded: dict[str, Any]) -> ModelCard:
    """The shipped card, if the golden numbers are those of its weights."""
    card = read_card(recorded["model"])
    now = {form: file.sha256 for form, file in card.files.items()}
    changed = [
        form for form in sorted(now.keys() | recorded["sha256"]) if now.get(form) != recorded["sha256"].get(form)
    ]
    if changed:
        pytest.fail(
            f"tests/golden/golden.json was made with other weights than those weights/{card.name}/card.json names "
            f"({', '.join(changed)} differ): {REMEDY}",
            pytrace=False,
        )
    return card


@pytest.fixture(scope="module")
def crop(recorded: dict[str, Any]) -> ImageU8:
    """The golden crop, uint8 RGB."""
    stored = cv2.imread(str(GOLDEN / "crop.png"), cv2.IMREAD_COLOR)
    assert stored is not None
    return np.ascontiguousarray(stored[..., ::-1], dtype=np.uint8)


def test_the_golden_crop_is_made_as_the_card_says(recorded: dict[str, Any], card: ModelCard, crop: ImageU8) -> None:
    assert (recorded["size"], recorded["crop_scale"]) == (card.preprocessing.size, card.preprocessing.crop_scale)
    frame = cv2.imread(str(GOLDEN / "frame.png"), cv2.IMREAD_COLOR)
    assert frame is not None
    made = crop_face(np.asarray(frame, np.uint8), Box(*recorded["box"]), recorded["size"], recorded["crop_scale"])
    assert np.array_equal(made, crop)


def test_training_sees_the_very_same_crop(recorded: dict[str, Any], card: ModelCard, crop: ImageU8) -> None:
    from train.datasets import Sample
    from train.pipeline import plain_crops

    sample = Sample(GOLDEN / "frame.png", "test", "fake", "demo clip", Box(*recorded["box"]))
    made = plain_crops([sample], card.preprocessing.size, card.preprocessing.crop_scale)
    assert np.array_equal(made[0], crop)


def test_the_cpu_form_scores_it_alike(recorded: dict[str, Any], card: ModelCard, crop: ImageU8) -> None:
    assert recorded["cpu_form"] == card.cpu_form
    classifier = load_classifier(card, "cpu")
    logit = float(classifier.score(crop[None]).logits[0])
    classifier.close()
    # Other processors compute the CPU form in other number formats: the tolerance is that of the export's check.
    assert logit == pytest.approx(recorded["cpu_logit"], abs=recorded["cpu_tolerance"])
    assert logit == pytest.approx(recorded["keras_logit"], abs=2 * recorded["cpu_tolerance"])


def test_the_keras_model_scores_it_alike(recorded: dict[str, Any], card: ModelCard, crop: ImageU8) -> None:
    """Through the app's runtime, and through the path by which training validates."""
    import keras

    from app.models.runtimes import TensorFlowClassifier
    from train.fit import predict

    path = verified_path(card, "keras")
    in_app = TensorFlowClassifier(path, card.preprocessing.size).score(crop[None]).logits[0]
    in_training = predict(keras.saving.load_model(path, compile=False, safe_mode=True), crop[None])[0]
    assert float(in_app) == pytest.approx(recorded["keras_logit"], abs=1e-3)
    assert float(in_training) == pytest.approx(recorded["keras_logit"], abs=1e-3)
