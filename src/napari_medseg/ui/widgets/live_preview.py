"""Shows what a model in training makes of the visible slice, in a layer of its own."""

from typing import TYPE_CHECKING, cast

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication

from napari_medseg.data.annotation import ModelVersion
from napari_medseg.jobs import Job
from napari_medseg.progress import Event, Preview, Surveyed
from napari_medseg.training import LookAround, ShowSlice
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import doubt_layer, preview_layer, set_model, show_preview, tag_of, visible_slice
from napari_medseg.ui.widgets.live_labels import OpenPair

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
    pair : OpenPair
        What is trained on, and what it is called in the run.
    classes : tuple of LabelClass
        Of the model.
    job : Job
        The training.
    parent : QObject
        Owner.
    """

    explained = Signal(str)
    """What the preview shows, and why, in a few words."""

    def __init__(
        self, viewer: "Viewer", pair: OpenPair, classes: "tuple[LabelClass, ...]", job: Job, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._classes, self._job = viewer, classes, job
        self._image, self._case = pair.image, pair.id
        self._told: tuple[int, int] | None = None
        self.run = "training"
        """What the model is called where its labels are accepted."""
        self.is_live = True
        """Whether the training may still be told to look around."""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(LATEST_MS)
        self._timer.timeout.connect(self.tell)
        self._dims_events = Connections(self)
        for emitter in (viewer.dims.events.point, viewer.dims.events.order, viewer.dims.events.ndisplay):
            self._dims_events.connect(emitter, self._on_move)
        self.layer, self.doubt = self._make_layers()
        self.tell()

    def follow(self, job: Job) -> None:
        """Tell another job from now on, which resumed the run."""
        self._job, self._told, self.is_live = job, None, True
        self.tell()

    def close(self) -> None:
        """Stop telling; the layers stay."""
        self.is_live = False
        self._dims_events.close()
        self._timer.stop()

    def show_event(self, event: Event) -> None:
        """Show a `Preview`; other events are none of its business, and so is a layer that the user removed."""
        if not isinstance(event, Preview) or self.layer not in self._viewer.layers:
            return
        in_view = not isinstance(event, Surveyed)
        show_preview(self.layer, event.axis, event.index, event.labels, in_view)
        set_model(self.layer, ModelVersion(self.run, f"step {event.step}"))
        if event.doubt is not None and self.doubt in self._viewer.layers:
            show_preview(self.doubt, event.axis, event.index, event.doubt, in_view)
        if event.shown:
            self.explained.emit(event.shown)

    def hide(self) -> None:
        """Hide the layers."""
        self.layer.visible = self.doubt.visible = False

    def look_around(self, axis: int) -> None:
        """Ask the job where it is in doubt, on slices all over the volume across an axis of the image's own array."""
        if self.is_live:
            self._job.send(LookAround(self._case, axis))

    def tell(self) -> None:
        """Tell the job which slice is visible, if it is another one."""
        if self._image not in self._viewer.layers:
            self.close()
            return
        axis, index = visible_slice(self._viewer, self._image)
        if (axis, index) != self._told:
            self._told = (axis, index)
            self._job.send(ShowSlice(self._case, axis, index))

    def _on_move(self, _event: object) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _make_layers(self) -> tuple[Labels, Image]:
        """Return the layers of labels and doubt, right above the image, with the user's own layer still chosen."""
        layers = self._viewer.layers
        active = layers.selection.active
        for earlier in [layer for layer in layers if _previews(layer, self._image)]:
            layers.remove(earlier)
        made = preview_layer(self._viewer, self._image, self._classes), doubt_layer(self._viewer, self._image)
        for layer in reversed(made):
            layers.move(layers.index(layer), layers.index(self._image) + 1)
        layers.selection.active = active
        return made


def live_preview_of(layer: "Layer") -> LivePreview | None:
    """Return what shows a training in a layer, whether it still runs or not; None if the layer shows none."""
    for widget in QApplication.topLevelWidgets():
        for preview in widget.findChildren(LivePreview):
            if preview.layer is layer:
                return cast("LivePreview", preview)
    return None


def _previews(layer: "Layer", image: Image) -> bool:
    """Return whether a layer shows an earlier training on `image`."""
    tag = tag_of(layer)
    return tag is not None and tag.role == "preview" and tag.image == image.unique_id
