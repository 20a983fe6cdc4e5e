"""Collecting generated faces: every picture whole, resumed, and nothing loaded that could run code."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.core.records import ImageU8
from train import collect as collecting
from train.__main__ import main
from train.collect import TABLE, Order, check_pipeline, collect, load_pipeline, orders, painter_of, read_lines
from train.layouts import read_pair


class Pipeline:
    """A text-to-image pipeline as diffusers has them: the prompt decides the colour, the seed the noise."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self._stop_after = stop_after

    def __call__(self, **options: Any) -> SimpleNamespace:
        if len(self.calls) == self._stop_after:
            raise KeyboardInterrupt
        self.calls.append(options)
        side = options.get("width", 24)
        image = np.random.default_rng(options["generator"]).integers(0, 200, (side, side, 3), np.uint8)
        if "blank" in options["prompt"]:
            image[:] = 0
        return SimpleNamespace(images=[image])


def wanted(count: int, prompts: tuple[str, ...] = ("a", "b"), **options: Any) -> list[Order]:
    return orders(prompts, ("n", "m"), count, pipeline="tiny", **options)


def painter(pipeline: Pipeline) -> Callable[[], Callable[[Order], ImageU8]]:
    return lambda: painter_of(pipeline, generator=int)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


def pictures_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("*.png")}


def test_pictures_and_their_table(tmp_path: Path) -> None:
    pipeline = Pipeline()
    assert collect(wanted(5, seed=7, steps=3, guidance=2.5, size=32), tmp_path / "out", painter(pipeline)) == (5, 0)
    rows = rows_of(tmp_path / "out")
    assert [r["prompt"] for r in rows] == ["a", "b", "a", "b", "a"]
    # Every prompt meets every negative one.
    assert {(r["prompt"], r["negative"]) for r in rows} == {(p, n) for p in "ab" for n in "nm"}
    assert [r["seed"] for r in rows] == ["7", "8", "9", "10", "11"] and {r["pipeline"] for r in rows} == {"tiny"}
    first = pipeline.calls[0]
    assert first["num_inference_steps"] == 3 and first["guidance_scale"] == 2.5 and first["width"] == 32
    image = cv2.imread(str(tmp_path / "out" / "000000.png"))
    expected = np.random.default_rng(7).integers(0, 200, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(image[..., ::-1], expected)
    assert not list((tmp_path / "out").glob(".*"))


def test_the_folder_is_what_prepare_reads(tmp_path: Path) -> None:
    collect(wanted(3), tmp_path / "tiny faces", painter(Pipeline()))
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes((tmp_path / "tiny faces" / "000000.png").read_bytes())
    samples = read_pair([tmp_path / "real"], [tmp_path / "tiny faces"])
    assert [(s.label, s.source) for s in samples] == [("real", "real")] + [("fake", "tiny faces")] * 3


def test_an_interrupted_collection_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    collect(wanted(6), tmp_path / "whole", painter(Pipeline()))
    with pytest.raises(KeyboardInterrupt):
        collect(wanted(6), tmp_path / "out", painter(Pipeline(stop_after=4)))
    assert len(rows_of(tmp_path / "out")) == 4 and not list((tmp_path / "out").glob(".*"))
    (tmp_path / "out" / "000001.png").unlink()
    (tmp_path / "out" / ".partial.000004.png").write_bytes(b"killed here")
    again = Pipeline()
    assert collect(wanted(6), tmp_path / "out", painter(again)) == (3, 0)
    assert [c["generator"] for c in again.calls] == [1, 4, 5]
    assert pictures_of(tmp_path / "out") == pictures_of(tmp_path / "whole")
    assert (tmp_path / "out" / TABLE).read_bytes() == (tmp_path / "whole" / TABLE).read_bytes()
    assert not list((tmp_path / "out").glob(".*"))
    # More of the same can be asked for; with nothing left to do no pipeline is loaded.
    assert collect(wanted(7), tmp_path / "out", painter(Pipeline())) == (1, 0)
    assert collect(wanted(7), tmp_path / "out", lambda: pytest.fail("loaded for nothing")) == (0, 0)


def test_a_write_that_fails_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UnmaskError, match=r"png: cannot be written \(No space left on device\); .* name another --out"):
        collect(wanted(1), tmp_path / "out", painter(Pipeline()))
    assert not list((tmp_path / "out").iterdir())


def test_blank_pictures_are_listed_without_a_file_and_not_made_again(tmp_path: Path) -> None:
    blanks = wanted(2, prompts=("a", "blank"))
    assert collect(blanks, tmp_path, painter(Pipeline())) == (1, 1)
    assert [r["file"] for r in rows_of(tmp_path)] == ["000000.png", ""] and len(pictures_of(tmp_path)) == 1
    assert collect(blanks, tmp_path, lambda: pytest.fail("made again")) == (0, 0)


def test_other_orders_need_another_folder(tmp_path: Path) -> None:
    collect(wanted(2), tmp_path, painter(Pipeline()))
    with pytest.raises(UnmaskError, match=r"picture 1 was made with another prompt; name another --out"):
        collect(wanted(2, prompts=("a", "c")), tmp_path, painter(Pipeline()))
    (tmp_path / TABLE).write_text("x,y\n1,2\n")
    with pytest.raises(UnmaskError, match="no table of collected pictures"):
        collect(wanted(2), tmp_path, painter(Pipeline()))


def test_prompts_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("# faces\n\n a portrait \nan old man\n", encoding="utf-8")
    assert read_lines(path) == ["a portrait", "an old man"]
    path.write_text("# nothing\n")
    for bad, why in ((path, "holds no prompts"), (tmp_path / "none.txt", "cannot be read")):
        with pytest.raises(UnmaskError, match=why):
            read_lines(bad)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnmaskError, match="not UTF-8 text"):
        read_lines(path)


@pytest.fixture
def pipeline_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pipeline"
    (folder / "unet").mkdir(parents=True)
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"], "x": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"weights")
    return folder


def test_a_pipeline_that_fails_is_told_and_what_is_made_is_kept(
    pipeline_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def painter(order: collecting.Order) -> np.ndarray:
        if order.number == 1:
            raise RuntimeError("CUDA out of memory\nand more")
        return np.random.default_rng(order.number).integers(0, 256, (32, 32, 3)).astype(np.uint8)

    monkeypatch.setattr(collecting, "load_pipeline", lambda path, device: "pipeline")
    monkeypatch.setattr(collecting, "painter_of", lambda pipeline: painter)
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("a portrait\n")
    words = ["collect", "--prompts", str(prompts), "--out", str(out), "--pipeline", str(pipeline_folder), "--count"]
    assert main([*words, "3"]) == 2
    told = capsys.readouterr().err
    assert "picture 1: the pipeline failed (CUDA out of memory); mend that" in told and told.count("\n") == 1
    assert len(list(out.glob("*.png"))) == 1
    assert main([*words, "1"]) == 0 and "0 pictures made" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("unet/diffusion_pytorch_model.bin", "", r"\.bin: may be pickled, which can run code"),
        ("vae/model.ckpt", "", r"model\.ckpt: may be pickled"),
        ("unet/custom.py", "", r"custom\.py: is program code, which is not run"),
        ("model_index.json", '{"unet": ["os", "system"]}', "needs the library os"),
        ("model_index.json", "[1", r"no text-to-image pipeline here .* --pipeline PATH"),
    ],
)
def test_a_pipeline_that_could_run_code_is_refused(pipeline_folder: Path, name: str, content: str, why: str) -> None:
    check_pipeline(pipeline_folder)
    (pipeline_folder / name).parent.mkdir(exist_ok=True)
    (pipeline_folder / name).write_text(content)
    with pytest.raises(UnmaskError, match=why):
        check_pipeline(pipeline_folder)


def test_the_pipeline_is_loaded_from_disk_and_safetensors_alone(
    pipeline_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    class Loaded:
        def set_progress_bar_config(self, disable: bool) -> None:
            assert disable

        def to(self, device: str) -> Loaded:
            told["device"] = device
            return self

    def from_pretrained(path: str, **options: Any) -> Loaded:
        told.update(options, path=path)
        if told.get("broken"):
            raise OSError("no file named\nmodel.safetensors")
        return Loaded()

    fake = SimpleNamespace(DiffusionPipeline=SimpleNamespace(from_pretrained=from_pretrained))
    torch = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False), float32="f32", float16="f16")
    monkeypatch.setitem(sys.modules, "diffusers", fake)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(collecting.os, "environ", {})
    assert isinstance(load_pipeline(pipeline_folder), Loaded)
    assert told["local_files_only"] and told["use_safetensors"] and not told["trust_remote_code"]
    assert told["device"] == "cpu" and told["torch_dtype"] == "f32" and told["path"] == str(pipeline_folder)
    assert collecting.os.environ["HF_HUB_OFFLINE"] == "1"
    told["broken"] = True
    with pytest.raises(UnmaskError, match=r"pipeline: the pipeline cannot be loaded \(no file named\); check that"):
        load_pipeline(pipeline_folder)


def test_a_missing_package_is_told_with_the_remedy(
    pipeline_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a portrait\n")
    words = ["collect", "--prompts", str(prompts), "--out", str(tmp_path / "out"), "--count", "2"]
    assert main([*words, "--pipeline", str(pipeline_folder)]) == 2
    told = capsys.readouterr().err
    assert "needs the package diffusers; install it with" in told and "[collect]" in told and told.count("\n") == 1
    assert main([*words, "--pipeline", str(tmp_path)]) == 2
    assert "no text-to-image pipeline here" in capsys.readouterr().err
    assert main([*words, "--steps", "-1"]) == 2
