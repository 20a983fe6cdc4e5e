"""The layers of the noise and frequency fusion, and the denoiser that its noise comes from."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest

from app.core.errors import UnmaskError
from train.__main__ import main
from train.datasets import Sample, write_prepared
from train.denoise import camera_noise

keras = pytest.importorskip("keras")


@pytest.mark.parametrize("side", [32, 33, 256])
def test_the_spectrum_is_numpys(side: int) -> None:
    from app.models.layers import Spectrum

    pictures = np.random.default_rng(0).normal(0, 3, (2, side, side, 3)).astype(np.float32)
    found = np.asarray(Spectrum()(pictures))
    transform = np.fft.fftshift(np.fft.fft2(pictures.astype(np.float64), axes=(1, 2), norm="ortho"), axes=(1, 2))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[..., 0], (np.abs(transform) ** 0.8).mean(-1), rtol=1e-3, atol=1e-3)
    # The four frequencies that are their own mirror images are real; rounding would leave pi or -pi to chance.
    mirrored = 2 * (np.arange(side) - side // 2) % side == 0
    own = mirrored[:, None] & mirrored[None, :]
    transform[:, own] = transform[:, own].real + 0j
    np.testing.assert_allclose(found[..., 1], np.angle(transform).mean(-1), atol=1e-3)


def test_the_ellipse_is_that_of_the_face() -> None:
    from app.models.layers import FaceEllipse

    layer = FaceEllipse(crop_scale=2.0)
    mask = np.asarray(layer(np.ones((1, 200, 200, 3), np.float32)))[0, ..., 0]
    np.testing.assert_array_equal(mask, layer.mask(200, 200))
    np.testing.assert_array_equal(mask, mask[:, ::-1])
    # In pixels: half as wide as 0.4 boxes of 100 pixels, its middle 3.5 pixels above that of the crop.
    assert mask[96, 100:136].min() == 1 and mask[96, 145:].max() == 0 and 0 < mask[96, 140] < 1
    assert mask[48, 100] == 1 and mask[145, 100] == 1 and mask[30, 100] == 0 and mask[160, 100] == 0
    assert mask.mean() == pytest.approx(np.pi * 0.4 * 0.56 / 4, rel=0.02)
    assert FaceEllipse.from_config(layer.get_config()).mask(50, 50).tolist() == layer.mask(50, 50).tolist()


def test_the_mean_face_lies_in_the_ellipse() -> None:
    """Key points of the mean of 6,623 detections, in longer sides of the box from its middle."""
    from app.models.layers import FaceEllipse

    mask = FaceEllipse(crop_scale=2.0).mask(200, 200)
    within = {"right eye": (-0.19, -0.165), "left eye": (0.2, -0.16), "nose": (0.005, 0.08), "mouth": (0.005, 0.265)}
    assert all(mask[round(100 + 100 * y), round(100 + 100 * x)] == 1 for x, y in within.values())
    assert all(0 < mask[91, round(100 + 100 * x)] < 1 for x in (-0.383, 0.402))  # the ears are its rim


def test_the_mask_is_a_choice_and_part_of_the_model() -> None:
    from train.zoo import build

    def layers(**options: str) -> set[str]:
        return {layer.name for layer in build("lnp_fusion", 32, None, **options).layers}

    assert "face" in layers() and "face" not in layers(segmenter="none")
    assert "face" not in layers(segmenter="mobilesam")  # the pictures are cut out before


def test_the_attention_weighs_channels_only() -> None:
    from app.models.layers import ChannelAttention

    maps = np.random.default_rng(1).uniform(0.5, 1, (2, 8, 8, 5)).astype(np.float32)
    weights = np.asarray(ChannelAttention()(maps)) / maps
    assert weights.min() > 0 and weights.max() < 1
    np.testing.assert_allclose(weights, np.broadcast_to(weights[:, :1, :1], weights.shape), rtol=1e-5)


def test_the_shipped_denoiser_takes_noise_away_and_leaves_the_rest() -> None:
    from train.zoo.denoiser import fitted_denoiser

    y, x = np.mgrid[:96, :96] / 96
    clean = np.stack([0.3 + 0.4 * y, 0.5 + 0.2 * np.sin(7 * x), 0.4 + 0.3 * x * y], axis=-1)[None].astype(np.float32)
    noisy = camera_noise(clean, np.random.default_rng(4))
    model = fitted_denoiser()
    assert model.count_params() == 27_363 and not model.trainable_weights
    assert np.mean((noisy - model(noisy) - clean) ** 2) < 0.5 * np.mean((noisy - clean) ** 2)
    assert np.abs(model(clean)).mean() < 0.02


def test_the_denoiser_is_fitted_by_a_command(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from train.zoo.denoiser import fitted_denoiser

    path = tmp_path / "new" / "denoiser.weights.h5"
    assert main(["fit-denoiser", "--data", str(data), "--to", str(path), "--steps", "3"]) == 0
    assert "dB" in capsys.readouterr().out and [p.name for p in path.parent.iterdir()] == [path.name]
    assert fitted_denoiser(path=path).count_params() == 27_363
    with pytest.raises(UnmaskError, match=r"none\.h5: the denoiser's weights cannot be read .* fit-denoiser"):
        fitted_denoiser(path=tmp_path / "none.h5")


@pytest.fixture
def still_denoiser(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the network one that finds no noise, at once."""
    network = MagicMock()
    network.predict_on_batch.side_effect = np.zeros_like
    network.save_weights.side_effect = Path.touch
    monkeypatch.setattr("train.zoo.denoiser.denoiser", lambda: network)


@pytest.mark.usefixtures("still_denoiser")
def test_the_denoiser_is_fitted_on_what_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [tmp_path / "data" / split / label for split in ("train", "valid") for label in ("real", "fake")]
    for folder in folders:
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "1.png"), np.random.default_rng(0).integers(0, 255, (60, 40, 3), np.uint8))
    for name in ("2.jpg", "3.mp4"):
        (folders[0] / name).write_bytes(b"neither")
    (folders[2] / "1.png").write_bytes(b"none to validate on")
    words = ["fit-denoiser", "--data", str(tmp_path / "data"), "--to", str(tmp_path / "a.weights.h5"), "--steps", "1"]
    assert main(words) == 0 and (tmp_path / "a.weights.h5").is_file()
    assert "3 of 4 real files left out: 1 videos, 2 unreadable" in capsys.readouterr().out
    (folders[0] / "1.png").unlink()
    assert main(words) == 2
    assert "no real picture in the split train can be read; check the folder" in capsys.readouterr().err
    (folders[0] / "2.jpg").unlink()
    assert main(words) == 2
    assert "no real pictures in the split train; prepare its videos first" in capsys.readouterr().err


@pytest.mark.usefixtures("still_denoiser")
def test_the_denoiser_takes_prepared_pictures(
    samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_prepared(tmp_path / "prepared.csv", samples, tmp_path)
    words = ["fit-denoiser", "--data", str(tmp_path), "--to", str(tmp_path / "a.weights.h5"), "--steps", "1"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "0.0 dB" in out and "left out" not in out


def test_a_denoiser_that_cannot_be_is_refused_first(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "new" / "a.weights.h5"
    for words, told in (
        (["--to", str(tmp_path / "x.h5")], "x.h5: the weights need a file whose name ends in .weights.h5; name"),
        (["--to", str(to), "--steps", "0"], "--steps must be at least 1"),
        (["--to", str(to), "--seed", "-1"], "--seed lie in 0 .. 4294967295"),
    ):
        assert main(["fit-denoiser", "--data", str(data), *words]) == 2
        assert told in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.usefixtures("still_denoiser")
def test_a_denoiser_that_is_interrupted_promises_no_checkpoint(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.denoise.camera_noise", MagicMock(side_effect=KeyboardInterrupt))
    assert main(["fit-denoiser", "--data", str(data), "--to", str(tmp_path / "a.weights.h5")]) == 130
    told = capsys.readouterr().err
    assert "a.weights.h5 is as it was, the same command begins anew" in told and "checkpoint" not in told
    assert not list(tmp_path.iterdir())


def test_camera_noise_is_stronger_where_there_is_more_light() -> None:
    # Half light and dark; in the light domain, before the gamma.
    clean = np.concatenate([np.full((64, 32, 32, 3), 0.4), np.full((64, 32, 32, 3), 0.8)], axis=2).astype(np.float32)
    noise = camera_noise(clean, np.random.default_rng(2)).astype(np.float64) ** 2.2 - clean.astype(np.float64) ** 2.2
    assert noise[:, :, 32:].std() > 1.3 * noise[:, :, :32].std() > 0
