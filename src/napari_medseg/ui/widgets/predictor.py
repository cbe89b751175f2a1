"""From a layer and a model to a labels layer: copies the image for the worker, starts the job, shows the result."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_medseg.errors import MedsegError
from napari_medseg.inference import PredictionFiles, PredictOptions
from napari_medseg.io import read
from napari_medseg.ui.background import in_background
from napari_medseg.ui.folders import new_scratch_file
from napari_medseg.ui.layers import add_map, add_prediction, image_volume
from napari_medseg.ui.layers.previews import UNCERTAIN
from napari_medseg.ui.widgets.file_job import FileJob, FileTask
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_medseg.models import Bundle

TARGET = "napari_medseg.inference.jobs:predict_volume"


@dataclass(frozen=True, eq=False)
class Request:
    """One prediction that is asked for."""

    image: Image
    bundle: "Bundle"
    options: PredictOptions
    region: Callable[[], Volume] | None = None
    """Takes labels on the grid of the image whose nonzero voxels count, instead of the options' region."""
    doubt: bool = False
    """Whether to keep the uncertainty even if the options do not ask for it, hidden: it says where to look next."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """The result of a request, in memory."""

    request: Request
    files: PredictionFiles
    labels: Volume
    probabilities: Volume | None
    uncertainty: Volume | None


class Predictor(QObject):
    """Runs one prediction at a time.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the result is shown.
    panel : JobPanel
        Shows the job; its Cancel button stops it.
    parent : QObject, optional
        Owner.
    """

    done = Signal(object, object)
    """The new labels layer, and its `PredictionFiles`."""

    def __init__(self, viewer: "Viewer", panel: JobPanel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._panel = panel
        self._request: Request | None = None
        self._job = FileJob(panel, self)
        self._job.done.connect(self._on_done)

    def start(self, request: Request) -> None:
        """Segment the volume behind the image layer; without effect while something runs."""
        if self._panel.busy or request.bundle.path is None:
            return
        volumes: dict[str, Callable[[], Volume]] = {"image": partial(image_volume, request.image)}
        if request.region is not None:
            volumes["region"] = request.region
        options = request.options.model_copy(update={"uncertainty": request.options.uncertainty or request.doubt})
        arguments = {
            "bundle": request.bundle.path,
            "options": options.model_dump(mode="json"),
            "out": new_scratch_file(),
        }
        self._request = request
        self._job.start(FileTask(TARGET, volumes, arguments, "Copying the image for the worker", exclusive=True))

    def _on_done(self, files: PredictionFiles) -> None:
        if self._request is not None:
            in_background(partial(_load, self._request, files), self._show, self._panel.show_error)

    def _show(self, loaded: Loaded) -> None:
        image = loaded.request.image
        if image not in self._viewer.layers:
            self._panel.show_error(MedsegError(f"{image.name} was removed meanwhile.", "Add it again and repeat."))
            return
        layer = add_prediction(self._viewer, image, loaded.labels, version=loaded.files.bundle_hash)
        uncertain = {**UNCERTAIN, "contrast_limits": (0.0, 1.0), "visible": loaded.request.options.uncertainty}
        for volume, look in ((loaded.probabilities, {"visible": False}), (loaded.uncertainty, uncertain)):
            if volume is not None:
                add_map(self._viewer, image, volume, look)
        self._viewer.layers.selection.active = layer
        self.done.emit(layer, loaded.files)


def _load(request: Request, files: PredictionFiles) -> Loaded:
    (labels,) = read(files.labels)
    in_memory = Volume(np.array(labels.data), labels.geometry, name=files.bundle, kind="labels", classes=labels.classes)
    return Loaded(request, files, in_memory, _read(files.probabilities), _read(files.uncertainty))


def _read(path: Path | None) -> Volume | None:
    return None if path is None else read(path)[0]
