"""The Explain dock widget: why does a model say what it says."""

from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout

from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.explain import ExplanationFiles
from napari_medseg.io import read
from napari_medseg.ui.background import in_background
from napari_medseg.ui.folders import new_scratch_file
from napari_medseg.ui.layers import image_volume
from napari_medseg.ui.layers.explanation import add_explanation
from napari_medseg.ui.layers.results import MAP_OF
from napari_medseg.ui.widgets.explain_plots import ExplainPlots
from napari_medseg.ui.widgets.explain_setup import ExplainSetup
from napari_medseg.ui.widgets.file_job import FileJob, FileTask
from napari_medseg.ui.widgets.layer_choice import is_image
from napari_medseg.ui.widgets.model_panel import ModelPanel
from napari_medseg.ui.widgets.region_choice import RegionChoice
from napari_medseg.ui.widgets.section import reveal, rows, scrolling
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

TARGET = "napari_medseg.explain.jobs:explain_volume"
REGION = (
    "For a segmentation: the voxels whose mean score is explained, instead of those where the class is found. "
    "For a classification: the only part that the model sees. For a detection: which of its boxes is meant. "
    "A Shapes layer counts by the box around it, a Labels layer by what is painted."
)
COLOURS = {"passed": "#3fae5a", "unclear": "#e8a33d", "failed": "#e0524d"}


@dataclass(frozen=True, eq=False)
class _Loaded:
    image: Image
    files: ExplanationFiles
    map: Volume


class ExplainWidget(ModelPanel):
    """Choose an image, a model, a method and a class, and see what speaks for the class, and what the map is worth.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it works on.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__(napari_viewer, "Explain", accepts=_is_own_image)
        self._image: Image | None = None
        self._job = FileJob(self.panel, self)
        self.image.setToolTip("The image layer that the model is asked about")
        self.model.setToolTip(
            "A classification, segmentation or detection model: from your library, or any model folder"
        )
        self.region = RegionChoice(napari_viewer, self)
        self.region.setToolTip(REGION)
        self.setup = ExplainSetup(self)
        self.run_button.setToolTip("Compute the map, and check it, in the background")
        self.scores = QLabel(self)
        self.scores.setWordWrap(True)
        self.scores.setTextFormat(Qt.TextFormat.RichText)
        self.scores.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.plots = ExplainPlots(self)
        for part in (self.scores, self.plots):
            part.hide()
        content = self._lay_out()
        self.panel.started.connect(self._on_started)
        self._job.done.connect(self._on_done)
        self._begin(content)

    def run(self) -> None:
        """Explain the chosen image."""
        try:
            image, bundle = self.image.layer, self.model.bundle
            if not isinstance(image, Image) or bundle is None or bundle.path is None:
                raise ConfigError("There is nothing to explain.", "Choose a model and open an image.")
            options = self.setup.options(self.device.device)
            if (box := self.region.box(image)) is not None:
                options = options.model_copy(update={"region": box})
            volumes: dict[str, Callable[[], Volume]] = {"image": partial(image_volume, image)}
            if (mask := self.region.mask(image)) is not None:
                volumes["region"] = mask
            what = (self.setup.method.name, self.setup.target, options.model_dump(mode="json"))
            arguments = {"bundle": bundle.path, "what": what, "out": new_scratch_file()}
            self._image = image
            self._job.start(FileTask(TARGET, volumes, arguments, "Copying the image for the worker", exclusive=True))
        except MedsegError as error:
            self.panel.show_error(error)

    def _lay_out(self) -> QVBoxLayout:
        content = scrolling(self)
        setup = self.setup
        content.addLayout(
            rows(
                ("Image", self.image),
                ("Model", self.model),
                ("Method", setup.method_choice),
                ("Class", setup.class_choice),
                ("Region", self.region),
                ("Device", self.device),
            )
        )
        for part in (self.setup, self.run_button, self.panel, self.scores, self.plots):
            content.addWidget(part)
        return content

    def _refresh(self, _change: object = None) -> None:
        bundle = self.model.bundle
        self.setup.show_spec(bundle.spec if bundle is not None else None)
        self.run_button.setEnabled(bundle is not None and self.image.layer is not None and not self.panel.busy)

    def _on_started(self) -> None:
        for part in (self.scores, self.plots):
            part.hide()

    def _on_done(self, files: ExplanationFiles) -> None:
        if self._image is not None:
            in_background(partial(_load, self._image, files), self._show, self.panel.show_error)

    def _show(self, loaded: _Loaded) -> None:
        if not self._is_here(loaded.image):
            return
        layer = add_explanation(self._viewer, loaded.image, loaded.map, loaded.files.scores)
        self._viewer.layers.selection.active = layer
        self.scores.setText(_lines(loaded.files))
        self.plots.show_scores(loaded.files.scores)
        for part in (self.scores, self.plots):
            part.show()
        reveal(self.plots)


def _is_own_image(layer: object) -> bool:
    """Return whether a layer is an image that a model may be asked about: not a map of what one says."""
    return is_image(layer) and MAP_OF not in getattr(layer, "metadata", {})


def _load(image: Image, files: ExplanationFiles) -> _Loaded:
    (found,) = read(files.map)
    scores = files.scores
    name = f"{scores.method} of {scores.target} by {scores.model}"
    return _Loaded(image, files, replace(found, data=np.array(found.data), name=name, window=files.window))


def _lines(files: ExplanationFiles) -> str:
    """Return what is known of a map as rich text, the verdict in a colour of its own."""
    first, *others = files.scores.lines()
    sanity = files.scores.sanity
    parts = [f"<b>{escape(first)}</b>"]
    for number, line in enumerate(others):
        marked = sanity is not None and number == 0
        colour = COLOURS[sanity.verdict] if marked and sanity is not None else ""
        parts.append(f'<span style="color: {colour}">●</span> {escape(line)}' if marked else escape(line))
    return "<br>".join(parts)
