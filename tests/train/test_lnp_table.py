"""The table of the fusion's variants: what is trained, kept, gone on with and written. The trainings are made up."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from app.core.errors import UnmaskError
from train import lnp_table as module
from train.__main__ import main
from train.config import FitConfig
from train.datasets import Sample, read_prepared
from train.export import export
from train.lnp_table import as_markdown, lnp_table, variants
from train.scores import Scored, write_scores

pytest.importorskip("keras")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[FitConfig]:
    """The configs of the trainings; each gives the fakes higher scores, the one in ten that is not."""
    configs: list[FitConfig] = []

    def fit(config: FitConfig, data: Path, run: Path, *, imagenet: Path | None, init: Path | None) -> Path:
        configs.append(config)
        if init is not None:
            assert imagenet is None and init.parent.name == config.arch
        if len(configs) == 3:
            raise KeyboardInterrupt
        assert read_prepared(run / "prepared.csv", data)
        return run / "best.keras"

    def scores_of(run: Path, data: Path | None) -> list[Scored]:
        rows = [
            Scored(f"{i}.png", "test", label, "140k", logit=(i % 10 - 1.5) * (1 if label == "fake" else -1), p=None)
            for label in ("real", "fake")
            for i in range(40)
        ]
        write_scores(run / "scores.csv", rows)
        return rows

    monkeypatch.setattr(module, "fit", fit)
    monkeypatch.setattr(module, "scores_of", scores_of)
    monkeypatch.setattr(module.metrics, "estimates", partial(module.metrics.estimates, resamples=20))
    return configs


def test_every_variant_is_trained_once_and_told(data: Path, run: Path, trained: list[FitConfig]) -> None:
    chosen = variants(["mobilenet_v2", "resnet50"], [0, 2], ["landmarks"])
    config = FitConfig(model="lnp_fusion", size=64, limit=8)
    asked: list[str] = []

    def imagenet(own: FitConfig) -> None:
        asked.append(own.arch)

    def table() -> list[module.Line]:
        return lnp_table(config, data, run, chosen, imagenet=imagenet, source="")

    with pytest.raises(KeyboardInterrupt):
        table()
    part = (run / "lnp-table.md").read_text(encoding="utf-8")
    assert part.count("not trained") == 2 * 3
    lines = table()
    assert [(c.arch, c.mode, c.segmenter) for c in trained[:2]] == [
        ("mobilenet_v2", 0, "landmarks"),
        ("mobilenet_v2", 2, "landmarks"),
    ]
    assert len(trained) == 5 and asked == ["mobilenet_v2", "resnet50"] * 2
    assert all(c.size == 64 and c.limit == 8 for c in trained)
    assert {line.estimates["accuracy"].value for line in lines} == {0.8}
    found = json.loads((run / "lnp-table.json").read_text(encoding="utf-8"))
    assert [row["run"] for row in found["models"]] == [v.folder for v in chosen]
    assert found["models"][0]["published_accuracy"] == 0.9857 and found["models"][0]["pictures"] == 80
    text = (run / "lnp-table.md").read_text(encoding="utf-8")
    assert text == as_markdown(lines) and text.startswith("| backbone | mode | segmenter | accuracy | AUC |")
    assert "| resnet50 | 0 | landmarks | 80.00 [" in text and "| 98.92 |" in text and "80 test pictures" in text
    assert "not trained" not in text and "with SAM; no row here used SAM." in text
    assert "Starts: mobilenet_v2 none, resnet50 none." in text

    with pytest.raises(UnmaskError, match=r"mobilenet_v2-mode0-landmarks: holds a run with other settings \(size\)"):
        lnp_table(FitConfig(size=96, limit=8), data, run, chosen, imagenet=imagenet, source="")


def test_only_the_source_that_is_named(data: Path, run: Path, trained: list[FitConfig]) -> None:
    with pytest.raises(UnmaskError, match=r"no real and fake pictures in train, valid and test whose source .*'140k'"):
        lnp_table(FitConfig(), data, run, variants(["resnet50"], [0], ["none"]), imagenet=lambda _: None)
    assert not trained


def test_flags_of_one_variant_are_refused(data: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lnp-table", "--data", str(data), "--run", str(run), "--mode", "1"]) == 2
    assert "--mode: the table is of lnp_fusion; choose with --archs, --modes" in capsys.readouterr().err


def test_backbones_start_from_models_of_our_own(
    data: Path, run: Path, trained: list[FitConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    starts = [run / "starts" / name / "best.keras" for name in ("mobilenet_v2", "resnet50")]
    for start in starts:
        start.parent.mkdir(parents=True)
        start.touch()
        FitConfig(model=start.parent.name).write(start.parent / "config.json")
    words = ["lnp-table", "--data", str(data), "--run", str(run), "--source", "", "--modes", "2"]
    words += ["--segmenters", "none", "--init", *map(str, starts)]
    assert main(words) == 0 and [config.arch for config in trained] == ["mobilenet_v2", "resnet50"]
    rows = json.loads((run / "lnp-table.json").read_text())["models"]
    assert [row["start"] for row in rows] == [f"init starts/{row['arch']}/best.keras" for row in rows]
    assert main([*words[: words.index("--init")], "--imagenet", "none"]) == 2
    told = capsys.readouterr().err
    assert "the start 'init starts/mobilenet_v2/best.keras', now they are '' and 'none'; give the same --source" in told


def test_sources_and_starts_are_not_mixed(data: Path, run: Path, trained: list[FitConfig]) -> None:
    def table(chosen: list[module.Variant], source: str = "", imagenet: str | None = "a.h5") -> None:
        weights = None if imagenet is None else run / imagenet
        lnp_table(FitConfig(), data, run, chosen, imagenet=lambda _: weights, source=source)

    done, other = variants(["resnet50"], [0], ["none"]), variants(["mobilenet_v2"], [0], ["none"])
    table(done)
    assert json.loads((run / "resnet50-mode0-none" / "start.json").read_text())["start"] == "imagenet a.h5"
    before = (run / "lnp-table.json").read_bytes()
    for chosen in (done, variants(["resnet50"], [1], ["none"]), other):  # "a" is in "real" and in "fake"
        with pytest.raises(UnmaskError, match=r"resnet50-mode0-none: holds a model of the source '' .* are 'a' and"):
            table(chosen, source="a")
        with pytest.raises(UnmaskError, match=r"the start 'imagenet a\.h5', now they are '' and 'none'; give the same"):
            table(chosen, imagenet=None)
    with pytest.raises(UnmaskError, match=r"now they are '' and 'imagenet b\.h5'"):
        table(done, imagenet="b.h5")
    assert len(trained) == 1 and (run / "lnp-table.json").read_bytes() == before
    table(other, imagenet="b.h5")  # Each backbone has ImageNet weights of its own.
    with pytest.raises(UnmaskError, match=r"resnet50-mode0-none: holds a run with other settings \(epochs\)"):
        third = variants(["mobilenet_v2"], [1], ["none"])
        shutil.rmtree(run / "mobilenet_v2-mode0-none")
        lnp_table(FitConfig(epochs=9), data, run, third, imagenet=lambda _: run / "b.h5", source="")


def test_the_table_keeps_what_was_finished_before(
    data: Path, run: Path, trained: list[FitConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["lnp-table", "--data", str(data), "--run", str(run), "--source", "", "--imagenet", "none", "--modes", "0"]
    words += ["--segmenters", "none", "--archs"]
    assert main([*words, "resnet50", "resnet50"]) == 0 and len(trained) == 1
    (run / "lnp-table.json").write_text("{damaged")
    assert main([*words, "mobilenet_v2"]) == 0 and len(trained) == 2
    rows = json.loads((run / "lnp-table.json").read_text(encoding="utf-8"))["models"]
    assert [row["run"] for row in rows] == ["mobilenet_v2-mode0-none", "resnet50-mode0-none"]
    assert all(row["accuracy"][0] == 0.8 for row in rows)
    text = (run / "lnp-table.md").read_text(encoding="utf-8")
    assert text.count("| none | 80.00 [") == 2 and text in capsys.readouterr().out
    assert main([*words, "mobilenet_v2"]) == 0 and len(trained) == 2
    assert (run / "lnp-table.md").read_text(encoding="utf-8") == text
    (run / "resnet50-mode0-none" / "start.json").write_text("[]")
    assert main([*words, "mobilenet_v2"]) == 2
    assert "start.json: does not tell source and start of this training (" in capsys.readouterr().err


@pytest.mark.parametrize(("verb", "preset"), [("lnp-table", "lnp_fusion"), ("study", "artifact_cnn")])
def test_the_help_is_of_the_verb(verb: str, preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert f"{preset})" in told and "densenet121" not in told and "--epochs" in told
    assert all((f"--{name} " in told) == (verb == "study") for name in ("model", "arch", "mode", "segmenter"))


def test_every_backbone_needs_a_start_or_none(data: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["lnp-table", "--data", str(data), "--run", str(run), "--init", str(run)]
    assert main(words) == 2
    assert (
        f"{run / 'best.keras'}: no such file; give --init a finished run, or a .keras file" in capsys.readouterr().err
    )
    (run / "best.keras").touch()
    FitConfig(model="resnet50").write(run / "config.json")
    assert main(words) == 2
    assert f"--init {run}: give one run of each of mobilenet_v2, resnet50" in capsys.readouterr().err
    assert main([*words, str(run), "--archs", "resnet50", "resnet50"]) == 2
    assert f"--init {run} {run}: give one run of each of resnet50\n" in capsys.readouterr().err


def test_what_the_app_does_not_have_is_not_exported(data: Path, run: Path, samples: list[Sample]) -> None:
    FitConfig(model="lnp_fusion", segmenter="mobilesam").write(run / "config.json")
    (run / "best.keras").touch()
    with pytest.raises(UnmaskError, match="trained with --segmenter mobilesam, which the app does not have"):
        export(run, data, run / "weights", "any", description={})
