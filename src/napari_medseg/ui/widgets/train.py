"""The Train dock widget: paint, train, watch, correct, keep the model."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from napari.layers import Image
from qtpy.QtWidgets import QPushButton, QWidget

from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.inference import PredictionFiles, PredictOptions
from napari_medseg.jobs import Job, Work, local_engine
from napari_medseg.models import Bundle
from napari_medseg.progress import Event, Note
from napari_medseg.training import Stop, TrainResult
from napari_medseg.ui.background import in_background
from napari_medseg.ui.folders import tidy
from napari_medseg.ui.layers import annotation_of, classes_of, image_of
from napari_medseg.ui.projects.keeper import keeper_of
from napari_medseg.ui.projects.sources import group_of, is_test, open_source, to_check
from napari_medseg.ui.run_layout import CASE, LaidOut, Source, TrainPlan, lay_out_run
from napari_medseg.ui.settings import recall
from napari_medseg.ui.wheel import IgnoreWheel
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.layer_choice import LayerChoice, is_image
from napari_medseg.ui.widgets.live_labels import OpenPair
from napari_medseg.ui.widgets.live_run import LiveRun
from napari_medseg.ui.widgets.loss_plot import LossPlot
from napari_medseg.ui.widgets.other_cases import OtherCases
from napari_medseg.ui.widgets.paint_panel import PaintPanel
from napari_medseg.ui.widgets.predict_setup import FORM as SEGMENT_FORM
from napari_medseg.ui.widgets.predictor import Predictor, Request
from napari_medseg.ui.widgets.preview_bar import PreviewBar
from napari_medseg.ui.widgets.project_models import ProjectModels
from napari_medseg.ui.widgets.replay_row import ReplayRow
from napari_medseg.ui.widgets.restore_bar import RestoreBar
from napari_medseg.ui.widgets.result_bar import ResultBar
from napari_medseg.ui.widgets.section import reveal, rows, scrolling
from napari_medseg.ui.widgets.train_setup import TrainSetup
from napari_medseg.ui.widgets.volume_table import VolumeTable

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

TARGET = "napari_medseg.training.jobs:train_run"
COPYING = "Copying images and labels for the worker"
REPLAY = "Does this training again, with every stroke at its step, to the same weights; also in the run's replay.txt"


class TrainWidget(QWidget):
    """Train a model from strokes on an image, with a live preview.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it works on.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._live: LiveRun | None = None
        self.keeper = keeper_of(napari_viewer, self)
        self.restore = RestoreBar(self.keeper, self)
        self.image = LayerChoice(napari_viewer, is_image, self)
        self.image.setToolTip("The image layer to learn from")
        self.paint = PaintPanel(napari_viewer, self.image_layer, self)
        self.others = OtherCases(self.keeper, self.labels_layer, self)
        self.setup = TrainSetup(self)
        self.models = ProjectModels(self.keeper, self.setup.start, self)
        self.replay = ReplayRow(REPLAY, self)
        self.train_button = QPushButton("Train", self)
        self.train_button.setToolTip("Train in the background; go on painting, new strokes are learnt as you make them")
        self.resume_button = QPushButton("Resume training", self)
        self.resume_button.setToolTip("Go on from the last checkpoint, as if nothing had happened")
        self.panel = JobPanel(Stop(), self)
        self.preview = PreviewBar(self)
        self.plot = LossPlot(self)
        self.results = ResultBar(self)
        self.prediction = JobPanel(parent=self)
        self.volumes = VolumeTable(self)
        self._predictor = Predictor(napari_viewer, self.prediction, self)
        self._lay_out()
        self._connect()
        local_engine().start()
        self.setup.device.ask()
        in_background(tidy, self._refresh, self.panel.show_error)
        self._refresh()

    def image_layer(self) -> Image | None:
        """Return the chosen image layer."""
        return self.image.layer

    def labels_layer(self) -> "Labels | None":
        """Return the chosen labels layer."""
        return self.paint.layer

    def train(self) -> None:
        """Start a new run on the chosen image and labels, and on the other cases that have a tick."""
        try:
            plan, sources, pairs = self._decided()
            if (project := self.models.project) is not None:
                # What a project keeps has to be no worse on any of its cases.
                sources += to_check(self.keeper, [source.id for source in sources])
                plan = replace(plan, models=project.models)
            runs = None if project is None else project.runs
            self.panel.begin(COPYING, partial(lay_out_run, plan, sources, runs), partial(self._on_laid_out, pairs))
        except MedsegError as error:
            self.panel.show_error(error)

    def try_rates(self) -> None:
        """Try learning rates on what would be trained on now."""
        trial = self.setup.rate
        try:
            plan, sources, _ = self._decided()
            work = partial(lay_out_run, plan, sources, None)
            trial.panel.begin(COPYING, work, lambda laid_out: trial.try_on(laid_out.run))
        except MedsegError as error:
            trial.panel.show_error(error)

    def _decided(self) -> tuple[TrainPlan, list[Source], list[OpenPair]]:
        """Return how to train on what, and the layers of it that are open."""
        image, labels = self.image.layer, self.paint.layer
        if image is None or labels is None:
            raise ConfigError("There is nothing to train on.", "Open an image, and press New to paint on it.")
        if self.models.project is not None and self.keeper.case_of(labels) is None:
            self.keeper.flush()
        case = self.keeper.case_of(labels)
        if is_test(self.keeper, case):
            raise ConfigError("This case is kept for testing.", "Train on another, or tick Train in the project.")
        plan, others = self.setup.plan(self.paint.classes), self.others.chosen
        first = OpenPair(case or CASE, image, labels)
        sources = [open_source(first, group=group_of(self.keeper, case, image)), *(other.source for other in others)]
        pairs = [first, *(other.pair for other in others if other.pair is not None)]
        for pair in pairs if plan.complete else ():
            annotation_of(pair.labels).complete = True
        return plan, sources, pairs

    def resume(self) -> None:
        """Go on with the run that ended before its time."""
        if self._live is not None and not self.panel.busy:
            job = local_engine().submit(Work(TARGET, {"run": self._live.run.path, "resume": True, "live": True}))
            self._live.follow(job)
            self.panel.follow(job)

    def _lay_out(self) -> None:
        content = scrolling(self)
        content.addWidget(self.restore)
        content.addLayout(rows(("Image", self.image), ("Labels", self.paint.layer_row)))
        for part in (
            self.paint, self.others, self.setup, self.train_button, self.resume_button, self.panel, self.preview,
            self.plot, self.replay, self.results, self.prediction, self.volumes,
        ):  # fmt: skip
            content.addWidget(part)
        content.addStretch(1)
        IgnoreWheel(self).guard(self)

    def _connect(self) -> None:
        self.train_button.clicked.connect(self.train)
        self.resume_button.clicked.connect(self.resume)
        self.setup.rate.wanted.connect(self.try_rates)
        self.image.layer_changed.connect(self._refresh)
        self.paint.layer_changed.connect(self._refresh)
        self.paint.layer_changed.connect(self._on_labels_chosen)
        self.keeper.failed.connect(self.panel.show_error)
        self.preview.doubt_wanted.connect(self._on_doubt_wanted)
        self.models.kept.connect(self.results.show_kept)
        self.models.noted.connect(self.panel.messages.add_note)
        self.models.failed.connect(self.panel.show_error)
        self.setup.start.refused.connect(self.panel.show_error)
        self.panel.started.connect(self._refresh)
        self.panel.heard.connect(self._on_event)
        self.panel.ended.connect(self._on_ended)
        self.results.segment.connect(self._on_segment)
        self.results.saved.connect(self._on_saved)
        self.results.went_back.connect(self._on_went_back)
        self.results.failed.connect(self.panel.show_error)
        self._predictor.done.connect(self._on_predicted)

    def _refresh(self, _change: object = None) -> None:
        ready = self.image.layer is not None and self.paint.layer is not None
        self.train_button.setEnabled(ready and not self.panel.busy)
        self.paint.new_button.setEnabled(self.image.layer is not None)
        self.plot.setVisible(self._live is not None)
        job = self.panel.job
        unfinished = self._live is not None and job is not None and job.state in ("cancelled", "failed", "lost")
        self.resume_button.setVisible(unfinished)

    def _on_labels_chosen(self, labels: "Labels | None") -> None:
        """Learn from the image that the labels lie on."""
        image = None if labels is None else image_of(labels, self._viewer.layers)
        if image is not None:
            self.image.choose(image)
        self.others.refresh()

    def _on_laid_out(self, pairs: list[OpenPair], laid_out: LaidOut) -> None:
        job = local_engine().submit(Work(TARGET, {"run": laid_out.run.path, "resume": False, "live": True}))
        if self._live is not None:
            self._live.close()
        self._live = LiveRun(self._viewer, pairs, laid_out, job, self)
        self._live.noted.connect(self.panel.messages.add_note)
        self._live.failed.connect(self.panel.show_error)
        self._live.explained.connect(self.preview.explain)
        self._live.show_doubt(self.preview.doubt.isChecked())
        self.replay.show_run(laid_out.run)
        self.results.show_bundle(None)
        self.volumes.show_volumes((), None)
        self.plot.restart({c.name: c.color for c in laid_out.classes})
        self.panel.follow(job)
        self._live.announce()
        self._refresh()

    def _on_event(self, event: Event) -> None:
        self.plot.show_event(event)
        if self._live is not None:
            self._live.show_event(event)

    def _on_ended(self, job: Job | None) -> None:
        if job is not None and job.state == "finished" and self._live is not None:
            result = cast("TrainResult", job.result)
            self._live.close()
            for note in _summary(result):
                self.panel.messages.add_note(note)
            accepted = result.verdict is not None and result.verdict.accepted
            self.results.show_bundle(Bundle.load(result.bundle), self._live.run.load().replaces if accepted else None)
            self.models.keep(self._live.run, result)
            reveal(self.results)
        elif job is not None and job.state == "cancelled" and self._live is not None:
            # cancelled, a training still leaves its best weights
            if self._live.run.bundle.is_dir():
                self.results.show_bundle(Bundle.load(self._live.run.bundle))
        elif job is not None:
            reveal(self.panel)
        self._refresh()

    def _on_doubt_wanted(self, wanted: bool) -> None:
        if self._live is not None:
            self._live.show_doubt(wanted)

    def _on_segment(self, bundle: Bundle) -> None:
        if self._live is not None:
            options = recall(SEGMENT_FORM, PredictOptions()).model_copy(update={"device": self.setup.device.device})
            self._predictor.start(Request(self._live.image, bundle, options, doubt=True))

    def _on_predicted(self, layer: "Labels", files: PredictionFiles) -> None:
        if self._live is not None:
            self._live.hide_preview()
        self.volumes.show_volumes(classes_of(layer), files.volumes_ml)
        reveal(self.volumes)

    def _on_saved(self, bundle: Bundle) -> None:
        self.setup.start.refresh()
        self.panel.messages.add_note(Note(f"Saved {bundle.spec.name} in {Path(bundle.path or '').name}."))

    def _on_went_back(self, bundle: Bundle) -> None:
        self.setup.start.refresh()
        self.panel.messages.add_note(Note(f"{bundle.spec.name} is the version before again."))


def _summary(result: TrainResult) -> list[Note]:
    """Return what a training came to, and whether the model may take the place of the one before."""
    text = f"Trained {result.steps} steps" if not result.stopped else f"Stopped; kept step {result.step}"
    notes = [Note(f"{text}. {result.measured or 'Not validated.'}")]
    if result.verdict is not None:
        sound = result.verdict.accepted and not result.verdict.forgotten
        notes.append(Note(str(result.verdict), "info" if sound else "warning"))
    return notes
