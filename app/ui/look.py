"""Colours and icons: drawn here, so that they follow the palette and stay sharp on any screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QAction, QColor, QIcon, QPainter, QPainterPath, QPalette, QPen, QPixmap
from PySide6.QtWidgets import QToolButton, QWidget

from app.core.records import Verdict
from app.vision.overlay import COLOURS

_Widget = TypeVar("_Widget", bound=QWidget)


def described(widget: _Widget, name: str, tip: str = "") -> _Widget:
    """The widget with a name for those who hear the screen, and a tip in plain words."""
    widget.setAccessibleName(name)
    widget.setToolTip(tip)
    return widget


def follow(button: QToolButton, action: QAction) -> QToolButton:
    """The button with the name of its action, whatever that turns to: Play, Pause."""

    def rename() -> None:
        button.setAccessibleName(action.text().replace("&", ""))

    action.changed.connect(rename)
    rename()
    return button


def verdict_colour(verdict: Verdict) -> QColor:
    blue, green, red = COLOURS[verdict]
    return QColor(red, green, blue)


def ink_on(colour: QColor) -> QColor:
    """White where bold words in it can be read on ``colour`` (a contrast of 3 to 1 by WCAG), else black."""
    parts = (colour.redF(), colour.greenF(), colour.blueF())
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return QColor(Qt.GlobalColor.white if 1.05 / (luminance + 0.05) >= 3 else Qt.GlobalColor.black)


def muted(palette: QPalette) -> QColor:
    """Text of less weight that still has enough contrast on the window's ground in light and dark."""
    text, ground = palette.color(QPalette.ColorRole.WindowText), palette.color(QPalette.ColorRole.Window)
    both = ((text.red(), ground.red()), (text.green(), ground.green()), (text.blue(), ground.blue()))
    return QColor(*(round(0.72 * a + 0.28 * b) for a, b in both))


# Okabe and Ito's palette without the colours that mean a verdict.
_LINE_COLOURS = ("#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_LINE_STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine)


def line_of(track: int, palette: QPalette) -> QPen:
    """How a face's line is drawn, in the timeline and on its card: eight lines can be told apart."""
    colour = QColor(_LINE_COLOURS[track % len(_LINE_COLOURS)])
    if palette.color(QPalette.ColorRole.Base).lightness() > 128:
        colour = colour.darker(125)
    return QPen(colour, 2, _LINE_STYLES[track // len(_LINE_COLOURS) % len(_LINE_STYLES)])


_Draw = Callable[[QPainter], None]


def icon(name: str, palette: QPalette) -> QIcon:
    """The icon ``name`` in the palette's text colour, and greyed for when it is disabled."""
    result = QIcon()
    for mode, group in (
        (QIcon.Mode.Normal, QPalette.ColorGroup.Active),
        (QIcon.Mode.Disabled, QPalette.ColorGroup.Disabled),
    ):
        colour = palette.color(group, QPalette.ColorRole.ButtonText)
        for side in (20, 40):
            pixmap = QPixmap(side, side)
            pixmap.fill(Qt.GlobalColor.transparent)
            painter = QPainter(pixmap)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.scale(side / 20, side / 20)
            painter.setPen(QPen(colour, 1.6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            _ICONS[name](painter)
            painter.end()
            result.addPixmap(pixmap, mode)
    return result


def _filled(*points: tuple[float, float]) -> _Draw:
    def draw(painter: QPainter) -> None:
        path = QPainterPath(QPointF(*points[0]))
        for point in points[1:]:
            path.lineTo(*point)
        path.closeSubpath()
        painter.fillPath(path, painter.pen().color())

    return draw


def _lines(*strokes: tuple[tuple[float, float], ...]) -> _Draw:
    def draw(painter: QPainter) -> None:
        for stroke in strokes:
            painter.drawPolyline([QPointF(*point) for point in stroke])

    return draw


def _both(*parts: _Draw) -> _Draw:
    def draw(painter: QPainter) -> None:
        for part in parts:
            part(painter)

    return draw


def _circle(x: float, y: float, radius: float, *, filled: bool = False) -> _Draw:
    def draw(painter: QPainter) -> None:
        if filled:
            painter.setBrush(painter.pen().color())
        painter.drawEllipse(QPointF(x, y), radius, radius)
        painter.setBrush(Qt.BrushStyle.NoBrush)

    return draw


def _box(x: float, y: float, width: float, height: float) -> _Draw:
    return lambda painter: painter.drawRoundedRect(QRectF(x, y, width, height), 1.5, 1.5)


_ICONS: dict[str, _Draw] = {
    "open": _lines(((2, 16), (2, 4), (7, 4), (9, 6.5), (18, 6.5), (18, 16), (2, 16))),
    "play": _filled((5, 3), (17, 10), (5, 17)),
    "pause": _both(_filled((5, 3), (8.5, 3), (8.5, 17), (5, 17)), _filled((11.5, 3), (15, 3), (15, 17), (11.5, 17))),
    "step": _both(_filled((3, 3), (13, 10), (3, 17)), _filled((14, 3), (17, 3), (17, 17), (14, 17))),
    "previous": _both(_lines(((12, 4), (6, 10), (12, 16))), _circle(16, 10, 1.2, filled=True)),
    "next": _both(_lines(((8, 4), (14, 10), (8, 16))), _circle(4, 10, 1.2, filled=True)),
    "record": _both(_circle(10, 10, 7.5), _circle(10, 10, 4, filled=True)),
    "stop": _filled((4, 4), (16, 4), (16, 16), (4, 16)),
    "snapshot": _both(_box(2, 6, 16, 11), _circle(10, 11.5, 3.2), _lines(((7, 6), (8, 3.5), (12, 3.5), (13, 6)))),
    "heatmap": _both(_circle(10, 10, 7.5), _circle(11.5, 8.5, 3.8), _circle(12.2, 7.8, 1, filled=True)),
    "fullscreen": _lines(
        ((2, 7), (2, 2), (7, 2)),
        ((13, 2), (18, 2), (18, 7)),
        ((18, 13), (18, 18), (13, 18)),
        ((7, 18), (2, 18), (2, 13)),
    ),
    "report": _both(_box(4, 2, 12, 16), _lines(((7, 7), (13, 7)), ((7, 10.5), (13, 10.5)), ((7, 14), (11, 14)))),
    "settings": _both(
        _lines(((2, 5), (10, 5)), ((15, 5), (18, 5)), ((2, 14.5), (4, 14.5)), ((9, 14.5), (18, 14.5))),
        _circle(12.5, 5, 2.2),
        _circle(6.5, 14.5, 2.2),
    ),
    "camera": _both(_box(2, 5, 11, 10), _lines(((13, 9), (18, 6), (18, 14), (13, 11)))),
    "recent": _both(_circle(10, 10, 7.5), _lines(((10, 5.5), (10, 10), (13.5, 12)))),
    "screen": _both(_box(2, 3, 16, 11), _lines(((7, 17.5), (13, 17.5)), ((10, 14), (10, 17.5)))),
    "stream": _both(
        _circle(10, 10, 1.6, filled=True),
        lambda p: p.drawArc(QRectF(5, 5, 10, 10), -50 * 16, 100 * 16),
        lambda p: p.drawArc(QRectF(5, 5, 10, 10), 130 * 16, 100 * 16),
        lambda p: p.drawArc(QRectF(1.5, 1.5, 17, 17), -50 * 16, 100 * 16),
        lambda p: p.drawArc(QRectF(1.5, 1.5, 17, 17), 130 * 16, 100 * 16),
    ),
}
