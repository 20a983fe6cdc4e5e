"""One golden crop: every path from picture to score gives the numbers recorded by tests/tools/make_golden.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.core.cards import ModelCard
from app.core.records import Box
from app.models.artifact import load_classifier, read_card, verified_path
from app.models.views import Views, score_views, views_of

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
def views(recorded: dict[str, Any], card: ModelCard) -> Views:
    """The golden face as the app looks at it."""
    assert recorded["preprocessing"] == card.preprocessing.model_dump(), REMEDY
    frame = cv2.imread(str(GOLDEN / "frame.png"), cv2.IMREAD_COLOR)
    assert frame is not None
    return views_of(np.asarray(frame, np.uint8), Box(*recorded["box"]), card.preprocessing)


def test_the_golden_crop_is_made_as_the_card_says(views: Views) -> None:
    stored = cv2.imread(str(GOLDEN / "crop.png"), cv2.IMREAD_COLOR)
    assert stored is not None
    assert np.array_equal(views[0], stored[..., ::-1])


def test_training_sees_the_very_same_views(recorded: dict[str, Any], card: ModelCard, views: Views) -> None:
    from train.datasets import Sample
    from train.pipeline import plain_crops, plain_views

    sample = Sample(GOLDEN / "frame.png", "test", "fake", "demo clip", Box(*recorded["box"]))
    (made,) = plain_views([sample], card.preprocessing)
    assert len(made) == len(views) and all(np.array_equal(a, b) for a, b in zip(made, views, strict=True))
    validated = plain_crops([sample], card.preprocessing.size, card.preprocessing.crop_scale)
    assert np.array_equal(validated[0], views[0])


def test_the_cpu_form_scores_it_alike(recorded: dict[str, Any], card: ModelCard, views: Views) -> None:
    assert recorded["cpu_form"] == card.cpu_form
    classifier = load_classifier(card, "cpu")
    logit = float(score_views(classifier, [views], card.preprocessing).logits[0])
    classifier.close()
    # Other processors compute the CPU form in other number formats: the tolerance is that of the export's check.
    assert logit == pytest.approx(recorded["cpu_logit"], abs=recorded["cpu_tolerance"])
    assert logit == pytest.approx(recorded["keras_logit"], abs=2 * recorded["cpu_tolerance"])


def test_the_keras_model_scores_it_alike(recorded: dict[str, Any], card: ModelCard, views: Views) -> None:
    """Through the app's runtime, and through the path by which training validates."""
    import keras

    from app.models.runtimes import TensorFlowClassifier
    from train.fit import predict

    path = verified_path(card, "keras")
    in_app = TensorFlowClassifier(path, card.preprocessing.size)
    logit = float(score_views(in_app, [views], card.preprocessing).logits[0])
    in_training = predict(keras.saving.load_model(path, compile=False, safe_mode=True), np.stack(views)).mean()
    assert logit == pytest.approx(recorded["keras_logit"], abs=1e-3)
    assert float(in_training) == pytest.approx(recorded["keras_logit"], abs=1e-3)
