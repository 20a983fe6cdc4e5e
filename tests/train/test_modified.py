"""Originals against modified copies: what flips, by how much, always the same, and a page that is safe to open."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.core.cards import Preprocessing
from app.core.errors import UnmaskError
from app.core.records import Box
from app.models.runtimes import FakeClassifier
from tests.train.test_report import HOSTILE, Page
from train import modified, modified_report, trained
from train.__main__ import main
from train.datasets import Sample
from train.modified import MODIFICATIONS, Answers, Modification, ask, outcomes, pictures_in, write_answers
from train.trained import Trained

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
MODEL = Trained("tiny", "tiny", Path("best.keras"), Preprocessing(size=32, crop_scale=1.25))


@pytest.fixture
def faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A face in the middle of every picture but those called "empty"."""

    def faces_in(pictures: Sequence[Path], folder: Path) -> tuple[list[Sample], dict[Path, str]]:
        box = Box(16, 16, 56, 56)
        found = [Sample(p, "", "", "", box) for p in pictures if "empty" not in p.name]
        return found, {p: "no face found" for p in pictures if "empty" in p.name}

    monkeypatch.setattr(modified, "faces_in", faces_in)


@pytest.fixture
def sharp() -> FakeClassifier:
    """Calls sharp pictures generated: blurring and shrinking flip them, brightness does not."""
    return FakeClassifier(lambda crop: float(cv2.Laplacian(crop, cv2.CV_32F).var()) / 50 - 8, 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label, low in (("real", 118), ("fake", 60)):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(3):
            image = rng.integers(low, 256 - low, (72, 72, 3)).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "pictures" / label / f"{i}.png"), image)
    cv2.imwrite(str(tmp_path / "pictures" / "empty.png"), np.zeros((72, 72, 3), np.uint8))
    (tmp_path / "pictures" / ".hidden.png").write_bytes(b"")
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    return tmp_path / "pictures"


@pytest.mark.usefixtures("faces")
def test_what_blurs_flips_what_is_called_generated(folder: Path, tmp_path: Path, sharp: FakeClassifier) -> None:
    answers = ask(MODEL, sharp, pictures_in(folder), folder, tmp_path)
    assert answers.logits.shape == (1 + len(MODIFICATIONS), 6) and answers.left_out == {"empty.png": "no face found"}
    assert [s.label for s in answers.samples] == ["fake"] * 3 + ["real"] * 3
    assert ((answers.p[0] > 0.5) == [True] * 3 + [False] * 3).all()
    found = {o.name: o for o in outcomes(answers, resamples=100)}
    strong = found["blurred, 2 px"]
    assert strong.flips.value == 0.5 and (strong.to_fake, strong.to_real) == (0, 3)
    assert strong.shift.low <= strong.shift.value <= strong.shift.high < 0
    assert strong.spread == pytest.approx(-strong.shift.value)
    assert found["JPEG 90"].flips.value == 0 and found["JPEG 90"].to_real == 0
    which = [m.name for m in MODIFICATIONS].index("blurred, 2 px")
    assert sorted(answers.order(which)) == [0, 1, 2]
    json.dumps([o.as_json() for o in found.values()], allow_nan=False)


@pytest.mark.usefixtures("faces")
def test_a_copy_depends_on_seed_modification_and_name_alone(
    folder: Path, tmp_path: Path, sharp: FakeClassifier
) -> None:
    pictures = [p for p in pictures_in(folder) if p.name != "empty.png"]
    whole = ask(MODEL, sharp, pictures, folder, tmp_path, seed=3)
    order = (MODIFICATIONS[-1], *MODIFICATIONS[:-1])
    part = ask(MODEL, sharp, pictures[4:1:-1], folder, tmp_path, seed=3, modifications=order)
    np.testing.assert_array_equal(part.logits[0], whole.logits[0, 4:1:-1])
    np.testing.assert_array_equal(part.logits[1], whole.logits[-1, 4:1:-1])
    np.testing.assert_array_equal(part.logits[2:], whole.logits[1:-1, 4:1:-1])
    other = ask(MODEL, sharp, pictures, folder, tmp_path, seed=4)
    noise = 1 + [m.name for m in MODIFICATIONS].index("noise")
    assert not np.array_equal(other.logits[noise], whole.logits[noise])
    np.testing.assert_array_equal(other.logits[1:4], whole.logits[1:4])  # nothing is drawn for these
    # What the page shows is what was scored.
    before, after = modified.pair(MODEL, whole, 0, noise - 1, 3)
    assert sharp.score(np.stack([before, after])).logits == pytest.approx(whole.logits[[0, noise], 0])


@pytest.mark.parametrize("modification", MODIFICATIONS, ids=lambda m: m.name)
def test_every_modification_keeps_the_face_in_the_picture(modification: Modification) -> None:
    image = np.random.default_rng(1).integers(0, 256, (61, 83, 3)).astype(np.uint8)
    copy, box = modification.modify(image.copy(), Box(10, 5, 60, 55), np.random.default_rng(0))
    assert copy.dtype == np.uint8 and copy.ndim == 3
    assert 0 <= box.x0 < box.x1 <= copy.shape[1] + 1 and 0 <= box.y0 < box.y1 <= copy.shape[0] + 1
    assert box.width / copy.shape[1] == pytest.approx(50 / 83, abs=0.02)


@pytest.mark.usefixtures("faces")
def test_the_page_shows_the_flipped_and_loads_nothing(folder: Path, tmp_path: Path, sharp: FakeClassifier) -> None:
    answers = ask(MODEL, sharp, pictures_in(folder), folder, tmp_path)
    answers = replace(answers, names=[HOSTILE, *answers.names[1:]], left_out={HOSTILE: HOSTILE})
    found = outcomes(answers, resamples=100)
    page = modified_report.render(replace(MODEL, name=HOSTILE), answers, found, WHEN, 0)
    seen = Page(page)
    assert "<img src=x onerror=alert(1)>" in seen.text and "\u202e" not in page
    assert not any(k.startswith("on") for _, attrs in seen.tags for k in attrs)
    addresses = [v or "" for _, attrs in seen.tags for k, v in attrs.items() if k in ("src", "href")]
    assert all(a.startswith(("data:image/", "#")) for a in addresses)
    assert not {"script", "iframe", "object", "link", "form"} & {tag for tag, _ in seen.tags}
    jpegs = sum(a.startswith("data:image/jpeg") for a in addresses)
    flips = answers.flipped.sum(axis=1)
    assert jpegs == 2 * np.minimum(flips, modified_report.SHOWN).sum() > 0
    write_answers(tmp_path / "modified.csv", answers)
    with (tmp_path / "modified.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == answers.logits.size and sum(r["flipped"] == "1" for r in rows) == flips.sum()


def test_nothing_flipped_is_said(tmp_path: Path) -> None:
    logits = np.full((3, 2), 2.0)
    samples = [Sample(tmp_path / f"{i}.png", "", "", "", Box(0, 0, 9, 9)) for i in range(2)]
    answers = Answers(samples, ["0.png", "1.png"], MODIFICATIONS[:2], logits, 1 / (1 + np.exp(-logits)), {})
    text = Page(modified_report.render(MODEL, answers, outcomes(answers, resamples=100), WHEN, 0)).text
    assert "None flips any." in text and "2 keep their answer under every modification" in text


@pytest.mark.usefixtures("faces")
def test_the_command_leaves_table_numbers_and_page(
    folder: Path,
    tmp_path: Path,
    sharp: FakeClassifier,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(trained, "of_file", lambda path: MODEL)
    monkeypatch.setattr(Trained, "classifier", lambda self: sharp)
    run = tmp_path / "run"
    words = ["modified", "--model-file", "best.keras", "--run", str(run), "--pictures"]
    assert main([*words, str(folder), "--limit", "4"]) == 0
    assert {p.name for p in run.iterdir()} == {"modified.csv", "modified.json", "modified.html"}
    document = json.loads((run / "modified.json").read_text())
    assert document["pictures"] + len(document["not_scored"]) == 4
    assert [o["modification"] for o in document["modifications"]] == [m.name for m in MODIFICATIONS]
    assert "mean logit shift" in capsys.readouterr().out
    assert main([*words, str(tmp_path / "nowhere")]) == 2
    assert "no pictures in it; give a folder" in capsys.readouterr().err
    assert main([*words, str(folder), "--limit", "0"]) == 2
    assert main([*words, str(folder), "--seed", "-1"]) == 2
    assert "--seed must not be negative" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*words, str(folder), "--name", "unmask-mobilenet_v2"])
    assert "--name: not allowed with argument --model-file" in capsys.readouterr().err

    # The same model's report is written anew, that of another one stays.
    assert main([*words, str(folder), "--limit", "2"]) == 0
    kept = (run / "modified.json").read_bytes()
    assert json.loads(kept)["pictures"] + len(json.loads(kept)["not_scored"]) == 2
    monkeypatch.setattr(trained, "of_file", lambda path: replace(MODEL, name="other"))
    capsys.readouterr()
    assert main([*words, str(folder)]) == 2
    assert "modified.json: is about tiny, not about other; name another --run" in capsys.readouterr().err
    assert (run / "modified.json").read_bytes() == kept


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"\xff"])
def test_a_damaged_report_is_not_overwritten(tmp_path: Path, content: bytes) -> None:
    modified.refuse_another(tmp_path / "modified.json", MODEL)
    (tmp_path / "modified.json").write_bytes(content)
    with pytest.raises(UnmaskError, match=r"modified\.json: no report of train modified .* name another --run"):
        modified.refuse_another(tmp_path / "modified.json", MODEL)


@pytest.mark.usefixtures("faces")
def test_pictures_without_a_face_are_told(folder: Path, tmp_path: Path, sharp: FakeClassifier) -> None:
    with pytest.raises(UnmaskError, match="no face was found in any of 1 pictures"):
        ask(MODEL, sharp, [folder / "empty.png"], folder, tmp_path)


def test_a_model_file_needs_its_config(tmp_path: Path) -> None:
    with pytest.raises(UnmaskError, match=r"best\.keras: no such model; finish python -m train fit first"):
        trained.of_run(tmp_path)
    (tmp_path / "best.keras").write_bytes(b"")
    with pytest.raises(UnmaskError, match=r"config\.json: cannot be read .* give a model in the folder of its run"):
        trained.of_run(tmp_path)
