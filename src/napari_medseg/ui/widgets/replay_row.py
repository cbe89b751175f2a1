"""The command line that does a run again."""

from qtpy.QtWidgets import QApplication, QHBoxLayout, QLineEdit, QPushButton, QWidget

from napari_medseg.training import RunFolder


class ReplayRow(QWidget):
    """Shows the command that replays a run, with a button that copies it; hidden before there is a run.

    Parameters
    ----------
    about : str
        What the command does.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, about: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = QLineEdit(self)
        self.line.setReadOnly(True)
        self.line.setToolTip(about)
        self.copy_button = QPushButton("Copy", self)
        self.copy_button.setToolTip("Copy the command that does this training again")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line, 1)
        layout.addWidget(self.copy_button)
        self.copy_button.clicked.connect(self._copy)
        self.setVisible(False)

    def show_run(self, run: RunFolder) -> None:
        """Show the command of a run."""
        self.line.setText(run.replay_command)
        self.line.setCursorPosition(0)
        self.setVisible(True)

    def _copy(self) -> None:
        QApplication.clipboard().setText(self.line.text())
