"""The Enhance dock widget: thinner slices, less noise, and how good an image is."""

from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from napari_medseg.errors import ConfigError, DataError, MedsegError
from napari_medseg.evaluate.images import score_image
from napari_medseg.evaluate.quality import QualityReport, assess, noise_map
from napari_medseg.inference.restoration.options import EnhancedFiles
from napari_medseg.io import read
from napari_medseg.models import Bundle
from napari_medseg.models.library import install
from napari_medseg.progress import Note
from napari_medseg.ui.background import in_background
from napari_medseg.ui.folders import new_scratch_file
from napari_medseg.ui.layers import image_volume, labels_on
from napari_medseg.ui.layers.enhanced import (
    Enhanced,
    add_enhanced,
    add_map,
    compare_side_by_side,
    enhanced_of,
    is_enhanced,
)
from napari_medseg.ui.layers.views import visible_box
from napari_medseg.ui.widgets.enhance_setup import EnhanceSetup
from napari_medseg.ui.widgets.file_job import FileJob, FileTask
from napari_medseg.ui.widgets.layer_choice import LayerChoice, is_image, is_labels
from napari_medseg.ui.widgets.model_panel import ModelPanel
from napari_medseg.ui.widgets.section import add_row, reveal, rows, scrolling
from napari_medseg.volume import Volume
from napari_medseg.volume.grey import as_grey
from napari_medseg.volume.plain import plain_values

if TYPE_CHECKING:
    import napari

TARGET = "napari_medseg.training.restoration.jobs:enhance_file"
TASKS = ("superresolution", "enhancement")


@dataclass(frozen=True, eq=False)
class _Asked:
    image: Image
    part: tuple[tuple[int, ...], tuple[int, ...]] | None
    """Start and stop, where only a part is enhanced."""
    truth: Image | None


class EnhanceWidget(ModelPanel):
    """Choose an image and a way, look at a preview, run, compare.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it works on.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__(napari_viewer, "Enhance", TASKS, _is_original)
        self._asked: _Asked | None = None
        self._learned: Path | None = None
        self._job = FileJob(self.panel, self)
        self.image.setToolTip("The image layer to enhance")
        self.setup = EnhanceSetup(self)
        self.model.setToolTip("A model for super-resolution or enhancement: from your library, or any model folder")
        self.preview_button = QPushButton("Preview", self)
        self.preview_button.setToolTip("Enhance what is in view, and some slices around it, in about half a minute")
        self.run_button.setToolTip("Enhance the whole image in the background")
        self.quality_button = QPushButton("Quality", self)
        self.quality_button.setToolTip(
            "Measure noise, sharpness and the like, say what may harm other tasks, and add a map of the noise, hidden"
        )
        self.regions = LayerChoice(napari_viewer, is_labels, self, nothing="tissue and background")
        self.regions.setToolTip(
            "For Quality: signal is taken where a Labels layer has class 1, contrast between classes 1 and 2"
        )
        self.truth = LayerChoice(napari_viewer, _is_original, self, nothing="unknown")
        self.truth.setToolTip("The image as it should be, where there is one: the result is compared with it")
        self.keep_button = QPushButton("Keep the network", self)
        self.keep_button.setToolTip("Add the network that was learned from this image to your models")
        self.keep_button.hide()
        self.compare = QCheckBox("Side by side, with difference and uncertainty", self)
        self.compare.setToolTip("Show original, result, difference and uncertainty in a grid")
        self.facts = QLabel(self)
        self.facts.setWordWrap(True)
        self.facts.setTextFormat(Qt.TextFormat.RichText)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        content = self._lay_out()
        self._connect()
        self._begin(content)

    def run(self, *, preview: bool = False) -> None:
        """Enhance the chosen image, or the part of it that is in view."""
        try:
            image, bundle = self.image.layer, self.model.bundle
            if not isinstance(image, Image):
                raise ConfigError("There is no image.", "Open one.")
            by_model = self.setup.way.method == "model"
            if by_model and bundle is None:
                raise ConfigError("There is no model.", "Train one, or open its folder.")
            task = bundle.spec.task if by_model and bundle is not None else None
            request: dict[str, object] = {
                "method": self.setup.way.method,
                "settings": dict(self.setup.settings(self.device.device, task, preview)),
            }
            part = visible_box(self._viewer, image) if preview else None
            if part is not None:
                request["start"], request["stop"] = part
            arguments = {"request": request, "out": new_scratch_file()}
            arguments["model"] = bundle.path if by_model and bundle is not None else None
            arguments["keep"] = None if preview else new_scratch_file("")
            truth = self.truth.layer
            self._asked = _Asked(image, part, truth if isinstance(truth, Image) and not preview else None)
            volumes = {"image": partial(image_volume, image)}
            self._job.start(FileTask(TARGET, volumes, arguments, "Copying the image for the worker", exclusive=True))
        except MedsegError as error:
            self.panel.show_error(error)

    def keep(self) -> None:
        """Add the network that was learned last to the user's models."""
        if self._learned is not None:
            self.keep_button.setEnabled(False)
            in_background(partial(_keep, self._learned), self._on_kept, self.panel.show_error)

    def assess(self) -> None:
        """Measure the quality of the chosen image."""
        image = self.image.layer
        if isinstance(image, Image):
            self.quality_button.setEnabled(False)
            regions = self.regions.layer
            marks = regions if isinstance(regions, Labels) else None
            in_background(partial(_assess, image, marks), self._show_quality, self._on_no_quality)

    def _lay_out(self) -> QVBoxLayout:
        content = scrolling(self)
        form = rows(("Image", self.image), ("Way", self.setup.way_choice))
        add_row(form, "Model", self.model)
        add_row(form, "Truth", self.truth)
        add_row(form, "Regions", self.regions)
        add_row(form, "Device", self.device)
        self._form = form
        content.addLayout(form)
        content.addWidget(self.setup)
        buttons = QHBoxLayout()
        for button in (self.quality_button, self.preview_button, self.run_button):
            buttons.addWidget(button, 1)
        content.addLayout(buttons)
        for part in (self.panel, self.compare, self.facts, self.keep_button):
            content.addWidget(part)
        return content

    def _connect(self) -> None:
        self.preview_button.clicked.connect(lambda: self.run(preview=True))
        self.quality_button.clicked.connect(self.assess)
        self.keep_button.clicked.connect(self.keep)
        self.compare.toggled.connect(partial(compare_side_by_side, self._viewer))
        self.setup.way_choice.currentIndexChanged.connect(self._refresh)
        self._job.done.connect(self._on_done)

    def _refresh(self, _change: object = None) -> None:
        by_model = self.setup.way.method == "model"
        self._form.setRowVisible(self.model, by_model)
        self.device.setEnabled(self.setup.way.method in ("superresolution", "denoise", "model"))
        here = self.image.layer is not None
        ready = here and not self.panel.busy and not (by_model and self.model.bundle is None)
        for button in (self.run_button, self.preview_button):
            button.setEnabled(ready)
        self.quality_button.setEnabled(here)

    def _on_kept(self, bundle: Bundle) -> None:
        self.model.refresh()
        self.panel.messages.add_note(Note(f"Added {bundle.spec.name} to your models."))

    def _on_done(self, files: EnhancedFiles) -> None:
        self._learned = files.bundle
        self.keep_button.setVisible(files.bundle is not None)
        self.keep_button.setEnabled(True)
        if self._asked is not None:
            in_background(partial(_load, self._asked, files), partial(self._show, self._asked), self.panel.show_error)

    def _show(self, asked: _Asked, loaded: tuple[Enhanced, str]) -> None:
        found, compared = loaded
        if not self._is_here(asked.image):
            return
        add_enhanced(self._viewer, asked.image, found)
        compare_side_by_side(self._viewer, self.compare.isChecked())
        self.facts.setText(_facts(found, compared))
        reveal(self.facts)

    def _show_quality(self, found: tuple[QualityReport, Volume]) -> None:
        report, noise = found
        active = self._viewer.layers.selection.active
        add_map(self._viewer, noise)
        self._viewer.layers.selection.active = active
        self._refresh()
        self.facts.setText(_quality(report))
        reveal(self.facts)

    def _on_no_quality(self, error: MedsegError) -> None:
        self._refresh()
        self.panel.show_error(error)


def _is_original(layer: object) -> bool:
    """Return whether a layer is an image, and not what was computed from one to look at."""
    return is_image(layer) and not is_enhanced(layer)


def _keep(path: Path) -> Bundle:
    return install(Bundle.load(path))


def _assess(image: Image, regions: Labels | None) -> tuple[QualityReport, Volume]:
    """Return the quality of an image, and a map of its noise."""
    volume = as_grey(image_volume(image))
    chosen = []
    if regions is not None:
        marked = np.asarray(labels_on(regions, image).data)
        chosen = [marked == 1, marked == 2]
    report, noise = assess(volume, *chosen), noise_map(plain_values(volume))
    top = float(np.quantile(noise, 0.999)) or 1.0
    said = "Standard deviation of the noise around each voxel"
    return report, replace(volume, data=noise, name=f"{volume.name} noise", window=(0.0, top), derivation=said)


def _load(asked: _Asked, files: EnhancedFiles) -> tuple[Enhanced, str]:
    """Return what is to be shown, and how near it is to the truth, in words."""
    original = as_grey(image_volume(asked.image))
    what = "preview" if asked.part else files.title
    if asked.part is not None:
        start, stop = asked.part
        inside = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        box = (slice(None),) * len(original.axes) + inside
        grid = None if original.geometry is None else original.geometry.cropped(start, stop)
        original = replace(original, data=np.asarray(original.data)[box], geometry=grid)
    (result,) = read(files.image)
    name = f"{original.name} {what} (synthesised)"
    result = replace(
        original, data=np.array(result.data), geometry=result.geometry, name=name, derivation=files.derivation
    )
    found = enhanced_of(original, result, _spread(files, original), files.report)
    if asked.truth is None:
        return found, ""
    try:
        return found, f"{score_image(result, image_volume(asked.truth))}."
    except DataError as error:
        return found, str(error)


def _spread(files: EnhancedFiles, original: Volume) -> Volume | None:
    if files.spread is None:
        return None
    (found,) = read(files.spread)
    return replace(found, data=np.array(found.data), name=f"{original.name} uncertainty")


def _facts(found: Enhanced, compared: str) -> str:
    took = f"Took {found.report['seconds']:.0f} s." if "seconds" in found.report else ""
    lines = (f"<b>{escape(found.result.name)}</b>", escape(found.result.derivation), escape(compared), took)
    return "<br>".join(line for line in lines if line)


def _quality(report: QualityReport) -> str:
    numbers = {
        "Signal to noise": report.snr,
        "Contrast to noise": report.cnr,
        "Sharpness": report.sharpness,
        "Largest over smallest spacing": report.anisotropy,
    }
    lines = [f"<b>{escape(report.name)}</b>"]
    lines += [f"{words}: {'unknown' if value is None else f'{value:.3g}'}" for words, value in numbers.items()]
    lines += [f"• {escape(finding)}" for finding in report.findings or ("Nothing was found that harms other tasks.",)]
    return "<br>".join(lines)
