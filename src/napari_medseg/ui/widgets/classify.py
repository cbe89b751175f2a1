"""The Classify dock widget: label images, train, predict, and see how good it is."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QTabBar, QWidget

from napari_medseg.data.labelled.answers import Classified
from napari_medseg.data.labelled.table import classes_in
from napari_medseg.errors import MedsegError
from napari_medseg.evaluate.tables import Answers
from napari_medseg.jobs import local_engine
from napari_medseg.models import Bundle
from napari_medseg.ui.background import in_background
from napari_medseg.ui.folders import tidy
from napari_medseg.ui.wheel import IgnoreWheel
from napari_medseg.ui.widgets.classify_label import LabelTab
from napari_medseg.ui.widgets.classify_predict import PredictClassesTab
from napari_medseg.ui.widgets.classify_scores import ScoresTab
from napari_medseg.ui.widgets.classify_train import TrainClassesTab
from napari_medseg.ui.widgets.example_view import ExampleView
from napari_medseg.ui.widgets.message_box import MessageBox
from napari_medseg.ui.widgets.section import MARGIN, Page, scrolling

if TYPE_CHECKING:
    import napari

    from napari_medseg.ui.examples import Example

ROOM = 2 * MARGIN + 14
"""Pixels beside a tab: margins and the scroll bar."""


class ClassifyWidget(QWidget):
    """Classes of images, slices and regions.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it works on.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.messages = MessageBox(self)
        self.label = LabelTab(napari_viewer, self)
        self.train = TrainClassesTab(lambda: self.label.table.examples, self)
        self.predict = PredictClassesTab(napari_viewer, lambda: self.label.table.examples, self)
        self.scores = ScoresTab(self)
        self.view = ExampleView(napari_viewer, self)
        self._tabs: dict[str, QWidget] = {
            "Label": self.label,
            "Train": self.train,
            "Predict": self.predict,
            "Scores": self.scores,
        }
        self.bar = QTabBar(self)
        for name in self._tabs:
            self.bar.addTab(name)
        self.bar.setExpanding(True)
        self.bar.setDrawBase(False)
        self._lay_out()
        self._connect()
        local_engine().start()
        for device in (self.train.device, self.predict.device):
            device.ask()
        in_background(tidy, self.train.refresh, self._on_failed)
        self._on_tab(0)

    def show_tab(self, name: str) -> None:
        """Turn to ``"Label"``, ``"Train"``, ``"Predict"`` or ``"Scores"``."""
        self.bar.setCurrentIndex(list(self._tabs).index(name))

    def _lay_out(self) -> None:
        content = scrolling(self)
        content.addWidget(self.bar)
        content.addWidget(self.messages)
        for tab in self._tabs.values():
            content.addWidget(tab)
        content.addStretch(1)
        # As wide as the widest tab from the beginning, for a dock does not grow when another is shown.
        page = self.findChild(Page)
        page.setMinimumWidth(max(tab.minimumSizeHint().width() for tab in self._tabs.values()) + ROOM)
        IgnoreWheel(self).guard(self)

    def _connect(self) -> None:
        self.bar.currentChanged.connect(self._on_tab)
        self.label.failed.connect(self._on_failed)
        self.view.failed.connect(self._on_failed)
        self.label.table.picked.connect(self._on_picked)
        self.predict.picked.connect(self._on_picked)
        self.train.trained.connect(self._on_trained)
        self.predict.answered.connect(self._on_answered)

    def _on_tab(self, index: int) -> None:
        self.messages.clear()
        for number, tab in enumerate(self._tabs.values()):
            tab.setVisible(number == index)

    def _on_failed(self, error: MedsegError) -> None:
        self.messages.show_error(error)

    def _on_picked(self, example: "Example") -> None:
        self.messages.clear()
        self.view.show(example)

    def _on_trained(self, bundle: Bundle, folder: Path) -> None:
        self.predict.model.choose(bundle)
        self.scores.show_run(folder, bundle.spec.output == "ordered")

    def _on_answered(self, found: Classified, bundle: Bundle) -> None:
        """Score what the user said the class of."""
        classes = [entry.name for entry in bundle.spec.classes]
        known = {example.name: example.label for example in self.label.table.examples if example.label}
        rows = [
            k
            for k, name in enumerate(found.names)
            if name in known
            and set(classes_in(known[name])) <= set(classes)
            and np.isfinite(found.probabilities[k]).all()
        ]
        if len({known[found.names[k]] for k in rows}) < 2:
            return
        several = bundle.spec.output == "several"
        truth = [[int(name in classes_in(known[found.names[k]])) for name in classes] for k in rows]
        labels = np.array(truth) if several else np.argmax(truth, axis=1)
        answers = Answers(tuple(classes), tuple(found.names[k] for k in rows), found.probabilities[rows], labels)
        self.scores.show_answers(answers, "rows of Label, maybe learnt", bundle.spec.output == "ordered")
