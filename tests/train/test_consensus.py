"""Fitting how several models judge together, and saying what it is worth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.cards import ConsensusCard, ModelCard
from app.core.consensus import Consensus
from app.core.errors import UnmaskError
from app.models.artifact import consensus_path, read_consensus
from tests.tiny_models import write_model, write_two
from train import consensus
from train.__main__ import main
from train.config import FitConfig
from train.consensus import Split
from train.scores import Scored, write_scores
from train.unseen import unseen


def drawn(skill: tuple[float, ...], count: int = 400, seed: int = 1) -> Split:
    """Members whose log-odds are right by ``skill`` and wrong by chance, independently."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    signal = (2 * targets - 1)[:, None] * np.asarray(skill)[None]
    return Split("test", targets, np.clip(signal + rng.normal(0, 1.5, signal.shape), -8, 8))


@settings(max_examples=30)
@given(skill=st.lists(st.floats(-0.5, 3), min_size=2, max_size=4), seed=st.integers(0, 99))
def test_weights_are_shares(skill: list[float], seed: int) -> None:
    split = drawn(tuple(skill), 60, seed)
    weights = consensus.fit_weights(split.targets, split.logits)
    assert all(0 <= weight <= 1 for weight in weights)
    assert sum(weights) == pytest.approx(1, abs=1e-5)


def test_models_that_say_the_same_weigh_the_same() -> None:
    one = drawn((2.0,)).logits
    weights = consensus.fit_weights(drawn((2.0,)).targets, np.hstack([one, one, one]))
    assert weights == pytest.approx((1 / 3,) * 3, abs=1e-4)


def test_a_better_model_weighs_more_and_equal_weights_have_a_pull() -> None:
    split = drawn((2.5, 0.3))
    better, worse = consensus.fit_weights(split.targets, split.logits)
    assert 0.5 < better < 0.95 and worse > 0.05
    free = drawn((0.0, 0.0), 2000)
    assert consensus.fit_weights(free.targets, free.logits) == pytest.approx((0.5, 0.5), abs=0.2)


def test_a_model_that_is_wrong_gets_no_weight() -> None:
    split = drawn((3.0, -3.0))
    assert consensus.fit_weights(split.targets, split.logits)[1] < 0.2
    upside_down = drawn((-2.0, -2.0))
    assert consensus.fit_weights(upside_down.targets, upside_down.logits) == (0.5, 0.5)


def test_thresholds_keep_the_promise_of_few_false_alarms(make_card: Callable[..., ModelCard]) -> None:
    cards, split = [make_card(name=name) for name in "ab"], drawn((2.0, 1.8), 1000)
    card = consensus.fit(cards, split, "1000 pictures")
    found = consensus.figures(Consensus.of(*cards, fitted=card), split)
    assert found["false_alarms"] <= 0.01  # type: ignore[operator]
    assert card.thresholds.chosen.startswith("fake: at most 1% false alarms on 1000 pictures")
    assert card.thresholds.chosen.endswith("quality gates: the strictest of the models' own")
    assert ConsensusCard.model_validate(json.loads(card.model_dump_json(by_alias=True))) == card


def test_figures_are_those_of_the_apps_verdicts(make_card: Callable[..., ModelCard]) -> None:
    cards = [make_card(name=name) for name in "ab"]
    logits = np.asarray([[8.0, -2.0], [4.0, 4.0], [-4.0, -4.0], [-4.0, -3.0], [0.5, 0.5], [4.0, 3.0]])
    split = Split("test", np.asarray([1, 1, 1, 0, 0, 0]), logits)
    found = consensus.figures(Consensus.of(*cards), split)
    assert (found["fakes_flagged"], found["fakes_as_real"], found["false_alarms"]) == (0.3333, 0.3333, 0.3333)
    assert (found["cannot_tell"], found["disagree"]) == (0.3333, 0.1667), "the first would be 95 % but for the second"
    alone = consensus.figures(Consensus.of(cards[0]), Split("test", split.targets, logits[:, [0]]))
    assert alone["fakes_flagged"] == 0.6667 and alone["disagree"] == 0.0


@pytest.mark.parametrize(
    ("skill", "says"),
    [
        ((1.5, 1.5), "The consensus is better than its best member, "),
        ((2.5, -1.0), "The consensus is not better than its best member, a, on 400 test pictures: AUC "),
        ((3.0, 0.6), "The consensus is not "),
    ],
)
def test_it_is_said_plainly_whether_it_is_better(
    make_card: Callable[..., ModelCard], skill: tuple[float, float], says: str
) -> None:
    judge = Consensus.of(*(make_card(name=name) for name in "ab"))
    said = consensus.conclusion(judge, drawn(skill))
    assert said.startswith(says)
    assert ("use --model a" in said) is ("not better" in said)


@pytest.fixture
def weights(tmp_path: Path, card_fields: Callable[..., dict[str, Any]]) -> Path:
    write_two(tmp_path / "weights", card_fields)
    return tmp_path / "weights"


def verb(weights: Path, data: Path, run: Path, models: str = "bluish,redless") -> list[str]:
    return ["consensus", "--models", models, "--data", str(data), "--run", str(run), "--weights", str(weights)]


@pytest.fixture
def found(run: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder whose faces were found already, in the splits that are asked for."""
    from train.datasets import read_prepared, write_prepared

    samples = [s for s in read_prepared(run / "prepared.csv", data) if s.split != "train"]
    write_prepared(run / "prepared-valid-test.csv", samples, data)
    return run


def test_the_verb_writes_what_the_app_reads(
    weights: Path, data: Path, found: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = consensus_path(["redless", "bluish"], weights)
    assert main([*verb(weights, data, found), "--dry-run"]) == 0
    assert not path.exists() and "left as it is" in capsys.readouterr().out
    assert main(verb(weights, data, found)) == 0
    out = capsys.readouterr().out
    for row in (
        "validation, bluish",
        "validation, redless",
        "validation, consensus",
        "test, bluish",
        "test, consensus",
    ):
        assert row in out
    assert "weights: bluish 0." in out and "thresholds: fake: at most 1% false alarms on 24 validation pictures" in out
    assert "The consensus is not " in out, "pictures told apart without an error leave nothing to be better at"
    consensus_ = read_consensus(("redless", "bluish"), weights)
    assert consensus_.fitted is not None and consensus_.fitted.metrics["test, consensus"]["pictures"] == 24
    assert sum(consensus_.weights) == pytest.approx(1, abs=1e-5)
    assert consensus_.fitted.conclusion in out
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert {p.name for p in found.glob("*.csv")} >= {"valid-bluish.csv", "test-redless.csv"}


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ("bluish", "two or more different models"),
        ("bluish,bluish", "two or more different models"),
        ("bluish,", "two or more different models"),
        ("bluish,huge", "no model here; the models found are: bluish, redless"),
    ],
)
def test_models_that_are_none_are_told(
    weights: Path, data: Path, found: Path, capsys: pytest.CaptureFixture[str], models: str, says: str
) -> None:
    assert main(verb(weights, data, found, models)) == 2
    assert says in capsys.readouterr().err


def test_altered_models_are_not_fitted(
    weights: Path, data: Path, found: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (weights / "redless" / "model.keras").write_bytes(b"another")
    assert main(verb(weights, data, found)) == 2
    assert "sha256 differs" in capsys.readouterr().err


def test_a_model_that_learned_nothing_ends_it(
    weights: Path,
    data: Path,
    found: Path,
    card_fields: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("up", "down"):
        write_model(weights, card_fields(name=name), (0.05, 0.0, -0.05))
    assert main(verb(weights, data, found, "up,down")) == 2
    assert "the wrong way round" in capsys.readouterr().err
    assert not (weights / "consensus").exists()


def test_a_folder_that_cannot_be_written_is_told(make_card: Callable[..., ModelCard], tmp_path: Path) -> None:
    cards = [make_card(name=name) for name in "ab"]
    (tmp_path / "consensus").write_text("a file in its place")
    with pytest.raises(UnmaskError, match=r"cannot be written .*another --weights"):
        consensus.write(consensus.fit(cards, drawn((2.0, 2.0)), "pictures"), tmp_path / "consensus" / "a+b.json")


def left_out(folder: Path, skill: float, seed: int, others: str = "") -> Path:
    """A leave-out run of two folds, in each of which one generator and one source of photographs were left out."""
    rng = np.random.default_rng(seed)
    for k, group in enumerate((("dream", "press"), ("paint", "web"))):
        rows = []
        for source, label in (("dream", "fake"), ("paint", "fake"), ("press", "real"), ("web", "real")):
            for i in range(90):
                split = ("train", "valid", "test")[i % 3]
                held_out = source if source in group else ""
                if split != "train" or held_out:
                    logit = skill * (1 if label == "fake" else -1) + rng.normal(0, 1.5)
                    rows.append(Scored(f"{others}{source}/{i}.jpg", split, label, source, logit, held_out=held_out))
        (folder / f"fold-{k}").mkdir(parents=True)
        write_scores(folder / f"fold-{k}" / "held-out-scores.csv", rows)
    return folder


def test_generators_left_out_are_judged_together(tmp_path: Path) -> None:
    found = unseen([left_out(tmp_path / "a", 1.0, 1), left_out(tmp_path / "b", 1.0, 2)], ["a", "b"])
    assert [g.name for g in found.generators] == ["dream", "paint"]
    # 90 fakes that no model saw; 30 test photographs of the source that the fold's models knew.
    assert [(int(g.targets.sum()), g.targets.size) for g in found.generators] == [(90, 120)] * 2
    rows = found.rows()
    assert rows["generators left out, consensus"]["auc"] > rows["generators left out, a"]["auc"]  # type: ignore[operator]
    said = found.conclusion()
    assert "at least as good as its best member" in said and "[+" in said, "better than by chance"


def test_a_consensus_that_is_worse_where_generators_are_new_is_told(tmp_path: Path) -> None:
    found = unseen([left_out(tmp_path / "a", 1.6, 1), left_out(tmp_path / "b", -0.2, 2)], ["a", "b"])
    said = found.conclusion()
    assert "not as good as its best member, a: mean AUC on 2 generators" in said


def test_leave_out_runs_have_to_match(tmp_path: Path) -> None:
    one, other = left_out(tmp_path / "a", 1.0, 1), left_out(tmp_path / "b", 1.0, 2, others="elsewhere/")
    with pytest.raises(UnmaskError, match="other pictures or other sources left out"):
        unseen([one, other], ["a", "b"])
    with pytest.raises(UnmaskError, match="1 folders for 2 models"):
        unseen([one], ["a", "b"])
    with pytest.raises(UnmaskError, match="no fold is finished here"):
        unseen([tmp_path, one], ["a", "b"])


def test_the_verb_tells_of_generators_left_out(
    weights: Path, data: Path, found: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(left_out(tmp_path / name, 1.0, seed)) for seed, name in enumerate("ab")]
    assert main([*verb(weights, data, found), "--left-out", *runs]) == 0
    assert "On unknown generators it is at least as good" in capsys.readouterr().out
    card = read_consensus(("redless", "bluish"), weights).fitted
    assert card is not None and card.metrics["generators left out, consensus"]["auc, dream"] > 0.5  # type: ignore[operator]


def test_leave_out_runs_of_another_family_are_told(
    weights: Path, data: Path, found: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [left_out(tmp_path / name, 1.0, seed) for seed, name in enumerate("ab")]
    (runs[1] / "fold-0" / "best.keras").touch()
    FitConfig(model="xception").write(runs[1] / "fold-0" / "config.json")
    assert main([*verb(weights, data, found), "--left-out", *map(str, runs)]) == 2
    assert "b: of xception, not tiny; name the folders in the models' order" in capsys.readouterr().err
