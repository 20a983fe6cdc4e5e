"""Several models in the window: chosen by clicks while it runs, told apart on the cards, and what they cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from PySide6.QtCore import QPoint, QSettings, Qt
from PySide6.QtWidgets import QDialogButtonBox, QTextBrowser

from app.core.consensus import Consensus
from app.core.errors import UnmaskError
from app.core.records import Verdict
from app.pipeline.live_state import LiveState, LiveStats
from app.ui.choices import Memory, Settings, SourceChoice
from app.ui.faces_panel import MEANINGS
from app.ui.figures import FiguresBar
from app.ui.settings_dialog import SettingsDialog
from app.ui.welcome import CardDialog
from tests.ui.conftest import World
from tests.ui.driving import CAMERA, click, runs

NAMES = ["one", "other", "third"]


@pytest.fixture(autouse=True)
def three_models(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ui.settings_dialog.available", lambda: NAMES)
    monkeypatch.setattr("app.ui.settings_dialog.read_consensus", world.consensus)


def _dialog(window: Any, qtbot: Any, until: Any) -> SettingsDialog:
    window.activateWindow()
    until(lambda: window.isActiveWindow() and not window.findChildren(SettingsDialog))
    qtbot.keyClick(window, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    until(lambda: window.findChild(SettingsDialog) is not None and window.findChild(SettingsDialog).isVisible())
    return window.findChild(SettingsDialog)  # type: ignore[no-any-return]


def _check(qtbot: Any, dialog: SettingsDialog, name: str) -> None:
    """Click the box before a model's name."""
    models = dialog.models
    (item,) = models.findItems(name, Qt.MatchFlag.MatchExactly)
    models.scrollToItem(item)
    before, place = item.checkState(), models.visualItemRect(item)
    qtbot.mouseClick(models.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place.left() + 10, place.center().y()))
    assert item.checkState() is not before


def _ok(dialog: SettingsDialog) -> Any:
    return dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Ok)


def test_a_second_model_is_taken_while_it_runs(
    window: Any, world: World, store: QSettings, qtbot: Any, until: Any
) -> None:
    window.apply_settings(Settings(models=("one",), output=window.settings.output))
    window.open(CAMERA)
    until(lambda: runs(window) and window.faces._cards)
    assert not window.figures._labels["scored"].text().startswith("scoring")
    assert not window.faces._cards[1]._votes.isVisible()

    dialog = _dialog(window, qtbot, until)
    _check(qtbot, dialog, "other")
    assert "No weights were fitted for one+other, so every model counts alike." in dialog._models_hint.text()
    click(qtbot, _ok(dialog))
    until(lambda: window.settings.models == ("one", "other") and runs(window))
    until(lambda: window.bridge.engine.consensus is not None and window.bridge.engine.consensus.name == "one+other")
    until(lambda: 1 in window.faces._cards and window.faces._cards[1]._votes.text())
    votes = window.faces._cards[1]._votes
    until(votes.isVisible)  # A new card is shown once it has its place.
    assert (
        votes.text().replace("\N{NO-BREAK SPACE}", " ")
        == "one: AI-GENERATED, AI over 99 %\nother: AI-GENERATED, AI 92 %"
    )
    until(lambda: "with 2 models; one alone would be about" in window.figures._labels["scored"].text())
    until(lambda: any("No weights were fitted" in window.log.item(i).text() for i in range(window.log.count())))
    assert Memory(store).settings().models == ("one", "other")

    dialog = _dialog(window, qtbot, until)
    _check(qtbot, dialog, "one")
    click(qtbot, _ok(dialog))
    until(lambda: window.settings.models == ("other",) and runs(window))
    until(lambda: 1 in window.faces._cards and not window.faces._cards[1]._votes.isVisible())


def test_what_a_change_of_models_costs_is_said_before(window: Any, until: Any, qtbot: Any) -> None:
    dialog = _dialog(window, qtbot, until)
    assert "opens the source anew" not in dialog._models_hint.text()
    dialog.reject()
    window.open(CAMERA)
    until(lambda: runs(window))
    dialog = _dialog(window, qtbot, until)
    _check(qtbot, dialog, "other")
    for words in ("opens the source anew", "a recording ends"):
        assert words in dialog._models_hint.text() and words in dialog.device.toolTip()
    dialog.reject()


@pytest.mark.parametrize("paused", [True, False])
def test_a_file_goes_on_where_it_was_with_other_models(window: Any, world: World, until: Any, *, paused: bool) -> None:
    window.open(SourceChoice.of("demo"))
    until(lambda: runs(window))
    if paused:
        window.does.play.trigger()
        until(lambda: window.bridge.state is LiveState.PAUSED)
    window.seek(8.0)
    until(lambda: window.bridge.newest[0].time_s >= 7.9)
    window.apply_settings(replace(window.settings, models=("one", "other")))
    # Changed again while the source is being opened: it is not forgotten where.
    window.apply_settings(replace(window.settings, models=("other", "third")))
    until(lambda: window.bridge.engine is not None and window.bridge.engine.consensus is not None)
    until(lambda: window.bridge.state is (LiveState.PAUSED if paused else LiveState.RUNNING))
    assert window.bridge.engine.consensus.name == "other+third"
    until(lambda: window.bridge.newest is not None and window.bridge.newest[0].time_s >= 7.9)
    window.open(SourceChoice.of("demo"))
    until(lambda: runs(window))
    assert window.bridge.newest[0].time_s < 7, "opened by hand it begins at its start"


def test_without_a_model_there_is_nothing_to_take(window: Any, qtbot: Any, until: Any) -> None:
    window.apply_settings(Settings(models=("third", "one"), output=window.settings.output))
    dialog = _dialog(window, qtbot, until)
    assert [dialog.models.item(row).text() for row in range(3)] == ["third", "one", "other"], "those in use come first"
    assert dialog.chosen().models == ("third", "one")
    for name in ("third", "one"):
        _check(qtbot, dialog, name)
    assert not _ok(dialog).isEnabled() and "Check at least one." in dialog._models_hint.text()
    _check(qtbot, dialog, "other")
    assert _ok(dialog).isEnabled() and dialog.chosen().models == ("other",)
    dialog.reject()


def test_weights_that_do_not_fit_are_told_where_they_are_chosen(
    window: Any, qtbot: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(names: Any) -> Consensus:
        raise UnmaskError("one+other.json: was fitted with another one than is here; remove the file")

    monkeypatch.setattr("app.ui.settings_dialog.read_consensus", refuse)
    window.apply_settings(Settings(models=("one",), output=window.settings.output))
    dialog = _dialog(window, qtbot, until)
    _check(qtbot, dialog, "other")
    assert "was fitted with another one than is here" in dialog._models_hint.text()
    dialog.reject()


def test_help_tells_of_all_of_them(window: Any, qtbot: Any, until: Any) -> None:
    window.apply_settings(Settings(models=("one", "other"), output=window.settings.output))
    until(lambda: window._consensus is not None and window._consensus.name == "one+other")
    window.does.card.trigger()
    until(lambda: window.findChild(CardDialog) is not None)
    dialog = window.findChild(CardDialog)
    text = dialog.findChild(QTextBrowser).toPlainText()
    assert "2 models judge together" in text and "every model counts alike" in text
    assert text.count("Meant for.") == 2 and "The heatmap is that of one." in text
    dialog.reject()


def test_the_heatmap_says_whose_it_is(window: Any, until: Any) -> None:
    window.apply_settings(Settings(models=("one", "other"), output=window.settings.output))
    window.open(SourceChoice.of("demo"))
    until(lambda: runs(window) and window.faces._cards)
    window.does.heatmap.setChecked(True)
    until(lambda: window.view._heat is not None)
    assert window.view._heat.caption == "Face 1: yellow marks what spoke most for AI-generated (by one)"


def test_what_was_kept_before_there_were_several_is_read(store: QSettings) -> None:
    store.setValue("model", "mine")
    assert Memory(store).settings().models == ("mine",)
    Memory(store).keep(Settings(models=("a", "b")))
    store.sync()
    assert Memory(QSettings(store.fileName(), QSettings.Format.IniFormat)).settings().models == ("a", "b")


def test_figures_say_what_further_models_cost(qtbot: Any) -> None:
    bar = FiguresBar()
    qtbot.addWidget(bar)
    plain = LiveStats(30.0, 14.0, 14.0, 0.04, 0.02, 3, "CPU", 1.0, None, 75)
    bar.show_stats(plain)
    assert bar._labels["scored"].text() == "14 scores/s"
    several = LiveStats(30.0, 7.0, 7.0, 0.04, 0.02, 3, "CPU", 1.0, None, 75, (("a", 0.065), ("b", 0.071)), 14.0)
    bar.show_stats(several)
    assert bar._labels["scored"].text() == "scoring 7/s with 2 models; one alone would be about 14/s"
    assert "a 65 ms, b 71 ms" in bar._labels["scored"].toolTip()


def test_slow_scores_are_not_told_as_none(qtbot: Any) -> None:
    bar = FiguresBar()
    qtbot.addWidget(bar)
    models = (("a", 0.9), ("b", 1.1))

    def words(score_rate: float, alone_rate: float, *names: tuple[str, float]) -> str:
        bar.show_stats(LiveStats(30.0, 0.5, score_rate, 2.0, 1.0, 3, "CPU", 1.0, None, 75, names, alone_rate), 30.0)
        return bar._labels["scored"].text()

    assert words(0.5, 0.94, *models) == "scoring 0.5/s with 2 models; one alone would be about 0.9/s"
    assert words(0.0, 0.0, *models) == "scoring less than 1/s with 2 models"
    assert words(0.5, 0.0) == "0.5 scores/s"
    assert bar._labels["analysed"].text() == "0.5 analysed/s"


def test_meanings_are_those_of_several_models_too() -> None:
    assert "models disagree" in MEANINGS[Verdict.UNCERTAIN]
    assert all("or models" in MEANINGS[verdict] for verdict in (Verdict.REAL, Verdict.FAKE))
