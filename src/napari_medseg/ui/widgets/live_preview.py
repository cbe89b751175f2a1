"""Shows what a model in training makes of the visible slice, in a layer of its own."""

from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer

from napari_medseg.data.annotation import ModelVersion
from napari_medseg.jobs import Job
from napari_medseg.progress import Event, Preview
from napari_medseg.training import ShowSlice
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import preview_layer, set_model, show_preview, tag_of, visible_slice
from napari_medseg.ui.run_layout import CASE

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_medseg.volume import LabelClass

LATEST_MS = 100
"""While the slider moves, the job is told no more often."""


class LivePreview(QObject):
    """Tells the job which slice the user looks at, and puts its answers into the preview layer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the user looks.
    image : Image
        What is trained on.
    classes : tuple of LabelClass
        Of the model.
    job : Job
        The training.
    parent : QObject
        Owner.
    """

    def __init__(
        self, viewer: "Viewer", image: Image, classes: "tuple[LabelClass, ...]", job: Job, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._image, self._classes, self._job = viewer, image, classes, job
        self._told: tuple[int, int] | None = None
        self.run = "training"
        """What the model is called where its labels are accepted."""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(LATEST_MS)
        self._timer.timeout.connect(self.tell)
        self._dims_events = Connections(self)
        for emitter in (viewer.dims.events.point, viewer.dims.events.order, viewer.dims.events.ndisplay):
            self._dims_events.connect(emitter, self._on_move)
        self.layer: Labels = self._make_layer()
        self.tell()

    def follow(self, job: Job) -> None:
        """Tell another job from now on, which resumed the run."""
        self._job, self._told = job, None
        self.tell()

    def close(self) -> None:
        """Stop telling; the layer stays."""
        self._dims_events.close()
        self._timer.stop()

    def show_event(self, event: Event) -> None:
        """Show a `Preview`; other events are none of its business, and so is a layer that the user removed."""
        if isinstance(event, Preview) and self.layer in self._viewer.layers:
            show_preview(self.layer, event.axis, event.index, event.labels)
            set_model(self.layer, ModelVersion(self.run, f"step {event.step}"))

    def hide(self) -> None:
        """Hide the layer."""
        self.layer.visible = False

    def tell(self) -> None:
        """Tell the job which slice is visible, if it is another one."""
        if self._image not in self._viewer.layers:
            self.close()
            return
        axis, index = visible_slice(self._viewer, self._image)
        if (axis, index) != self._told:
            self._told = (axis, index)
            self._job.send(ShowSlice(CASE, axis, index))

    def _on_move(self, _event: object) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _make_layer(self) -> Labels:
        """Return the preview layer, right above the image, with the user's own layer still chosen."""
        layers = self._viewer.layers
        active = layers.selection.active
        for earlier in [layer for layer in layers if _previews(layer, self._image)]:
            layers.remove(earlier)
        layer = preview_layer(self._viewer, self._image, self._classes)
        layers.move(layers.index(layer), layers.index(self._image) + 1)
        layers.selection.active = active
        return layer


def _previews(layer: "Layer", image: Image) -> bool:
    """Return whether a layer shows an earlier training on `image`."""
    tag = tag_of(layer)
    return tag is not None and tag.role == "preview" and tag.image == image.unique_id
