"""The Image information dock widget: exact numbers and warnings of the selected layer, its windows, and the views."""

from functools import partial
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QApplication, QComboBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import image_volume, show_plane
from napari_medseg.ui.layers.images import robust_limits, value_range
from napari_medseg.ui.layers.views import ORDERS
from napari_medseg.ui.wheel import IgnoreWheel
from napari_medseg.ui.widgets.section import rows, scrolling
from napari_medseg.volume.facts import Fact, as_text, facts_of
from napari_medseg.volume.windows import CT_WINDOWS

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_medseg.volume import Volume

HINT = "Select an image or labels layer in the layer list."
OTHER = "Other"
"""What the window is called that the user set by hand."""


class ImageInformation(QWidget):
    """Follows the selected layer.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Whose layers.
    """

    def __init__(self, napari_viewer: "Viewer") -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._layer: Image | Labels | None = None
        self._facts: tuple[Fact, ...] = ()
        self._limits: dict[str, tuple[float, float]] = {}
        self.title = QLabel("", self)
        self.views = {plane: QPushButton(plane.capitalize(), self) for plane in ORDERS}
        self.window = QComboBox(self)
        self.window.setToolTip("The range of values that is shown from black to white")
        self.facts = _selectable(self)
        self.warnings = _selectable(self)
        self.copy_button = QPushButton("Copy", self)
        self.copy_button.setToolTip("Copy the numbers as a table")
        self._lay_out()
        self._connect()
        self._on_selection()

    def copy(self) -> None:
        """Put the numbers and warnings on the clipboard, as lines of name, tab and value; no name of a file."""
        warnings = [Fact("Warning", warning) for warning in self._warnings()]
        QApplication.clipboard().setText(as_text([*self._facts, *warnings]))

    def _volume(self) -> "Volume | None":
        return None if self._layer is None else image_volume(self._layer)

    def _warnings(self) -> tuple[str, ...]:
        volume = self._volume()
        return () if volume is None else volume.warnings

    def _lay_out(self) -> None:
        content = scrolling(self)
        views = QHBoxLayout()
        for plane, button in self.views.items():
            button.setToolTip(f"Show {plane} slices, the patient's right on the left and front or head up")
            views.addWidget(button)
        self.views["sagittal"].setToolTip("Show sagittal slices, the patient's front on the left and head up")
        self.title.setWordWrap(True)
        content.addLayout(views)
        content.addLayout(rows(("Window", self.window)))
        content.addWidget(self.title)
        content.addWidget(self.warnings)
        content.addWidget(self.facts)
        below = QHBoxLayout()
        below.addStretch(1)
        below.addWidget(self.copy_button)
        content.addLayout(below)
        content.addStretch(1)
        self.warnings.setObjectName("medseg_warnings")
        self.warnings.setStyleSheet("#medseg_warnings { border-left: 3px solid #e8a33d; padding-left: 6px; }")
        self.window.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        IgnoreWheel(self).guard(self)

    def _connect(self) -> None:
        for plane, button in self.views.items():
            button.clicked.connect(partial(show_plane, self._viewer, plane))
        self.copy_button.clicked.connect(self.copy)
        self.window.activated.connect(self._on_window)
        self._of_viewer, self._of_layer = Connections(self), Connections(self)
        self._of_viewer.connect(self._viewer.layers.selection.events.active, self._on_selection)

    def _on_selection(self, _event: object = None) -> None:
        active = self._viewer.layers.selection.active
        self._of_layer.close()
        self._layer = active if isinstance(active, Image | Labels) else None
        if self._layer is not None:
            for emitter in (self._layer.events.data, self._layer.events.name, self._layer.events.metadata):
                self._of_layer.connect(emitter, self._refresh)
        if isinstance(self._layer, Image):
            self._of_layer.connect(self._layer.events.contrast_limits, self._show_window)
        self._refresh()

    def _refresh(self, _event: object = None) -> None:
        volume = self._volume()
        self._facts = () if volume is None else facts_of(volume)
        self.title.setText(HINT if self._layer is None else f"<b>{escape(self._layer.name)}</b>")
        self.facts.setText(f"<table>{''.join(_row(fact) for fact in self._facts)}</table>")
        self.facts.setVisible(volume is not None)
        self.warnings.setText("<br>".join(f"⚠ {escape(warning)}" for warning in self._warnings()))
        self.warnings.setVisible(bool(self._warnings()))
        self.copy_button.setEnabled(volume is not None)
        self._limits = {} if volume is None or not isinstance(self._layer, Image) else _windows(volume)
        with QSignalBlocker(self.window):
            self.window.clear()
            for name, (low, high) in self._limits.items():
                self.window.addItem(f"{name} ({low:.4g} to {high:.4g})", name)
        self.window.setEnabled(bool(self._limits))
        self._show_window()

    def _show_window(self, _event: object = None) -> None:
        """Select the window that is shown, by its name."""
        shown = getattr(self._layer, "contrast_limits", None)
        names = [name for name, limits in self._limits.items() if shown is not None and list(limits) == list(shown)]
        other = self.window.findData(OTHER)
        with QSignalBlocker(self.window):
            if not names and other < 0 and self._limits:
                self.window.addItem(OTHER, OTHER)
            elif names and other >= 0:
                self.window.removeItem(other)
            self.window.setCurrentIndex(self.window.findData(names[0] if names else OTHER))

    def _on_window(self, _index: int) -> None:
        limits = self._limits.get(self.window.currentData())
        if limits is not None and isinstance(self._layer, Image):
            low, high = self._layer.contrast_limits_range
            self._layer.contrast_limits_range = (min(low, limits[0]), max(high, limits[1]))
            self._layer.contrast_limits = limits


def _windows(volume: "Volume") -> dict[str, tuple[float, float]]:
    """Return the ranges of values that may be shown, by name."""
    if volume.rgb or volume.kind == "labels":
        return {}
    found = {} if volume.window is None else {"As in the file": volume.window}
    if volume.modality == "CT" and volume.units in ("HU", None):
        found |= {window.name: window.limits for window in CT_WINDOWS}
    if not isinstance(volume.data, np.ndarray):
        return found  # of a lazy volume, slices would have to be decoded while the window waits
    return found | {"99 % of the voxels": robust_limits(volume), "All values": value_range(volume)}


def _selectable(parent: QWidget) -> QLabel:
    label = QLabel("", parent)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _row(fact: Fact) -> str:
    """Return a row of the table; a matrix goes below its name, as a table of its own."""
    name = escape(fact.name)
    if "\n" not in fact.value:
        return f"<tr><td>{name}&nbsp;&nbsp;</td><td>{escape(fact.value)}</td></tr>"
    lines = [
        [f'<td align="right"><small>{cell}</small></td>' for cell in line.split()] for line in fact.value.split("\n")
    ]
    matrix = "".join(f"<tr>{''.join(line)}</tr>" for line in lines)
    return f'<tr><td colspan="2">{name}<table cellpadding="3">{matrix}</table></td></tr>'
