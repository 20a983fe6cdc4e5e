"""Pictures of noise and spectra: what is written, kept, refused and left behind by Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from train import features
from train.__main__ import main
from train.features import KINDS, pictures

pytest.importorskip("keras")


def written(run: Path) -> dict[str, int]:
    """Pictures by their path below ``run``, with the time they were written."""
    return {
        path.relative_to(run).as_posix(): path.stat().st_mtime_ns
        for kind in KINDS
        for path in (run / kind).rglob("*")
        if path.is_file()
    }


def test_pictures_of_known_features() -> None:
    lnp = np.zeros((4, 4, 3), np.float32)
    lnp[0, 0], lnp[1, 1] = (2, 0, -2), (99, 99, -99)
    spectrum = np.stack([np.full((4, 4), np.expm1(1.5)), np.linspace(-np.pi, np.pi, 16).reshape(4, 4)], -1)
    noise, amplitude, phase = pictures(lnp, spectrum.astype(np.float32))
    assert [p.dtype for p in (noise, amplitude, phase)] == [np.uint8] * 3
    assert noise[3, 3].tolist() == [128] * 3 and noise[0, 0].tolist() == [96, 128, 160]  # BGR, 16 times
    assert noise[1, 1].tolist() == [0, 255, 255]
    assert (amplitude == 255).all() and phase[0, 0] == 0 and phase[3, 3] == 255 and (np.diff(phase.ravel()) > 0).all()


def test_the_verb_writes_pictures_and_goes_on(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    verb = ["features", "--data", str(data), "--run", str(run), "--size", "64", "--shown", "3"]
    # Ctrl-C while the second picture's amplitude is written.
    usual, calls = features.write_picture, iter(range(99))

    def interrupted(path: Path, image: np.ndarray) -> None:
        if next(calls) == 4:
            raise KeyboardInterrupt
        usual(path, image)

    monkeypatch.setattr(features, "write_picture", interrupted)
    assert main([*verb, "--limit", "4"]) == 130
    before = written(run)
    assert len(before) == 4 and not (run / "features.png").exists()
    monkeypatch.setattr(features, "write_picture", usual)
    assert main([*verb, "--limit", "4"]) == 0
    assert "figure: " in capsys.readouterr().out
    found = written(run)
    # Of the one that was interrupted nothing is believed; the other is not written again.
    assert {k: v for k, v in found.items() if k.endswith("train/real/000.png")} == {
        k: v for k, v in before.items() if k.endswith("000.png")
    }
    names = {f"{split}/{label}" for split in ("train", "valid", "test") for label in ("real", "fake")}
    assert {Path(name).parent.as_posix() for name in found} == {f"{kind}/{name}" for kind in KINDS for name in names}
    assert len(found) == 3 * 3 * 4 and not list(run.rglob("*partial*"))
    noise, amplitude = (cv2.imread(str(run / kind / "test/fake/000.png"), -1) for kind in ("lnp", "amplitude"))
    assert noise.shape == (64, 64, 3) and amplitude.shape == (64, 64)
    assert (noise[0] == 128).all() and noise[28:36, 28:36].std() > 5  # nothing beyond the face
    assert amplitude[32, 32] > amplitude[0, 0]
    assert cv2.imread(str(run / "features.png")).shape[1] > 1000

    assert main([*verb, "--limit", "4"]) == 0
    assert written(run) == found
    assert main([*verb, "--segmenter", "none"]) == 2
    assert "holds features with other settings" in capsys.readouterr().err


def test_what_cannot_be_is_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verb = ["features", "--data", str(data), "--run", str(tmp_path / "run")]
    for words, told in ((["--size", "8"], "--size must be at least 32"), (["--shown", "0"], "--shown and --limit")):
        assert main([*verb, *words]) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
