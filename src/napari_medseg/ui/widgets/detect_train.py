"""The Train part of the Detect panel: what was accepted or drawn becomes a model."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import cast

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QWidget

from napari_medseg.data.boxes.coco import coco_content
from napari_medseg.data.boxes.review import Review
from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.io import write
from napari_medseg.jobs import Job, Work, local_engine
from napari_medseg.models import Bundle, install
from napari_medseg.prediction import Boxes
from napari_medseg.progress import Note
from napari_medseg.training import Stop
from napari_medseg.training.detection import DetectionConfig, DetectionResult
from napari_medseg.ui.background import in_background
from napari_medseg.ui.folders import new_run_folder
from napari_medseg.ui.forms import Form
from napari_medseg.ui.layers import image_volume
from napari_medseg.ui.settings import recall, remember
from napari_medseg.ui.widgets.bundle_choice import BundleChoice
from napari_medseg.ui.widgets.device_choice import DeviceChoice
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.loss_plot import LossPlot
from napari_medseg.ui.widgets.section import folded, rows, stacked
from napari_medseg.volume import Volume

TARGET = "napari_medseg.training.detection.jobs:train_detector"
FORM = "detect-train"
SHOWN = ("minutes", "pretrained")
COLORS = {"map50": "#4363d8", "map": "#3cb44b"}
Found = Mapping[Image, Review]


class DetectTrain(QWidget):
    """Trains on the boxes of all open images that a person accepted or drew.

    Parameters
    ----------
    reviews : callable
        Returns them.
    parent : QWidget, optional
        Owner.
    """

    trained = Signal(object)
    """A new `Bundle`."""

    def __init__(self, reviews: Callable[[], Found], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reviews = reviews
        self._folder: Path | None = None
        self._config = config = recall(FORM, DetectionConfig())
        self.start = BundleChoice("Scratch", self, tasks=("detection",))
        self.start.setToolTip("A new network, or a detection model that is trained further")
        self.name = QLineEdit(self)
        self.name.setPlaceholderText("from the classes")
        self.name.setToolTip("What the new model is called")
        self.main = Form(config, SHOWN)
        self.rest = Form(config, [name for name in DetectionConfig.model_fields if name not in (*SHOWN, "device")])
        self.device = DeviceChoice(self)
        self.train_button = QPushButton("Train on accepted boxes", self)
        self.train_button.setToolTip(
            "Learn from all open images with accepted or drawn boxes. What else is on them counts as background, so "
            "review an image to the end first"
        )
        self.panel = JobPanel(Stop(), self)
        self.plot = LossPlot(self, "mAP")
        self.plot.hide()
        layout = stacked(self)
        form = rows(("Start from", self.start), ("Name", self.name))
        self.main.add_rows_to(form)
        form.addRow("Device", self.device)
        layout.addLayout(form)
        for part in (folded("Advanced", self.rest.native), self.train_button, self.panel, self.plot):
            layout.addWidget(part)
        self.train_button.clicked.connect(self.train)
        self.start.refused.connect(self.panel.show_error)
        self.panel.started.connect(self.refresh)
        self.panel.heard.connect(self.plot.show_event)
        self.panel.ended.connect(self._on_ended)
        self.refresh()

    def refresh(self, _change: object = None) -> None:
        """Enable what can be done now."""
        self.train_button.setEnabled(not self.panel.busy)

    def train(self, _checked: bool = False) -> None:
        """Copy images and boxes for the worker, and train."""
        try:
            confirmed = {image: review.confirmed() for image, review in self._reviews().items()}
            confirmed = {image: boxes for image, boxes in confirmed.items() if len(boxes)}
            if not confirmed:
                raise ConfigError("There are no boxes to learn from.", "Accept some, or draw and add them.")
            main = self.main.values()
            config = self.rest.values().model_copy(update={name: getattr(main, name) for name in SHOWN})
            remember(FORM, config)
            self._config = config.model_copy(update={"device": self.device.device})
            self._folder = folder = new_run_folder()
            self.panel.prepare("Copying images for the worker")
            volumes = [(image_volume(image), boxes) for image, boxes in confirmed.items()]
            in_background(partial(_lay_out, volumes, folder / "examples"), self._on_laid_out, self._on_failed)
        except MedsegError as error:
            self.panel.show_error(error)

    def _on_laid_out(self, laid: tuple[Path, Path]) -> None:
        if not self.panel.preparing or self._folder is None:
            return
        start = self.start.bundle
        arguments = {
            "folder": self._folder,
            "images": laid[0],
            "boxes": laid[1],
            "config": self._config.model_dump(mode="json"),
            "init": None if start is None else start.path,
        }
        self.plot.restart(COLORS)
        self.plot.show()
        try:
            self.panel.follow(local_engine().submit(Work(TARGET, arguments)))
        except MedsegError as error:
            self.panel.fail(error)

    def _on_failed(self, error: MedsegError) -> None:
        if self.panel.preparing:
            self.panel.fail(error)

    def _on_ended(self, job: Job | None) -> None:
        self.refresh()
        if job is None or job.state != "finished":
            return
        result = cast("DetectionResult", job.result)
        scores = ", ".join(f"{name} {value:.3f}" for name, value in result.scores.items())
        words = f"Held-out images: {scores}." if scores else "Not validated: too few images to keep some aside."
        self.panel.messages.add_note(Note(f"Kept step {result.step} of {result.steps}. {words}"))
        in_background(partial(_kept, result.bundle, self.name.text().strip()), self._on_kept, self.panel.show_error)

    def _on_kept(self, bundle: Bundle) -> None:
        self.panel.messages.add_note(Note(f"{bundle.spec.name} is among your models now."))
        self.start.refresh()
        self.trained.emit(bundle)


def _lay_out(volumes: list[tuple[Volume, Boxes]], folder: Path) -> tuple[Path, Path]:
    """Write numbered images and their boxes; names of layers stay in the viewer."""
    images = folder / "images"
    images.mkdir(parents=True)
    boxes, sizes = {}, {}
    for number, (volume, found) in enumerate(volumes, start=1):
        name = f"image{number}.medvol"
        write(volume, images / name)
        boxes[name], sizes[name] = found, volume.spatial_shape
    # An image may have classes that another model calls by the same value: names rule.
    classes = {entry.name: entry for found in boxes.values() for entry in found.classes}
    table = folder / "boxes.json"
    table.write_text(json.dumps(coco_content(boxes, sizes, classes.values())), encoding="utf-8")
    return images, table


def _kept(path: Path, name: str) -> Bundle:
    """Put a model into the library, under a name of the user's or of its classes."""
    bundle = Bundle.load(path)
    name = name or ", ".join(c.name for c in bundle.spec.foreground)[:60]
    return install(Bundle(bundle.spec.model_copy(update={"name": name}), bundle.weights))
