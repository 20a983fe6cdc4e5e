"""The window for those who do not see it, do not see its colours, or do not use a mouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtGui import QAction, QColor, QPalette
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QLineEdit,
    QMenu,
    QScrollArea,
    QScrollBar,
    QWidget,
)

from app.core.cards import ModelCard
from app.core.consensus import Consensus
from app.core.records import Verdict
from app.ui.choices import SourceChoice
from app.ui.faces_panel import FaceCard
from app.ui.look import ink_on, line_of, muted, verdict_colour
from app.ui.main_window import MainWindow
from app.ui.region_picker import RegionPicker
from app.ui.settings_dialog import SettingsDialog
from app.ui.welcome import CardDialog
from tests.ui.conftest import DEADLINE_MS
from tests.ui.palettes import palette
from tests.ui.scripted import Person, maker

CONTROLS = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit, QAbstractItemView, FaceCard)
LIGHT, DARK = palette(dark=False), palette(dark=True)


@pytest.fixture
def shown(
    qtbot: Any, store: QSettings, make_card: Callable[..., ModelCard], monkeypatch: pytest.MonkeyPatch
) -> Iterator[MainWindow]:
    """A window in which a face is watched."""
    card = make_card(thresholds={"min_sharpness": 0.0})
    monkeypatch.setattr("app.ui.main_window.read_consensus", lambda names: Consensus.of(card))
    monkeypatch.setattr("app.ui.sources_menu.can_watch_screen", lambda: True)
    window = MainWindow(store, make=maker([Person(240, 110, 130, lambda t: 0.04)], card), cameras=list)
    qtbot.addWidget(window)
    with qtbot.waitExposed(window):
        window.show()
    qtbot.waitUntil(lambda: window.timeline is not None and window._consensus is not None, timeout=DEADLINE_MS)
    window.open(SourceChoice.of("film.mp4"))
    qtbot.waitUntil(lambda: bool(window.faces._cards), timeout=DEADLINE_MS)
    yield window
    window.close()


def controls(parent: QWidget) -> list[QWidget]:
    """What can be pressed, chosen, typed into or reached by Tab, but for what Qt builds its own controls of."""
    found = []
    for widget in parent.findChildren(QWidget):
        inside = widget.parentWidget()
        part_of_a_control = isinstance(inside, (QComboBox, QAbstractSpinBox)) or isinstance(widget, QScrollBar)
        part_of_a_control |= isinstance(inside, QFrame) and isinstance(inside.parentWidget(), QComboBox)
        part_of_a_control |= isinstance(inside, QAbstractScrollArea) and widget is inside.viewport()
        by_tab = bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus)
        hidden_part = widget.objectName().startswith(("qt_toolbar_ext", "qt_menubar_ext", "qt_dockwidget_float"))
        hidden_part |= widget.objectName().startswith("Scroll")  # the arrows of tabs that do not fit
        if (isinstance(widget, CONTROLS) or by_tab) and not part_of_a_control and not hidden_part:
            found.append(widget)
    return found


def nameless(parent: QWidget) -> list[str]:
    return [f"{type(w).__name__} {w.objectName()}" for w in controls(parent) if not w.accessibleName()]


def untold(parent: QWidget) -> list[str]:
    # An area that only scrolls does nothing that needs telling, and a tip over the video would hide it.
    return [
        f"{type(w).__name__} {w.accessibleName()}"
        for w in controls(parent)
        if not isinstance(w, QScrollArea) and len(w.toolTip().split()) < 2
    ]


def test_every_control_of_the_window_has_a_name_and_a_tip(shown: MainWindow) -> None:
    shown.banner.tell("Something happened.", [shown._other_source, shown._to_settings])
    found = controls(shown)
    assert len(found) > 25 and any(isinstance(w, FaceCard) for w in found)
    assert not nameless(shown)
    assert not untold(shown)


def test_every_control_of_the_dialogs_has_a_name_and_a_tip(shown: MainWindow) -> None:
    shown.ask_settings()
    shown.does.card.trigger()
    for kind, least in ((SettingsDialog, 12), (CardDialog, 2)):
        dialog = shown.findChild(kind)
        assert len(controls(dialog)) >= least
        assert not nameless(dialog)
        assert not untold(dialog)


def test_region_picker_says_what_to_do(qtbot: Any) -> None:
    picker = RegionPicker()
    qtbot.addWidget(picker)
    assert "Escape" in picker.accessibleName()


def test_every_entry_of_the_menus_has_a_tip(shown: MainWindow) -> None:
    def entries(menu: QMenu) -> Iterator[QAction]:
        for action in menu.actions():
            if inner := action.menu():
                yield from entries(inner)
            elif not action.isSeparator() and action.isEnabled() and action.isVisible():
                yield action

    menus = [action.menu() for action in shown.menuBar().actions()]
    actions = [action for menu in menus if isinstance(menu, QMenu) for action in entries(menu)]
    assert len(actions) > 20
    # Without a tip of its own an entry repeats its text.
    silent = [a.text() for a in actions if a.toolTip() in ("", a.text().replace("&", "").rstrip("…"))]
    assert not silent


def test_the_usual_keys_are_taken_once(shown: MainWindow) -> None:
    actions = {action for action in shown.findChildren(QAction) if not action.shortcut().isEmpty()}
    keys = [action.shortcut().toString() for action in actions]
    assert {"Ctrl+O", "Space", "Left", "Right", "R", "S", "H", "F11", "Esc"} <= set(keys)
    assert len(keys) == len(set(keys))


def test_names_follow_what_a_button_does_next(shown: MainWindow, qtbot: Any) -> None:
    def names() -> set[str]:
        return {w.accessibleName() for w in controls(shown.controls)}

    shown.does.show_playing(True)
    assert "Pause" in names()
    shown.does.show_playing(False)
    assert "Play" in names()


# As three kinds of colour-blind people see (Machado, Oliveira and Fernandes 2009, severity 1), on linear RGB.
DICHROMATS = {
    "protanope": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranope": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanope": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def linear(colour: QColor) -> Any:
    parts = np.asarray([colour.redF(), colour.greenF(), colour.blueF()])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def luminance(colour: QColor) -> float:
    return float(linear(colour) @ (0.2126, 0.7152, 0.0722))


def contrast(one: QColor, other: QColor) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: Any) -> Any:
    """CIE L*a*b* (D65) of linear RGB."""
    to_xyz = np.asarray(((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)))
    xyz = to_xyz @ np.clip(rgb, 0, 1) / (0.9505, 1.0, 1.089)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.asarray((116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])))


@pytest.mark.parametrize("kind", DICHROMATS)
def test_verdicts_are_told_apart_by_the_colour_blind(kind: str) -> None:
    seen = {verdict: lab(np.asarray(DICHROMATS[kind]) @ linear(verdict_colour(verdict))) for verdict in Verdict}
    for one, other in combinations(Verdict, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 30, (one, other)


@pytest.mark.parametrize("verdict", Verdict)
def test_words_can_be_read_on_the_verdicts_colours(verdict: Verdict) -> None:
    colour = verdict_colour(verdict)
    assert contrast(ink_on(colour), colour) >= 3


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_quiet_words_and_lines_stand_out_in_light_and_dark(colours: QPalette) -> None:
    assert contrast(muted(colours), colours.color(QPalette.ColorRole.Window)) >= 4.5
    for track in range(1, 9):
        assert contrast(line_of(track, colours).color(), colours.color(QPalette.ColorRole.Base)) >= 3, track


def test_eight_lines_differ() -> None:
    assert len({(line_of(t, LIGHT).color().name(), line_of(t, LIGHT).style()) for t in range(1, 9)}) == 8
