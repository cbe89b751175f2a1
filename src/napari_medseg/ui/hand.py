"""A hand that draws on the canvas with the mouse, as a user does: for the tutorial, measurements and tests."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

BETWEEN_SECONDS = 0.015
"""Between two events; vispy drops moves that come within 10 ms of one another."""


class Hand:
    """Draws on the canvas of a window.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its window gets the events.
    """

    def __init__(self, viewer: "Viewer") -> None:
        self._viewer = viewer
        self.canvas = viewer.window._qt_viewer.canvas.native

    def stroke(self, layer: "Labels", *places: tuple[float, ...]) -> None:
        """Drag from one index of a layer's data to the next with the left button held."""
        points = [self.pixel(layer, place) for place in places]
        self.send(QEvent.Type.MouseMove, points[0], held=False)
        self.send(QEvent.Type.MouseButtonPress, points[0])
        for point in points[1:]:
            pause(BETWEEN_SECONDS)
            self.send(QEvent.Type.MouseMove, point)
        pause(BETWEEN_SECONDS)
        self.send(QEvent.Type.MouseButtonRelease, points[-1], held=False)
        pause(BETWEEN_SECONDS)

    def send(self, kind: QEvent.Type, point: QPointF, held: bool = True) -> None:
        """Send one event of the mouse, at a point of the canvas."""
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        button = none if kind == QEvent.Type.MouseMove else left
        screen = QPointF(self.canvas.mapToGlobal(point.toPoint()))
        buttons = left if held else none
        event = QMouseEvent(kind, point, screen, button, buttons, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self.canvas, event)

    def pixel(self, layer: "Labels", index: tuple[float, ...]) -> QPointF:
        """Return where on the canvas an index of a layer's data is seen."""
        world = np.array(layer.data_to_world(index))
        row, column = self._viewer.dims.displayed
        camera = self._viewer.scene.camera
        offset = (world - np.array(camera.center)[-world.size :]) * camera.zoom
        return QPointF(self.canvas.width() / 2 + offset[column], self.canvas.height() / 2 + offset[row])


def pause(seconds: float) -> None:
    """Keep the window alive for some time."""
    end = time.perf_counter() + seconds
    QApplication.processEvents()
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.001)


def wait(condition: Callable[[], object], seconds: float = 300.0) -> None:
    """Keep the window alive until a condition holds; `TimeoutError` if it does not within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"Nothing came for {seconds:.0f} s.")
        pause(0.01)
