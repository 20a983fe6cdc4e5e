"""One model from several runs that started from the same weights: the mean of what they learned.

Fine-tuned models of one start lie in one basin of the loss, and their mean is often better than each of them, at the
cost of one (Wortsman et al., "Model soups", ICML 2022).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.core.errors import UnmaskError
from app.core.files import whole_file
from app.models.keras_form import load_model
from train import metrics
from train.config import FitConfig
from train.datasets import read_prepared
from train.fit import predict
from train.pipeline import plain_crops
from train.runs import write_origin

SAME = ("model", "arch", "mode", "size", "crop_scale")
"""Options that runs must share: the mean of different models is none."""


def average(runs: Sequence[Path], data: Path, run: Path) -> dict[str, float]:
    """Write the mean of the runs' best models as a run folder of its own, which ``train export`` takes.

    Args:
        runs: folders of finished fits of one family, at least two.
        run: gets ``best.keras``, and ``origin.json``, and ``config.json`` and ``prepared.csv`` of the first run.

    Returns:
        The AUC on the validation split of every run, by its path, and of the ``mean``.

    Raises:
        UnmaskError: fewer than two runs, one that is not finished or of another kind, or ``run`` is one of them.
    """
    if len(runs) < 2:
        raise UnmaskError("--runs needs at least two run folders; there is nothing to average")
    if run.resolve() in [r.resolve() for r in runs]:
        raise UnmaskError(f"{run}: one of --runs; name another --run")
    for folder in runs:
        if not (folder / "best.keras").is_file():
            raise UnmaskError(f"{folder}: no best.keras here; finish python -m train fit first")
    configs = [FitConfig.read(folder / "config.json") for folder in runs]
    for folder, config in zip(runs, configs, strict=True):
        other = [name for name in SAME if getattr(config, name) != getattr(configs[0], name)]
        if other:
            raise UnmaskError(f"{folder}: differs from {runs[0]} in {', '.join(other)}; such models have no mean")

    config = configs[0]
    valid = [s for s in read_prepared(runs[0] / "prepared.csv", data) if s.split == "valid"]
    if len({s.target for s in valid}) < 2:
        raise UnmaskError(f"{data}: the validation split needs both real and fake pictures")
    targets = np.asarray([s.target for s in valid])
    crops = plain_crops(valid, config.size, config.crop_scale)
    found: dict[str, float] = {}
    model = None
    mean: list[np.ndarray] = []
    for folder in runs:
        model = load_model(folder / "best.keras")
        parts = [w / len(runs) for w in model.get_weights()]
        mean = [a + b for a, b in zip(mean, parts, strict=True)] if mean else parts
        found[str(folder)] = round(metrics.auc(targets, predict(model, crops, config.batch)), 5)
    assert model is not None
    model.set_weights(mean)
    found["mean"] = round(metrics.auc(targets, predict(model, crops, config.batch)), 5)

    run.mkdir(parents=True, exist_ok=True)
    with whole_file(run / "best.keras") as partial:
        model.save(partial)
    config.write(run / "config.json")
    write_origin(run, runs)
    shutil.copyfile(runs[0] / "prepared.csv", run / "prepared.csv")
    return found
