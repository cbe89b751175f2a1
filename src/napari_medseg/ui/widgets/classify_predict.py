"""The Predict tab of the Classify panel."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QPushButton, QWidget

from napari_medseg.data.labelled.answers import Classified, rows_of, write_rows
from napari_medseg.data.labelled.table import SLICE_MARK
from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.jobs import Job, Work
from napari_medseg.progress import Note
from napari_medseg.ui import examples as sources
from napari_medseg.ui.background import in_background
from napari_medseg.ui.examples import Example, lay_out
from napari_medseg.ui.folders import new_scratch_file
from napari_medseg.ui.layers.answers import add_answers
from napari_medseg.ui.widgets.answer_table import AnswerTable, picked_columns
from napari_medseg.ui.widgets.bundle_choice import BundleChoice
from napari_medseg.ui.widgets.desk import buttons
from napari_medseg.ui.widgets.device_choice import DeviceChoice
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.layer_choice import LayerChoice, is_image, needed
from napari_medseg.ui.widgets.section import rows, stacked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.viewer import Viewer

    from napari_medseg.models import Bundle

TARGET = "napari_medseg.inference.classify_jobs:classify_table"
THIS, ALL, ROWS, REGIONS, BOXES, FOLDER = (
    "this image", "all open images", "the rows of Label", "regions of the labels", "boxes of the shapes", "a folder…",
)  # fmt: skip


class PredictClassesTab(QWidget):
    """Runs a classification model, and shows what it says in a table and on the images.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are classified.
    examples : callable
        Returns the rows of the Label tab.
    parent : QWidget, optional
        Owner.
    """

    picked = Signal(object)
    """The user wants to see this `Example`."""
    answered = Signal(object, object)
    """New `Classified` answers, and the `Bundle` that gave them."""

    def __init__(
        self, viewer: "Viewer", examples: "Callable[[], Sequence[Example]]", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._examples = viewer, examples
        self._asked: list[Example] = []
        self._shown: list[Example] = []
        self._bundle: Bundle | None = None
        self.found: Classified | None = None
        self.model = BundleChoice(parent=self, tasks=("classification",))
        self.model.setToolTip("The model: a classification from your library, or any model folder")
        self.image = LayerChoice(viewer, is_image, self)
        self.image.setToolTip("The image layer to classify, or that regions and boxes lie on")
        self.what = QComboBox(self)
        self.what.addItems([THIS, ALL, ROWS, REGIONS, BOXES, FOLDER])
        self.what.setToolTip(
            "What gets a class. A volume is classified slice by slice if the model is one of planes; regions and "
            "boxes are cut out as in training."
        )
        self.device = DeviceChoice(self)
        self.run_button = QPushButton("Classify", self)
        self.run_button.setToolTip("Run the model in the background")
        self.panel = JobPanel(parent=self)
        self.table = AnswerTable(self)
        self.save_button = QPushButton("Save CSV…", self)
        self.save_button.setToolTip("Write images, classes and probabilities to a file that spreadsheets open")
        self._lay_out()
        self._connect()
        self.refresh()

    def run(self, _checked: bool = False) -> None:
        """Classify what is chosen."""
        try:
            bundle, what = self.model.bundle, self.what.currentText()
            if bundle is None or bundle.path is None:
                raise ConfigError("There is no model.", "Train one, or open a model folder.")
            self._bundle = bundle
            if what == FOLDER:
                self._ask_folder()
            else:
                self.start(self._chosen(what, bundle.spec.dims == 2))
        except MedsegError as error:
            self.panel.show_error(error)

    def start(self, examples: "Sequence[Example]") -> None:
        """Classify these."""
        self._asked = list(examples)
        laid_out = partial(lay_out(self._asked), new_scratch_file(""))
        self.panel.begin("Copying images for the worker", laid_out, self._begin)

    def save_as(self, path: Path) -> None:
        """Write the answers as CSV."""
        if self.found is not None and self._bundle is not None:
            lines = rows_of(self.found, self._bundle.spec)
            in_background(partial(write_rows, lines, path), self._on_saved, self.panel.show_error)

    def refresh(self, _change: object = None) -> None:
        """Enable what can be done now."""
        self.run_button.setEnabled(self.model.bundle is not None and not self.panel.busy)
        self.save_button.setVisible(self.found is not None)

    def _lay_out(self) -> None:
        layout = stacked(self)
        layout.addLayout(
            rows(("Model", self.model), ("Image", self.image), ("What", self.what), ("Device", self.device))
        )
        for part in (self.run_button, self.panel, self.table):
            layout.addWidget(part)
        layout.addLayout(buttons(self.save_button))

    def _connect(self) -> None:
        self.run_button.clicked.connect(self.run)
        self.save_button.clicked.connect(self._on_save)
        self.model.chosen.connect(self.refresh)
        self.model.refused.connect(self.panel.show_error)
        self.panel.started.connect(self.refresh)
        self.panel.ended.connect(self._on_ended)
        self.table.picked.connect(self._on_picked)

    def _chosen(self, what: str, planes: bool) -> "list[Example]":
        if what == ROWS:
            if not (found := list(self._examples())):
                raise ConfigError("The Label tab has no rows.", "Add images there.")
            return found
        if what == ALL:
            return sources.whole_layers([layer for layer in self._viewer.layers if isinstance(layer, Image)])
        image = self.image.layer
        if not isinstance(image, Image):
            raise ConfigError("There is no image layer.", "Open an image.")
        if what == THIS:
            return sources.whole_layers([image])
        if what == REGIONS:
            return sources.label_regions(needed(self._viewer, Labels, "labels layer"), image, each_slice=planes)
        return sources.boxes(needed(self._viewer, Shapes, "shapes layer"), image)

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Classify a folder of images")
        if folder:
            in_background(partial(sources.files, [Path(folder)]), self.start, self.panel.show_error)

    def _begin(self, laid: tuple[Path, Path | None]) -> None:
        assert self._bundle is not None
        images, table = laid
        arguments = {"bundle": self._bundle.path, "folder": images, "table": table, "device": self.device.device}
        self.panel.submit(Work(TARGET, arguments))

    def _on_ended(self, job: Job | None) -> None:
        if job is not None and job.state == "finished" and self._bundle is not None:
            assert isinstance(job.result, Classified)
            self._show(job.result, self._bundle)
        self.refresh()

    def _show(self, found: Classified, bundle: "Bundle") -> None:
        self._shown = spread(self._asked, found)
        self.found = Classified(tuple(example.name for example in self._shown), found.probabilities)
        self.table.show_answers(self.found, bundle.spec)
        on_layers: dict[Image, list[int]] = {}
        for number, example in enumerate(self._shown):
            if isinstance(example.image, Image) and example.image in self._viewer.layers:
                on_layers.setdefault(example.image, []).append(number)
        for layer, numbers in on_layers.items():
            columns = picked_columns(self.found, bundle.spec, numbers)
            if add_answers(self._viewer, layer, [self._shown[k].box for k in numbers], columns) is None:
                words = f"{layer.name} is shown resampled, so its classes are in the table only."
                self.panel.messages.add_note(Note(words))
        self.answered.emit(self.found, bundle)

    def _on_picked(self, number: int) -> None:
        self.picked.emit(self._shown[number])

    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save classes", "predictions.csv", "CSV (*.csv)")
        if path:
            self.save_as(Path(path).with_suffix(".csv"))

    def _on_saved(self, path: Path) -> None:
        self.panel.messages.add_note(Note(f"Saved {path.name}."))


def spread(asked: "Sequence[Example]", found: Classified) -> "list[Example]":
    """Return an example per answer: those of a volume that was classified slice by slice become its slices."""
    result: list[Example] = []
    names = iter(found.names)
    place = 0
    for example in asked:
        name = next(names)
        place += 1
        head, mark, number = name.rpartition(SLICE_MARK)
        if example.box is not None or not mark or number != "0":
            result.append(example)
            continue
        count = 1
        while place < len(found.names) and found.names[place] == f"{head}{mark}{count}":
            next(names)
            place, count = place + 1, count + 1
        sides = (slice(None), slice(None))
        result += [
            Example(f"{example.name}{SLICE_MARK}{k}", example.image, (slice(k, k + 1), *sides), example.label)
            for k in range(count)
        ]
    return result
