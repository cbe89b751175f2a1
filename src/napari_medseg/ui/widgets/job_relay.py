"""Brings a job's events from the engine's thread to the GUI's."""

from qtpy.QtCore import QObject, Signal

from napari_medseg.progress import Event


class JobRelay(QObject):
    """Lives as long as the job does, so it can always be told, whatever became of the widget that listens to it."""

    arrived = Signal(object)
    """An `Event`, in the GUI's thread."""

    def tell(self, event: Event) -> None:
        """Pass an event on. A bound method, for the job has to keep this object alive: a bound signal would not."""
        self.arrived.emit(event)
