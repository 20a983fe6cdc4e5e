"""The weights that the repository carries: what is promised of them, through the app's own crop and runtime."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from app.cli import DEMO, main
from app.core.cards import sha256_of
from app.models.artifact import DEFAULT_MODEL, WEIGHTS, load_classifier, read_card, read_consensus
from train.evaluate import evaluate, raw_logits
from train.prepare import prepared_samples

DATA = os.environ.get("UNMASK_TEST_DATA")
SECOND = "unmask-mobilenet_v2"
BOTH = f"{DEFAULT_MODEL},{SECOND}"


@pytest.mark.parametrize("name", [DEFAULT_MODEL, SECOND])
def test_files_are_those_of_the_card_and_small_enough(name: str) -> None:
    card = read_card(name)
    assert set(card.files) == {"keras", "openvino_xml", "openvino_bin"}
    for file in card.files.values():
        assert sha256_of((WEIGHTS / card.name / file.name).read_bytes()) == file.sha256
    assert sum(p.stat().st_size for p in (WEIGHTS / card.name).iterdir()) <= 40_000_000
    assert card.limits and "research" in card.terms


def test_they_judge_together_as_fitted() -> None:
    consensus = read_consensus(BOTH.split(","))
    assert consensus.fitted is not None and consensus.fitted.conclusion.startswith("The consensus is better")
    first, second = (card.thresholds for card in consensus.cards)
    for gate in ("min_size_px", "min_sharpness", "min_brightness", "max_brightness", "max_yaw", "min_scores"):
        assert getattr(first, gate) == getattr(second, gate), "both judge the same faces"


@pytest.mark.parametrize("models", [(), ("--models", BOTH)])
def test_the_demo_clip_is_told_apart(
    models: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["scan", str(DEMO), *models, "--json", "--no-save", "--fail-on-fake", "--project", str(tmp_path)])
    (entry,) = json.loads(capsys.readouterr().out)
    assert code == 1 and entry["verdict"] == "fake"
    # Alone in the picture until 3 s: the photograph; from 7 s to 9.5 s: the generated face.
    verdicts = {(t["first_s"] < 1, 7 <= t["first_s"] < 8): t["verdict"] for t in entry["tracks"]}
    assert verdicts[True, False] == "real" and verdicts[False, True] == "fake"
    assert sorted(t["verdict"] for t in entry["tracks"]) == ["fake", "fake", "fake", "real", "real"]


@pytest.mark.skipif(DATA is None, reason="needs the pictures: set UNMASK_TEST_DATA")
@pytest.mark.parametrize("name", [DEFAULT_MODEL, SECOND])
def test_the_test_split_keeps_what_the_card_says(name: str, tmp_path: Path) -> None:
    assert DATA is not None
    card = read_card(name)
    samples = prepared_samples(Path(DATA) / "data", tmp_path, splits=("test",))
    logits = raw_logits(load_classifier(card, "cpu"), samples, card.preprocessing)
    table = evaluate(samples, logits, card)
    for part, auc in (("all", 0.97), ("140k part", 0.96)):
        measured, promised = table[part]["auc"], card.metrics[f"test, {part}"]["auc"]
        assert measured is not None and promised is not None
        assert measured >= auc and measured == pytest.approx(promised, abs=0.002)
    assert (table["all"]["accuracy"] or 0) >= 0.90
