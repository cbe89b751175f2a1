"""Choice of the other cases that a training learns from, too."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.layers import Labels
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_medseg.ui.connections import Connections
from napari_medseg.ui.projects.sources import Candidate, candidates

if TYPE_CHECKING:
    from napari_medseg.ui.projects.keeper import Keeper

ROW_PX, MOST_ROWS = 28, 6


class OtherCases(QWidget):
    """A list of cases with ticks; hidden where there is none. Those of a project are ticked at first.

    Parameters
    ----------
    keeper : Keeper
        Knows the open layers and the project.
    current : callable
        Returns the labels layer that the user works on, or None.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, keeper: "Keeper", current: Callable[[], Labels | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keeper, self._current = keeper, current
        self._found: list[Candidate] = []
        self._said: dict[str, bool] = {}
        self.label = QLabel("Learn from these, too", self)
        self.list = QListWidget(self)
        self.list.setSpacing(2)
        self.list.setToolTip(
            "Labels on other open images, and cases of the project. Strokes on open ones reach the training at once"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.label)
        layout.addWidget(self.list)
        self.list.itemChanged.connect(self._on_tick)
        keeper.changed.connect(self.refresh)
        self._layers = Connections(self)
        for emitter in (keeper.viewer.layers.events.inserted, keeper.viewer.layers.events.removed):
            self._layers.connect(emitter, self.refresh)
        self.refresh()

    @property
    def chosen(self) -> list[Candidate]:
        """The cases with a tick."""
        return [candidate for candidate in self._found if self._is_ticked(candidate)]

    def refresh(self, _event: object = None) -> None:
        """Look again which cases there are; ticks stay."""
        self._found = candidates(self._keeper, self._current())
        with QSignalBlocker(self.list):
            self.list.clear()
            for candidate in self._found:
                item = QListWidgetItem(f"{candidate.source.name}{'' if candidate.pair else ' (not open)'}")
                item.setData(Qt.ItemDataRole.UserRole, candidate.id)
                ticked = self._is_ticked(candidate)
                item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
                self.list.addItem(item)
        self.list.setFixedHeight(ROW_PX * min(max(len(self._found), 1), MOST_ROWS) + 6)
        self.setVisible(bool(self._found))

    def _is_ticked(self, candidate: Candidate) -> bool:
        return self._said.get(candidate.id, candidate.in_project)

    def _on_tick(self, item: QListWidgetItem) -> None:
        self._said[str(item.data(Qt.ItemDataRole.UserRole))] = item.checkState() == Qt.CheckState.Checked
