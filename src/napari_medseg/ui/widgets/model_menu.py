"""A button for every way in which a model comes into the user's collection."""

from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QInputDialog,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_medseg.errors import BundleError, LicenceError, MedsegError, TrustError
from napari_medseg.jobs import Job, Work, local_engine
from napari_medseg.models import AddOptions, Bundle, ensemble, install, library
from napari_medseg.ui.background import in_background
from napari_medseg.ui.widgets.job_panel import JobPanel

TARGET = "napari_medseg.models.adding:add_model"
FILES = "Models (*.zip *.safetensors *.pt *.pth *.ckpt *.bin *.ts *.pt2 *.json);;All files (*)"
NAMES = "Name in MONAI's model zoo, or totalsegmentator:TASK such as totalsegmentator:total"
TRUST = (
    "This model is a program, or its configuration executes code. It can do on this computer whatever you can. "
    "Let it run only if you trust where it comes from."
)


class ModelMenu(QPushButton):
    """Adds models to the collection; what was added is announced.

    Parameters
    ----------
    panel : JobPanel
        Shows how far it is, and errors.
    parent : QWidget, optional
        Owner.
    """

    added = Signal(object)
    """The new `Bundle`."""

    def __init__(self, panel: JobPanel, parent: QWidget | None = None) -> None:
        super().__init__("Add", parent)
        self.setToolTip("Add a model to your collection: from MONAI, nnU-Net, TotalSegmentator, weights, a program")
        self._panel = panel
        self._source = ""
        self._options = AddOptions()
        self._job: Job | None = None
        menu = QMenu(self)
        for words, action in (
            ("From a folder (MONAI, nnU-Net)…", self._on_folder),
            ("From a file (zip, weights, program)…", self._on_file),
            ("By name (MONAI's zoo, TotalSegmentator)…", self._on_name),
            ("Combine models into an ensemble…", self._on_ensemble),
        ):
            menu.addAction(words).triggered.connect(action)
        self.setMenu(menu)
        panel.ended.connect(self._on_ended)

    def add(self, source: str, options: AddOptions | None = None) -> None:
        """Add a model in the background, asking the user where a licence or trust is needed."""
        if self._panel.busy:
            return
        self._source, self._options = source, options or AddOptions()
        try:
            self._job = local_engine().submit(
                Work(TARGET, {"source": source, "options": self._options.model_dump()}, exclusive=False)
            )
        except MedsegError as error:
            self._panel.show_error(error)
            return
        self._panel.follow(self._job)

    def combine(self, name: str, members: list[Bundle]) -> None:
        """Make one model of several in the background."""
        in_background(partial(_combine, name, members), self._announce, self._panel.show_error)

    def _on_ended(self, job: Job | None) -> None:
        if job is None or job is not self._job:
            return
        self._job = None
        if job.state == "finished":
            in_background(partial(Bundle.load, Path(str(job.result))), self._announce, self._panel.show_error)
        elif isinstance(job.error, LicenceError) and self._agrees("Licence", job.error.problem, job.error.terms):
            self._panel.messages.clear()
            self.add(self._source, self._options.model_copy(update={"agreed": job.error.token}))
        elif isinstance(job.error, TrustError) and self._agrees("Trust", job.error.problem, TRUST):
            self._panel.messages.clear()
            self.add(self._source, self._options.model_copy(update={"trust": True}))

    def _agrees(self, title: str, problem: str, terms: str) -> bool:
        answer = QMessageBox.question(
            self,
            title,
            f"{problem}\n\n{terms}\n\nDo you agree?",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _announce(self, bundle: Bundle) -> None:
        self.added.emit(bundle)

    def _on_folder(self, _checked: bool = False) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "Choose a model's folder", str(Path.home())):
            self.add(folder)

    def _on_file(self, _checked: bool = False) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a model's file", str(Path.home()), FILES)
        if path:
            self.add(path)

    def _on_name(self, _checked: bool = False) -> None:
        name, accepted = QInputDialog.getText(self, "Add a model by name", NAMES)
        if accepted and name.strip():
            self.add(name.strip())

    def _on_ensemble(self, _checked: bool = False) -> None:
        known = library()
        if len(known) < 2:
            remedy = "Add or train another one first."
            self._panel.show_error(BundleError(f"Your collection has {len(known)} model(s).", remedy))
            return
        dialog = EnsembleDialog(known, self)
        if dialog.exec() == QDialog.DialogCode.Accepted and dialog.chosen:
            self.combine(dialog.name.text().strip() or "ensemble", dialog.chosen)
        dialog.deleteLater()


class EnsembleDialog(QDialog):
    """Asks which models to combine, and for a name.

    Parameters
    ----------
    bundles : list of Bundle
        To choose from.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, bundles: list[Bundle], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Combine models")
        self._bundles = bundles
        self.name = QLineEdit("ensemble", self)
        self.name.setToolTip("Name of the new model")
        self.list = QListWidget(self)
        self.list.setToolTip("Models for the same classes; the mean of their probabilities decides")
        for bundle in bundles:
            item = QListWidgetItem(bundle.spec.name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Unchecked)
            self.list.addItem(item)
        box = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel, self)
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.name)
        layout.addWidget(self.list)
        layout.addWidget(box)

    @property
    def chosen(self) -> list[Bundle]:
        """The ticked models."""
        ticked = (self.list.item(row).checkState() == Qt.CheckState.Checked for row in range(self.list.count()))
        return [bundle for bundle, wanted in zip(self._bundles, ticked, strict=True) if wanted]


def _combine(name: str, members: list[Bundle]) -> Bundle:
    return install(ensemble(name, members))
