"""Light and dark as no system changes them."""

from __future__ import annotations

from PySide6.QtGui import QColor, QPalette


def palette(*, dark: bool) -> QPalette:
    """The colours that the Fusion style has where the system asks for light or dark."""
    made = QPalette(QColor("#323234" if dark else "#efefef"))
    made.setColor(QPalette.ColorRole.Base, QColor("#242426" if dark else "#ffffff"))
    made.setColor(QPalette.ColorRole.Highlight, QColor("#308cc6"))
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.ButtonText, QPalette.ColorRole.Text):
        made.setColor(QPalette.ColorGroup.Disabled, role, QColor("#808080"))
    return made
