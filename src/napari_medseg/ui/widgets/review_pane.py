"""What a person does with found boxes: look, accept, reject, relabel, draw, save."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Shapes
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QGridLayout, QLabel, QPushButton, QSlider, QWidget

from napari_medseg.data.boxes.drawing import smallest_at
from napari_medseg.data.boxes.review import Review
from napari_medseg.errors import DataError, MedsegError
from napari_medseg.ui.boxes_files import open_boxes, save_boxes
from napari_medseg.ui.layers import go_to, image_volume
from napari_medseg.ui.layers.boxes import boxes_as_labels, remove_boxes, show_boxes, show_for_dimensions
from napari_medseg.ui.widgets.box_table import BoxTable
from napari_medseg.ui.widgets.class_menu import ClassMenu
from napari_medseg.ui.widgets.drawn_boxes import DrawnBoxes
from napari_medseg.ui.widgets.section import SPACING, beside, rows, stacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.utils.events import Event
    from napari.viewer import Viewer

PER_CENT = 100
PAN = "pan_zoom"
"""Mode of a layer in which a click has no other meaning."""
FIRST_THRESHOLD = 30
"""Per cent: scores below it are mostly false on a new image."""
FILES = "Table (*.csv);;COCO (*.json);;DICOM report (*.dcm);;LUNA16 table in mm (*.luna.csv)"


class ReviewPane(QWidget):
    """The boxes of one image: threshold, classes, table and verdicts; hidden until there are some.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the boxes are drawn.
    parent : QWidget, optional
        Owner.
    """

    failed = Signal(object)
    """A `MedsegError`."""
    said = Signal(str)
    """What the user should know."""
    reviewed = Signal()
    """A verdict changed."""

    def __init__(self, viewer: "Viewer", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image: Image | None = None
        self._reviews: dict[Image, Review] = {}
        self._picked: int | None = None
        self._layers: list[Shapes] = []
        self.threshold = QSlider(Qt.Orientation.Horizontal, self)
        self.threshold.setRange(0, PER_CENT)
        self.threshold.setValue(FIRST_THRESHOLD)
        self.threshold.setToolTip("Boxes with a lower score are hidden; what you accepted or drew stays")
        self.threshold_words = QLabel(self)
        self.classes = ClassMenu(self)
        self.classes.setToolTip("Show boxes of the ticked classes alone; with none ticked, of all")
        self.count = QLabel(self)
        self.count.setWordWrap(True)
        self.table = BoxTable(self)
        self.accept_button = _button("Accept", "There is what the box says (A)", self)
        self.reject_button = _button("Reject", "There is nothing of the kind (R)", self)
        self.undo_button = _button("Undo", "Take the last verdict back (U)", self)
        self.relabel_choice = QComboBox(self)
        self.relabel_choice.setToolTip("Class that drawn boxes get, and that Relabel gives the selected boxes (1 to 9)")
        self.relabel_button = _button("Relabel", "Give the selected boxes this class, and accept them", self)
        self.drawn = DrawnBoxes(viewer, self)
        self.save_button = _button("Save…", "Write the shown boxes: table, COCO, DICOM report, or LUNA16's table", self)
        self.labels_button = _button("To labels", "A labels layer of the shown boxes: their masks, or filled", self)
        self._lay_out()
        self._connect()
        self.hide()

    @property
    def review(self) -> Review | None:
        """Of the current image; None while there are no boxes for it."""
        return None if self._image is None else self._reviews.get(self._image)

    @property
    def reviews(self) -> dict[Image, Review]:
        """By image that is still open."""
        return {image: review for image, review in self._reviews.items() if image in self._viewer.layers}

    def start(self, image: Image, review: Review) -> None:
        """Show new boxes of an image, in place of those that it had."""
        self._reviews[image] = review
        self._picked = None
        self.show_image(image)

    def show_image(self, image: Image | None) -> None:
        """Show the boxes of another image."""
        self._image = image
        review = self.review
        self.setVisible(review is not None)
        if review is not None:
            self.classes.set_classes(review.boxes.classes)
            self.relabel_choice.clear()
            for entry in review.boxes.classes:
                self.relabel_choice.addItem(entry.name, entry.value)
            self.drawn.show_depth(review.boxes.axes == 3)
        self.refresh()

    def open_file(self, path: Path, image: Image) -> None:
        """Show boxes of a file on an image; they count as accepted where the file gives no score below 1."""
        volume = image_volume(image)
        boxes = open_boxes(path, replace(volume, name=image.name))
        shape = volume.spatial_shape[-boxes.axes :] if volume.spatial_shape[0] == 1 else volume.spatial_shape
        if boxes.axes != len(shape):
            raise DataError(
                f"{path.name} has boxes of {boxes.axes} axes; {image.name} has {len(shape)}.", "Choose its own image."
            )
        if len(boxes) and (boxes.edges[:, 1] > np.array(shape) + 0.5).any():
            raise DataError(f"Boxes of {path.name} reach beyond {image.name}.", "Choose the image they are of.")
        self.start(image, Review(boxes, tuple("drawn" if score == 1 else "open" for score in boxes.scores)))

    def refresh(self) -> None:
        """Draw and list what is to be shown."""
        self.threshold_words.setText(f"{self.threshold.value() / PER_CENT:.2f}")
        review, image = self.review, self._image
        if review is None or image is None or image not in self._viewer.layers:
            return
        numbers = self.shown_numbers()
        self.table.show_boxes(review, numbers, image_volume(image).geometry)
        done = sum(verdict != "open" for verdict in review.verdicts)
        self.count.setText(f"{len(numbers)} of {len(review.boxes)} boxes shown, {done} reviewed")
        try:
            boxes = review.boxes.chosen(np.array(numbers, np.int64))
            self._layers = show_boxes(self._viewer, image, boxes, numbers, self._picked)
        except MedsegError as error:
            remove_boxes(self._viewer, image)
            self.failed.emit(error)

    def shown_numbers(self) -> list[int]:
        """Return the numbers of the boxes that are shown."""
        review = self.review
        if review is None:
            return []
        ticked = self.classes.values
        hidden = frozenset(c.value for c in review.boxes.classes if ticked and c.value not in ticked)
        return [int(k) for k in np.flatnonzero(review.shown(self.threshold.value() / PER_CENT, hidden))]

    def decide(self, key: str) -> None:
        """Do what a key of the table stands for, with the selected boxes."""
        review, numbers = self.review, self.table.numbers
        if review is None:
            return
        if key == "U":
            review.undo()
        elif not numbers:
            return
        elif key.isdigit():
            if int(key) > len(review.boxes.classes):
                return
            review.relabel(numbers, review.boxes.classes[int(key) - 1].value)
        else:
            review.decide(numbers, "accepted" if key == "A" else "rejected")
        following = self._following(numbers) if key == "R" else None
        self.refresh()
        self.reviewed.emit()
        if following is not None:
            self.table.select({following})
            self.pick(following)

    def relabel(self) -> None:
        """Give the selected boxes the chosen class."""
        review, numbers = self.review, self.table.numbers
        if review is not None and numbers:
            review.relabel(numbers, int(self.relabel_choice.currentData()))
            self.refresh()
            self.reviewed.emit()

    def add_drawn(self) -> None:
        """Add the boxes of the chosen layer; those whose class has no name there get the chosen one."""
        review, image = self.review, self._image
        if review is None or image is None:
            return
        values = {entry.name: entry.value for entry in review.boxes.classes}
        many = 0
        for edges, name in self.drawn.boxes_on(image):
            # A plane of a series is an image of one slice.
            review.add(edges[..., -review.boxes.axes :], values.get(name, int(self.relabel_choice.currentData())))
            many += len(edges)
        if many:
            self.refresh()
            self.reviewed.emit()
            self.said.emit(f"{many} boxes added; the layer that they were drawn in is no longer needed.")

    def save(self, path: Path) -> None:
        """Write the boxes that are shown."""
        review, image = self.review, self._image
        if review is not None and image is not None:
            boxes = review.boxes.chosen(np.array(self.shown_numbers(), np.int64))
            save_boxes(boxes, replace(image_volume(image), name=image.name), path, review.model)
            self.said.emit(f"{len(boxes)} boxes written to {path.name}.")

    def to_labels(self) -> None:
        """Add a labels layer of the shown boxes: filled, or things one by one where the model gives their masks."""
        review, image = self.review, self._image
        if review is not None and image is not None:
            boxes = review.boxes.chosen(np.array(self.shown_numbers(), np.int64))
            self._viewer.add_layer(boxes_as_labels(boxes, image))

    def pick(self, number: int) -> None:
        """Go to a box and let it stand out."""
        review, image = self.review, self._image
        if review is None or image is None or number == self._picked:
            return
        self._picked = number
        highest = np.array(image_volume(image).spatial_shape) - 1
        centre = np.zeros(len(highest), int)
        centre[-review.boxes.axes :] = np.floor(review.boxes.centres[number])
        go_to(self._viewer, image, [int(k) for k in np.clip(centre, 0, highest)], centre=True)
        self.refresh()

    def _following(self, numbers: list[int]) -> int | None:
        """Return the box that comes after the selected ones in the table."""
        order = self.table.order
        last = max((order.index(number) for number in numbers if number in order), default=-1)
        return next((number for number in order[last + 1 :] if number not in numbers), None)

    def _on_click(self, _viewer: object, event: "Event") -> "Iterator[None]":
        """Pick the box that is clicked on a slice; a drag only moves the view."""
        yield
        if event.type == "mouse_move" or getattr(self._viewer.layers.selection.active, "mode", PAN) != PAN:
            return
        review, image, numbers = self.review, self._image, self.shown_numbers()
        if review is None or image is None or image not in self._viewer.layers or self._viewer.dims.ndisplay == 3:
            return
        hit = smallest_at(review.boxes.edges[numbers], image.world_to_data(event.position))
        if hit is not None:
            self.table.select({numbers[hit]})
            self.table.setFocus()
            self.pick(numbers[hit])

    def _on_dimensions(self, _event: object = None) -> None:
        show_for_dimensions(self._viewer, [layer for layer in self._layers if layer in self._viewer.layers])

    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save boxes", "boxes.csv", FILES)
        self._try(lambda: self.save(Path(path)) if path else None)

    def _try(self, act: "Callable[[], object]") -> None:
        try:
            act()
        except MedsegError as error:
            self.failed.emit(error)

    def _lay_out(self) -> None:
        layout = stacked(self)
        layout.addLayout(rows(("Score from", beside(self.threshold, self.threshold_words)), ("Classes", self.classes)))
        layout.addWidget(self.count)
        layout.addWidget(self.table)
        grid = QGridLayout()
        grid.setSpacing(SPACING)
        for column, button in enumerate((self.accept_button, self.reject_button, self.undo_button)):
            grid.addWidget(button, 0, column)
        grid.addWidget(self.relabel_choice, 1, 0, 1, 2)
        grid.addWidget(self.relabel_button, 1, 2)
        grid.addWidget(self.save_button, 2, 0, 1, 2)
        grid.addWidget(self.labels_button, 2, 2)
        layout.addLayout(grid)
        layout.addWidget(self.drawn)

    def _connect(self) -> None:
        self.threshold.valueChanged.connect(self.refresh)
        self.classes.changed.connect(self.refresh)
        self.table.picked.connect(self.pick)
        self.table.pressed_key.connect(self.decide)
        for button, key in ((self.accept_button, "A"), (self.reject_button, "R"), (self.undo_button, "U")):
            button.clicked.connect(lambda _checked=False, key=key: self.decide(key))
        self.relabel_button.clicked.connect(self.relabel)
        self.drawn.wanted.connect(self.add_drawn)
        self.drawn.failed.connect(self.failed)
        self.save_button.clicked.connect(self._on_save)
        self.labels_button.clicked.connect(self.to_labels)
        self._viewer.dims.events.ndisplay.connect(self._on_dimensions)
        self._viewer.mouse_drag_callbacks.append(self._on_click)


def _button(words: str, tooltip: str, owner: QWidget) -> QPushButton:
    button = QPushButton(words, owner)
    button.setToolTip(tooltip)
    return button
