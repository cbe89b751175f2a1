"""What the preview of a training shows, and why; and a tick that shows where it is in doubt."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLabel, QWidget

from napari_medseg.ui.widgets.section import stacked


class PreviewBar(QWidget):
    """Words on the preview; hidden before there is one.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    doubt_wanted = Signal(bool)
    """Whether the user wants to see where the model is in doubt."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = QLabel(self)
        self.words.setWordWrap(True)
        self.words.setToolTip(
            "Sketch and network are scored on strokes that both were not shown; the network is seen once it is clearly "
            "ahead"
        )
        self.doubt = QCheckBox("Show where it is in doubt", self)
        self.doubt.setToolTip("Bright where the model is not sure, on the slice that you look at")
        layout = stacked(self)
        layout.addWidget(self.words)
        layout.addWidget(self.doubt)
        self.doubt.toggled.connect(self.doubt_wanted)
        self.setVisible(False)

    def explain(self, words: str) -> None:
        """Say what the preview shows."""
        self.words.setText(f"Preview by the {words}." if words else "")
        self.setVisible(True)
