"""Training on what a panel collected: settings, the life of the job, and the model into the library."""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QWidget

from napari_medseg.errors import MedsegError
from napari_medseg.jobs import Job, Work
from napari_medseg.models import Bundle, install
from napari_medseg.progress import Note
from napari_medseg.training import RunFolder, Stop
from napari_medseg.training.scored import ScoredConfig, ScoredResult
from napari_medseg.ui.background import in_background
from napari_medseg.ui.folders import new_run_folder
from napari_medseg.ui.forms import Form
from napari_medseg.ui.settings import recall, remember
from napari_medseg.ui.widgets.bundle_choice import BundleChoice
from napari_medseg.ui.widgets.device_choice import DeviceChoice
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.loss_plot import LossPlot
from napari_medseg.ui.widgets.replay_row import ReplayRow
from napari_medseg.ui.widgets.section import add_row, folded, rows, stacked

Config = TypeVar("Config", bound=ScoredConfig)
Sources = tuple[Path, Path | None]
"""Images, and the table of what is known of them, where it is not in the same file."""
TARGET = "napari_medseg.training.scored.jobs:train_anew"


class ScoredTrain(QWidget, Generic[Config]):
    """Trains a new model on what `_collected` lays out.

    Parameters
    ----------
    defaults : ScoredConfig
        Settings where the user never decided.
    task : str
        What is learnt; settings are remembered under its name.
    words : (str, str)
        On the button, and beside the scores of the plot.
    colors : dict of str to str
        Of the scores in the plot.
    own : dict of str to QWidget
        Rows of the task's own above the form, by label.
    """

    shown: tuple[str, ...]
    """Settings that are always visible."""
    own_widget: tuple[str, ...] = ("device",)
    """Settings with a widget of their own."""
    trained = Signal(object, object)
    """A new `Bundle`, and the folder of its run."""

    def __init__(
        self,
        defaults: Config,
        task: str,
        words: tuple[str, str],
        colors: dict[str, str],
        own: dict[str, QWidget],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._task, self._colors, self._own = task, colors, own
        self._form_name = f"train-{task}"
        self._folder: Path | None = None
        self._config = config = recall(self._form_name, defaults)
        hidden = (*self.shown, *self.own_widget)
        self.start = BundleChoice("Scratch", self, tasks=(task,))
        self.start.setToolTip("A new network, or a model of this kind that is trained further")
        self.name = QLineEdit(self)
        self.name.setPlaceholderText("from the classes")
        self.name.setToolTip("What the new model is called")
        self.main = Form(config, self.shown)
        self.rest = Form(config, [name for name in type(config).model_fields if name not in hidden])
        self.device = DeviceChoice(self)
        self.train_button = QPushButton(words[0], self)
        self.panel = JobPanel(Stop(), self)
        self.plot = LossPlot(self, words[1])
        self.plot.hide()
        self.replay = ReplayRow("Trains again on these images with these settings, without a display", self)
        self._lay_out()
        self.train_button.clicked.connect(self.train)
        self.start.refused.connect(self.panel.show_error)
        self.start.chosen.connect(self._on_start)
        self.panel.started.connect(self.refresh)
        self.panel.heard.connect(self.plot.show_event)
        self.panel.ended.connect(self._on_ended)
        self.refresh()

    @abstractmethod
    def _collected(self) -> Callable[[Path], Sources]:
        """Return what copies the images into a folder, in the background.

        Raises
        ------
        ConfigError
            If there is not enough to learn from.
        """

    def _own_values(self) -> dict[str, object]:
        """Return the settings of the task's own rows, which say nothing where a model is trained further."""
        return {}

    def config(self) -> Config:
        """Return what the user decided.

        Raises
        ------
        ConfigError
            If the values do not go together.
        """
        main, own = self.main.values(), self._own_values()
        config = self.rest.values().model_copy(update={name: getattr(main, name) for name in self.shown} | own)
        remember(self._form_name, config)
        plain = {} if self.start.bundle is None else {name: type(config).model_fields[name].default for name in own}
        return config.model_copy(update=plain | {"device": self.device.device})

    def train(self, _checked: bool = False) -> None:
        """Copy images for the worker, and train on them."""
        try:
            work, self._config = self._collected(), self.config()
            self._folder = new_run_folder()
            laid_out = partial(work, self._folder / "examples")
            self.panel.begin("Copying images for the worker", laid_out, partial(self._begin, self._folder))
        except MedsegError as error:
            self.panel.show_error(error)

    def refresh(self, _change: object = None) -> None:
        """Enable what can be done now."""
        self.train_button.setEnabled(not self.panel.busy)

    def _lay_out(self) -> None:
        layout = stacked(self)
        self._form = form = rows(("Start from", self.start), ("Name", self.name))
        for label, widget in self._own.items():
            add_row(form, label, widget)
        self.main.add_rows_to(form)
        add_row(form, "Device", self.device)
        layout.addLayout(form)
        for part in (folded("Advanced", self.rest.native), self.train_button, self.panel, self.plot, self.replay):
            layout.addWidget(part)

    def _on_start(self, bundle: Bundle | None) -> None:
        # A model that is trained further keeps its network.
        for widget in self._own.values():
            self._form.setRowVisible(widget, bundle is None)

    def _begin(self, folder: Path, sources: Sources) -> None:
        start = self.start.bundle
        arguments: dict[str, Any] = {
            "task": self._task,
            "folder": folder,
            "sources": sources,
            "config": self._config.model_dump(mode="json"),
            "init": None if start is None else start.path,
        }
        self.replay.hide()
        self.plot.restart(self._colors)
        self.plot.show()
        self.panel.submit(Work(TARGET, arguments))

    def _on_ended(self, job: Job | None) -> None:
        self.refresh()
        if self._folder is not None and (run := RunFolder(self._folder)).config.exists():
            self.replay.show_run(run)
        if job is None or job.state != "finished":
            return
        result = cast("ScoredResult", job.result)
        scores = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in result.scores.items())
        words = f"Held-out images: {scores}." if scores else "Not validated: too few images to keep some aside."
        kept = "Stopped; kept" if result.stopped else "Trained; kept"
        self.panel.messages.add_note(Note(f"{kept} step {result.step} of {result.steps}. {words}"))
        in_background(partial(_kept, result.bundle, self.name.text().strip()), self._on_kept, self.panel.show_error)

    def _on_kept(self, bundle: Bundle) -> None:
        self.panel.messages.add_note(Note(f"{bundle.spec.name} is among your models now."))
        self.start.refresh()
        self.trained.emit(bundle, self._folder)


def _kept(path: Path, name: str) -> Bundle:
    """Put a model into the library, under a name of the user's or of its classes."""
    bundle = Bundle.load(path)
    classes = bundle.spec.classes if bundle.spec.task == "classification" else bundle.spec.foreground
    name = name or ", ".join(entry.name for entry in classes)[:60]
    return install(bundle.named(name))
