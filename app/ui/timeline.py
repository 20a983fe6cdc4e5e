"""Below the picture: the probability of every face over time, to look at and to seek by."""

from __future__ import annotations

from collections.abc import Sequence

import pyqtgraph as pg  # type: ignore[import-untyped]
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPalette, QPen
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.core.cards import Thresholds
from app.core.records import Verdict
from app.ui.faces_panel import clock
from app.ui.lines import Timelines, drawn
from app.ui.look import described, line_of, muted, verdict_colour

WINDOW_S = 60.0
"""What a live source's timeline shows."""
LINES = 8
"""Lines drawn: the selected face and the latest others. More cannot be told apart."""

_VERDICTS = (Verdict.REAL, Verdict.UNCERTAIN, Verdict.FAKE)
"""From the bottom to the top."""


class _TimeAxis(pg.AxisItem):  # type: ignore[misc]
    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        return [clock(value) if spacing < 1 else clock(value).removesuffix(".0") for value in values]


class _Plot(pg.PlotWidget):  # type: ignore[misc]
    """A plot whose only gesture is seeking: press or drag anywhere."""

    sought = Signal(float)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._seek(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._seek(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def wheelEvent(self, event: QEvent) -> None:
        event.ignore()

    def _seek(self, position: QPointF) -> None:
        view = self.getPlotItem().getViewBox()
        self.sought.emit(float(view.mapSceneToView(self.mapToScene(position.toPoint())).x()))


class Timeline(QWidget):
    """A line per face; the band between the thresholds is where nothing is decided."""

    sought = Signal(float)
    """A click or drag at this time; only for sources that can seek."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Timeline")
        self.setAccessibleDescription("The probability of AI generation of every face over time")
        self._plot = described(
            _Plot(axisItems={"bottom": _TimeAxis("bottom")}),
            "Timeline",
            "How likely each face is AI-generated, over time. Click or drag to go there (video files)",
        )
        self._plot.setMinimumHeight(90)
        self._plot.setMenuEnabled(False)
        self._plot.hideButtons()
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.setYRange(-0.04, 1.08, padding=0)
        self._plot.getAxis("left").setTicks([[(0, "0 %"), (0.5, "50 %"), (1, "100 %")]])
        self._plot.showAxis("right")
        self._plot.getAxis("right").setStyle(tickLength=0)
        self._band = pg.LinearRegionItem(orientation="horizontal", movable=False)
        self._plot.addItem(self._band)
        self._upper = pg.InfiniteLine(angle=0)
        self._lower = pg.InfiniteLine(angle=0)
        self._now = pg.InfiniteLine(angle=90)
        for item in (self._upper, self._lower, self._now):
            self._plot.addItem(item)
        self._lines: dict[int, pg.PlotDataItem] = {}
        self._duration: float | None = None
        self._seekable = False
        self._plot.sought.connect(self._seek)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 8, 4)
        layout.addWidget(self._plot)
        self.set_thresholds(None)
        self._dress()

    def reset(self, *, seekable: bool) -> None:
        for line in self._lines.values():
            self._plot.removeItem(line)
        self._lines.clear()
        self._seekable, self._duration = seekable, None
        self._plot.setCursor(Qt.CursorShape.PointingHandCursor if seekable else Qt.CursorShape.ArrowCursor)
        self.set_position(0.0, None)

    def set_thresholds(self, thresholds: Thresholds | None) -> None:
        """Where verdicts change; None before the model's card is read."""
        low, high = (0.5, 0.5) if thresholds is None else (thresholds.real, thresholds.fake)
        self._band.setRegion((low, high))
        self._lower.setValue(low)
        self._upper.setValue(high)
        zones = ((0.0, low), (low, high), (high, 1.0))
        names = [(sum(zone) / 2, verdict.words) for zone, verdict in zip(zones, _VERDICTS, strict=True)]
        self._plot.getAxis("right").setTicks([names if thresholds is not None else []])

    def set_position(self, time_s: float, duration_s: float | None) -> None:
        """Move the line of "now", and the window over a live source with it."""
        self._duration = duration_s
        self._now.setValue(time_s)
        first, last = (
            (0.0, max(duration_s, 0.1)) if duration_s else (max(0.0, time_s - WINDOW_S), max(time_s, WINDOW_S))
        )
        self._plot.setXRange(first, last, padding=0.01)

    def show_lines(self, lines: Timelines, selected: int) -> None:
        """Draw the newest faces' lines, the selected one thick and on top."""
        shown = sorted(lines, key=lambda t: (t != selected, -t))[:LINES]
        for track in self._lines.keys() - set(shown):
            self._plot.removeItem(self._lines.pop(track))
        for track in shown:
            line = self._lines.get(track)
            if line is None:
                line = self._lines[track] = pg.PlotDataItem(connect="finite", antialias=True)
                self._plot.addItem(line)
            look = line_of(track, self.palette())
            line.setPen(self._pen(look.color(), 3.5 if track == selected else look.widthF(), look.style()))
            line.setZValue(10 if track == selected else 5)
            line.setData(*drawn(lines[track]))

    def point_of(self, time_s: float, p: float = 0.5) -> QPointF:
        """Where a time lies in this widget."""
        view = self._plot.getPlotItem().getViewBox()
        point = self._plot.mapFromScene(view.mapViewToScene(QPointF(time_s, p)))
        return QPointF(self._plot.mapTo(self, point))

    @property
    def canvas(self) -> QWidget:
        """The widget that takes the clicks."""
        viewport: QWidget = self._plot.viewport()
        return viewport

    def changeEvent(self, event: QEvent) -> None:
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange) and hasattr(self, "_plot"):
            self._dress()
        super().changeEvent(event)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self._dress()
        return bool(super().event(event))

    def _pen(self, colour: QColor, width: float, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> QPen:
        # The plot counts the widths of its lines in the screen's own pixels.
        return pg.mkPen(colour, width=width * self.devicePixelRatioF(), style=style)  # type: ignore[no-any-return]

    def _seek(self, time_s: float) -> None:
        if self._seekable and self._duration:
            self.sought.emit(min(max(0.0, time_s), self._duration))

    def _dress(self) -> None:
        """Take the palette's colours."""
        palette = self.palette()
        text, quiet = palette.color(QPalette.ColorRole.WindowText), muted(palette)
        self._plot.setBackground(palette.color(QPalette.ColorRole.Base))
        for name in ("left", "bottom", "right"):
            axis = self._plot.getAxis(name)
            axis.setPen(self._pen(quiet, 1) if name != "right" else pg.mkPen(None))
            axis.setTickPen(axis.pen())
            axis.setTextPen(pg.mkPen(text if name != "right" else quiet))
            axis.setTickFont(self.font())
        # As wide as the longest words in the font in use: the plot leaves out what does not fit.
        metrics = self.fontMetrics()
        self._plot.getAxis("left").setWidth(metrics.horizontalAdvance("100 %") + 14)
        self._plot.getAxis("right").setWidth(max(metrics.horizontalAdvance(v.words) for v in _VERDICTS) + 12)
        shade = QColor(verdict_colour(Verdict.UNCERTAIN))
        shade.setAlpha(46)
        self._band.setBrush(shade)
        for edge in self._band.lines:
            edge.setPen(pg.mkPen(None))
        for line, verdict in ((self._upper, Verdict.FAKE), (self._lower, Verdict.REAL)):
            line.setPen(self._pen(verdict_colour(verdict), 1.5))
        self._now.setPen(self._pen(text, 1.5))
