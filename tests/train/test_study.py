"""One model for each generator: who is trained on what, what is finished stays, and what the tables say."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.core.records import Box
from tests.train.test_report import HOSTILE, Page
from train import study as studying
from train.config import FitConfig
from train.datasets import Sample, read_prepared, write_prepared
from train.pipeline import PHOTOGRAPH, Mixture, epoch_order
from train.scores import Scored, read_scores, write_scores
from train.study import MIXED, balanced_accuracy, members, published, seen_by, study, summed_up
from train.study_report import as_markdown, print_study, render, write_study

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
CONFIG = FitConfig(model="tiny", size=32, epochs=1, batch=16)


def of_sources(sizes: dict[str, tuple[int, int, int]], label: str) -> list[Sample]:
    return [
        Sample(Path(f"{source}/{split}{i}.jpg"), split, label, source, Box(0, 0, 9, 9))
        for source, counts in sizes.items()
        for split, count in zip(("train", "valid", "test"), counts, strict=True)
        for i in range(count)
    ]


SAMPLES = of_sources({"camera": (60, 20, 20)}, "real") + of_sources(
    {"GAN": (30, 6, 10), "DALL/E": (40, 4, 9), "dall e": (16, 4, 9), "rare": (3, 1, 9)}, "fake"
)


def test_each_model_sees_its_generator_and_all_photographs() -> None:
    found, left_out = members(SAMPLES, 16)
    assert [m.name for m in found] == ["DALL/E", "GAN", "dall e", MIXED]
    assert found[1].training == 30 and found[1].test == 10 and found[-1].training == 89
    assert len({m.folder for m in found}) == 4 and all(m.folder.replace("-", "").isalnum() for m in found)
    assert left_out == ["rare: 3 training, 1 validation and 9 test pictures"]
    seen = Counter((s.split, s.source) for s in seen_by(found[1], SAMPLES))
    assert seen["train", "camera"] == 60 and seen["train", "GAN"] == 30 and seen["valid", "GAN"] == 6
    assert not any(split != "test" and source in ("DALL/E", "dall e", "rare") for split, source in seen)
    assert sum(n for (split, _), n in seen.items() if split == "test") == 57  # the whole test split
    assert seen_by(found[-1], SAMPLES) == SAMPLES


def test_generators_can_be_chosen_and_must_exist() -> None:
    assert [m.name for m in members(SAMPLES, 16, ["GAN", MIXED])[0]] == ["GAN", MIXED]
    with pytest.raises(UnmaskError, match=r"--generators nobody: no such generator; there are DALL/E, GAN"):
        members(SAMPLES, 16, ["nobody"])
    with pytest.raises(UnmaskError, match="no generator has 64 training"):
        members(SAMPLES, 64)


@pytest.mark.parametrize(
    ("source", "known"),
    [
        ("Stable Diffusion 1.x", ("stable diffusion", 0.861)),
        ("stable_diffusion", ("stable diffusion", 0.861)),
        ("StyleGAN (140k)", ("StyleGAN", 0.909)),
        ("stylegan1", ("StyleGAN", 0.909)),
        ("SFHQ (StyleGAN2 inversion)", ("SFHQ", 0.897)),
        ("star_gan", ("StarGAN", 0.897)),
        ("denoising_diffusion_gan", ("denoising diffusion GAN", 0.639)),
        ("diffusion_gan", ("diffusion GAN", 0.798)),
        ("face_synthetics", ("face synthetics", 0.962)),
        ("palette", ("palette", 0.671)),
        (MIXED, (MIXED, 0.71)),
        ("StyleGAN2 web", None),
        ("FLUX/SDXL/DALL-E 3 (SFHQ-T2I)", None),
        ("SFHQ-T2I", None),
        ("stable cascade", None),
        ("", None),
    ],
)
def test_published_figures_are_those_of_the_same_generator(source: str, known: tuple[str, float] | None) -> None:
    assert published(source) == known


def test_balanced_accuracy_does_not_depend_on_how_many_photographs_there_are() -> None:
    targets, logits = np.array([0, 0, 0, 1, 1]), np.array([-1.0, -1.0, 1.0, 2.0, -2.0])
    found = balanced_accuracy(targets, logits, resamples=200)
    assert found.value == pytest.approx((2 / 3 + 1 / 2) / 2) and found.low < found.value < found.high
    many = np.concatenate([targets, np.zeros(300, int)]), np.concatenate([logits, np.tile([-1.0, -1.0, 1.0], 100)])
    assert balanced_accuracy(*many, resamples=50).value == pytest.approx(found.value)


def test_even_batches_hold_as_many_photographs_as_fakes() -> None:
    training = [s for s in SAMPLES if s.split == "train"]
    mixture = Mixture(even=True, self_blended=0.3)
    order = epoch_order(training, 1, 2, mixture)
    fake = [made != PHOTOGRAPH or training[i].target == 1 for i, made in order]
    assert all(sum(fake[k : k + 8]) == 4 for k in range(0, len(fake) - 8, 8))
    plain = epoch_order(training, 1, 2, dataclasses.replace(mixture, even=False))
    assert sorted(map(tuple, order)) == sorted(map(tuple, plain))
    np.testing.assert_array_equal(order, epoch_order(training, 1, 2, mixture))


def scored(apart: dict[str, float], seed: int = 0) -> list[Scored]:
    """Scores of the test split of SAMPLES; the fakes of each source lie so far from the photographs."""
    rng = np.random.default_rng(seed)
    return [
        Scored(s.path.as_posix(), s.split, s.label, s.source, float(rng.normal(apart.get(s.source, 0.0) - 1.0)))
        for s in SAMPLES
        if s.split == "test"
    ]


@pytest.fixture
def instead_of_training(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trainings that only leave a model and scores; the names of their folders, in order."""
    trainings: list[str] = []

    def fit(config: FitConfig, data: Path, run: Path, **_: object) -> Path:
        assert config.even_batches
        trainings.append(run.name)
        return run / "best.keras"

    def scores_of(run: Path, data: Path) -> list[Scored]:
        if not (run / "scores.csv").is_file():
            sources = {s.source for s in read_prepared(run / "prepared.csv", data) if s.split == "train" and s.target}
            write_scores(run / "scores.csv", scored(dict.fromkeys(sources, 4.0)))
        return read_scores(run / "scores.csv")

    monkeypatch.setattr(studying, "fit", fit)
    monkeypatch.setattr(studying, "scores_of", scores_of)
    monkeypatch.setattr(studying, "_free_memory", lambda: None)
    return trainings


def test_a_study_goes_on_where_it_stopped(tmp_path: Path, instead_of_training: list[str]) -> None:
    write_prepared(tmp_path / "prepared.csv", SAMPLES, tmp_path)
    only = study(CONFIG, tmp_path, tmp_path, imagenet=None, only=["GAN"], resamples=100)
    assert [r.member.name for r in only.results] == ["GAN"] and only.results[0].mixed_accuracy is None
    assert only.waiting == ("DALL/E", "dall e", MIXED) and only.photographs == 20
    whole = study(CONFIG, tmp_path, tmp_path, imagenet=None, resamples=100)
    assert len(instead_of_training) == 4 == len(set(instead_of_training))  # the first is not trained again
    assert [r.member.name for r in whole.results] == ["DALL/E", "GAN", "dall e", MIXED] and not whole.waiting
    gan = whole.results[1]
    assert gan.accuracy.value > 0.8 and gan.auc == only.results[0].auc
    assert gan.aucs["GAN"] > 0.9 > gan.aucs["dall e"] and set(gan.aucs) == {"DALL/E", "GAN", "dall e", "rare"}
    assert gan.mixed_accuracy is not None and whole.results[-1].published == (MIXED, 0.71)
    with pytest.raises(UnmaskError, match=r"other settings \(learning_rate\)"):
        study(dataclasses.replace(CONFIG, learning_rate=0.01), tmp_path, tmp_path, imagenet=None)
    assert len(instead_of_training) == 4


@pytest.fixture
def found(tmp_path: Path, instead_of_training: list[str]) -> Callable[[str], studying.Study]:
    def make(name: str) -> studying.Study:
        write_prepared(tmp_path / "prepared.csv", SAMPLES, tmp_path)
        made = study(CONFIG, tmp_path, tmp_path, imagenet=None, resamples=100)
        rename = {"GAN": name}
        results = tuple(
            dataclasses.replace(
                r,
                member=dataclasses.replace(r.member, name=rename.get(r.member.name, r.member.name)),
                aucs={rename.get(n, n): v for n, v in r.aucs.items()},
            )
            for r in made.results
        )
        return dataclasses.replace(made, results=results, left_out=(name,))

    return make


def test_the_reports_hold_every_number_and_no_markup(
    found: Callable[[str], studying.Study], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = found(HOSTILE)
    said = [
        {"picture": HOSTILE, "why": "", "p": {r.member.name: 0.25 for r in made.results}, "votes": 0},
        {"picture": "empty.jpg", "why": "no face found", "p": {}, "votes": 0},
    ]
    page = render(made, said, WHEN)
    seen = Page(page)
    assert "<img src=x onerror=alert(1)>" in seen.text and "\u202e" not in page
    assert not any(k.startswith("on") for _, attrs in seen.tags for k in attrs)
    assert all((v or "").startswith("data:image/svg") for _, attrs in seen.tags for k, v in attrs.items() if k == "src")
    assert "0 of 4" in seen.text and "no face found" in seen.text and "71 %" in seen.text
    text = as_markdown(made, said)
    assert "<img" not in text and "0 of 4" in text
    for line in text.splitlines():
        assert not line.startswith("|") or line.replace("\\|", "").count("|") in (7, 6)
    print_study(made, said)
    told = capsys.readouterr().out
    assert "0 of 4 models say that it is generated" in told and "\u202e" not in told
    write_study(made, said, tmp_path, WHEN)
    document = json.loads((tmp_path / "study.json").read_text())
    assert [r["generator"] for r in document["results"]] == [r.member.name for r in made.results]
    assert document["predictions"][0]["votes"] == 0
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG") and not list(tmp_path.glob(".*"))


def test_a_part_of_a_study_can_be_reported(found: Callable[[str], studying.Study]) -> None:
    made = found("GAN")
    part = dataclasses.replace(made, results=made.results[:1], waiting=("GAN", MIXED))
    assert "Not trained yet" in Page(render(part, [], WHEN)).text
    assert summed_up([], {}) == []
