"""Samples, their table, and what a run is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.core.errors import UnmaskError
from app.core.records import Box
from train.__main__ import main
from train.config import FitConfig
from train.datasets import (
    Sample,
    counts,
    limited,
    read_prepared,
    write_prepared,
)
from train.layouts import read_layout


def test_limit_keeps_both_classes_of_every_split(data: Path) -> None:
    assert counts(limited(read_layout(data), 10)) == {s: {"real": 5, "fake": 5} for s in ("train", "valid", "test")}


def test_prepared_samples_survive_the_file(tmp_path: Path, data: Path, samples: list[Sample]) -> None:
    odd = [replace(s, box=Box(-3.25, 0.5, 40.75, 61.0)) for s in samples]
    write_prepared(tmp_path / "p.csv", odd, data)
    assert read_prepared(tmp_path / "p.csv", data) == odd


def test_presets_are_valid_and_unknown_options_are_not(tmp_path: Path) -> None:
    assert FitConfig.from_preset("densenet121", {"epochs": 2}).epochs == 2
    (tmp_path / "bad.toml").write_text("epoch = 3\n")
    with pytest.raises(UnmaskError, match=r"bad\.toml: unknown option epoch"):
        FitConfig.from_preset(str(tmp_path / "bad.toml"), {})
    with pytest.raises(UnmaskError, match="the known ones are"):
        FitConfig.from_preset("nothing", {})
    with pytest.raises(UnmaskError, match="--batch must be at least 2"):
        FitConfig(batch=1)


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def lacks_a_library(_: object) -> int:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")

    monkeypatch.setattr("train.commands.fit.run", lacks_a_library)
    assert main(["fit", "--data", "x", "--run", "y"]) == 2
    error = capsys.readouterr().err
    assert "sklearn is missing" in error and "pip install" in error and error.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["fit", "--data", str(data), "--run", str(tmp_path / "file" / "run"), "--imagenet", "none"]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "file") in error and "Not a directory; check the path" in error and error.count("\n") == 1
