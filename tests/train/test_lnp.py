"""The layers of the noise and frequency fusion, and the denoiser that its noise comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.core.errors import UnmaskError
from train.__main__ import main
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
    # The four frequencies that are their own mirror images are real: there pi and -pi are the same phase.
    apart = np.abs(found[..., 1] - np.angle(transform).mean(-1))
    assert np.mean(apart < 1e-2) > 0.995


def test_the_ellipse_is_that_of_the_face() -> None:
    from app.models.layers import FaceEllipse

    masked = np.asarray(FaceEllipse(crop_scale=2.0)(np.ones((1, 64, 64, 3), np.float32)))[0, ..., 0]
    assert masked[32, 17:47].all() and not masked[32, :15].any() and not masked[32, 49:].any()
    assert masked.mean() == pytest.approx(np.pi / 16, rel=0.02)


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
    assert fitted_denoiser(path).count_params() == 27_363
    with pytest.raises(UnmaskError, match=r"none\.h5: the denoiser's weights cannot be read .* fit-denoiser"):
        fitted_denoiser(tmp_path / "none.h5")


def test_camera_noise_is_stronger_where_there_is_more_light() -> None:
    # Half light and dark; in the light domain, before the gamma.
    clean = np.concatenate([np.full((64, 32, 32, 3), 0.4), np.full((64, 32, 32, 3), 0.8)], axis=2).astype(np.float32)
    noise = camera_noise(clean, np.random.default_rng(2)).astype(np.float64) ** 2.2 - clean.astype(np.float64) ** 2.2
    assert noise[:, :, 32:].std() > 1.3 * noise[:, :, :32].std() > 0
