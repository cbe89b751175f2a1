"""The Train tab of the Classify panel."""

from functools import partial
from typing import TYPE_CHECKING, cast

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QWidget

from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.jobs import Job, Work, local_engine
from napari_medseg.models import Bundle, install
from napari_medseg.progress import Note
from napari_medseg.training import Stop
from napari_medseg.training.classification import ClassificationConfig, ClassificationResult
from napari_medseg.ui.background import in_background
from napari_medseg.ui.examples import Laid, lay_out
from napari_medseg.ui.folders import new_run_folder
from napari_medseg.ui.forms import Form
from napari_medseg.ui.settings import recall, remember
from napari_medseg.ui.widgets.bundle_choice import BundleChoice
from napari_medseg.ui.widgets.device_choice import DeviceChoice
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.loss_plot import LossPlot
from napari_medseg.ui.widgets.network_choice import NetworkChoice, WeightsChoice
from napari_medseg.ui.widgets.section import add_row, folded, rows, stacked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_medseg.ui.examples import Example

TARGET = "napari_medseg.training.classification.jobs:train_classes"
FORM = "classify"
SHOWN = ("minutes", "answer")
OWN_WIDGET = ("device", "architecture", "pretrained")
COLORS = {"auc": "#4363d8", "accuracy": "#e8a33d", "kappa": "#3cb44b"}


class TrainClassesTab(QWidget):
    """Trains on the examples that have a class.

    Parameters
    ----------
    examples : callable
        Returns the examples.
    parent : QWidget, optional
        Owner.
    """

    trained = Signal(object, object)
    """A new `Bundle`, and the folder of its run."""

    def __init__(self, examples: "Callable[[], Sequence[Example]]", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._examples = examples
        self._folder: Path | None = None
        self._config = config = recall(FORM, ClassificationConfig())
        self.start = BundleChoice("Scratch", self, tasks=("classification",))
        self.start.setToolTip("A new network, or a classification model that is trained further")
        self.name = QLineEdit(self)
        self.name.setPlaceholderText("from the classes")
        self.name.setToolTip("What the new model is called")
        self.main = Form(config, SHOWN)
        self.rest = Form(config, [f for f in ClassificationConfig.model_fields if f not in SHOWN + OWN_WIDGET])
        self.network = NetworkChoice(self)
        self.network.choose(config.architecture)
        self.weights = WeightsChoice(self)
        self.device = DeviceChoice(self)
        self.train_button = QPushButton("Train", self)
        self.train_button.setToolTip("Train in the background on all rows of the Label tab that have a class")
        self.panel = JobPanel(Stop(), self)
        self.plot = LossPlot(self, "Score")
        self.plot.hide()
        self._lay_out()
        self.train_button.clicked.connect(self.train)
        self.start.refused.connect(self.panel.show_error)
        self.start.chosen.connect(self._on_start)
        self.panel.started.connect(self.refresh)
        self.panel.heard.connect(self.plot.show_event)
        self.panel.ended.connect(self._on_ended)
        self.refresh()

    def config(self) -> ClassificationConfig:
        """Return what the user decided.

        Raises
        ------
        ConfigError
            If the values do not go together.
        """
        main = self.main.values()
        shown: dict[str, object] = {name: getattr(main, name) for name in SHOWN}
        shown |= {"architecture": self.network.name, "pretrained": self.weights.weights}
        config = self.rest.values().model_copy(update=shown)
        remember(FORM, config)
        if self.start.bundle is not None:
            config = config.model_copy(update={"architecture": "auto", "pretrained": None})
        return config.model_copy(update={"device": self.device.device})

    def train(self, _checked: bool = False) -> None:
        """Train on the examples that have a class."""
        try:
            examples = [example for example in self._examples() if example.label]
            config = self.config()
            if len({example.label for example in examples}) < 2:
                raise ConfigError("Two classes are needed to learn.", "Give some images another class in Label.")
            self._folder = new_run_folder()
            self.panel.prepare("Copying images for the worker")
            work = lay_out(examples, self._folder / "examples")
            self._config = config
            in_background(work, self._on_laid_out, self._on_failed)
        except MedsegError as error:
            self.panel.show_error(error)

    def refresh(self, _change: object = None) -> None:
        """Enable what can be done now."""
        self.train_button.setEnabled(not self.panel.busy)

    def _lay_out(self) -> None:
        layout = stacked(self)
        form = rows(("Start from", self.start), ("Name", self.name))
        add_row(form, "Network", self.network)
        add_row(form, "Weights", self.weights)
        self._form = form
        self.main.add_rows_to(form)
        add_row(form, "Device", self.device)
        layout.addLayout(form)
        layout.addWidget(folded("Advanced", self.rest.native))
        for part in (self.train_button, self.panel, self.plot):
            layout.addWidget(part)

    def _on_start(self, bundle: Bundle | None) -> None:
        for widget in (self.network, self.weights):
            self._form.setRowVisible(widget, bundle is None)

    def _on_laid_out(self, laid: Laid) -> None:
        if not self.panel.preparing or self._folder is None:
            return
        arguments = {
            "folder": self._folder,
            "sources": (laid.folder, laid.table),
            "config": self._config.model_dump(mode="json"),
            "init": None if self.start.bundle is None else self.start.bundle.path,
        }
        self.plot.restart(COLORS)
        self.plot.show()
        try:
            self.panel.follow(local_engine().submit(Work(TARGET, arguments)))
        except MedsegError as error:
            self.panel.fail(error)

    def _on_failed(self, error: MedsegError) -> None:
        if self.panel.preparing:
            self.panel.fail(error)

    def _on_ended(self, job: Job | None) -> None:
        self.refresh()
        if job is None or job.state != "finished" or self._folder is None:
            return
        result = cast("ClassificationResult", job.result)
        scores = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in result.scores.items())
        words = "Stopped; kept" if result.stopped else "Trained; kept"
        self.panel.messages.add_note(Note(f"{words} step {result.step} of {result.steps}. Held-out images: {scores}."))
        in_background(partial(_kept, result.bundle, self.name.text().strip()), self._on_kept, self.panel.show_error)

    def _on_kept(self, bundle: Bundle) -> None:
        self.panel.messages.add_note(Note(f"{bundle.spec.name} is among your models now."))
        self.start.refresh()
        self.trained.emit(bundle, self._folder)


def _kept(path: "Path", name: str) -> Bundle:
    """Put a model into the library, under a name of the user's or of its classes."""
    bundle = Bundle.load(path)
    name = name or ", ".join(c.name for c in bundle.spec.classes)[:60]
    return install(Bundle(bundle.spec.model_copy(update={"name": name}), bundle.weights))
