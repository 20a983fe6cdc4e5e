"""From a run to ``weights/NAME/``: what the app loads scores as the model that was trained."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.models.artifact import available, load_classifier, read_card
from app.models.runtimes import TensorFlowClassifier
from tests.train.test_fit import CONFIG
from train import export as exporting
from train.__main__ import main
from train.config import PRESETS, FitConfig
from train.datasets import LABELS, Sample, write_prepared
from train.fit import fit
from train.pipeline import plain_crops
from train.runs import write_origin
from train.zoo import family

pytestmark = pytest.mark.usefixtures("tiny_family")


@pytest.fixture
def finished(data: Path, run: Path) -> Path:
    fit(CONFIG, data, run, imagenet=None)
    return run


def verb(run: Path, data: Path, weights: Path, *more: str) -> list[str]:
    return ["export", "--run", str(run), "--data", str(data), "--name", "tiny", "--to", str(weights), *more]


def test_what_is_exported_scores_in_the_app_as_it_was_trained(
    finished: Path,
    data: Path,
    samples: list[Sample],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
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

    # The card says nothing of the shipped model, and names no option of other families.
    assert card.summary == "tiny, trained on 48 pictures to tell generated faces from photographs"
    assert card.data == {
        "started_from": "random weights",
        "set": "96 pictures",
        "photographs": "48: real (48)",
        "generated_faces": "48: fake (48)",
        **{f"{split} {label}": n for split, n in (("train", 24), ("valid", 12), ("test", 12)) for label in LABELS},
    }
    assert not {"arch", "mode", "segmenter", "denoiser"} & set(card.training)

    # Another one, of a part of the pictures, in words of one's own, with the gates of the model that is there.
    needs = card.thresholds.model_copy(update={"min_size_px": 77.0, "chosen": "x; quality gates: of an earlier day"})
    card.model_copy(update={"thresholds": needs}).write(weights / "tiny" / "card.json")
    dataclasses.replace(CONFIG, limit=8).write(finished / "config.json")
    words = ["--card", str(PRESETS / "card.toml")]
    assert main(verb(finished, data, weights, "--name", "other", "--gates", "tiny", *words)) == 0
    other = read_card("other", weights)
    assert other.summary.startswith("DenseNet121") and str(other.data["set"]).startswith("6,628 pictures")
    assert (other.data["train real"], other.data["train fake"], other.data["valid real"]) == (4, 4, 12)
    kept = other.thresholds
    assert kept.min_size_px == 77.0 and kept.chosen.endswith("of an earlier day")
    assert kept.fake == card.thresholds.fake

    # A worse CPU form is refused, and what was there stays.
    before = (weights / "tiny" / "card.json").read_bytes()
    monkeypatch.setattr(exporting, "MOST_AUC_LOST", -1.0)
    capsys.readouterr()
    assert main(verb(finished, data, weights)) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"unmask: {finished}: no CPU form keeps the scores") and "train again with" in told
    assert (weights / "tiny" / "card.json").read_bytes() == before
    assert sorted(p.name for p in weights.iterdir()) == ["other", "tiny"]


def test_what_cannot_be_exported_is_told(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(verb(run, data, tmp_path / "weights")) == 2
    assert "no best.keras here; finish python -m train fit first" in capsys.readouterr().err
    assert main(verb(run, data, tmp_path / "weights", "--gates", "keep")) == 2
    assert "tiny" in capsys.readouterr().err
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda text: "summary = ", "Invalid value"),
        (lambda text: text.partition("[data]")[0], r"data: Field required"),
        (lambda text: 'name = "evil"\n' + text, r"name: Extra inputs are not permitted"),
        (lambda text: text.replace("[data]", "[data]\nshare = nan"), r"data\.share.*finite"),
        (lambda text: text.encode("utf-8") + b"# \xff", "codec can't decode"),
    ],
    ids=["no TOML", "a part", "too much", "no number", "not UTF-8"],
)
def test_words_that_make_no_card_are_told_before_anything_is_done(
    run: Path, data: Path, tmp_path: Path, damage: Callable[[str], str | bytes], why: str
) -> None:
    damaged = damage((PRESETS / "card.toml").read_text(encoding="utf-8"))
    path = tmp_path / "card.toml"
    path.write_bytes(damaged if isinstance(damaged, bytes) else damaged.encode("utf-8"))
    with pytest.raises(UnmaskError, match=rf"card\.toml: the card's words cannot be read \(.*{why}.*card\.toml"):
        exporting.read_words(path)
    assert main(verb(run, data, tmp_path / "weights", "--card", str(path))) == 2


def test_every_card_that_can_be_named_is_whole() -> None:
    whole = {"card", "card-mobilenet_v2"}
    for name in whole:
        assert exporting.read_words(PRESETS / f"{name}.toml")["data"]["started_from"].startswith("ImageNet")
    assert {p.stem for p in PRESETS.glob("card*.toml")} == {*whole, "card-own"}
    own = tomllib.loads((PRESETS / "card-own.toml").read_text(encoding="utf-8"))
    assert set(own) == {"intended_use", "limits", "terms"}


class Begun(Exception):
    """The export has begun to work."""


@pytest.fixture
def unfinished(run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that looks as if it could be exported."""

    def begins(_: Path) -> None:
        raise Begun

    CONFIG.write(run / "config.json")
    (run / "best.keras").touch()
    monkeypatch.setattr(exporting, "load_model", begins)
    return run


@pytest.mark.parametrize("name", ["../evil", ".hidden", "", "a b", "a/b", "tiny\n"])
def test_a_name_that_cannot_be_is_told_before_anything_is_done(unfinished: Path, data: Path, name: str) -> None:
    with pytest.raises(UnmaskError, match=r"--name .*: no name for a model; take letters and digits"):
        exporting.export(unfinished, data, unfinished / "weights", name)


def test_a_folder_that_is_no_model_is_not_replaced(unfinished: Path, data: Path, tmp_path: Path) -> None:
    detector = tmp_path / "mediapipe" / "detector.tflite"
    detector.parent.mkdir()
    detector.touch()
    with pytest.raises(UnmaskError, match="mediapipe: is there and holds no model; choose another --name"):
        exporting.export(unfinished, data, tmp_path, "mediapipe")
    assert detector.is_file()


def test_one_class_alone_cannot_be_calibrated(unfinished: Path, data: Path, samples: list[Sample]) -> None:
    write_prepared(unfinished / "prepared.csv", [s for s in samples if (s.split, s.label) != ("valid", "fake")], data)
    with pytest.raises(UnmaskError, match="validation split needs both real and fake pictures"):
        exporting.export(unfinished, data, unfinished / "weights", "tiny")


def test_a_segmenter_counts_only_where_the_family_has_one(unfinished: Path, data: Path) -> None:
    FitConfig(model="logistic_regression", segmenter="mobilesam").write(unfinished / "config.json")
    with pytest.raises(Begun):
        exporting.export(unfinished, data, unfinished / "weights", "tiny")


def test_words_from_a_run_tell_what_it_came_from(run: Path, samples: list[Sample], tmp_path: Path) -> None:
    config = FitConfig(model="densenet121")

    def data_of(folder: Path) -> dict[str, str]:
        return dict(exporting.words_of(folder, config, samples)["data"])

    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert data_of(first)["started_from"] == "not recorded"
    write_origin(first, [], "densenet121_imagenet_notop.weights.h5")
    assert data_of(first)["started_from"] == "densenet121_imagenet_notop.weights.h5"
    write_origin(second, [first])
    write_origin(run, [second, first])
    assert data_of(run)["started_from"] == (
        "the mean of the weights of the runs second and first; second: the weights of the run first; "
        "first: densenet121_imagenet_notop.weights.h5"
    )
    words = exporting.words_of(run, config, [s for s in samples if s.split != "test"])
    assert words["summary"].startswith("densenet121 (transfer learning), trained on 48 pictures")
    assert "shipped" not in json.dumps(words) and "It was not measured" in words["limits"][-1]
    many = [dataclasses.replace(s, source=f"camera {i:02d}\x1b") for i, s in enumerate(samples)]
    photographs = exporting.words_of(run, config, many)["data"]["photographs"]
    assert photographs.startswith("48: camera 00? (1), ") and photographs.endswith("and 8 other sources")


@pytest.mark.parametrize("name", ["unmask-densenet121", "unmask-mobilenet_v2"])
def test_shipped_cards_name_no_options_of_other_families(name: str) -> None:
    card = read_card(name)
    assert not set(exporting.OF_SOME) & (set(card.training) - set(family(card.family).options))


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
