"""Samples, their table, and what a run is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.core.errors import UnmaskError
from app.core.records import Box
from train.__main__ import main
from train.config import PRESETS, FitConfig
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
    with pytest.raises(UnmaskError, match="the known ones are") as told:
        FitConfig.from_preset("nothing", {})
    assert "densenet121-finish" in str(told.value) and "card" not in str(told.value)
    with pytest.raises(UnmaskError, match="--batch must be at least 2"):
        FitConfig(batch=1)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'size = "big"', "size must be a whole number"),
        (b"size = 32.5", "size must be a whole number"),
        (b"strength = true", "strength must be a number"),
        (b"even_batches = 1", "even_batches must be true or false"),
        (b"model = 3", "model must be a text"),
        (b'leave_out = "LFW"', "leave_out must be a list of texts"),
        (b"leave_out = [1]", "leave_out must be a list of texts"),
        (b"# caf\xe9", "not valid TOML in UTF-8"),
        (b"size = ", "not valid TOML in UTF-8"),
    ],
)
def test_a_preset_that_cannot_be_is_told(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(UnmaskError, match=rf"bad\.toml: {why}"):
        FitConfig.from_preset(str(tmp_path / "bad.toml"), {})


def test_every_preset_but_the_cards_is_one(tmp_path: Path) -> None:
    names = [p.stem for p in PRESETS.glob("*.toml") if not p.stem.startswith("card")]
    for name in names:
        FitConfig.from_preset(name, {}).write(tmp_path / "config.json")
        assert FitConfig.read(tmp_path / "config.json") == FitConfig.from_preset(name, {})


@pytest.mark.parametrize("seed", ["-1", "4294967296"])
def test_a_seed_that_cannot_be_is_told(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--data", "x", "--run", "y", "--seed", seed]) == 2
    assert capsys.readouterr().err == "unmask: --seed must lie in 0 .. 4294967295\n"


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
