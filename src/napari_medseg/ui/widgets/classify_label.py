"""The Label tab of the Classify panel: which images there are, and of which class each is."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLabel, QLineEdit, QMenu, QPushButton, QWidget

from napari_medseg.errors import MedsegError
from napari_medseg.ui import examples as sources
from napari_medseg.ui.background import in_background
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.widgets.desk import buttons
from napari_medseg.ui.widgets.example_table import MOST_KEYS, ExampleTable
from napari_medseg.ui.widgets.layer_choice import needed
from napari_medseg.ui.widgets.section import rows, stacked

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_medseg.ui.examples import Example

IMAGES = "Images (*.png *.jpg *.jpeg *.tif *.tiff *.dcm *.nii *.nii.gz *.nrrd *.mha);;All files (*)"


class LabelTab(QWidget):
    """Collects examples and gives them classes.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers can be added.
    parent : QWidget, optional
        Owner.
    """

    failed = Signal(object)
    """Something cannot be added; the `MedsegError`."""

    def __init__(self, viewer: "Viewer", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.classes = QLineEdit(self)
        self.classes.setPlaceholderText("such as normal, pneumonia")
        self.classes.setToolTip("Names with commas between them: key 1 gives the first, key 2 the second, and so on")
        self.keys = QLabel(self)
        self.keys.setWordWrap(True)
        self.table = ExampleTable(self)
        self.add_button = QPushButton("Add", self)
        self.add_button.setToolTip("Add images to the table: open layers, their slices or regions, files, folders")
        self.menu = QMenu(self.add_button)
        self.add_button.setMenu(self.menu)
        self.remove_button = QPushButton("Remove", self)
        self.remove_button.setToolTip("Remove the selected rows from the table; nothing is deleted")
        self.clear_button = QPushButton("Clear", self)
        self.clear_button.setToolTip("Remove all rows from the table; nothing is deleted")
        self.count = QLabel(self)
        layout = stacked(self)
        layout.addLayout(rows(("Classes", self.classes)))
        layout.addWidget(self.keys)
        layout.addWidget(self.table)
        layout.addWidget(self.count)
        layout.addLayout(buttons(self.add_button, self.remove_button, self.clear_button))
        self._fill_menu()
        self._connect()
        self._refresh()

    def add(self, find: Callable[[], Sequence["Example"]]) -> None:
        """Add what a function finds in layers, and tell if it finds nothing."""
        try:
            self.table.add(find())
        except MedsegError as error:
            self.failed.emit(error)

    def add_files(self, find: Callable[[], Sequence["Example"]]) -> None:
        """Add what a function finds on disk; it runs in a thread."""
        in_background(find, self.table.add, self.failed.emit)

    def _fill_menu(self) -> None:
        def entry(words: str, work: Callable[[], None], tip: str) -> None:
            action = self.menu.addAction(words)
            action.triggered.connect(lambda _checked=False: work())
            action.setToolTip(tip)

        self.menu.setToolTipsVisible(True)
        entry("Open images", self._add_images, "Each open image layer as a whole")
        entry("Slices of the image", self._add_slices, "Each slice of the selected image layer")
        entry("Regions of the labels", self._add_regions, "Each connected region of the selected labels layer")
        entry("Boxes of the shapes", self._add_boxes, "The box around each shape of the selected shapes layer")
        self.menu.addSeparator()
        entry("Files…", self._add_paths, "Image files")
        entry("Folder…", self._add_folder, "All images in a folder; folders in it name the classes, if there are any")
        entry("Table (CSV)…", self._add_table, "A CSV with the columns image and label, beside or above the images")
        entry("MedMNIST file (npz)…", self._add_npz, "An npz file with train_images, train_labels and so on")

    def _connect(self) -> None:
        self.classes.textChanged.connect(self._on_classes)
        self.table.changed.connect(self._refresh)
        self.table.itemSelectionChanged.connect(self._refresh_buttons)
        self.remove_button.clicked.connect(self.table.remove_selected)
        self.clear_button.clicked.connect(self.table.clear_examples)
        self._layers = Connections(self)
        self._layers.connect(self._viewer.layers.events.removed, self._on_removed)

    def _add_images(self) -> None:
        def find() -> list["Example"]:
            needed(self._viewer, Image, "image layer")
            return sources.whole_layers([layer for layer in self._viewer.layers if isinstance(layer, Image)])

        self.add(find)

    def _add_slices(self) -> None:
        self.add(lambda: sources.slices(needed(self._viewer, Image, "image layer")))

    def _add_regions(self) -> None:
        self.add(
            lambda: sources.label_regions(
                needed(self._viewer, Labels, "labels layer"), needed(self._viewer, Image, "image layer")
            )
        )

    def _add_boxes(self) -> None:
        self.add(
            lambda: sources.boxes(
                needed(self._viewer, Shapes, "shapes layer"), needed(self._viewer, Image, "image layer")
            )
        )

    def _add_paths(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Add images", "", IMAGES)
        if paths:
            self.add_files(partial(sources.files, [Path(path) for path in paths]))

    def _add_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Add a folder of images")
        if folder:
            self.add_files(partial(_in_folder, Path(folder)))

    def _add_table(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Add a table of labels", "", "CSV (*.csv)")
        if path:
            self.add_files(partial(sources.labelled, Path(path).parent, Path(path)))

    def _add_npz(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Add a MedMNIST file", "", "NumPy (*.npz)")
        if path:
            self.add_files(partial(sources.labelled, Path(path)))

    def _on_classes(self, text: str) -> None:
        self.table.name_classes([part.strip() for part in text.split(",") if part.strip()])

    def _on_removed(self, _event: object) -> None:
        self.table.keep(list(self._viewer.layers))

    def _refresh(self) -> None:
        names = self.table.classes[:MOST_KEYS]
        self.keys.setText("   ".join(f"<b>{k}</b>&nbsp;{name}" for k, name in enumerate(names, start=1)))
        self.keys.setVisible(bool(names))
        examples = self.table.examples
        labelled = sum(bool(example.label) for example in examples)
        self.count.setText(f"{labelled} of {len(examples)} have a class" if examples else "No images yet: press Add.")
        self._refresh_buttons()

    def _refresh_buttons(self) -> None:
        self.remove_button.setEnabled(bool(self.table.selectedIndexes()))
        self.clear_button.setEnabled(bool(self.table.examples))


def _in_folder(folder: Path) -> list["Example"]:
    """Return the images of a folder, with classes if its folders name them."""
    if any(entry.is_dir() and not entry.name.startswith(".") for entry in folder.iterdir()):
        try:
            return sources.labelled(folder)
        except MedsegError:
            # Folders that are no classes, such as one per patient, hold images all the same.
            return sources.files([folder])
    return sources.files([folder])
