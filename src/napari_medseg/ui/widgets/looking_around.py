"""Waits until a running training has looked around."""

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_medseg.ui.layers.evidence import FEWEST_SLICES
from napari_medseg.ui.layers.previews import previewed_slices

if TYPE_CHECKING:
    from napari_medseg.ui.widgets.live_preview import LivePreview

ENOUGH = 12
"""Slices of the viewed direction that a training came to, from which on nobody has to wait."""
AT_LEAST = 6
"""Slices to wait for."""
SOON_MS, LONGEST_MS, POLL_MS = 8000, 60_000, 100
"""A training that is slow is waited for longer, unless it has come to the fewest slices that tell anything."""


class LookingAround(QObject):
    """Asks a training to look around, and says when that has brought enough.

    Parameters
    ----------
    parent : QObject
        Owner.
    """

    done = Signal()
    """Enough slices were looked at, or it took too long."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._preview: LivePreview | None = None
        self._axis, self._polls = 0, 0
        self._timer = QTimer(self, interval=POLL_MS)
        self._timer.timeout.connect(self._look)

    def start(self, preview: "LivePreview", axis: int) -> None:
        """Ask a training to look around across an axis; `done` follows, at once where enough is known."""
        preview.look_around(axis)
        self._preview, self._axis, self._polls = preview, axis, 0
        self._timer.start()
        if self._count() >= ENOUGH:
            self._end()

    def _look(self) -> None:
        self._polls += 1
        live = self._preview is not None and self._preview.is_live
        waited, count = self._polls * POLL_MS, self._count()
        late = waited >= LONGEST_MS or (waited >= SOON_MS and count >= FEWEST_SLICES)
        if count >= AT_LEAST or late or not live:
            self._end()

    def _count(self) -> int:
        if self._preview is None:
            return 0
        return sum(axis == self._axis for axis, _ in previewed_slices(self._preview.layer))

    def _end(self) -> None:
        self._timer.stop()
        self._preview = None
        self.done.emit()
