"""From a run to ``weights/NAME/``: what the app loads scores as the model that was trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.models.artifact import available, load_classifier, read_card
from app.models.runtimes import TensorFlowClassifier
from tests.train.test_fit import CONFIG
from train import export as exporting
from train.__main__ import main
from train.datasets import Sample
from train.fit import fit
from train.pipeline import plain_crops

pytestmark = pytest.mark.usefixtures("tiny_family")


@pytest.fixture
def finished(data: Path, run: Path) -> Path:
    fit(CONFIG, data, run, imagenet=None)
    return run


def verb(run: Path, data: Path, weights: Path, *more: str) -> list[str]:
    return ["export", "--run", str(run), "--data", str(data), "--name", "tiny", "--to", str(weights), *more]


def test_what_is_exported_scores_in_the_app_as_it_was_trained(
    finished: Path, data: Path, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    assert main(verb(finished, data, weights)) == 0
    assert available(weights) == ["tiny"]
    card = read_card("tiny", weights)
    assert card.preprocessing.size == CONFIG.size and card.training["epochs"] == CONFIG.epochs
    assert {"test, all", "cpu form against keras, validation"} <= set(card.metrics)
    crops = plain_crops([s for s in samples if s.split == "test"], CONFIG.size, CONFIG.crop_scale)
    trained = TensorFlowClassifier(finished / "best.keras", CONFIG.size).score(crops).logits
    np.testing.assert_allclose(load_classifier(card, "cpu", weights).score(crops).logits, trained, atol=0.15)

    # Another one, with the gates of the model that is there.
    needs = card.thresholds.model_copy(update={"min_size_px": 77.0, "chosen": "x; quality gates: of an earlier day"})
    card.model_copy(update={"thresholds": needs}).write(weights / "tiny" / "card.json")
    assert main(verb(finished, data, weights, "--name", "other", "--gates", "tiny")) == 0
    kept = read_card("other", weights).thresholds
    assert kept.min_size_px == 77.0 and kept.chosen.endswith("of an earlier day")
    assert kept.fake == card.thresholds.fake

    # A worse CPU form is refused, and what was there stays.
    before = (weights / "tiny" / "card.json").read_bytes()
    monkeypatch.setattr(exporting, "MOST_AUC_LOST", -1.0)
    assert main(verb(finished, data, weights)) == 2
    assert (weights / "tiny" / "card.json").read_bytes() == before
    assert sorted(p.name for p in weights.iterdir()) == ["other", "tiny"]


def test_what_cannot_be_exported_is_told(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(verb(run, data, tmp_path / "weights")) == 2
    assert "no best.keras here; finish python -m train fit first" in capsys.readouterr().err
    assert main(verb(run, data, tmp_path / "weights", "--gates", "keep")) == 2
    assert "tiny" in capsys.readouterr().err
    (tmp_path / "card.toml").write_text("summary = ")
    assert main(verb(run, data, tmp_path / "weights", "--card", str(tmp_path / "card.toml"))) == 2
    assert "the card's words cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "weights").exists()


def test_a_kill_while_a_model_is_replaced_leaves_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, made = tmp_path / "weights" / "m", tmp_path / "made"
    for folder, text in ((old, "old"), (made, "new")):
        folder.mkdir(parents=True)
        (folder / "card.json").write_text(json.dumps(text))

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(exporting.shutil, "copytree", dies)
        with pytest.raises(KeyboardInterrupt):
            exporting._replace(old, made)
    assert json.loads((old / "card.json").read_text()) == "old"
    exporting._replace(old, made)
    assert json.loads((old / "card.json").read_text()) == "new"
    assert [p.name for p in old.parent.iterdir()] == ["m"]
