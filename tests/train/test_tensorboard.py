"""Event files: TensorFlow's own reader finds in them what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.core.errors import UnmaskError
from train.tensorboard import EventLog

tf = pytest.importorskip("tensorflow")


def events(folder: Path) -> list[Any]:
    files = sorted(folder.iterdir())
    return [event for file in files for event in tf.compat.v1.train.summary_iterator(str(file))]


def test_tensorflow_reads_what_was_written(tmp_path: Path) -> None:
    with EventLog(tmp_path / "logs", 1) as log:
        log.text(0, "config", "size: 224 é")
        log.scalars(10, {"train/loss": 0.5, "train/rate": 1e-3})
        log.scalars(300, {"valid/auc": 1})
    first, start, text, point, last = events(tmp_path / "logs")
    assert first.file_version == "brain.Event:2" and first.wall_time > 1e9
    assert (start.step, start.session_log.status) == (1, tf.compat.v1.SessionLog.START)
    (words,) = text.summary.value
    assert words.tag == "config" and words.metadata.plugin_data.plugin_name == "text"
    assert tf.make_ndarray(words.tensor).tolist() == ["size: 224 é".encode()]
    assert point.step == 10
    assert {v.tag: v.simple_value for v in point.summary.value} == pytest.approx(
        {"train/loss": 0.5, "train/rate": 1e-3}
    )
    assert last.step == 300 and last.summary.value[0].simple_value == 1


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    told = r"/dev/full: cannot be written \(No space left on device\); free some space or write to another folder"
    with pytest.raises(UnmaskError, match=told), EventLog(tmp_path, 1) as log:
        log._file = open("/dev/full", "wb")  # noqa: SIM115 - the log closes it
        log.scalars(10, {"train/loss": 0.5})
    # What ended the run is told, not that its log could not be written either.
    with pytest.raises(KeyboardInterrupt), EventLog(tmp_path, 1) as log:
        log._file = open("/dev/full", "wb")  # noqa: SIM115
        log.scalars(10, {"train/loss": 0.5})
        raise KeyboardInterrupt
    (tmp_path / "file").touch()
    with pytest.raises(UnmaskError, match=r"file: cannot be written \(File exists\)"):
        EventLog(tmp_path / "file", 1)


def test_a_resumed_run_goes_on_in_a_later_file_and_voids_lost_steps(tmp_path: Path) -> None:
    for step in (1, 21):
        with EventLog(tmp_path, step) as log:
            log.scalars(step + 9, {"loss": 1.0})
    assert [(e.step, bool(e.session_log.status)) for e in events(tmp_path)] == [
        *[(0, False), (1, True), (10, False)],
        *[(0, False), (21, True), (30, False)],
    ]


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with EventLog(None, 1) as log:
        log.scalars(1, {"loss": 1.0})
        log.text(1, "config", "x")
        log.flush()
    assert not list(tmp_path.iterdir())
