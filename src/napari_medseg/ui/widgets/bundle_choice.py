"""A box to choose a model: from the user's library, or any model folder."""

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QSizePolicy, QWidget

from napari_medseg.errors import BundleError
from napari_medseg.models import Bundle, library, library_folder

OPEN = "Open folder…"


class BundleChoice(QComboBox):
    """Lists the models of the library and those opened from elsewhere in this session.

    Parameters
    ----------
    scratch : str
        Words of a first entry that stands for no model; none if empty.
    parent : QWidget, optional
        Owner.
    tasks : tuple of str
        Models for other tasks are neither listed nor opened; all are if empty.
    """

    chosen = Signal(object)
    """Another model is chosen: a `Bundle`, or None."""
    refused = Signal(object)
    """A folder that the user opened is no model; the `BundleError`."""

    def __init__(self, scratch: str = "", parent: QWidget | None = None, tasks: tuple[str, ...] = ()) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._scratch = scratch
        self._opened: dict[Path, Bundle] = {}
        self._offered: tuple[Bundle, ...] = ()
        self._current: Bundle | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.activated.connect(self._on_activated)
        self.refresh()

    @property
    def bundle(self) -> Bundle | None:
        """The chosen model."""
        return self._current

    def refresh(self) -> None:
        """Read the library again and keep the choice, if it is still there."""
        found = (*self._offered, *library(), *self._opened.values())
        known = {bundle.path: bundle for bundle in found if not self._tasks or bundle.spec.task in self._tasks}
        with QSignalBlocker(self):
            self.clear()
            if self._scratch:
                self.addItem(self._scratch, None)
            for bundle in known.values():
                self.addItem(bundle.spec.name, bundle)
                self.setItemData(self.count() - 1, _about(bundle), Qt.ItemDataRole.ToolTipRole)
            self.addItem(OPEN, OPEN)
        self._show(known.get(self._current.path) if self._current else self._first())

    def choose(self, bundle: Bundle) -> None:
        """Choose a model, and list it if it is not in the library."""
        if bundle.path is not None and bundle.path.parent != library_folder().resolve():
            self._opened[bundle.path] = bundle
        self._current = bundle
        self.refresh()
        self.chosen.emit(self._current)

    def offer(self, bundles: Sequence[Bundle]) -> None:
        """List these models, such as those of a project, before those of the library."""
        self._offered = tuple(bundles)
        self.refresh()

    def showPopup(self) -> None:  # noqa: N802 - Qt's name
        """Read the library again before the list opens, for a model may have come since."""
        self.refresh()
        super().showPopup()

    def open_folder(self) -> None:
        """Let the user point at a model's folder."""
        folder = QFileDialog.getExistingDirectory(self, "Choose a model's folder", str(Path.home()))
        if folder:
            self.open(Path(folder))

    def open(self, folder: Path) -> None:
        """Choose the model in `folder`; announces `refused` if there is none."""
        try:
            bundle = Bundle.load(folder)
            if self._tasks and bundle.spec.task not in self._tasks:
                words = " or ".join(self._tasks)
                raise BundleError(f"{bundle.spec.name} is a model for {bundle.spec.task}.", f"Choose one for {words}.")
            self.choose(bundle)
        except BundleError as error:
            self.refused.emit(error)

    def _first(self) -> Bundle | None:
        first = self.itemData(0)
        return first if isinstance(first, Bundle) else None

    def _show(self, bundle: Bundle | None) -> None:
        """Show a listed model, or no choice, without announcing it."""
        self._current = bundle
        paths = [getattr(self.itemData(k), "path", None) for k in range(self.count())]
        nothing = 0 if self._scratch else -1
        with QSignalBlocker(self):
            self.setCurrentIndex(paths.index(bundle.path) if bundle is not None else nothing)

    def _on_activated(self, index: int) -> None:
        entry = self.itemData(index)
        if entry == OPEN:
            self._show(self._current)
            self.open_folder()
            return
        self._current = entry
        self.chosen.emit(entry)


def _about(bundle: Bundle) -> str:
    """Return a model's facts for a tooltip, as plain text."""
    spec = bundle.spec
    scores = [f"{name} {value:.3f}" for name, value in spec.metrics.items()]
    parts = [
        spec.description,
        f"{spec.dims}D {spec.architecture}; classes: {', '.join(c.name for c in spec.foreground)}",
        f"Made for {spec.modality}" if spec.modality else "",
        f"Measured: {', '.join(scores)}" if scores else "Not validated",
        f"Licence: {spec.licence}" if spec.licence else "",
        str(bundle.path or ""),
    ]
    return "\n".join(part for part in parts if part)
