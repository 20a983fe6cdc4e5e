"""How well the engine keeps up, in a line of small figures."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app.pipeline.live_state import LiveStats
from app.ui.look import described

_TIPS = {
    "shown": "How many new pictures are shown here in a second, of those that the source gives",
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

    def show_stats(self, stats: LiveStats | None, painted_fps: float = 0.0) -> None:
        """Show the figures; nothing where nothing runs or the model is not loaded yet.

        Args:
            painted_fps: new frames painted a second; the engine knows only what the source gives.
        """
        texts: dict[str, str] = {}
        if stats is not None and stats.device:
            scored, tip = _scoring(stats)
            self._labels["scored"].setToolTip(tip)
            texts = {
                "shown": _shown(painted_fps, stats.shown_fps),
                "analysed": f"{_rate(stats.scored_fps)} analysed/s",
                "scored": scored,
                "age": f"boxes {stats.age_s * 1000:.0f} ms behind",
                "dropped": f"{stats.dropped} dropped",
                "device": stats.device,
            }
        for name, label in self._labels.items():
            label.setText(texts.get(name, ""))
            label.setVisible(name in texts)


def _rate(per_second: float) -> str:
    """A rate in whole numbers; one below 1 keeps a decimal, since 0 would say that nothing happens."""
    return f"{per_second:.1f}" if 0 < per_second < 1 else f"{per_second:.0f}"


def _shown(painted_fps: float, source_fps: float) -> str:
    """The rate that is painted, and that of the source where the window does not keep up."""
    behind = source_fps - painted_fps > 1
    return f"{_rate(painted_fps)} of {_rate(source_fps)} frames/s" if behind else f"{_rate(painted_fps)} frames/s"


def _scoring(stats: LiveStats) -> tuple[str, str]:
    """How often faces are scored and what further models cost of that, and the tip with each one's time."""
    if not stats.models:
        return f"{_rate(stats.score_rate)} scores/s", _TIPS["scored"]
    times = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in stats.models)
    # A rate of 0 is that of fewer than two scores in two seconds: nothing to reckon with.
    rate = _rate(stats.score_rate) if stats.score_rate else "less than 1"
    alone = f"; one alone would be about {_rate(stats.alone_rate)}/s" if stats.alone_rate else ""
    return (
        f"scoring {rate}/s with {len(stats.models)} models{alone}",
        f"How often in a second a face is scored by all models. A face takes {times}. "
        f"Further models slow the scores only, never the picture; alone is meant of {stats.models[0][0]}.",
    )
