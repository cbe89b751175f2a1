"""What the dock widgets have in common that ask a model about an image."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_medseg.errors import MedsegError
from napari_medseg.jobs import local_engine
from napari_medseg.ui.background import in_background
from napari_medseg.ui.folders import tidy
from napari_medseg.ui.wheel import IgnoreWheel
from napari_medseg.ui.widgets.bundle_choice import BundleChoice
from napari_medseg.ui.widgets.device_choice import DeviceChoice
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.layer_choice import LayerChoice, is_image

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Layer


class ModelPanel(QWidget):
    """An image, a model, a device and a button to run; a panel shows the job.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer it works on.
    run : str
        What the button says.
    tasks : tuple of str
        What the model may be for; anything if empty.
    accepts : callable
        Says of a layer whether it may be chosen as the image.
    """

    def __init__(
        self,
        viewer: "napari.viewer.Viewer",
        run: str,
        tasks: tuple[str, ...] = (),
        accepts: "Callable[[Layer], bool]" = is_image,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self.panel = JobPanel(parent=self)
        self.image = LayerChoice(viewer, accepts, self)
        self.model = BundleChoice(parent=self, tasks=tasks)
        self.device = DeviceChoice(self)
        self.run_button = QPushButton(run, self)

    def run(self) -> None:
        """Run the model on the chosen image; what cannot be is said in the panel."""
        raise NotImplementedError

    def _refresh(self, _change: object = None) -> None:
        """Enable what can be done with what is chosen."""
        raise NotImplementedError

    def _begin(self, content: QVBoxLayout) -> None:
        """Connect what all have, once it is laid out, and get ready to run."""
        content.addStretch(1)
        IgnoreWheel(self).guard(self)
        self.run_button.clicked.connect(lambda: self.run())
        self.model.refused.connect(self.panel.show_error)
        self.model.chosen.connect(self._refresh)
        self.image.layer_changed.connect(self._refresh)
        self.panel.started.connect(self._refresh)
        self.panel.ended.connect(self._refresh)
        local_engine().start()
        self.device.ask()
        in_background(tidy, self._refresh, self.panel.show_error)
        self._refresh()

    def _is_here(self, image: "Layer | None") -> bool:
        """Return whether an image is still there; if not, say so."""
        here = image is not None and image in self._viewer.layers
        if not here:
            name = "The image" if image is None else image.name
            self.panel.show_error(MedsegError(f"{name} was removed meanwhile.", "Add it and repeat."))
        return here
