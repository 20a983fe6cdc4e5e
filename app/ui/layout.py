"""Where everything in the window has its place: parts, docks, toolbar and menus, without what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QSettings, QSize, Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QDockWidget,
    QMainWindow,
    QMenu,
    QStackedWidget,
    QTabBar,
    QToolBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import __version__
from app.ui.actions import Actions
from app.ui.banner import Banner
from app.ui.choices import Memory
from app.ui.controls import Controls
from app.ui.faces_panel import FacesPanel
from app.ui.figures import FiguresBar
from app.ui.look import described, follow
from app.ui.session import EventLog
from app.ui.sources_menu import CameraLister, SourcesMenu
from app.ui.video_view import VideoView
from app.ui.welcome import WelcomePage

if TYPE_CHECKING:
    from app.ui.timeline import Timeline


class WindowLayout(QMainWindow):
    """The parts of the window.

    The timeline's library takes half a second to import: its dock stays empty until :meth:`complete`, which is
    called once the window is in sight.
    """

    def __init__(self, store: QSettings, cameras: CameraLister) -> None:
        super().__init__()
        self.setWindowTitle("Unmask")
        self.setAcceptDrops(True)
        self.memory = Memory(store)
        self.view = VideoView()
        self.does = Actions(self)
        self.banner = Banner()
        self.sources = SourcesMenu(self.memory, cameras, self)
        self.faces = FacesPanel()
        self.log = EventLog()
        self.figures = FiguresBar()
        self.controls = Controls([self.does.play, self.does.step], self.does.previous, self.does.next)
        self.timeline: Timeline | None = None
        self._has_source = self._full = False
        self._away: list[QDockWidget] | None = None
        self._build_centre()
        self._build_docks()
        self._build_toolbar()
        self._build_menus()

    def complete(self) -> Timeline:
        """Make the timeline, once."""
        if self.timeline is None:
            from app.ui.timeline import Timeline

            self.timeline = Timeline()
            self.docks[1].setWidget(self.timeline)
        return self.timeline

    def show_parts(self, has_source: bool) -> None:
        """What stands around the picture says something only while there is a source."""
        self._has_source = has_source
        self._arrange()

    def fill_screen(self, full: bool) -> None:
        """Only the picture, on the whole screen; or everything back in its place."""
        self._full = full
        self._arrange()
        if full:
            self.showFullScreen()
            self.view.hint("Esc leaves full screen")
        else:
            self.showNormal()

    def _arrange(self) -> None:
        for part in (self.menuBar(), self.tools, self.statusBar()):
            part.setVisible(not self._full)
        around = self._has_source and not self._full
        self.controls.setVisible(around)
        for toggle in self.dock_toggles:
            toggle.setEnabled(around)
        if around and self._away is not None:
            for dock in self._away:
                dock.show()
            self._away = None
        elif not around and self._away is None:
            # Those that somebody closed stay closed.
            self._away = [dock for dock in self.docks if not dock.isHidden()]
            for dock in self._away:
                dock.hide()

    def keep_layout(self) -> None:
        """Remember where everything is, for the next time."""
        if not self.isFullScreen():
            self.show_parts(True)
            self.memory.store.setValue("geometry", self.saveGeometry())
            self.memory.store.setValue("layout", self.saveState())

    def restore_layout(self) -> None:
        for key, restore in (("geometry", self.restoreGeometry), ("layout", self.restoreState)):
            saved = self.memory.store.value(key)
            if isinstance(saved, QByteArray):
                restore(saved)

    def dress(self) -> None:
        """Draw the icons anew in the palette's colours."""
        self.does.dress(self.palette())
        self.sources.dress()
        self.source_button.setIcon(self.sources.open_file.icon())

    def _build_centre(self) -> None:
        starts = self.sources.starts()
        self.welcome = WelcomePage(starts)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.welcome)
        self.pages.addWidget(self.view)
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.banner)
        column.addWidget(self.pages, 1)
        column.addWidget(self.controls)
        self.setCentralWidget(centre)

    def _build_docks(self) -> None:
        bottom = Qt.DockWidgetArea.BottomDockWidgetArea
        self.docks = [
            self._dock("Faces", self.faces, Qt.DockWidgetArea.RightDockWidgetArea),
            self._dock("Timeline", QWidget(), bottom),
            self._dock("Events", self.log, bottom),
        ]
        self.tabifyDockWidget(self.docks[1], self.docks[2])
        self.docks[1].raise_()
        for tabs in self.findChildren(QTabBar):
            described(tabs, "Timeline or events", "Show the timeline or the list of events")
        self.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        self.resize(1280, 800)
        self.resizeDocks([self.docks[0]], [370], Qt.Orientation.Horizontal)
        self.resizeDocks([self.docks[1]], [180], Qt.Orientation.Vertical)

    def _dock(self, name: str, widget: QWidget, area: Qt.DockWidgetArea) -> QDockWidget:
        dock = QDockWidget(name, self)
        dock.setObjectName(name.lower())
        dock.setWidget(widget)
        dock.setFeatures(
            QDockWidget.DockWidgetFeature.DockWidgetMovable | QDockWidget.DockWidgetFeature.DockWidgetClosable
        )
        if close := dock.findChild(QAbstractButton, "qt_dockwidget_closebutton"):
            described(close, f"Close {name}", "Close this part of the window; the View menu brings it back")
        dock.toggleViewAction().setToolTip(f"Show or hide this part of the window: {name}")
        self.addDockWidget(area, dock)
        return dock

    def _build_toolbar(self) -> None:
        does = self.does
        self.source_button = described(QToolButton(), "Source", "Choose what to look at")
        self.source_button.setText("Source")
        self.source_button.setMenu(self.sources)
        self.source_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.source_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.source_button.setIcon(self.sources.open_file.icon())
        # A toolbar that was hidden by chance, by the menu of the right button, would not be found again.
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self.tools = QToolBar("Toolbar", movable=False)
        self.tools.setObjectName("tools")
        self.tools.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.tools.setIconSize(QSize(20, 20))
        self.tools.addWidget(self.source_button)
        self.tools.addSeparator()
        self.tools.addActions([does.record, does.snapshot, does.export])
        self.tools.addSeparator()
        self.tools.addActions([does.heatmap, does.full, does.settings])
        for action in self.tools.actions():
            button = self.tools.widgetForAction(action)
            if isinstance(button, QToolButton) and button is not self.source_button:
                follow(button, action)
        self.addToolBar(self.tools)
        self.statusBar().addPermanentWidget(self.figures, 1)
        self.statusBar().setSizeGripEnabled(False)

    def _build_menus(self) -> None:
        does, bar = self.does, self.menuBar()
        session, view, help_ = QMenu("S&ession", bar), QMenu("&View", bar), QMenu("&Help", bar)
        session.addActions([does.play, does.step, does.back, does.forth, does.previous, does.next])
        session.addSeparator()
        session.addActions([does.record, does.snapshot, does.export])
        session.addSeparator()
        session.addActions([does.close_source, does.settings, does.quit])
        view.addActions([does.heatmap, does.mirror, does.actual, does.full])
        view.addSeparator()
        self.dock_toggles = [dock.toggleViewAction() for dock in self.docks]
        view.addActions(self.dock_toggles)
        help_.addActions([does.verdicts, does.card])
        help_.addSeparator()
        help_.addAction(f"Unmask {__version__}").setEnabled(False)
        bar.addMenu(self.sources)
        for menu in (session, view, help_):
            menu.setToolTipsVisible(True)
            bar.addMenu(menu)
