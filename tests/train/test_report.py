"""The report, the comparison of runs, robustness and videos."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.core.cards import ModelCard, Preprocessing
from app.core.errors import UnmaskError
from app.core.records import Box, Verdict
from app.models.artifact import DEFAULT_MODEL, read_card
from app.models.runtimes import FakeClassifier
from train import compare, evaluate, report, robustness, videos
from train.__main__ import main
from train.datasets import Sample
from train.scores import Scored, arrays, write_scores

HOSTILE = "<img src=x onerror=alert(1)>'\"&{{7*7}}$\\frac{1}{2}$\u202egnp"
WHEN = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


class Page(HTMLParser):
    """All that a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def card() -> ModelCard:
    return read_card(DEFAULT_MODEL).model_copy(update={"preprocessing": Preprocessing(size=32, crop_scale=1.25)})


@pytest.fixture
def bluish() -> FakeClassifier:
    return FakeClassifier(lambda crop: (float(crop[..., 2].mean()) - float(crop[..., 0].mean())) / 12, 32)


def rows(count: int = 200, *, seed: int = 0, apart: float = 2.0) -> list[Scored]:
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        logit = float(rng.normal((i % 2 - 0.5) * apart, 1))
        label, source = ("fake", f"GAN {i % 3}") if i % 2 else ("real", f"camera {i % 3}")
        made.append(Scored(f"p{i}.jpg", "test", label, source, logit, 1 / (1 + np.exp(-apart * logit))))
    return made


def test_a_report_has_every_part_and_loads_nothing(
    samples: list[Sample], data: Path, card: ModelCard, bluish: FakeClassifier, tmp_path: Path
) -> None:
    test = [s for s in samples if s.split == "test"]
    logits = evaluate.raw_logits(bluish, test, card.preprocessing)
    scored = evaluate.scored(test, logits, card.calibration, data)
    conditions = [c for c in robustness.CONDITIONS if c.kind in (robustness.AS_IT_IS, "scale", "JPEG quality")]
    degraded = robustness.score(bluish, test, card, tmp_path / "r.csv", data, conditions)
    outcomes = robustness.outcomes(degraded, arrays(scored)[0], card, resamples=100)
    page = report.render(
        report.Evaluation(
            title="A trial",
            created=WHEN,
            card=card,
            device="nothing",
            data="data",
            split="test",
            rows=scored,
            tables=evaluate.tables(scored, card.thresholds, resamples=100),
            resamples=100,
            seed=0,
            outcomes=outcomes,
            videos=[video("real", Verdict.REAL), video("fake", Verdict.UNCERTAIN)],
            unseen={
                "generators": {"GAN": {"pictures": 9, "flagged": 0.5556, "auc": 0.91}},
                "photographs": {"camera": {"pictures": 4, "flagged": 0.25}},
            },
            examples=report.examples(bluish, test, scored, card),
        )
    )
    seen = Page(page)
    for part in ("measures", "verdicts", "generators", "sources", "size", "robustness", "videos", "unseen", "mistakes"):
        assert ("id", part) in {(k, v) for _, attrs in seen.tags for k, v in attrs.items()}, part
    assert "shows pictures of people" in seen.text and "Keep it in the run folder" in seen.text
    addresses = [v or "" for _, attrs in seen.tags for k, v in attrs.items() if k in ("src", "href", "srcset", "data")]
    assert all(a.startswith(("data:image/", "#")) for a in addresses) and len(addresses) > 10
    assert not {"script", "iframe", "object", "link", "form"} & {tag for tag, _ in seen.tags}
    assert not any(k.startswith("on") for _, attrs in seen.tags for k in attrs)
    assert "nan" not in seen.text.lower().replace("nano", "")
    assert str(data) not in page


def test_hostile_names_stay_text(samples: list[Sample], data: Path, card: ModelCard, bluish: FakeClassifier) -> None:
    test = [replace(s, source=HOSTILE) for s in samples if s.split == "test"]
    logits = evaluate.raw_logits(bluish, test, card.preprocessing)
    scored = [replace(r, path=HOSTILE) for r in evaluate.scored(test, logits, card.calibration, data)]
    page = report.render(
        report.Evaluation(
            HOSTILE, WHEN, card, HOSTILE, HOSTILE, "test", scored,
            evaluate.tables(scored, card.thresholds, resamples=100), 100, 0,
            videos=[replace(video("fake", Verdict.FAKE), name=HOSTILE, reason=HOSTILE)],
            unseen={"generators": {HOSTILE: {"pictures": 3, "flagged": 1.0, "auc": None}}, "photographs": {}},
            examples=report.examples(bluish, test, scored, card),
        )
    )  # fmt: skip
    compared = compare.render(compare.compare([compare.Run(HOSTILE, scored)] * 2, resamples=100), WHEN)
    for text in (page, compared):
        seen = Page(text)
        assert not any(k.startswith("on") for _, attrs in seen.tags for k in attrs)
        assert "<img src=x onerror=alert(1)>" in seen.text and "{{7*7}}" in seen.text
        assert "\u202e" not in text and "\\u202e" in text


def test_json_is_valid_and_complete(card: ModelCard) -> None:
    scored = rows()
    tables = evaluate.tables(scored, card.thresholds, resamples=100)
    made = report.Evaluation("t", WHEN, card, "d", "data", "test", scored, tables, 100, 0)
    text = json.dumps(made.as_json(), allow_nan=False)
    found = json.loads(text)
    assert sum(sum(said.values()) for said in found["confusion"].values()) == 200
    assert found["overall"][0]["auc"][1] < found["overall"][0]["auc"][0] < found["overall"][0]["auc"][2]


def test_a_planted_difference_is_found_and_none_between_equal_runs() -> None:
    first = rows(400, apart=2.0)
    rng = np.random.default_rng(1)
    worse = [replace(r, logit=r.logit + rng.normal(0, 1.5)) for r in first]
    worse = [replace(r, p=1 / (1 + np.exp(-r.logit))) for r in worse]
    found = compare.compare([compare.Run("a", first), compare.Run("b", worse), compare.Run("c", first)], resamples=500)
    against, same = found.differences
    assert against["auc"].estimate.high < 0 and against["auc"].p_value < 0.01
    assert against["accuracy"].p_value < 0.05
    for name, difference in same.items():
        assert tuple(difference.estimate) == (0, 0, 0) and difference.p_value == 1.0, name
    assert found.only_one_right[1] == (0, 0)


def test_the_test_keeps_its_level_where_there_is_no_difference() -> None:
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed + 1000)
        base = rows(120, seed=seed)
        pair = [[replace(r, logit=r.logit + rng.normal(0, 0.8)) for r in base] for _ in range(2)]
        tested = compare.compare([compare.Run(str(i), r) for i, r in enumerate(pair)], resamples=200, seed=seed)
        found += tested.differences[0]["auc"].p_value < 0.05
    assert found <= 9  # 60 * 0.05 = 3 on average; more than 9 happens once in a thousand times


def test_mcnemar_by_hand() -> None:
    assert compare.mcnemar(0, 0) == 1.0
    assert compare.mcnemar(5, 5) == 1.0
    assert compare.mcnemar(0, 6) == pytest.approx(2 / 2**6)


def test_compare_matches_pictures_whatever_their_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, order in (("one", 1), ("two", -1)):
        (tmp_path / name).mkdir()
        write_scores(tmp_path / name / "scores.csv", rows()[::order][: 200 if order == 1 else 190])
    out = tmp_path / "out"
    assert main(["compare", *(str(tmp_path / n) for n in ("one", "two")), "--to", str(out), "--resamples", "100"]) == 0
    found = json.loads((out / "comparison.json").read_text())
    assert found["pictures"] == 190 and found["dropped"] == 10 and found["runs"] == ["one", "two"]
    assert found["against_the_first"][0]["auc"]["difference"] == [0, 0, 0]
    assert "p = 1" in capsys.readouterr().out and "one" in (out / "comparison.html").read_text()


def test_runs_that_cannot_be_compared_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other, swapped = (tmp_path / n for n in ("one.csv", "other.csv", "swapped.csv"))
    write_scores(one, rows())
    write_scores(other, [replace(r, path="x" + r.path) for r in rows()])
    write_scores(swapped, [replace(r, label="real" if r.target else "fake") for r in rows()])
    for runs, said in (
        ([one], "needs two runs"),
        ([one, other], "shares 0 pictures"),
        ([one, swapped], "real in one run and fake in another"),
        ([one, tmp_path], "run train evaluate first"),
    ):
        assert main(["compare", *map(str, runs)]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


def face(folder: Path) -> Sample:
    """A white face on black, 40 px wide in a 100 x 80 picture."""
    image = np.zeros((80, 100, 3), np.uint8)
    image[20:60, 30:70] = 255
    path = folder / "face.png"
    cv2.imwrite(str(path), image)
    return Sample(path, "test", "real", "real", Box(30, 20, 70, 60))


@pytest.mark.parametrize("condition", robustness.CONDITIONS, ids=lambda c: c.name)
def test_a_degraded_picture_keeps_its_box_on_the_face(tmp_path: Path, condition: robustness.Condition) -> None:
    sample = face(tmp_path)
    picture = np.asarray(cv2.imread(str(sample.path)), np.uint8)
    assert sample.box is not None
    pictures = [(picture, sample.box), (picture[:, :90], sample.box)]
    for image, box in condition.degrade(pictures):
        inside = image[round(box.y0) + 2 : round(box.y1) - 2, round(box.x0) + 2 : round(box.x1) - 2]
        assert image.dtype == np.uint8 and inside.mean() > 230
        assert image.mean() < inside.mean() / 2


def test_stronger_compression_is_further_from_the_picture(samples: list[Sample]) -> None:
    image = np.asarray(cv2.imread(str(samples[0].path)), np.uint8)
    box = Box(0, 0, 10, 10)
    for degrade, levels in ((robustness.compressed, (95, 50, 20)), (robustness.filmed, (18, 28, 40))):
        errors = [float(np.abs(degrade([(image, box)], v)[0][0].astype(int) - image).mean()) for v in levels]
        assert 0 < errors[0] < errors[1] < errors[2]


def test_an_interrupted_measurement_goes_on_where_it_stopped(
    samples: list[Sample], data: Path, card: ModelCard, bluish: FakeClassifier, tmp_path: Path
) -> None:
    test = [s for s in samples if s.split == "test"]
    few = [c for c in robustness.CONDITIONS if c.kind in (robustness.AS_IT_IS, "scale")]
    table = tmp_path / "robustness-scores.csv"
    robustness.score(bluish, test, card, table, data, few[:2])
    before = len(bluish.batches)
    again = robustness.score(bluish, test, card, table, data, few)
    assert len(bluish.batches) - before == len(few) - 2
    fresh = robustness.score(bluish, test, card, tmp_path / "fresh.csv", data, few)
    for one, two in zip(again, fresh, strict=True):
        assert np.allclose(one.logits, two.logits, atol=1e-5)
    # Other pictures, or another model: nothing is taken over.
    robustness.score(bluish, test[:-1], card, table, data, few[:1])
    assert table.read_text().count("\n") == len(test)


def video(label: str, verdict: Verdict) -> videos.Video:
    track = videos.Track(1, verdict, 0.3, "a reason", 12)
    return videos.Video(f"{label}.mp4", label, verdict, 0.3, "a reason", (track,))


def test_shares_of_videos_leave_out_what_could_not_be_scanned() -> None:
    seen = [video("real", Verdict.REAL), video("real", Verdict.UNCERTAIN), video("fake", Verdict.FAKE)]
    seen.append(replace(video("real", Verdict.UNCERTAIN), error="broken"))
    found = videos.shares(seen)
    assert found["real"][Verdict.REAL].value == 0.5 and found["fake"][Verdict.FAKE].value == 1.0


def test_videos_are_scanned_by_the_app_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnmaskError, match="no videos in real/ or fake/"):
        videos.find(tmp_path)
    for label in ("real", "fake"):
        (tmp_path / label).mkdir()
    (tmp_path / "fake" / "-a b;c.mp4").write_bytes(b"")
    (tmp_path / "real" / "notes.txt").write_bytes(b"")
    (found,) = videos.find(tmp_path)
    entry = {"verdict": "fake", "p_fake": 0.97, "reason": "r", "error": None, "tracks": []}
    script = tmp_path / "python"
    said = tmp_path / "said"
    lines = (f"#!{sys.executable}", "import json, sys", f"json.dump(sys.argv[1:], open({str(said)!r}, 'w'))")
    script.write_text("\n".join((*lines, f"print(json.dumps([{entry!r}]))\n")))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    (seen,) = videos.scan([found], "model", tmp_path / "out")
    assert seen.verdict is Verdict.FAKE and seen.label == "fake" and seen.name == "-a b;c.mp4"
    assert json.loads(said.read_text())[:4] == ["-m", "app", "scan", str(found[0])]
    script.write_text("#!/bin/sh\necho 'unmask: it is broken' >&2\nexit 2\n")
    with pytest.raises(UnmaskError, match=re.escape("-a b;c.mp4: the app could not scan it (it is broken)")):
        videos.scan([found], "model", tmp_path / "out")


def test_the_verb_writes_scores_json_and_report(
    tmp_path: Path,
    run: Path,
    data: Path,
    card: ModelCard,
    bluish: FakeClassifier,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from app.models import artifact
    from train.datasets import read_prepared
    from train.scores import read_scores

    monkeypatch.setattr(artifact, "read_card", lambda *_: card)
    monkeypatch.setattr(artifact, "load_classifier", lambda *_: bluish)
    prepared = [s for s in read_prepared(run / "prepared.csv", data) if s.split == "test"]
    monkeypatch.setattr("train.prepare.prepared_samples", lambda *_, **__: prepared)
    out = tmp_path / "evaluation"
    assert main(["evaluate", "--data", str(data), "--run", str(out), "--resamples", "100"]) == 0
    assert len(read_scores(out / "scores.csv")) == len(prepared)
    assert json.loads((out / "evaluation.json").read_text())["overall"][0]["auc"][0] == 1.0
    assert "How well" in (out / "report.html").read_text()
    assert not list(out.glob(".*"))
    assert main(["evaluate", "--data", str(data), "--run", str(out), "--leave-out", str(tmp_path / "no")]) == 2
    monkeypatch.setattr("train.prepare.prepared_samples", lambda *_, **__: prepared[:3])
    assert main(["evaluate", "--data", str(data), "--run", str(out)]) == 2
    assert "needs both real and fake pictures" in capsys.readouterr().err
