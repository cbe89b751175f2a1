"""What the tabs of the Results panel share: the viewer, the chosen labels, and the panel that shows a job."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.progress import Note
from napari_medseg.results import write_csv
from napari_medseg.results.table import Row
from napari_medseg.ui.background import in_background
from napari_medseg.ui.layers import classes_of, labels_on, own_labels, painted_background
from napari_medseg.ui.layers.classes import present_classes, shown_color
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.layer_choice import LayerChoice
from napari_medseg.volume import LabelClass, Volume

if TYPE_CHECKING:
    from napari.viewer import Viewer


@dataclass(frozen=True, eq=False)
class Desk:
    """Where a tab works."""

    viewer: "Viewer"
    panel: JobPanel
    """Shows the job of whichever tab is busy, and its errors."""
    choice: LayerChoice
    """Of the labels layer."""

    @property
    def labels(self) -> Labels:
        """The chosen labels layer; `ConfigError` if there is none."""
        layer = self.choice.layer
        if not isinstance(layer, Labels):
            raise ConfigError("There are no labels to work on.", "Segment an image, or open a label map.")
        return layer

    def attempt(self, work: Callable[[], object]) -> None:
        """Do something, and show what is wrong with it."""
        try:
            work()
        except MedsegError as error:
            self.panel.show_error(error)

    def note(self, text: str) -> None:
        """Tell the user."""
        self.panel.messages.add_note(Note(text))

    def own(self, layer: Labels) -> Callable[[], Volume]:
        """Return a function that takes a layer's labels on their own grid."""
        return partial(own_labels, layer, list(self.viewer.layers))

    def found(self, layer: Labels, image: Image | None = None) -> Callable[[], Volume]:
        """Return a function that takes a layer's classes, on the grid of `image` if there is one."""
        return partial(_found, layer, image, list(self.viewer.layers))


class CsvButton(QPushButton):
    """Writes a table as a CSV file that the user names; disabled while there is none.

    Parameters
    ----------
    desk : Desk
        Where errors are shown.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__("Save CSV…", parent)
        self.setToolTip("Write all columns to a file that spreadsheets open")
        self._desk = desk
        self._rows: tuple[Row, ...] = ()
        self._name = ""
        self.clicked.connect(self._on_click)
        self.offer((), "")

    def offer(self, rows: Sequence[Row], name: str) -> None:
        """Offer these rows under a file name of this beginning."""
        self._rows, self._name = tuple(rows), name
        self.setEnabled(bool(rows))

    def _on_click(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save table", f"{self._name}.csv", "CSV (*.csv)")
        if path:
            work = partial(write_csv, self._rows, Path(path).with_suffix(".csv"))
            in_background(work, self._on_saved, self._desk.panel.show_error)

    def _on_saved(self, path: Path) -> None:
        self._desk.note(f"Saved {path.name}.")


def layer_classes(layer: Labels) -> tuple[LabelClass, ...]:
    """Return the classes that a layer names, or else those that occur in it."""
    named = classes_of(layer)
    if named:
        return named
    data = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    return tuple(entry.model_copy(update={"color": shown_color(layer, entry.value)}) for entry in present_classes(data))


class Legend(QLabel):
    """Says what the colours of an overlay mean; hidden at first.

    Parameters
    ----------
    classes : sequence of LabelClass
        The overlay's; background is left out.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, classes: Sequence[LabelClass], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named = ((entry.color, entry.name.replace(" ", "&nbsp;")) for entry in classes if entry.value)
        self.setText(" &nbsp; ".join(f'<font color="{color}">■</font>&nbsp;{name}' for color, name in named))
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)
        self.hide()


def buttons(*widgets: QPushButton) -> QHBoxLayout:
    """Return a row of buttons of one width."""
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget, 1)
    return row


def _found(layer: Labels, image: Image | None, layers: Sequence[object]) -> Volume:
    volume = own_labels(layer, layers) if image is None else labels_on(layer, image)
    background = painted_background(layer)
    if not background:
        return volume
    data = np.asarray(volume.data)
    return replace(volume, data=np.where(data == background, data.dtype.type(0), data))
