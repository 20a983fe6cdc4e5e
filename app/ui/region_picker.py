"""Choosing a part of the screen by dragging over it."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QCursor, QGuiApplication, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QWidget

from app.ui.look import described

SMALLEST = 64
"""Pixels of the shorter side; nobody watches less, and a mere click is no choice."""


class RegionPicker(QWidget):
    """Darkens the screen and lets a region be drawn on it; Esc leaves without one."""

    picked = Signal(QRect)
    """In the screen's own pixels, as capturing counts them."""

    def __init__(self) -> None:
        super().__init__(None, Qt.WindowType.FramelessWindowHint | Qt.WindowType.WindowStaysOnTopHint)
        self.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setCursor(Qt.CursorShape.CrossCursor)
        described(self, "Drag over the part of the screen to watch; Escape cancels")
        self._start: QPoint | None = None
        self._area = QRect()
        self._behind = QPixmap()

    def show_on_screen(self) -> None:
        """Cover the screen that the pointer is on."""
        screen = QGuiApplication.screenAt(QCursor.pos()) or QGuiApplication.primaryScreen()
        # A picture of the screen: where nothing blends windows, a translucent one is black.
        self._behind = screen.grabWindow(0)
        self.setGeometry(screen.geometry())
        self.showFullScreen()
        self.activateWindow()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        if not self._behind.isNull():
            painter.drawPixmap(self.rect(), self._behind)
        shade = QColor(0, 0, 0, 130)
        if self._area.isEmpty():
            painter.fillRect(self.rect(), shade)
            self._say(painter, "Drag over the part to watch. Esc cancels.", self.rect().center())
        else:
            for part in _around(self.rect(), self._area):
                painter.fillRect(part, shade)
            painter.setPen(QColor("white"))
            painter.drawRect(self._area)
            self._say(painter, self._size_text(), self._area.center())
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._start = event.position().toPoint()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._start is not None:
            self._area = _between(self._start, event.position().toPoint())
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._start is None:
            return
        area, ratio = _between(self._start, event.position().toPoint()), self.devicePixelRatioF()
        self._start, self._area = None, QRect()
        # Qt places screens by their own pixels and only counts inside them in larger ones.
        x, y = self.geometry().x() + area.x() * ratio, self.geometry().y() + area.y() * ratio
        width, height = round(area.width() * ratio), round(area.height() * ratio)
        if min(width, height) < SMALLEST:
            self.update()
            return
        self.close()
        # Encoders want even sides.
        self.picked.emit(QRect(round(x), round(y), width - width % 2, height - height % 2))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.close()

    def _size_text(self) -> str:
        ratio = self.devicePixelRatioF()
        width, height = round(self._area.width() * ratio), round(self._area.height() * ratio)
        return f"{width} × {height}" if min(width, height) >= SMALLEST else "too small"

    def _say(self, painter: QPainter, text: str, middle: QPoint) -> None:
        font = self.font()
        font.setPointSizeF(1.4 * font.pointSizeF())
        painter.setFont(font)
        place = QRectF(painter.fontMetrics().boundingRect(text)).adjusted(-14, -8, 14, 8)
        place.moveCenter(middle.toPointF())
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(20, 20, 22, 220))
        painter.drawRoundedRect(place, 6, 6)
        painter.setPen(QColor("white"))
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)
        painter.setBrush(Qt.BrushStyle.NoBrush)


def _between(one: QPoint, other: QPoint) -> QRect:
    (x0, x1), (y0, y1) = sorted((one.x(), other.x())), sorted((one.y(), other.y()))
    return QRect(x0, y0, x1 - x0, y1 - y0)


def _around(whole: QRect, hole: QRect) -> list[QRect]:
    """``whole`` without ``hole``."""
    return [
        QRect(whole.left(), whole.top(), whole.width(), hole.top() - whole.top()),
        QRect(whole.left(), hole.bottom() + 1, whole.width(), whole.bottom() - hole.bottom()),
        QRect(whole.left(), hole.top(), hole.left() - whole.left(), hole.height()),
        QRect(hole.right() + 1, hole.top(), whole.right() - hole.right(), hole.height()),
    ]
