"""From pictures to what is said of several models: real trainings of small ones, through the commands."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import UnmaskError
from train import fit as fitting
from train import study as studying
from train import trained
from train.__main__ import main
from train.config import FitConfig
from train.course import read_course
from train.datasets import Sample, write_prepared
from train.filters import convolution
from train.scores import read_scores
from train.study import MIXED
from train.trained import of_run

CONFIG = FitConfig(model="tiny", size=32, epochs=1, batch=8, learning_rate=0.02)


@pytest.mark.usefixtures("tiny_family")
def test_two_families_from_pictures_to_comparison_table_and_filters(
    data: Path, samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [tmp_path / "tiny", tmp_path / "logistic"]
    for folder, model, head in zip(runs, ("tiny", "logistic_regression"), (4, 0), strict=True):
        folder.mkdir()
        write_prepared(folder / "prepared.csv", samples, data)
        config = dataclasses.replace(CONFIG, model=model, epochs=1, head_steps=head, checkpoint_minutes=9.0)
        fitting.fit(config, data, folder, imagenet=None)
    words = [str(r) for r in runs]
    assert main(["compare", *words]) == 2 and "give --data DIR, and it will be" in capsys.readouterr().err
    assert main(["compare", *words, "--show", "1"]) == 2 and "--show needs the pictures" in capsys.readouterr().err
    assert main(["compare", *words, "--data", str(data), "--show", "2", "--resamples", "100"]) == 0
    told = capsys.readouterr().out
    assert "with the new top alone" in told and "24 pictures; 0 left out" in told
    document = json.loads((runs[1] / "comparison.json").read_text())
    assert document["families"] == ["tiny", "logistic_regression"]
    assert document["training"][0]["head_auc"] is not None and document["training"][1]["head_auc"] is None
    page = (runs[1] / "comparison.html").read_text()
    assert "Stages of the training" in page and page.count("data:image/jpeg") == 2 * 2 * 2
    assert "shows pictures of people" in page

    for wrong, told in (
        ([], "give --to DIR"),
        (["--show", "1"], "leave it out, or --zoo"),
        (["--rounds", "0"], "at least 1"),
    ):
        assert main(["compare", "--zoo", *words, *wrong, *(["--to", str(tmp_path / "zoo")] if wrong else [])]) == 2
        assert told in capsys.readouterr().err
    assert main(["compare", "--zoo", *words, "--to", str(tmp_path / "zoo"), "--rounds", "2"]) == 0
    models = json.loads((tmp_path / "zoo" / "zoo.json").read_text())["models"]
    assert [m["parameters"] for m in models] == [257, 32 * 32 * 3 + 1]
    assert all(m["cpu_ms_per_face"]["1"] > 0 and m["cpu_form"] == "FP16" and m["test_pictures"] == 24 for m in models)
    assert models[0]["training"]["pictures"] == (6 + 4) * 8
    assert {p.name for p in (tmp_path / "zoo").iterdir()} == {"zoo.md", "zoo.json", "zoo.png"}

    assert main(["filters", "--run", str(runs[0]), "--data", str(data)]) == 0
    assert {"filters.png", "feature-maps.png"} <= {p.name for p in runs[0].iterdir()}
    crops = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    found = convolution(of_run(runs[0]), crops)
    assert found.kernels.shape == (8, 3, 3, 3) and found.maps.shape == (3, 15, 15, 8)
    # The maps are what the filters make of the scaled pictures.
    patch = crops[1, 4:7, 6:9].astype(np.float64) / 127.5 - 1
    np.testing.assert_allclose(found.maps[1, 2, 3, 5], np.sum(patch * found.kernels[5]), rtol=1e-4, atol=1e-5)
    with pytest.raises(UnmaskError, match=r"--layer no: no such convolution in .*; there are conv2d"):
        convolution(of_run(runs[0]), crops, "no")
    with pytest.raises(UnmaskError, match="logistic_regression has no convolution"):
        convolution(of_run(runs[1]), crops)
    (runs[0] / "best.keras").write_bytes(b"no model")
    with pytest.raises(UnmaskError, match="the model cannot be loaded safely"):
        convolution(of_run(runs[0]), crops)


@pytest.mark.usefixtures("tiny_family")
def test_a_study_from_pictures_to_answers(
    data: Path,
    samples: list[Sample],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    generators = [
        dataclasses.replace(s, source=s.label if s.label == "real" else f"GAN {i % 2}") for i, s in enumerate(samples)
    ]
    write_prepared(run / "prepared.csv", generators, data)
    config = tmp_path / "tiny.toml"
    config.write_text('model = "tiny"\nsize = 32\nbatch = 4\nepochs = 2\nlearning_rate = 0.02\nhead_steps = 2\n')
    pictures = [str(s.path) for s in samples if s.split == "test"][10:14]
    monkeypatch.setattr(studying, "faces_in", lambda paths, folder: ([s for s in samples if s.path in paths], {}))
    words = ["study", "--data", str(data), "--run", str(run), "--preset", str(config), "--generators", "GAN 0", MIXED]
    assert main([*words, "--predict", *pictures]) == 0
    told = capsys.readouterr().out
    assert "2 models say that it is generated" in told and "not trained yet: GAN 1" in told
    document = json.loads((run / "study.json").read_text())
    assert [r["generator"] for r in document["results"]] == ["GAN 0", MIXED]
    assert all(r["auc"][0] > 0.8 for r in document["results"])
    # Each is a run as any other: its scores are calibrated, its log has both stages, its cost is known.
    folder = run / "gan-0"
    rows = read_scores(folder / "scores.csv")
    assert len(rows) == 24 and all(r.p is not None for r in rows)
    with (folder / "log.csv").open() as file:
        assert [r["epoch"] for r in csv.DictReader(file)] == ["0", "1", "2"]
    course = read_course(folder)
    assert course is not None and course.head_auc is not None and course.epochs == 2
    assert course.pictures == (2 * 9 + 2) * 4  # of 36 pictures; two epochs and the two steps of the head
    before = (folder / "best.keras").stat().st_mtime_ns
    assert main([*words]) == 0 and (folder / "best.keras").stat().st_mtime_ns == before
    # Scores older than the model are not believed.
    (folder / "best.keras").touch()
    with pytest.raises(UnmaskError, match=r"has not been scored on the test split; give --data DIR"):
        trained.scores_of(folder, None)
