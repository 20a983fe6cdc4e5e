"""Leave-out: every source is unseen by one model, and the summary says what that model made of it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import UnmaskError
from app.core.records import Box
from tests.train.test_fit import CONFIG
from train import leave_out as leaving
from train.config import FitConfig
from train.datasets import Sample, write_prepared
from train.leave_out import HELD_OUT, folds, leave_out, summed_up
from train.runs import origin
from train.scores import Scored, read_scores, write_scores


def of_sources(sizes: dict[str, int], label: str) -> list[Sample]:
    return [
        Sample(Path(f"{source}/{i}.jpg"), "train", label, source, Box(0, 0, 9, 9))
        for source, size in sizes.items()
        for i in range(size)
    ]


@given(
    reals=st.lists(st.integers(1, 60), min_size=2, max_size=12),
    fakes=st.lists(st.integers(1, 60), min_size=2, max_size=12),
    count=st.integers(2, 5),
    seed=st.integers(0, 999),
)
def test_every_source_is_left_out_once(reals: list[int], fakes: list[int], count: int, seed: int) -> None:
    samples = of_sources({f"camera {k}": n for k, n in enumerate(reals)}, "real")
    samples += of_sources({f"generator {k}": n for k, n in enumerate(fakes)}, "fake")
    groups = folds(samples, count)
    assert len(groups) == count
    assert Counter(source for group in groups for source in group) == Counter({s.source for s in samples})
    shuffled = [samples[i] for i in np.random.default_rng(seed).permutation(len(samples))]
    assert folds(shuffled, count) == groups
    # Something of each class stays to learn from.
    for group in groups:
        assert {s.target for s in samples if s.source not in group} == {0, 1}


def test_groups_are_of_like_size_and_the_largest_of_both_classes_apart() -> None:
    samples = of_sources({"a": 60, "b": 30, "c": 30, "d": 10}, "real") + of_sources({"x": 50, "y": 9, "z": 1}, "fake")
    groups = folds(samples, 2)
    sizes = Counter(s.source for s in samples)
    assert not any({"a", "x"} <= set(group) for group in groups)
    assert abs(sum(sizes[s] for s in groups[0] if s in "abcd") - sum(sizes[s] for s in groups[1] if s in "abcd")) <= 10


def test_a_single_source_cannot_be_left_out() -> None:
    with pytest.raises(UnmaskError, match="at least two sources of each class"):
        folds(of_sources({"a": 5}, "real") + of_sources({"x": 5, "y": 5}, "fake"), 2)


@pytest.mark.usefixtures("tiny_family")
def test_leave_out_from_pictures_to_summary(
    data: Path, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    sources = [dataclasses.replace(s, source=f"{s.label} {i % 2}") for i, s in enumerate(samples)]
    write_prepared(run / "prepared.csv", sources, data)
    config = dataclasses.replace(CONFIG, epochs=2, batch=4, checkpoint_minutes=9.0)
    only_first = leave_out(config, data, run, imagenet=None, count=2, only=[0])
    assert set(only_first["photographs"]) | set(only_first["generators"]) == set(folds(sources, 2)[0])
    assert only_first["folds_missing"] == 1

    trained: list[tuple[str, ...]] = []
    fit = leaving.fit
    monkeypatch.setattr(leaving, "fit", lambda c, *a, **k: trained.append(c.leave_out) or fit(c, *a, **k))
    summary = leave_out(config, data, run, imagenet=None, count=2)
    assert trained == [folds(sources, 2)[1]]  # the first is not trained again
    assert set(summary["photographs"]) == {"real 0", "real 1"} and set(summary["generators"]) == {"fake 0", "fake 1"}
    assert summary == json.loads((run / "summary.json").read_text())
    assert summary["folds_missing"] == 0 and summary["mean_auc"] > 0.9
    assert 0 <= summary["mean_false_alarms"] <= summary["worst_false_alarms"] <= 1
    rows = read_scores(run / "fold-0" / HELD_OUT)
    held_out = {row.held_out for row in rows} - {""}
    assert held_out == set(folds(sources, 2)[0])
    # Of a source left out all pictures are scored; of the others those that training did not see.
    assert {row.split for row in rows if not row.held_out} == {"valid", "test"}
    assert sum(bool(row.held_out) for row in rows) == sum(s.source in held_out for s in sources)

    # A model that has learned nothing is told with its fold.
    table = run / "fold-1" / HELD_OUT
    good = table.read_bytes()
    write_scores(table, [dataclasses.replace(row, logit=-row.logit) for row in read_scores(table)])
    with pytest.raises(UnmaskError, match=r"fold-1: the logits rank .* remove this folder, the other folds are kept"):
        leave_out(config, data, run, imagenet=None, count=2)
    table.write_bytes(good)

    second = tmp_path / "second"
    second.mkdir()
    write_prepared(second / "prepared.csv", sources, data)
    leave_out(config, data, second, imagenet=None, init=run, count=2, only=[1])
    assert origin(second / "fold-1") == [(run / "fold-1").resolve()]
    with pytest.raises(UnmaskError, match=r"fold-0/best\.keras: no model that did without fold 1; give --init"):
        leave_out(config, data, run, imagenet=None, init=second, count=2)


def test_faces_that_would_have_to_be_cut_out_are_refused(data: Path, tmp_path: Path) -> None:
    config = FitConfig(model="lnp_fusion", segmenter="mobilesam")
    with pytest.raises(UnmaskError, match="--segmenter mobilesam: leave-out takes none or landmarks only"):
        leave_out(config, data, tmp_path / "run", imagenet=None, count=2)


def test_the_summary_counts_what_a_model_never_saw() -> None:
    def row(label: str, split: str, source: str, logit: float, held_out: bool = False) -> Scored:
        return Scored("x.jpg", split, label, source, logit, held_out=source if held_out else "")

    known = [
        row(label, split, f"{label} known", side * (2 + i / 40))
        for label, side in (("real", -1), ("fake", 1))
        for split in ("valid", "test")
        for i in range(40)
    ]
    unseen = [row("real", "train", "camera", z, True) for z in (-4.0, -4.0, -4.0, 9.0)]
    unseen += [row("fake", "train", "generator", z, True) for z in (5.0, 5.0, -9.0, 5.0)]
    summary = summed_up([known + unseen])
    assert summary["photographs"]["camera"] == {"pictures": 4, "flagged": 0.25, "called_real": 0.75}
    generator = summary["generators"]["generator"]
    assert generator["pictures"] == 4 and generator["flagged"] == 0.75 and generator["called_real"] == 0.25
    assert generator["auc"] == 0.75 and generator["auc_unseen_reals"] == pytest.approx(9 / 16)
    assert summary["mean_false_alarms"] == summary["worst_false_alarms"] == 0.25
    assert summed_up([known])["mean_auc"] is None
