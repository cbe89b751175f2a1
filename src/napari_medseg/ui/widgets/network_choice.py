"""Boxes to choose a classification network, and the weights that it begins with."""

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QSizePolicy, QWidget

from napari_medseg.models.registry import architectures

AUTO = "auto"
TASK = "classification"
OPEN = "Weights file…"
FILTER = "Weights (*.safetensors *.pth *.pt);;All files (*)"


class NetworkChoice(QComboBox):
    """Lists the architectures that can be trained to classify.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        _narrow(self)
        self.addItem("Automatic", AUTO)
        for entry in architectures():
            if TASK in entry.tasks:
                self.addItem(entry.title, entry.name)
                self.setItemData(self.count() - 1, f"{entry.name}. {entry.citation}", Qt.ItemDataRole.ToolTipRole)
        self.setToolTip("The kind of network; automatic goes by the size of the images")

    @property
    def name(self) -> str:
        """The chosen architecture's name, or ``"auto"``."""
        return str(self.currentData())

    def choose(self, name: str) -> None:
        """Choose an architecture by its name."""
        self.setCurrentIndex(max(self.findData(name), 0))


class WeightsChoice(QComboBox):
    """Says which weights a new network begins with.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        _narrow(self)
        self._kept = 0
        self.addItem("Random", None)
        self.addItem("ImageNet (fetched once)", "imagenet")
        self.addItem("MedicalNet (volumes, fetched once)", "medicalnet")
        self.addItem(OPEN, OPEN)
        self.setToolTip(
            "Random weights, or those of a network of the same kind: torchvision's for ImageNet or MedicalNet's for "
            "volumes, fetched once with their licence shown, or a file that you have"
        )
        self.activated.connect(self._on_activated)

    @property
    def weights(self) -> str | None:
        """None, ``"imagenet"``, or the path of a file."""
        found = self.currentData()
        return None if found is None else str(found)

    def choose(self, weights: str | None) -> None:
        """Choose weights; a file that is not listed is added to the list."""
        place = 0 if weights is None else self.findData(weights)
        if place < 0:
            self.insertItem(self.count() - 1, Path(str(weights)).name, weights)
            place = self.count() - 2
        self._kept = place
        self.setCurrentIndex(place)

    def _on_activated(self, place: int) -> None:
        if self.itemData(place) != OPEN:
            self._kept = place
            return
        self.setCurrentIndex(self._kept)
        path, _ = QFileDialog.getOpenFileName(self, "Weights to begin with", "", FILTER)
        if path:
            self.choose(path)


def _narrow(box: QComboBox) -> None:
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
