"""--redact in the window: it reaches everything that is kept, and outlives the settings dialog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from app.arguments import build_parser
from app.core.cards import ModelCard
from app.core.consensus import Consensus
from app.core.errors import UnmaskError
from app.core.records import Box, Detection, FaceResult, Frame, FrameResult, Opinion, Verdict
from app.ui.bridge import make_engine
from app.ui.choices import Settings, SourceChoice
from app.ui.session import write_snapshot
from app.ui.settings_dialog import SettingsDialog


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_snapshot_shows_flagged_faces_only(tmp_path: Path, noise: Callable[..., Any], verdict: Verdict) -> None:
    face = FaceResult(1, Detection(Box(100, 80, 180, 160), 0.9), None, None, Opinion(verdict, None, "because"))
    frame = Frame(0, 0.0, noise())
    path = write_snapshot(tmp_path / "s.png", frame, FrameResult(0, 0.0, (face,)), redact=True)
    kept = cv2.imread(str(path))
    assert kept is not None
    inside = (slice(100, 150), slice(120, 170))
    assert bool((kept[inside] == noise()[inside]).all()) is (verdict is Verdict.FAKE)
    assert (frame.image == noise()).all()


def test_no_snapshot_before_faces_were_looked_for(tmp_path: Path, noise: Callable[..., Any]) -> None:
    with pytest.raises(UnmaskError, match="not looked for yet"):
        write_snapshot(tmp_path / "s.png", Frame(0, 0.0, noise()), None, redact=True)
    assert not (tmp_path / "s.png").exists()


def test_the_engine_of_the_window_is_told() -> None:
    assert build_parser().parse_args(["live", "--redact"]).redact is True
    for redact in (True, False):
        settings = replace(Settings(), redact=redact)
        engine = make_engine(SourceChoice.of("demo"), settings, lambda state: None, lambda event: None)
        assert engine.highlights.redact is redact


def test_the_settings_dialog_keeps_it(qtbot: Any, make_card: Callable[..., ModelCard]) -> None:
    dialog = SettingsDialog(replace(Settings(), redact=True), Consensus.of(make_card()))
    qtbot.addWidget(dialog)
    assert dialog.chosen().redact
