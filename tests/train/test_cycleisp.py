"""CycleISP's denoiser against what PyTorch computed, and its weights read without PyTorch.

tests/train/cycleisp/ is made by tests/tools/make_cycleisp_sample.py.
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import UnmaskError
from tests.tools.make_cycleisp_sample import FOLDER, FORM
from train.__main__ import main
from train.cycleisp import convert
from train.cycleisp_file import read_tensors
from train.zoo.cycleisp import Form, activations, cycleisp, parameters

PUBLISHED = "1708cd6ed2025d4d161ada2ef3b3e3ac3e68e722f10a9ec36b69c73f654b1413"


def test_the_parameters_are_those_published() -> None:
    """Their names, shapes and order, as a PyTorch module of the published code lists them."""
    lines = "".join(f"{name} {'x'.join(map(str, shape))}\n" for name, shape in parameters().items())
    assert lines.count("\n") == 399
    assert (
        hashlib.sha256(lines.encode()).hexdigest() == "1708cd6ed2025d4d161ada2ef3b3e3ac3e68e722f10a9ec36b69c73f654b1413"
    )
    shared = set(activations())
    assert len(shared) == 33
    assert sum(int(np.prod(s)) for n, s in parameters().items() if n not in shared) + 64 == 2_834_947


@pytest.mark.parametrize("name", ["small.pth", "small-old.pth"])
def test_tensors_are_read_from_both_formats(name: str) -> None:
    tensors = read_tensors(FOLDER / name)
    assert {key: value.shape for key, value in tensors.items()} == parameters(FORM)
    other = read_tensors(FOLDER / "small.pth")
    assert all(np.array_equal(tensors[key], other[key]) for key in tensors)
    assert {value.dtype for value in tensors.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ["small.pth", "small-old.pth"])
def test_keras_computes_what_pytorch_did(name: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    sample = np.load(FOLDER / "small.npz")
    path = tmp_path / "new" / "denoiser.weights.h5"
    assert convert(FOLDER / name, path, FORM) == 7659
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    model = cycleisp(FORM)
    model.load_weights(path)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(sample["pictures"])), sample["noise"], atol=2e-4)


def test_it_computes_in_float32_and_loads_safely(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    from app.models.keras_form import load_model

    pictures = np.random.default_rng(0).random((1, 12, 16, 3)).astype(np.float32)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = cycleisp(Form(features=4, groups=1, blocks=1, reduction=2))
        keras.saving.save_model(model, tmp_path / "model.keras")
        noise = keras.ops.convert_to_numpy(model(pictures))
    finally:
        keras.config.set_dtype_policy("float32")
    assert noise.dtype == "float32"
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loaded(pictures)), noise, atol=1e-6)


def test_a_stranger_s_pickle_is_not_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "run"),)

    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": Harmful()}))
    with pytest.raises(UnmaskError, match=r"model\.pth: holds a .*, which is more than tensors and is not read; save"):
        read_tensors(path)
    path.write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(UnmaskError, match="more than tensors"):
        read_tensors(path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no PyTorch checkpoint"),
        (b"<html>quota exceeded</html>", "is no PyTorch checkpoint"),
        (pickle.dumps(3) * 4, "is no PyTorch checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_told(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(UnmaskError, match=rf"model\.pth: {words}"):
        read_tensors(tmp_path / "model.pth")
    with pytest.raises(UnmaskError, match="cannot be read"):
        read_tensors(tmp_path / "none.pth")


def test_a_cut_file_is_told(tmp_path: Path) -> None:
    whole = (FOLDER / "small-old.pth").read_bytes()
    (tmp_path / "model.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnmaskError, match=r"model\.pth: is no PyTorch checkpoint"):
        read_tensors(tmp_path / "model.pth")


def test_other_weights_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert-cycleisp", "--from", str(FOLDER / "small.pth"), "--to", str(tmp_path / "d.weights.h5")]) == 2
    assert "small.pth: is not CycleISP's sRGB denoiser (401 parameters differ, the first is" in capsys.readouterr().err
    assert main(["convert-cycleisp", "--from", str(FOLDER / "small.pth"), "--to", str(tmp_path / "d.h5")]) == 2
    assert "the name must end in .weights.h5" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_weights_the_denoiser_tells_how_to_make_them() -> None:
    pytest.importorskip("keras")
    from train.config import DENOISERS
    from train.zoo import denoiser

    assert tuple(denoiser.DENOISERS) == DENOISERS
    with pytest.raises(UnmaskError, match=r"cycleisp-none\.h5: the denoiser's weights .* convert-cycleisp --from"):
        denoiser.fitted_denoiser("cycleisp", Path("cycleisp-none.h5"))
