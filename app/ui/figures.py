"""How well the engine keeps up, in a line of small figures."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app.pipeline.live_state import LiveStats
from app.ui.look import described

_TIPS = {
    "shown": "How many pictures of the source are shown in a second",
    "analysed": "In how many pictures a second faces are looked for",
    "scored": "How often in a second a face is scored by the model",
    "age": "How far the boxes are behind the picture",
    "dropped": "Pictures that were shown but not analysed, so that the boxes keep up",
    "device": "What computes the scores",
}


class FiguresBar(QWidget):
    """Frames a second, the age of what is shown, what was passed over, and the device."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 0, 8, 0)
        row.setSpacing(18)
        self._labels = {name: described(QLabel(), tip, tip) for name, tip in _TIPS.items()}
        for label in self._labels.values():
            row.addWidget(label)
        row.addStretch(1)

    def show_stats(self, stats: LiveStats | None) -> None:
        """Show the figures; nothing where nothing runs or the model is not loaded yet."""
        texts: dict[str, str] = {}
        if stats is not None and stats.device:
            scored, tip = _scoring(stats)
            self._labels["scored"].setToolTip(tip)
            texts = {
                "shown": f"{stats.shown_fps:.0f} frames/s",
                "analysed": f"{stats.scored_fps:.0f} analysed/s",
                "scored": scored,
                "age": f"boxes {stats.age_s * 1000:.0f} ms behind",
                "dropped": f"{stats.dropped} dropped",
                "device": stats.device,
            }
        for name, label in self._labels.items():
            label.setText(texts.get(name, ""))
            label.setVisible(name in texts)


def _scoring(stats: LiveStats) -> tuple[str, str]:
    """How often faces are scored and what further models cost of that, and the tip with each one's time."""
    if not stats.models:
        return f"{stats.score_rate:.0f} scores/s", _TIPS["scored"]
    times = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in stats.models)
    return (
        f"scoring {stats.score_rate:.0f}/s with {len(stats.models)} models; "
        f"one alone would be about {stats.alone_rate:.0f}/s",
        f"How often in a second a face is scored by all models. A face takes {times}. "
        f"Further models slow the scores only, never the picture; alone is meant of {stats.models[0][0]}.",
    )
