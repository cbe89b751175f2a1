"""The Detect dock widget: find things, look at each, and learn from the verdicts."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QInputDialog, QPushButton

from napari_medseg.data.boxes.review import Review
from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.inference.detection.options import DetectOptions
from napari_medseg.prediction import Boxes, Prediction
from napari_medseg.progress import Note
from napari_medseg.ui.forms import Form
from napari_medseg.ui.layers import image_volume
from napari_medseg.ui.settings import recall, remember
from napari_medseg.ui.widgets.detect_train import DetectTrain
from napari_medseg.ui.widgets.file_job import FileJob, FileTask
from napari_medseg.ui.widgets.model_panel import ModelPanel
from napari_medseg.ui.widgets.review_pane import ReviewPane
from napari_medseg.ui.widgets.section import beside, folded, reveal, rows, scrolling
from napari_medseg.volume import LabelClass

if TYPE_CHECKING:
    import napari

TARGET = "napari_medseg.inference.detection.jobs:detect_volume"
FORM = "detect"
FIELDS = tuple(name for name in DetectOptions.model_fields if name != "device")
BOX_FILES = "Boxes (*.csv *.json *.xml *.dcm)"


class DetectWidget(ModelPanel):
    """Choose an image and a model, find things, accept or reject each, and train on what was accepted.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it works on.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__(napari_viewer, "Find", ("detection",))
        self._image: Image | None = None
        self._job = FileJob(self.panel, self)
        self.image.setToolTip("The image layer to look at")
        self.model.setToolTip("A detection model: from your library, or any model folder")
        self.options = Form(recall(FORM, DetectOptions()), FIELDS)
        self.run_button.setToolTip("Look for what the model knows, in the background")
        self.open_button = QPushButton("Open boxes…", self)
        self.open_button.setToolTip("Show boxes of a table, COCO JSON, Pascal VOC XML or a DICOM report on the image")
        self.draw_button = QPushButton("Draw…", self)
        self.draw_button.setToolTip("Begin without a model: name the classes, then draw boxes, or take those of labels")
        self.review = ReviewPane(napari_viewer, self)
        self.train = DetectTrain(lambda: self.review.reviews, self)
        self.train_section = folded("Train", self.train)
        content = scrolling(self)
        content.addLayout(rows(("Image", self.image), ("Model", self.model), ("Device", self.device)))
        content.addWidget(folded("Advanced", self.options.native))
        content.addWidget(beside(self.run_button, self.open_button, self.draw_button))
        for part in (self.panel, self.review, self.train_section):
            content.addWidget(part)
        self._connect()
        self._begin(content)
        self.train.device.ask()

    def run(self) -> None:
        """Look for things on the chosen image."""
        try:
            image, bundle = self.image.layer, self.model.bundle
            if not isinstance(image, Image) or bundle is None or bundle.path is None:
                raise ConfigError("There is nothing to look at.", "Choose a model and open an image.")
            options = self.options.values()
            remember(FORM, options)
            options = options.model_copy(update={"device": self.device.device})
            self._image = image
            arguments = {"bundle": bundle.path, "options": options.model_dump(mode="json")}
            volumes = {"image": partial(image_volume, image)}
            self._job.start(FileTask(TARGET, volumes, arguments, "Copying the image for the worker", exclusive=True))
        except MedsegError as error:
            self.panel.show_error(error)

    def open_boxes(self, path: Path) -> None:
        """Show the boxes of a file on the chosen image."""
        image = self.image.layer
        try:
            if not isinstance(image, Image):
                raise ConfigError("There is no image for the boxes.", "Open the image first.")
            self.review.open_file(path, image)
        except MedsegError as error:
            self.panel.show_error(error)

    def draw(self, names: Sequence[str]) -> None:
        """Begin a review of the chosen image without a box, and a layer to draw rectangles in.

        Parameters
        ----------
        names : sequence of str
            Of the classes.
        """
        image = self.image.layer
        unique = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
        if not isinstance(image, Image) or not unique:
            self.panel.show_error(ConfigError("There is no image, or no class.", "Open an image, and name a class."))
            return
        classes = tuple(LabelClass(value=value, name=name) for value, name in enumerate(unique, start=1))
        shape = image_volume(image).spatial_shape
        axes = 3 if len(shape) == 3 and shape[0] > 1 else 2
        self.review.start(image, Review(Boxes.none(axes, classes)))
        self.review.drawn.draw_on(image)
        reveal(self.review)

    def _connect(self) -> None:
        self.open_button.clicked.connect(self._on_open)
        self.draw_button.clicked.connect(self._on_draw)
        self.image.layer_changed.connect(self._on_image)
        self._job.done.connect(self._on_found)
        self.review.failed.connect(self.panel.show_error)
        self.review.said.connect(lambda words: self.panel.messages.add_note(Note(words)))
        self.train.trained.connect(lambda _bundle: self.model.refresh())

    def _refresh(self, _change: object = None) -> None:
        ready = self.model.bundle is not None and self.image.layer is not None and not self.panel.busy
        self.run_button.setEnabled(ready)
        for button in (self.open_button, self.draw_button):
            button.setEnabled(self.image.layer is not None)

    def _on_image(self, _layer: object = None) -> None:
        image = self.image.layer
        self.review.show_image(image if isinstance(image, Image) else None)

    def _on_found(self, prediction: Prediction) -> None:
        image = self._image
        if image is None or not self._is_here(image):
            return
        (boxes,) = (output for output in prediction.outputs if isinstance(output, Boxes))
        self.image.choose(image)
        self.review.start(image, Review(boxes, model=(prediction.bundle, prediction.bundle_hash[:16])))
        if boxes.masks is not None:
            self.review.to_labels()
        reveal(self.review)

    def _on_draw(self) -> None:
        words, given = QInputDialog.getText(self, "Draw boxes", "Classes, with commas between them", text="lesion")
        if given:
            self.draw(words.split(","))

    def _on_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open boxes", "", BOX_FILES)
        if path:
            self.open_boxes(Path(path))
