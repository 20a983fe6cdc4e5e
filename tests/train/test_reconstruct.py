"""Small autoencoders: photographs drawn again, kept, and not drawn twice."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from train import reconstruct as reconstruction
from train.datasets import Sample
from train.reconstruct import KINDS, build_autoencoder, reconstruct, reconstructed_path, through

keras = pytest.importorskip("keras")


def test_every_photograph_is_drawn_by_every_decoder_and_only_once(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconstruction, "STEPS", 2)
    monkeypatch.setattr(reconstruction, "BATCH", 2)
    monkeypatch.setattr(reconstruction, "PATCH", 32)
    chosen = [*samples[:2], *samples[24:26]]
    assert [s.target for s in chosen] == [0, 0, 1, 1]
    reconstruct(chosen, tmp_path, None, seed=1)
    photographs = [s for s in chosen if s.target == 0]
    expected = {reconstructed_path(tmp_path, kind, s) for kind in KINDS for s in photographs}
    assert set(tmp_path.rglob("*.jpg")) == expected
    for sample in photographs:
        for kind in KINDS:
            image = cv2.imread(str(reconstructed_path(tmp_path, kind, sample)))
            original = cv2.imread(str(sample.path))
            assert image.shape == original.shape and np.abs(image.astype(int) - original).mean() > 1
    # Resumed after a kill: what is there stays, byte for byte, and what is missing comes out the same.
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in expected}
    gone = reconstructed_path(tmp_path, KINDS[1], photographs[1])
    gone.unlink()
    monkeypatch.setattr(reconstruction, "STEPS", 0)  # a decoder that is there is not trained again
    reconstruct(chosen, tmp_path, None, seed=1)
    for path, (data, written) in before.items():
        assert path.read_bytes() == data and (path == gone or path.stat().st_mtime_ns == written)
    assert not list(tmp_path.rglob("*partial*"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_keeps_size_light_and_colour(kind: str) -> None:
    model = build_autoencoder(kind)
    image = np.full((45, 67, 3), (40, 90, 200), np.uint8)  # sides that are no multiples of 8
    drawn = through(model, image)
    assert drawn.dtype == np.uint8 and drawn.shape == image.shape
    # Untrained, it draws nothing like the picture: the large scale is given back to it.
    assert np.abs(drawn.mean((0, 1)) - (40, 90, 200)).max() < 12


def test_sources_of_one_name_stay_apart(tmp_path: Path) -> None:
    a, b = (Sample(Path("x/1.png"), "train", "real", source) for source in ("one/two", "other"))
    assert reconstructed_path(tmp_path, "nearest", a) == tmp_path / "nearest" / "train" / "one_two-1.jpg"
    assert reconstructed_path(tmp_path, "nearest", a) != reconstructed_path(tmp_path, "nearest", b)
