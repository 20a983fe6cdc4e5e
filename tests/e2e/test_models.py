"""``--models``: several judge together, each one's answer is told, and one alone is as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pytest

from app import cli
from app.arguments import build_parser
from app.core.cards import ModelCard
from app.core.records import ImageU8
from app.models import artifact
from app.models.runtimes import FakeClassifier
from app.pipeline.batch import Models
from tests.e2e.conftest import Cli
from tests.e2e.support import SIZE, checked, fake_models, kept, lines, redness, squares
from tests.ensembles import together
from tests.tiny_models import write_two
from tests.unit.test_consensus import fitted_with

RED, WHITE = (0, 0, 255), (255, 255, 255)


def several(*logits: Callable[[ImageU8], float]) -> Models:
    """Models "m0", "m1"... of the same made-up card."""
    one = fake_models()
    cards = [one.consensus.cards[0].model_copy(update={"name": f"m{n}"}) for n in range(len(logits))]
    return Models(one.detector, together(*((FakeClassifier(f, SIZE), c) for f, c in zip(logits, cards, strict=True))))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "two.png"
    cv2.imwrite(str(path), squares((20, 20, 80, WHITE), (180, 120, 90, RED)))
    return path


def test_a_scan_tells_what_every_model_said(unmask: Cli, two_faces: Path, tmp_path: Path) -> None:
    models = several(redness, lambda crop: redness(crop) / 2)
    ran = unmask("scan", two_faces, "--name", "both", "--json", models=models)
    (entry,) = ran.entries
    assert entry["model"] == "m0+m1" and entry["verdict"] == "fake"
    assert entry["consensus"]["weights"] == {"m0": 0.5, "m1": 0.5}
    assert "no weights were fitted for m0+m1" in entry["consensus"]["note"]
    for track in entry["tracks"]:
        assert set(track["models"]) == {"m0", "m1"}
        assert "2 of 2 models call it" in track["reason"]
    rows = lines(tmp_path / "runs" / "both")
    scored = [row for row in rows if row["logit"] is not None]
    assert scored and all(set(row["models"]) == {"m0", "m1"} for row in scored)
    for row in scored:
        assert row["logit"] == pytest.approx(sum(vote["logit"] for vote in row["models"].values()) / 2, abs=2e-4)
    page = (tmp_path / "runs" / "both" / "report.html").read_text()
    assert "The consensus of 2 models" in page and page.count("What each model says alone") == 2


def test_one_model_leaves_no_trace_of_others(unmask: Cli, clip: Path, tmp_path: Path) -> None:
    ran = unmask("scan", clip, "--name", "one", "--json")
    (entry,) = ran.entries
    assert "consensus" not in entry and all("models" not in track for track in entry["tracks"])
    assert all("models" not in row for row in lines(tmp_path / "runs" / "one"))
    assert "consensus" not in (tmp_path / "runs" / "one" / "report.html").read_text()


def test_pictures_tell_every_models_answer(unmask: Cli, picture: Path, tmp_path: Path) -> None:
    models = several(redness, redness, lambda crop: -redness(crop) / 3)
    ran = unmask("image", picture, "--name", "p", models=models)
    assert "2 of 3 models call it AI-generated, 1 real" in ran.out or "the models disagree" in ran.out
    told = [line.split() for line in ran.out.splitlines() if " m0 " in line or " m2 " in line]
    assert len(told) == 4 and all("AI" in words for words in told)
    assert "unmask: no weights" not in ran.err, "told where models are loaded, which these were not"
    (entry,) = kept(tmp_path / "runs" / "p")
    assert all(set(track["models"]) == {"m0", "m1", "m2"} for track in entry["tracks"])


def test_models_that_disagree_cannot_tell(unmask: Cli, picture: Path) -> None:
    ran = unmask("image", picture, "--json", models=several(redness, lambda crop: -redness(crop)))
    (entry,) = checked(ran.entries)
    assert entry["verdict"] == "uncertain"
    assert all(
        "the models disagree: 1 of 2 models calls it AI-generated, 1 real" in t["reason"] for t in entry["tracks"]
    )


def test_another_consensus_is_another_scan(unmask: Cli, two_faces: Path) -> None:
    words = ("scan", two_faces, "--name", "again", "--json", "--resume")
    both, other = several(redness, redness), several(redness, redness, redness)
    prints = [unmask(*words, models=models).entries[0]["fingerprint"] for models in (both, both, other)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("text", ["a,a", "a,,b", "", ","])
def test_models_are_named_once_each(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["scan", "x.mp4", "--models", text])
    assert "give different names, separated by commas" in capsys.readouterr().err


def test_model_and_models_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["image", "x.png", "--model", "a", "--models", "a,b"])
    assert "not allowed with" in capsys.readouterr().err


def test_what_is_asked_for_is_handed_on() -> None:
    parse = build_parser().parse_args
    assert parse(["live"]).models is None
    assert parse(["live", "--model", "a"]).models == ("a",)
    assert parse(["live", "--models", "a, b"]).models == ("a", "b")


def test_the_window_is_opened_with_them() -> None:
    given: dict[str, Any] = {}
    assert cli.main(["live", "--models", "a,b"], open_window=lambda source, **options: given.update(options) or 0) == 0
    assert given["models"] == ("a", "b")


def test_real_files_judge_together(
    demo_clip: Path,
    card_fields: Callable[..., dict[str, Any]],
    make_card: Callable[..., ModelCard],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From the files to the report, with the real detector and runtime: equal weights, fitted ones, unfit ones."""
    weights = tmp_path / "weights"
    names = write_two(weights, card_fields)
    monkeypatch.setattr(artifact, "read_consensus", partial(artifact.read_consensus, folder=weights))
    monkeypatch.setattr(artifact, "load_ensemble", partial(artifact.load_ensemble, folder=weights))
    capture = cv2.VideoCapture(str(demo_clip))
    capture.set(cv2.CAP_PROP_POS_FRAMES, 200)
    cv2.imwrite(str(tmp_path / "face.png"), capture.read()[1])
    words = ["image", str(tmp_path / "face.png"), "--models", ",".join(names), "--project", str(tmp_path / "runs")]
    words += ["--device", "cpu", "--json"]
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    (entry,) = checked(json.loads(out))
    assert entry["model"] == "bluish+redless" and entry["tracks"] and entry["device"] == "CPU (OpenVINO FP16)"
    assert "unmask: no weights were fitted for bluish+redless, so every model counts alike" in err

    path = artifact.consensus_path(names, weights)
    path.parent.mkdir()
    cards = artifact.read_consensus(names).cards
    fitted_with(cards, [0.9, 0.1]).write(path)
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)[0]["consensus"]["weights"] == {"bluish": 0.9, "redless": 0.1}
    assert "unmask: weights fitted on 9 pictures: bluish 0.90, redless 0.10" in err

    fitted_with([cards[0], cards[1].model_copy(update={"files": make_card().files})], [0.9, 0.1]).write(path)
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and "was fitted with another redless than is here" in err and err.count("\n") == 1
