"""The parts of a running training, and what happens between its steps."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from napari_medseg import processes
from napari_medseg.data.split import HeldOut
from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.inference.preview import SliceAnswer
from napari_medseg.models import ModelSpec
from napari_medseg.progress import Control, EpochEnd, Event, Note, Preview, Saved, Step, Surveyed
from napari_medseg.tasks import task_named
from napari_medseg.training.batches import BatchMaker
from napari_medseg.training.checkpoint import State, save_best, save_checkpoint
from napari_medseg.training.choosing import AHEAD, ALONE, Winner, reason, winner
from napari_medseg.training.clock import Stopwatch
from napari_medseg.training.config import TrainConfig
from napari_medseg.training.journal import Journal
from napari_medseg.training.learner import Learner
from napari_medseg.training.looking import Onlooker, Survey, looked_at
from napari_medseg.training.measured import Measurement, measure
from napari_medseg.training.messages import LabelsChanged, Rest, ShowSlice, hear
from napari_medseg.training.prepare import LoadedCase
from napari_medseg.training.run import RunFolder
from napari_medseg.training.schedule import PREVIEW_SHARE, TIMED_STEPS, UNTIMED_STEPS, plan_steps, score_interval
from napari_medseg.training.sketch.teaching import Teaching
from napari_medseg.training.validation import Score, Validator

PAUSE_POLL_SECONDS = 0.05
FINAL_STEPS = 60
"""The last measurement takes a tenth of the time of half the training, or of so many steps, if that is more."""
REPORT_SECONDS = 0.1
"""Least time between two looks at the loss on a GPU, each of which waits for it to finish its work."""


@dataclass(eq=False)
class Session:
    """A training between its steps: it listens, shows, scores, saves and plans."""

    run: RunFolder
    config: TrainConfig
    spec: ModelSpec
    cases: Sequence[LoadedCase]
    held_out: HeldOut
    journal: Journal
    learner: Learner
    batches: BatchMaker
    validator: Validator
    state: State
    clock: Stopwatch
    teaching: Teaching | None = None
    """The pixel classifier that the network starts from."""
    stopped: bool = False
    """Whether the user ended the training."""
    view: ShowSlice | None = None
    """The slice to show."""
    around: Survey = field(default_factory=Survey)
    """The slices to look at, beside that one."""
    rest: Rest = field(default_factory=lambda: Rest(between=True))
    """While the user's hand draws."""
    _painted_since: bool = False
    """Whether there are strokes that the pixel classifier in view does not know."""
    _preview_due: float = 0.0
    _report_due: float = 0.0
    _checkpoint_due: float = 0.0
    _loss_sum: torch.Tensor | float = 0.0
    _loss_steps: int = 0
    _durations: list[float] = field(default_factory=list)
    _validation_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._onlooker = Onlooker(self.learner.network, self.spec, self.config.precision, self.teaching)

    @property
    def finished(self) -> bool:
        """Whether all planned steps were taken, or the user ended the training."""
        planned = self.state.planned is not None and self.state.step >= self.state.planned
        return self.stopped or self.out_of_patience or planned

    @property
    def out_of_patience(self) -> bool:
        """Whether so many scores in a row brought nothing that the training should end."""
        return self.config.patience is not None and self.state.stale >= self.config.patience

    @property
    def steps(self) -> int:
        """Steps planned; before the plan is made, an estimate."""
        if self.state.planned is not None:
            return self.state.planned
        each = self.clock.seconds / max(self.state.step, 1)
        return max(self.state.step + 1, TIMED_STEPS + 1, int(60 * (self.config.minutes or 0) / max(each, 1e-6)))

    @property
    def shown(self) -> Winner:
        """What scored highest on the held-out voxels so far: that is what the user sees."""
        if self.teaching is None:
            return "network"
        return self.best_of(self.state.best_score, self.state.blend_score)

    def best_of(self, network: float, blend: float) -> Winner:
        """Return which model is the best one, given the scores of the network and of the blend."""
        return winner(self.sketch_score, network, blend, self.margin, self._much_held_out)

    @property
    def _resting(self) -> bool:
        """Whether the user's hand needs the processor."""
        return self.learner.device.type == "cpu" and self.rest.due

    @property
    def margin(self) -> float:
        """Dice that another model has to be ahead of the pixel classifier to take its place."""
        score = None if self.teaching is None else self.teaching.score
        return 0.0 if score is None else AHEAD * score.uncertainty

    @property
    def _much_held_out(self) -> bool:
        """Whether the held-out voxels are more than a few corrections."""
        score = None if self.teaching is None else self.teaching.score
        return score is not None and score.voxels >= ALONE

    @property
    def sketch_score(self) -> float | None:
        """Mean Dice of the pixel classifier on the held-out voxels; None without one, or if nothing is held out."""
        return self.teaching.score.mean if self.teaching is not None and self.teaching.score is not None else None

    def listen(self, control: Control) -> Iterator[Event]:
        """Read the user's messages, wait while paused or while a hand draws, raise `Cancelled` once cancelled."""
        yield from self._read_messages(control)
        cancelled, self.stopped = processes.any_of(control.cancelled, self.stopped)
        if cancelled:
            control.cancel()
        while (control.paused or self._resting) and not control.cancelled and not self.stopped:
            began = self.clock.now()
            time.sleep(PAUSE_POLL_SECONDS)
            yield from self._read_messages(control)
            if not self._resting:
                yield from self.preview()
                yield from self.survey()
            self.clock.skip(self.clock.now() - began)
        if not self.stopped:
            control.checkpoint()

    def _read_messages(self, control: Control) -> Iterator[Event]:
        heard = hear(control)
        self.rest.hear(heard)
        self.stopped, self.view = self.stopped or heard.stop, heard.view or self.view
        for message in heard.around:
            self.around.ask(message, self.cases)
        for number, case in enumerate(self.cases):
            mine = [message for message in heard.changed if message.sample == case.case.id]
            if mine:
                yield from self._take_labels(number, mine)

    def _take_labels(self, number: int, messages: Sequence[LabelsChanged]) -> Iterator[Event]:
        case = self.cases[number]
        try:
            for message in messages:
                self.journal.edit(self.state.step, case.case.id, case.reread(message.start, message.stop))
            target = self.held_out.training_target(case.sample)
            self._painted_since = True
            self.batches.replace(number, self.teaching.fill(number, target) if self.teaching else target)
        except MedsegError as error:
            yield Note(f"The edited labels are not used: {error}", "warning")

    def after_step(self, loss: torch.Tensor, learning_rate: float, seconds: float) -> Iterator[Event]:
        """Count a step and report it; raise `ConfigError` if its loss is not a number."""
        self.state.step += 1
        self._durations.append(seconds)
        self._loss_sum, self._loss_steps = self._loss_sum + loss, self._loss_steps + 1
        now = time.monotonic()
        if self.learner.device.type == "cpu" or now >= self._report_due or self.finished:
            self._report_due = now + REPORT_SECONDS
            self._check_finite(float(loss), learning_rate)
            yield Step(self.state.step, self.steps, float(loss), learning_rate, self.clock.seconds)

    def _check_finite(self, loss: float, learning_rate: float) -> None:
        if not torch.isfinite(torch.tensor(loss)):
            raise ConfigError(
                f"The loss became {loss} at step {self.state.step}, at a learning rate of {learning_rate:g}.",
                "Set a lower learning rate, or the precision to float32; check the image for extreme values.",
            )

    def score(self) -> Iterator[Event]:
        """When due, score the network on held-out voxels and keep its weights if none were better."""
        step = self.state.step
        due = step == TIMED_STEPS or step % score_interval(self.state.planned, self.config) == 0 or self.finished
        if not due or not self._loss_steps:
            return
        started = self.clock.now()
        score = self.validator.score(self.learner.network, self.teaching.says if self.teaching else None)
        self._validation_seconds = self.clock.now() - started
        mean_loss = float(self._loss_sum) / max(self._loss_steps, 1)
        self._check_finite(mean_loss, self.config.learning_rate)
        self._loss_sum, self._loss_steps = 0.0, 0
        # Among scores that cannot be told apart the later weights win: the luckiest of many would be no better.
        best = score is not None and score.mean >= self.state.best_score - score.uncertainty
        if score is not None:
            self.state.stale = 0 if score.mean > self.state.best_score else self.state.stale + 1
        if score is not None and best:
            self.state.best_score = max(self.state.best_score, score.mean)
            self.state.blend_score = score.blended.mean if score.blended else -1.0
            save_best(self.run.best, self.learner.network, step, score.dice)
        yield EpochEnd(step, mean_loss, score.dice if score else None, best, self.clock.seconds)
        if best:
            yield Saved("best", self.run.best, step)
        if self.out_of_patience:
            yield Note(f"Ended early: the last {self.state.stale} measurements brought no higher Dice.")

    def score_closely(self, weights: Mapping[str, torch.Tensor]) -> Score | None:
        """Return the score of some weights on more of what is held out; the network has them then."""
        self.learner.network.load_state_dict(dict(weights))
        task = task_named(self.spec.task)
        steps = max(self.state.step // 2, score_interval(self.state.planned, self.config), FINAL_STEPS)
        validator = Validator(self.cases, self.held_out, self.spec, task, self.config, steps)
        return validator.score(self.learner.network, self.teaching.says if self.teaching else None)

    def measure(self, score: Score | None) -> Measurement:
        """Return what a score is worth."""
        names = [c.name for c in self.spec.classes]
        return measure(score.overlaps if score else {}, names, self.held_out.unit, self.config.hold_out)

    def plan(self) -> Iterator[Event]:
        """Once the first steps were timed, turn the time budget into a number of steps."""
        if self.state.planned is not None or self.state.step < TIMED_STEPS or self.config.minutes is None:
            return
        timed = sorted(self._durations[UNTIMED_STEPS:] or self._durations)
        left = 60 * self.config.minutes - self.clock.seconds
        planned = plan_steps(left, self.state.step, timed[len(timed) // 2], self._validation_seconds, self.config)
        self.state.planned = processes.from_first(planned)
        self.journal.plan(self.state.planned)
        self._checkpoint_due = 0.0
        yield Note(f"{self.config.minutes:g} min are {self.state.planned} steps here.")

    def save(self, force: bool = False) -> Iterator[Event]:
        """Write a checkpoint, when due or forced."""
        now = time.monotonic()
        if force or now >= self._checkpoint_due:
            self._checkpoint_due = now + self.config.checkpoint_seconds
            self.state.seconds = self.clock.seconds
            save_checkpoint(self.run.last, self.state, self.learner.state_dict())
            yield Saved("checkpoint", self.run.last, self.state.step)

    def preview(self) -> Iterator[Event]:
        """When due, predict the slice that the user looks at."""
        started = time.monotonic()
        if self.view is None or not self.config.preview_hz or started < self._preview_due:
            return
        view = self.view
        number = looked_at(self.cases, view)
        if number is not None:
            found, shown = self._answer(number, (view.axis, view.index))
            yield Preview(view.sample, view.axis, view.index, found.labels, self.state.step, found.doubt, shown)
        spent = time.monotonic() - started
        self._preview_due = started + max(1 / self.config.preview_hz, spent / PREVIEW_SHARE)

    def survey(self) -> Iterator[Event]:
        """Look at slices all over the volume, a few at a time, once the user wants to know where to look next."""
        for number, place in self.around.slices():
            case = self.cases[number]
            found = self._onlooker.survey(number, case, place, self.shown)
            yield Surveyed(case.case.id, *place, found.labels, self.state.step, found.doubt)

    def _answer(self, number: int, place: tuple[int, int]) -> tuple[SliceAnswer, str]:
        """Return what the best model says of a slice, and which one that is and why."""
        teaching, shown = self.teaching, self.shown
        if teaching is not None and shown != "network" and self._painted_since:
            teaching.relearn(self.cases, self.config.seed, fresh=False)
            self._painted_since = False
        why = reason(shown, self.sketch_score, self.state.best_score, self.state.blend_score)
        return self._onlooker.says(shown, number, self.cases[number], place), why
