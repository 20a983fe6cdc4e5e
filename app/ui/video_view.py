"""The picture: the newest frame with its faces, drawn by Qt so that texts stay sharp at any size."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFont, QImage, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.core.crops import square_around
from app.core.records import Box, FaceResult, Frame, FrameResult, Verdict
from app.core.scoring import percent
from app.models.gradcam import heatmap
from app.pipeline.live_state import Recent
from app.ui.look import ink_on, verdict_colour

if TYPE_CHECKING:
    from app.core.consensus import Consensus
    from app.vision.analyzer import ScoredFace

FRESH_S, GONE_S = 0.15, 0.5
"""A result is drawn in full up to the first age and not at all from the second on."""
HINT_MS = 3000


@dataclass(frozen=True, slots=True)
class Heat:
    """Where the model looked on one face: ``heat`` is float32 (n, n) in [0, 1] over the crop of scale ``scale``;
    ``caption`` says what it means."""

    track: int
    heat: npt.NDArray[np.float32]
    scale: float
    caption: str

    @classmethod
    def of(cls, face: ScoredFace, judge: Consensus) -> Self:
        """Of the last time that a face was scored, by the first of the models."""
        toward_fake, first = face.toward_fake, judge.cards[0]
        by = "" if judge.alone else f" (by {first.name})"
        return cls(
            face.track,
            heatmap(face.evidence, face.crop.shape[0], toward_fake=toward_fake),
            first.preprocessing.crop_scale,
            f"Face {face.track}: yellow marks what spoke most for {'AI-generated' if toward_fake else 'real'}{by}",
        )


def strength(age_s: float) -> float:
    """How visible a result of this age is, in [0, 1]."""
    age = abs(age_s)
    return 1.0 if age <= FRESH_S else max(0.0, 1 - (age - FRESH_S) / (GONE_S - FRESH_S))


class VideoView(QWidget):
    """Paints frames; a click selects the face under it."""

    face_clicked = Signal(int)
    """The track's id, or 0 beside all faces."""

    def __init__(self, parent: QWidget | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(parent)
        self.setAccessibleName("Picture")
        self.setAccessibleDescription("The video with a box around every face; click a face to select it")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(320, 200)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._frame: Frame | None = None
        self._result: FrameResult | None = None
        self._clock = clock
        self._painted, self._is_new = Recent(), False
        self._scaled: QImage | None = None
        self._pixels: npt.NDArray[np.uint8] | None = None
        self._note = self._hint = ""
        self._hinted = QTimer(self, singleShot=True, interval=HINT_MS)
        self._hinted.timeout.connect(self._forget_hint)
        self._fit = True
        self._offset = self._grabbed = QPointF()
        self._mirror = False
        self._selected = 0
        self._heat: Heat | None = None

    def sizeHint(self) -> QSize:
        return QSize(960, 540)

    @property
    def selected(self) -> int:
        return self._selected

    @property
    def painted_fps(self) -> float:
        """New frames painted a second, over the last two seconds: what is really shown."""
        return self._painted.rate(self._clock())

    def show_frame(self, frame: Frame | None, result: FrameResult | None) -> None:
        if frame is not self._frame:
            self._frame, self._scaled, self._is_new = frame, None, frame is not None
        if frame is None:
            self._painted = Recent()  # Another source has a rate of its own.
        self._result = result
        self.update()

    def say(self, note: str) -> None:
        """A note over the picture ("Loading the model"); empty for none."""
        self._note = note
        self.update()

    def hint(self, text: str) -> None:
        """A note that goes by itself, where no other stands."""
        self._hint = text
        self._hinted.start()
        self.update()

    def _forget_hint(self) -> None:
        self._hint = ""
        self.update()

    def set_fit(self, fit: bool) -> None:
        """Fit the picture into the view, or show its own pixels."""
        self._fit, self._scaled, self._offset = fit, None, QPointF()
        self.update()

    def set_mirror(self, mirror: bool) -> None:
        self._mirror, self._scaled = mirror, None
        self.update()

    def select(self, track: int) -> None:
        self._selected = track
        self.update()

    def set_heat(self, heat: Heat | None) -> None:
        self._heat = heat
        self.update()

    def area(self) -> QRectF:
        """Where the picture lies in the view."""
        if self._frame is None:
            return QRectF()
        height, width = self._frame.image.shape[:2]
        ratio = self.devicePixelRatioF()
        scale = min(self.width() / width, self.height() / height) if self._fit else 1 / ratio
        shown_w, shown_h = width * scale, height * scale
        # Whole pixels: a picture half a pixel off is blurred.
        left, top = round((self.width() - shown_w) / 2), round((self.height() - shown_h) / 2)
        return QRectF(left + self._offset.x(), top + self._offset.y(), shown_w, shown_h)

    def place(self, box: Box) -> QRectF:
        """Where a box of the frame lies in the view."""
        assert self._frame is not None
        area, width = self.area(), self._frame.image.shape[1]
        scale = area.width() / width
        x0 = width - box.x1 if self._mirror else box.x0
        return QRectF(area.x() + x0 * scale, area.y() + box.y0 * scale, box.width * scale, box.height * scale)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._grabbed = event.position() - self._offset
            hits = [f for f in self._faces() if self.place(f.detection.box).contains(event.position())]
            smallest = min(hits, key=lambda f: f.detection.box.size, default=None)
            self.face_clicked.emit(smallest.track if smallest else 0)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """In actual size, a picture larger than the view is moved by dragging it."""
        if event.buttons() & Qt.MouseButton.LeftButton and not self._fit:
            wanted, area = event.position() - self._grabbed, self.area()
            x, y = (max(0.0, (area.width() - self.width()) / 2), max(0.0, (area.height() - self.height()) / 2))
            self._offset = QPointF(round(min(x, max(-x, wanted.x()))), round(min(y, max(-y, wanted.y()))))
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(18, 18, 20))
        if self._frame is not None:
            area = self.area()
            painter.drawImage(area.topLeft(), self._picture(area))
            self._draw_faces(painter)
        if note := self._note or self._hint:
            self._draw_note(painter, note, self.height() / 2 if self._frame is None else 28.0)
        painter.end()
        if self._is_new:  # The same frame is painted again for its boxes.
            self._is_new = False
            self._painted.add(self._clock())

    def _faces(self) -> tuple[FaceResult, ...]:
        if self._frame is None or self._result is None or not strength(self._frame.time_s - self._result.time_s):
            return ()
        return self._result.faces

    def _picture(self, area: QRectF) -> QImage:
        """The frame at the size it is drawn: OpenCV scales and converts several times faster than QPainter."""
        ratio = self.devicePixelRatioF()
        size = max(1, round(area.width() * ratio)), max(1, round(area.height() * ratio))
        if self._scaled is None or (self._scaled.width(), self._scaled.height()) != size:
            assert self._frame is not None
            image: cv2.typing.MatLike = self._frame.image
            if image.shape[1::-1] != size:
                # Averaging areas is slow, and needed only where several pixels become one.
                much_smaller = 2 * size[0] < image.shape[1]
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if much_smaller else cv2.INTER_LINEAR)
            if self._mirror:
                image = cv2.flip(image, 1)
            # QImage does not copy: the array has to stay.
            self._pixels = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2BGRA), np.uint8)
            self._scaled = QImage(self._pixels.data, *size, size[0] * 4, QImage.Format.Format_RGB32)
            self._scaled.setDevicePixelRatio(ratio)
        return self._scaled

    def _draw_faces(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        faces = self._faces()
        if faces:
            assert self._frame is not None and self._result is not None
            painter.setOpacity(strength(self._frame.time_s - self._result.time_s))
        for face in faces:
            if self._heat is not None and self._heat.track == face.track:
                self._draw_heat(painter, face, self._heat)
        for face in reversed(faces):
            self._draw_face(painter, face)
        painter.setOpacity(1.0)
        if self._heat is not None and any(face.track == self._heat.track for face in faces):
            self._draw_note(painter, self._heat.caption, self.height() - 28.0)

    def _draw_face(self, painter: QPainter, face: FaceResult) -> None:
        box = self.place(face.detection.box)
        colour = verdict_colour(face.opinion.verdict)
        chosen = face.track == self._selected
        # Dashes for a face nothing can be said of: the line tells it to those who do not see the colour.
        style = Qt.PenStyle.DashLine if face.opinion.verdict is Verdict.UNCERTAIN else Qt.PenStyle.SolidLine
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(0, 0, 0, 180), 7 if chosen else 5))
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(QPen(colour, 5 if chosen else 3, style))
        painter.drawRoundedRect(box, 4, 4)

        p = face.opinion.p_fake
        # "REAL 3 %" would read as 3 % real: the number always says what it is the probability of.
        text = f"{face.track}  {face.opinion.verdict.words}" + ("" if p is None else f"   AI {percent(p)}")
        painter.setFont(self._label_font())
        metrics = painter.fontMetrics()
        height = metrics.height() + 12.0
        width = metrics.horizontalAdvance(text) + 16.0
        left = min(max(0.0, box.x()), max(0.0, self.width() - width))
        top = box.y() - height - 3 if box.y() >= height + 3 else max(0.0, box.y()) + 3
        label = QRectF(left, top, width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawRoundedRect(label, 4, 4)
        painter.setPen(ink_on(colour))
        painter.drawText(label.adjusted(8, 2, -8, -6), Qt.AlignmentFlag.AlignVCenter, text)
        bar = QRectF(left + 4, label.bottom() - 7, width - 8, 4)
        painter.fillRect(bar, QColor(0, 0, 0, 150))
        if p is not None:
            painter.fillRect(QRectF(bar.x(), bar.y(), bar.width() * p, bar.height()), Qt.GlobalColor.white)

    def _draw_heat(self, painter: QPainter, face: FaceResult, heat: Heat) -> None:
        left, top, side = square_around(face.detection.box, heat.scale)
        colours = cv2.applyColorMap((heat.heat * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
        alpha = (heat.heat * 170).astype(np.uint8)
        pixels = np.dstack([colours, alpha])
        if self._mirror:
            pixels = pixels[:, ::-1]
        pixels = np.ascontiguousarray(pixels)
        rows, columns = pixels.shape[:2]
        image = QImage(pixels.data, columns, rows, columns * 4, QImage.Format.Format_ARGB32)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setClipRect(self.area())
        painter.drawImage(self.place(Box(left, top, left + side, top + side)), image)
        painter.setClipping(False)

    def _draw_note(self, painter: QPainter, text: str, middle: float) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self._label_font())
        metrics = painter.fontMetrics()
        width, height = metrics.horizontalAdvance(text) + 32.0, metrics.height() + 16.0
        pill = QRectF((self.width() - width) / 2, middle - height / 2, width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(50, 50, 54, 225))
        painter.drawRoundedRect(pill, height / 2, height / 2)
        painter.setPen(Qt.GlobalColor.white)
        painter.drawText(pill, Qt.AlignmentFlag.AlignCenter, text)

    def _label_font(self) -> QFont:
        font = QFont(self.font())
        font.setBold(True)
        return font
