"""What every model family promises, tried on all of them alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.core.records import ImageU8
from app.models.gradcam import heatmap
from train.__main__ import main
from train.batch_norm import renew_averages
from train.config import ARCHS, FitConfig
from train.zoo import FAMILIES, build, find_imagenet_weights
from train.zoo.transfer import QUIET, start_from

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

VARIANTS: dict[str, dict[str, Any]] = {name: {} for name in FAMILIES if name != "lnp_fusion"} | {
    f"lnp_fusion {arch} {mode}": {"arch": arch, "mode": mode, "segmenter": "none" if mode == 2 else "landmarks"}
    for arch in ARCHS
    for mode in (0, 1, 2)
}


@dataclass(frozen=True, slots=True)
class Case:
    """A model at the smallest size that its family takes, with random weights that tell pictures apart, and pictures.

    Attributes:
        targets: float32 (N, 1); the fakes among the pictures are brighter.
    """

    family: str
    size: int
    options: dict[str, Any]
    model: Any
    crops: ImageU8
    targets: np.ndarray


@pytest.fixture(scope="module", params=VARIANTS)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    """One model for all tests of a variant: building it is what takes the time."""
    name = request.param.split()[0]
    size = FAMILIES[name].smallest
    rng = np.random.default_rng(1)
    targets = np.arange(4, dtype=np.float32)[:, None] % 2
    crops = rng.integers(0, 156, (4, size, size, 3)) + 100 * targets[:, :, None, None]
    keras.utils.set_random_seed(1)
    model = build(name, size, None, **VARIANTS[request.param])
    wake(model, crops.astype(np.uint8))
    yield Case(name, size, VARIANTS[request.param], model, crops.astype(np.uint8), targets)
    keras.backend.clear_session()


def wake(model: Any, crops: ImageU8) -> None:
    """Let a fresh model tell pictures apart, as a trained one does: scores of 0 would agree whatever is computed.

    In some families fresh averages of batch normalization let deep features vanish; a logistic regression begins with
    zeros.
    """
    if logits_of(model, crops).std() < 1e-3:
        renew_averages(model, [crops])
    last = [layer for layer in model.layers if layer.weights][-1]
    kernel, *bias = last.get_weights()
    if not kernel.any():
        kernel = np.random.default_rng(5).normal(0, 1, kernel.shape)
    last.set_weights([kernel, *bias])
    last.set_weights([kernel / max(1e-9, float(logits_of(model, crops).std())), *bias])
    assert logits_of(model, crops).std() > 0.1


def logits_of(model: Any, crops: ImageU8) -> np.ndarray:
    return np.asarray(model(crops, training=False))


def test_pictures_in_and_one_logit_out(case: Case) -> None:
    [given] = case.model.inputs
    assert given.dtype == "uint8" and given.shape == (None, case.size, case.size, 3)
    [logit] = case.model.outputs
    assert logit.dtype == "float32" and logit.shape == (None, 1)
    assert logits_of(case.model, case.crops).shape == (4, 1)
    # The score of a picture does not depend on those beside it.
    alone = logits_of(case.model, case.crops[2:3])
    np.testing.assert_allclose(alone, logits_of(case.model, case.crops)[2:3], atol=1e-3)


def test_saved_and_loaded_it_says_the_same(case: Case, tmp_path: Path) -> None:
    from app.models.keras_form import load_model

    case.model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        logits_of(load_model(tmp_path / "model.keras"), case.crops), logits_of(case.model, case.crops)
    )


def test_the_cpu_form_says_the_same(case: Case, tmp_path: Path) -> None:
    from app.models.keras_form import with_evidence_map
    from app.models.runtimes import import_openvino
    from train.export import to_openvino

    ov = import_openvino()
    mapped = with_evidence_map(case.model)
    ov.save_model(to_openvino(mapped), tmp_path / "model.xml", compress_to_fp16=False)
    # The map is made of the same weights as the logit: none is in the file twice.
    assert (tmp_path / "model.bin").stat().st_size < 4.1 * case.model.count_params() + 200_000
    form = ov.Core().compile_model(tmp_path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    said = form(case.crops)
    logits, maps = (np.asarray(part) for part in mapped(case.crops, training=False))
    scale = max(1.0, float(np.abs(maps).max()))
    # Logits differ by about 1; random layers in such number enlarge what rounding leaves between the two.
    tolerance = 3e-2
    np.testing.assert_allclose(said["logit"], logits, atol=tolerance, rtol=1e-3)
    np.testing.assert_allclose(said["map"], maps, atol=tolerance * scale)


def test_its_map_is_gradient_times_feature_map(case: Case) -> None:
    from app.models.keras_form import with_evidence_map

    ends = (keras.layers.GlobalAveragePooling2D, keras.layers.Flatten)
    [end] = [layer for layer in case.model.layers if isinstance(layer, ends)]
    upto = keras.Model(case.model.inputs, end.input)
    head = keras.Model(end.input, case.model.output)
    features = tf.convert_to_tensor(upto(case.crops, training=False))
    with tf.GradientTape() as tape:
        tape.watch(features)
        logit = head(features, training=False)
    share = tf.reduce_sum(features * tape.gradient(logit, features), axis=-1)
    maps = np.asarray(with_evidence_map(case.model)(case.crops, training=False)[1])
    height, width = maps.shape[1:]
    np.testing.assert_allclose(maps, share * height * width, atol=1e-3 * max(1.0, float(np.abs(maps).max())))
    heat = heatmap(maps[0], case.size, toward_fake=True)
    assert heat.shape == (case.size, case.size) and heat.min() >= 0 and heat.max() <= 1


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_step_on_a_batch_lowers_its_loss(case: Case, policy: str) -> None:
    # A fresh one: the case's own is scaled, and may be sure of all its pictures already.
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(policy)
    try:
        model = build(case.family, case.size, None, **case.options)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.outputs[0].dtype == "float32"
    assert {w.dtype for w in model.weights} == {"float32"}
    # Without dropout, or the batch before and after the step would not be the same.
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    binary = keras.losses.BinaryCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        before = binary(case.targets, model(case.crops, training=True))
    variables = model.trainable_variables
    gradients = tape.gradient(before, variables)
    assert all(g is not None and np.isfinite(g).all() for g in gradients)
    if policy == "mixed_bfloat16":
        # Fresh networks that normalize over four small pictures are so steep that gradients in bfloat16 point anywhere
        # (ResNet50: cosine to float32's 0.01, MobileNetV2: 0.12). Only the logit's own layer, in float32, is sure.
        head = [layer for layer in model.layers if layer.trainable_variables][-1].trainable_variables
        gradients = [g for v, g in zip(variables, gradients, strict=True) if any(v is h for h in head)]
        variables = head
    # By the gradient's sign, as AdamW's first step goes; shorter where the slope bends.
    starts = [keras.ops.convert_to_numpy(v) for v in variables]
    for halving in range(12):
        for variable, start, gradient in zip(variables, starts, gradients, strict=True):
            variable.assign(start - 3e-3 / 2**halving * np.sign(gradient))
        after = float(binary(case.targets, model(case.crops, training=True)))
        if after < float(before):
            return
    pytest.fail(f"the loss rises from {before} to {after}")


def test_features_of_a_fresh_naive_cnn_are_as_loud_in_its_last_layer_as_in_its_first() -> None:
    keras.utils.set_random_seed(1)
    model = build("naive_cnn_1024", 32, None)
    crops = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), np.uint8)
    first, last = (keras.Model(model.inputs, model.get_layer(f"conv{i}").output)(crops) for i in (1, 4))
    loudness = [float(np.sqrt(np.mean(np.square(features)))) for features in (first, last)]
    assert 0.5 < loudness[1] / loudness[0] < 2, loudness


@pytest.mark.parametrize("name", FAMILIES)
def test_the_registry_tells_the_parameters(name: str) -> None:
    known = FAMILIES[name]
    assert build(name, known.size, None).count_params() == known.parameters
    for arch, parameters in known.backbones.items():
        assert build(name, known.size, None, arch=arch).count_params() == parameters
    config = FitConfig.from_preset(name, {})
    assert (config.model, config.size) == (name, known.size)


def test_the_two_systems_with_a_published_count_have_it() -> None:
    assert FAMILIES["naive_cnn_1024"].parameters == 1_551_489
    assert FAMILIES["artifact_cnn"].parameters == 39_742_082


def test_models_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    rows = {row["name"]: row for row in listed}
    assert list(rows) == list(FAMILIES)
    assert rows["artifact_cnn"] == {
        "name": "artifact_cnn",
        "arch": None,
        "parameters": 39_742_082,
        "input_size": 200,
        "pretrained": False,
        "imagenet_weights": None,
        "options": [],
        "summary": "one wide convolution and a dense layer",
    }
    assert rows["xception"]["pretrained"] and rows["lnp_fusion"]["options"] == ["arch", "mode", "segmenter", "denoiser"]
    fusions = [(row["arch"], row["pretrained"]) for row in listed if row["name"] == "lnp_fusion"]
    assert fusions == [("mobilenet_v2", True), ("resnet50", True)]
    assert main(["models"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "naive_cnn_1024 1,551,489 1024 px" in told and "lnp_fusion --arch resnet50 23,623,408 192 px" in told


def test_weights_are_found_by_family_and_backbone(tmp_path: Path) -> None:
    assert find_imagenet_weights("naive_cnn_1024", tmp_path) is None
    for name, arch in (("resnet50", None), ("lnp_fusion", "resnet50")):
        with pytest.raises(
            UnmaskError, match=r"no ImageNet weights of resnet50 here; run \./fetch_weights\.sh resnet50"
        ):
            find_imagenet_weights(name, tmp_path, arch)
    weights = tmp_path / FAMILIES["resnet50"].imagenet_files[0]
    weights.touch()
    assert find_imagenet_weights("lnp_fusion", tmp_path, "resnet50") == weights


def test_what_a_family_cannot_do_is_told() -> None:
    with pytest.raises(UnmaskError, match=r"--model nobody: no such model; the known ones are artifact_cnn, "):
        build("nobody", 32, None)
    with pytest.raises(UnmaskError, match=r"--size 64: xception needs at least 71"):
        build("xception", 64, None)
    with pytest.raises(UnmaskError, match=r"--arch must be one of mobilenet_v2, resnet50; --mode must be 0, 1 or 2"):
        FitConfig(arch="vgg", mode=3)
    with pytest.raises(UnmaskError, match=r"--segmenter must be one of none, landmarks, .*; --denoiser must be one of"):
        FitConfig(segmenter="sam", denoiser="none")
    assert all(arch in FAMILIES for arch in ARCHS)


@pytest.mark.parametrize("name", ["mobilenet_v2", "lnp_fusion"])
def test_imagenet_weights_arrive_in_the_backbone(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    plain = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3))
    plain.save_weights(tmp_path / "net.weights.h5")
    model = build(name, 32, tmp_path / "net.weights.h5")
    first, last = (plain.get_layer(layer).get_weights()[0] for layer in ("Conv1", "Conv_1"))
    np.testing.assert_array_equal(model.get_layer("Conv_1").get_weights()[0], last)
    ours = model.get_layer("Conv1").get_weights()[0]
    np.testing.assert_array_equal(ours[:, :, -3:], first)
    if name == "lnp_fusion":
        np.testing.assert_allclose(ours[:, :, 0], QUIET * first.mean(axis=2), atol=1e-6)
        assert ours.shape[2] == 5


def test_imagenet_weights_may_come_with_their_top_and_others_are_told(tmp_path: Path) -> None:
    keras.utils.set_random_seed(4)
    whole = keras.applications.MobileNetV2(weights=None)
    whole.save_weights(tmp_path / "whole.weights.h5")
    model = build("mobilenet_v2", 32, tmp_path / "whole.weights.h5")
    for layer in ("Conv1", "Conv_1", "Conv_1_bn"):
        for ours, theirs in zip(
            model.get_layer(layer).get_weights(), whole.get_layer(layer).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    (tmp_path / "text.weights.h5").write_text("no weights")
    for name, file in (("mobilenet_v2", "text.weights.h5"), ("resnet50", "whole.weights.h5")):
        with pytest.raises(UnmaskError, match=rf"{file}: not the ImageNet weights of .*fetch_weights\.sh"):
            build(name, 32, tmp_path / file)


def test_the_fusion_starts_from_a_model_of_its_backbone() -> None:
    earlier, model = build("mobilenet_v2", 64, None), build("lnp_fusion", 32, None)
    start_from(model, earlier)
    for name in ("block_3_depthwise", "Conv_1_bn", "logit"):
        for ours, theirs in zip(
            model.get_layer(name).get_weights(), earlier.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    first, ours = (m.get_layer("Conv1").get_weights()[0] for m in (earlier, model))
    np.testing.assert_array_equal(ours[:, :, 2:], first)
    np.testing.assert_allclose(ours[:, :, 0], QUIET * first.mean(axis=2), atol=1e-6)
    with pytest.raises(ValueError, match="No such layer"):
        start_from(model, build("naive_cnn_1024", 32, None))


def test_resnet50_swaps_the_channels_of_weights_for_bgr(tmp_path: Path) -> None:
    plain = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3))
    plain.save_weights(tmp_path / "net.weights.h5")
    crops = np.random.default_rng(4).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    model = build("resnet50", 32, tmp_path / "net.weights.h5")
    upto = keras.Model(model.inputs, model.get_layer("pool").input)
    expected = plain(keras.applications.resnet50.preprocess_input(crops.astype(np.float32)), training=False)
    np.testing.assert_allclose(upto(crops, training=False), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["mobilenet_v2", "lnp_fusion"])
def test_moving_averages_follow_a_short_training(name: str) -> None:
    layers = [x for x in build(name, 32, None).layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(layers) > 50 and max(layer.momentum for layer in layers) <= 0.99
