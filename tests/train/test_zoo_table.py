"""All models in one table: where each number comes from, and what is said where there is none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.errors import UnmaskError
from app.models.artifact import DEFAULT_MODEL
from tests.train.test_report import rows
from train import zoo_table
from train.__main__ import main
from train.commands import WEIGHTS
from train.config import FitConfig
from train.course import Course, read_course, whole_course
from train.metrics import Estimate
from train.runs import write_origin
from train.scores import write_scores
from train.zoo_document import Document, Step
from train.zoo_figure import draw
from train.zoo_table import NONE, Line, Speed, as_markdown, entry, left_out_auc

ROOT = Path(__file__).parents[2]
SPEED = Speed("INT8", 7_200_000, 7_038_529, {1: 9.4, 4: 7.1})
COURSE = Course(0.81, 0.9, 0.95, 4, 5, 3000.0, 25_440)


def line(name: str, **changes: Any) -> Line:
    values: dict[str, Any] = {
        "name": name,
        "family": "densenet121",
        "size": 224,
        "auc": Estimate(0.99, 0.985, 0.995),
        "tpr": Estimate(0.87, 0.8, 0.9),
        "part": Estimate(0.98, 0.96, 0.99),
        "pictures": 886,
        "unseen": 0.84,
        "speed": SPEED,
        "course": COURSE,
    }
    return Line(**{**values, **changes})


def test_models_are_named_as_runs_or_as_exported_ones(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(UnmaskError, match=r"run: neither best\.keras nor card\.json here"):
        entry(str(run), WEIGHTS)
    (run / "best.keras").write_bytes(b"")
    FitConfig(model="xception", size=299).write(run / "config.json")
    found = entry(str(run), WEIGHTS)
    assert found.run == run and found.model.family == "xception" and found.model.crop.size == 299
    found.model.needs_no_cutting()
    FitConfig(model="lnp_fusion", segmenter="mediapipe").write(run / "config.json")
    with pytest.raises(UnmaskError, match="learned from faces that mediapipe cut out"):
        entry(str(run), WEIGHTS).model.needs_no_cutting()
    assert entry(DEFAULT_MODEL, WEIGHTS).run is None
    assert entry(str(WEIGHTS / DEFAULT_MODEL), WEIGHTS).model.name == DEFAULT_MODEL
    with pytest.raises(UnmaskError, match=f"run: a run of lnp_fusion, while {DEFAULT_MODEL} is densenet121"):
        entry(f"{DEFAULT_MODEL}={run}", WEIGHTS)
    FitConfig(model="densenet121").write(run / "config.json")
    both = entry(f"{DEFAULT_MODEL}={run}", WEIGHTS)
    assert both.run == run and both.model.card is not None
    with pytest.raises(UnmaskError, match="nowhere: no such run folder; give NAME=RUN"):
        entry(f"{DEFAULT_MODEL}=nowhere", WEIGHTS)
    with pytest.raises(UnmaskError, match="no model here; the models found are"):
        entry("nobody", WEIGHTS)


def test_quality_comes_from_scores_or_from_the_card(tmp_path: Path) -> None:
    card = entry(DEFAULT_MODEL, WEIGHTS)
    auc, tpr, part, pictures = zoo_table._quality(card, None, 0)
    assert card.model.card is not None
    assert auc.value == card.model.card.metrics["test, all"]["auc"] and pictures == 886
    assert 0 < tpr.value < 1 and 0.9 < part.value < 1
    write_scores(tmp_path / "scores.csv", rows())
    auc, _, part, pictures = zoo_table._quality(entry(f"{DEFAULT_MODEL}={tmp_path}", WEIGHTS), None, 0)
    assert pictures == 200 and auc.low < auc.value < auc.high and np.isnan(part.value)


def test_generalisation_is_taken_from_a_leave_out_summary(tmp_path: Path) -> None:
    assert left_out_auc(None) is None and left_out_auc(tmp_path) is None
    (tmp_path / "leave-out").mkdir()
    (tmp_path / "leave-out" / "summary.json").write_text('{"mean_auc": 0.84}')
    assert left_out_auc(tmp_path) == 0.84
    (tmp_path / "summary.json").write_text('{"mean_auc": null}')
    assert left_out_auc(tmp_path) is None
    (tmp_path / "summary.json").write_text("[]")
    with pytest.raises(UnmaskError, match=r"summary\.json: not a summary of train leave-out"):
        left_out_auc(tmp_path)
    (tmp_path / "summary.json").write_text('{"mean_auc": 0.9, "folds_missing": 2}')
    with pytest.raises(UnmaskError, match=r"summary\.json: 2 of its folds are still to be done"):
        left_out_auc(tmp_path)


def left_out(folder: Path, auc: float, model: str = "densenet121") -> Path:
    (folder / "fold-0").mkdir(parents=True)
    FitConfig(model=model).write(folder / "fold-0" / "config.json")
    (folder / "summary.json").write_text(f'{{"mean_auc": {auc}}}')
    return folder


def test_the_table_is_read_as_it_was_written_and_filled_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (line("a", unseen=None), line("b", auc=NONE, tpr=NONE, part=NONE, pictures=None, course=None))
    made = Document("a machine", 3, (Step("2026-01-02", "the command"),), lines)
    table, run = tmp_path / "zoo", left_out(tmp_path / "run", 0.7)
    made.write(table)
    assert Document.read(table).as_markdown() == made.as_markdown()

    def said(*words: str) -> str:
        assert main(["compare", "--zoo", "--to", str(table), *words]) == 2
        return capsys.readouterr().err

    before = {path.name: path.read_bytes() for path in table.iterdir()}
    assert "--zoo needs models" in said()
    assert "--left-out a: give NAME=RUN" in said("--left-out", "a")
    assert "--left-out c: not in the table; its models are a, b" in said("--left-out", f"c={run}")
    assert "nowhere: no generator was left out here" in said("--left-out", f"a={tmp_path / 'nowhere'}")
    other = left_out(tmp_path / "other", 0.8, "xception")
    assert "a leave-out of xception, not of densenet121" in said("--left-out", f"a={other}")
    assert {path.name: path.read_bytes() for path in table.iterdir()} == before

    assert main(["compare", "--zoo", "--to", str(table), "--left-out", f"a={run}"]) == 0
    filled = Document.read(table)
    assert [x.unseen for x in filled.lines] == [0.7, 0.84]
    assert dataclasses.replace(filled.lines[0], unseen=None) == lines[0]
    text = (table / "zoo.md").read_text()
    assert "Made on 2026-01-02 by\n\n    the command\n" in text and f"    {filled.steps[1].command}\n" in text
    assert filled.steps[1].command.endswith(f"compare --zoo --to {table} --left-out a={run}") and "| 0.7000 |" in text

    (table / "zoo.json").write_text('{"schema": 1}')
    assert "zoo.json: no table of this version" in said("--left-out", f"a={run}")
    (table / "zoo.json").unlink()
    assert "zoo.json: no such table; name the models" in said("--left-out", f"a={run}")


def test_the_committed_table_is_one_of_this_version() -> None:
    table = ROOT / "docs" / "zoo"
    assert Document.read(table).as_markdown() == (table / "zoo.md").read_text(encoding="utf-8")


def test_the_table_says_what_is_not_known(tmp_path: Path) -> None:
    lines = [
        line("unmask-densenet121"),
        line("a|<b>\u202e", auc=NONE, tpr=NONE, part=NONE, pictures=None, unseen=None, course=None),
        line("x", course=dataclasses.replace(COURSE, pictures=None), part=Estimate(0.97, np.nan, np.nan)),
    ]
    text = as_markdown(lines, "a machine")
    table = [row for row in text.splitlines() if row.startswith("|")]
    assert {row.replace("\\|", "").count("|") for row in table} == {11} and "<b>" not in text and "\u202e" not in text
    assert "0.9900 [0.985, 0.995]" in table[2] and "50 min, 5 epochs, 25,440 pictures" in table[2]
    assert table[2].startswith("| unmask-densenet121 |") and table[4].startswith("| x (densenet121) |")
    assert table[3].count("–") == 5 and "0.9700 |" in table[4] and "50 min, 5 epochs |" in table[4]
    document = [x.as_json() for x in lines]
    assert json.loads(json.dumps(document, allow_nan=False))[1]["test_auc"] == [None, None, None]
    figure = draw(lines)
    assert next(iter(figure.axes[0].get_yticklabels())).get_text().startswith("unmask-densenet121")
    figure.savefig(tmp_path / "zoo.png")


def test_a_course_tells_stages_and_cost(tmp_path: Path) -> None:
    assert read_course(tmp_path) is None
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss,valid_auc,valid_acc,seconds\n0,0.9,0.7,0.6,30\n")
    assert read_course(tmp_path) is None
    log.write_text(log.read_text() + "1,0.5,0.8,0.7,100\n2,0.4,0.9,0.7,200\n3,0.3,0.9,0.7,300\n")
    assert read_course(tmp_path) == Course(0.7, 0.8, 0.9, 2, 3, 330.0, None)
    log.write_text("epoch,loss\n1,x\n")
    with pytest.raises(UnmaskError, match=r"log\.csv: is no log of train fit"):
        read_course(tmp_path)


def test_the_cost_is_that_of_all_runs_that_the_weights_came_from(tmp_path: Path) -> None:
    first, second, third, mean = folders = [tmp_path / "here" / name for name in ("first", "second", "third", "mean")]
    for n, folder in enumerate(folders):
        folder.mkdir(parents=True)
        if folder != mean:
            (folder / "log.csv").write_text(f"epoch,loss,valid_auc,valid_acc,seconds\n1,0.9,0.{7 + n},0.6,{10**n}\n")
    write_origin(second, [first])
    write_origin(third, [first])
    write_origin(mean, [second, third])
    course = whole_course(mean)
    assert course is not None and (course.seconds, course.epochs, course.pictures) == (111, 3, None)
    moved = (tmp_path / "here").rename(tmp_path / "there")
    assert whole_course(moved / "mean") == course
    (moved / "first" / "log.csv").unlink()
    assert whole_course(moved / "mean") is None  # what is known of it would pass for the whole
    (moved / "mean" / "origin.json").write_text('{"runs": 3}')
    with pytest.raises(UnmaskError, match=r"origin\.json: does not name runs"):
        whole_course(moved / "mean")
