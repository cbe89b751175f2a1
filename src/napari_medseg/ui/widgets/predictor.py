"""From a layer and a model to a labels layer: copies the image for the worker, starts the job, shows the result."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from napari_medseg.errors import MedsegError
from napari_medseg.inference import PredictionFiles, PredictOptions
from napari_medseg.io import read, write
from napari_medseg.jobs import Job, Work, local_engine
from napari_medseg.ui.background import in_background
from napari_medseg.ui.folders import new_scratch_file
from napari_medseg.ui.layers import add_prediction, frame_of, image_volume, to_layer_tuples
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_medseg.models import Bundle

TARGET = "napari_medseg.inference.jobs:predict_volume"


@dataclass(frozen=True)
class Request:
    """One prediction that was asked for."""

    image: Image
    bundle: Path
    options: PredictOptions


@dataclass(frozen=True)
class Copied:
    """The image of a request, where the worker can read it."""

    request: Request
    path: Path


@dataclass(frozen=True)
class Loaded:
    """The result of a request, in memory."""

    request: Request
    files: PredictionFiles
    labels: Volume
    probabilities: Volume | None


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
        panel.ended.connect(self._on_ended)

    def start(self, image: Image, bundle: "Bundle", options: PredictOptions) -> None:
        """Segment the whole volume behind `image`; without effect while something runs."""
        if self._panel.busy or bundle.path is None:
            return
        self._panel.prepare("Copying the image for the worker")
        self._request = Request(image, bundle.path, options)
        in_background(partial(_copy, self._request, image_volume(image)), self._submit, self._fail)

    def _submit(self, copied: Copied) -> None:
        request = copied.request
        if request is not self._request or not self._panel.preparing:
            return
        arguments = {
            "image": copied.path,
            "bundle": request.bundle,
            "options": request.options.model_dump(mode="json"),
            "out": new_scratch_file(),
        }
        try:
            self._panel.follow(local_engine().submit(Work(TARGET, arguments)))
        except MedsegError as error:
            self._panel.fail(error)

    def _on_ended(self, job: Job | None) -> None:
        request, self._request = self._request, None
        if request is not None and job is not None and job.state == "finished":
            files = cast("PredictionFiles", job.result)
            in_background(partial(_load, request, files), self._show, self._panel.show_error)

    def _show(self, loaded: Loaded) -> None:
        image = loaded.request.image
        if image not in self._viewer.layers:
            self._panel.show_error(MedsegError(f"{image.name} was removed meanwhile.", "Add it again and repeat."))
            return
        layer = add_prediction(self._viewer, image, loaded.labels)
        if loaded.probabilities is not None:
            for data, about, kind in to_layer_tuples(loaded.probabilities, frame_of(self._viewer.layers)):
                self._viewer.add_layer(Layer.create(data, {**about, "visible": False}, kind))
        self.done.emit(layer, loaded.files)

    def _fail(self, error: MedsegError) -> None:
        if self._panel.preparing:
            self._panel.fail(error)


def _copy(request: Request, volume: Volume) -> Copied:
    return Copied(request, write(volume, new_scratch_file()))


def _load(request: Request, files: PredictionFiles) -> Loaded:
    (labels,) = read(files.labels)
    in_memory = Volume(np.array(labels.data), labels.geometry, name=files.bundle, kind="labels", classes=labels.classes)
    probabilities = None if files.probabilities is None else read(files.probabilities)[0]
    return Loaded(request, files, in_memory, probabilities)
