"""A run folder of which a file is damaged: one sentence, and nothing is trained over what is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import UnmaskError
from tests.train import tiny
from train.__main__ import main
from train.config import FitConfig
from train.datasets import Sample
from train.runs import State, append_log, checkpoint, resume, write_facts

pytestmark = pytest.mark.usefixtures("tiny_family")
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def model() -> Any:
    """With what a training has: dropout's generator and an optimizer."""
    made = tiny.build(32, None)
    made.compile("adam", "mse", jit_compile=False)
    made.optimizer.build(made.trainable_variables)
    return made


@pytest.mark.parametrize(
    ("file", "damage", "why"),
    [
        ("json", lambda path: path.write_text("{"), "damaged"),
        ("json", lambda path: path.write_text("[]"), "damaged"),
        ("json", lambda path: path.write_text('{"epoch": "1"}'), "damaged"),
        ("json", lambda path: path.write_text('{"seconds": null}'), "damaged"),
        ("json", lambda path: path.write_text('{"generators": [["a"]]}'), "damaged"),
        ("json", lambda path: path.write_text('{"generators": [[1]]}'), "damaged"),
        ("json", lambda path: path.write_text('{"of_later": 1}'), "damaged"),
        ("json", lambda path: path.write_bytes(b"\xff"), "damaged"),
        ("weights.h5", lambda path: path.write_bytes(b""), "damaged"),
        ("weights.h5", lambda path: path.write_bytes(path.read_bytes()[:9000]), "damaged"),
        ("weights.h5", lambda path: path.write_bytes(path.read_bytes()[:900] + bytes(8000)), "damaged"),
        ("weights.h5", lambda path: path.unlink(), "missing"),
    ],
)
def test_a_damaged_checkpoint_is_told(model: Any, tmp_path: Path, file: str, damage: Damage, why: str) -> None:
    folder = tmp_path / "checkpoint"
    assert resume(model, folder) == State()
    checkpoint(model, State(epoch=1, step=2), folder)
    assert resume(model, folder).step == 2
    damage(folder / f"e001s00002.{file}")
    with pytest.raises(UnmaskError, match=rf"checkpoint/e001s00002.* {why}.* or name another --run$") as told:
        resume(model, folder)
    assert "\n" not in str(told.value) and f"remove {folder} to train from the start" in str(told.value)


def test_a_kill_within_the_first_checkpoint_is_no_damage(model: Any, tmp_path: Path) -> None:
    checkpoint(model, State(step=2), tmp_path)
    (tmp_path / "e000s00002.json").unlink()
    assert resume(model, tmp_path) == State()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"size": "big"}', b'{"size": null}', b'{"size": 5}', b'{"of_later": 1}'],
)
def test_damaged_settings_are_told(data: Path, run: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "config.json").write_bytes(content)
    (run / "best.keras").touch()
    words = ["--data", str(data), "--run", str(run)]
    for verb in (["fit", *words, "--preset", "artifact_cnn", "--imagenet", "none"], ["export", *words, "--name", "n"]):
        assert main(verb) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"unmask: {run / 'config.json'}: not the settings of a run") and told.count("\n") == 1
        assert "restore it, or train into another --run" in told
    assert (run / "config.json").read_bytes() == content


def test_settings_of_an_earlier_version_lack_some(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model": "resnet50", "crop_scale": 2}')
    assert FitConfig.read(tmp_path / "config.json") == FitConfig(model="resnet50", crop_scale=2.0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_damaged_facts_are_told(run: Path, samples: list[Sample], content: bytes) -> None:
    (run / "facts.json").write_bytes(content)
    with pytest.raises(UnmaskError, match=r"facts\.json: does not tell which pictures .* restore it, or name another"):
        write_facts(run, samples)
    assert (run / "facts.json").read_bytes() == content


@pytest.mark.parametrize("content", [b"loss\n1\n", b"epoch,loss\none,1\n", b"epoch,loss\n\xff,1\n"])
def test_a_damaged_log_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.csv").write_bytes(content)
    with pytest.raises(UnmaskError, match=r"log\.csv: is no log of train fit .* restore it, or remove it"):
        append_log(tmp_path / "log.csv", {"epoch": 2, "loss": 0.5})
    assert (tmp_path / "log.csv").read_bytes() == content
