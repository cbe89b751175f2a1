"""A run of the pixel classifier: learn, show, listen for strokes, learn again, until it is kept."""

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.split import HeldOut
from napari_medseg.errors import Cancelled, DataError, MedsegError
from napari_medseg.models import ModelSpec
from napari_medseg.models.nets.sketch import SketchNetwork
from napari_medseg.progress import Control, EpochEnd, Event, Finished, Note, Preview, Progress, Saved, Surveyed
from napari_medseg.tasks import UNLABELLED, Task
from napari_medseg.training.clock import Stopwatch, clock_of
from napari_medseg.training.comparing import save_labelled
from napari_medseg.training.config import TrainConfig
from napari_medseg.training.journal import Journal
from napari_medseg.training.looking import Survey, looked_at
from napari_medseg.training.measured import Measurement, measure
from napari_medseg.training.messages import Rest, ShowSlice, hear
from napari_medseg.training.prepare import LoadedCase, training_data_hash
from napari_medseg.training.run import RunFolder, TrainResult
from napari_medseg.training.sketch.features import caches
from napari_medseg.training.sketch.fit import fit, sketch_bundle
from napari_medseg.training.sketch.lesson import prepare_lesson
from napari_medseg.training.sketch.plane import answer_plane
from napari_medseg.training.sketch.scoring import score_sketch
from napari_medseg.training.sketch.tuning import Tuned, tune
from napari_medseg.training.validation import Overlaps

POLL_SECONDS = 0.02
GROWTH = 1.25
"""Of the painted voxels, after which the network is tuned again."""


@dataclass(eq=False)
class Sketching:
    """The parts of a running sketch, and what happens to them."""

    run: RunFolder
    config: TrainConfig
    spec: ModelSpec
    cases: Sequence[LoadedCase]
    held_out: HeldOut
    journal: Journal
    task: Task
    network: SketchNetwork
    view: ShowSlice | None = None
    around: Survey = field(default_factory=Survey)
    """The slices to look at, beside that one."""
    rest: Rest = field(default_factory=Rest)
    """While the user's hand draws."""
    stopped: bool = False
    fits: int = 0
    """Times that it learnt."""
    dice: dict[str, float] | None = None
    overlaps: Overlaps = field(default_factory=dict)
    """On held-out voxels, as last scored."""
    _loss: float = 0.0
    """Of the last learning."""
    _learnt: bool = False
    """Whether the network knows the strokes as they are now."""
    _settled: int = 0
    """Painted voxels when the network was tuned."""
    _looked_at: int = 0
    """The learning after which it was last asked whether to tune again."""
    _shown: tuple[ShowSlice, int] | None = None

    def __post_init__(self) -> None:
        self._watch = Stopwatch(clock_of(self.config.clock))
        planar = self.spec.dims == 2
        # the first answer comes before it can be told what helps
        Tuned().set(self.network)
        self._features = caches(self.network, [case.sample.image for case in self.cases], planar)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._watch.seconds

    @property
    def resting(self) -> bool:
        """Whether the user's hand needs the processor."""
        return self.network.low.device.type == "cpu" and self.rest.due

    def listen(self, control: Control) -> Iterator[Event]:
        """Take the user's messages; raise `Cancelled` once cancelled."""
        control.checkpoint()
        heard = hear(control)
        self.rest.hear(heard)
        self.stopped, self.view = self.stopped or heard.stop, heard.view or self.view
        for asked in heard.around:
            self.around.ask(asked, self.cases)
        for case in self.cases:
            mine = [message for message in heard.changed if message.sample == case.case.id]
            try:
                for message in mine:
                    self.journal.edit(self.fits, case.case.id, case.reread(message.start, message.stop))
            except MedsegError as error:
                yield Note(f"The edited labels are not used: {error}", "warning")
            self._learnt = self._learnt and not mine

    def learn(self, fresh: bool = False) -> Iterator[Event]:
        """Learn from the strokes as they are, if that was not done yet or has to begin anew."""
        if self._learnt and not fresh:
            return
        if fresh:
            self._tune()
        try:
            self._loss = self._fit(self.network, self._all(), fresh or not self.fits)
        except DataError as error:
            yield Note(str(error), "warning")
        else:
            self.fits += 1
            if fresh:
                self._validate()
            yield EpochEnd(self.fits, self._loss, self.dice, True, self.seconds)
        self._learnt = True

    def settle(self) -> Iterator[Event]:
        """Once the strokes are a quarter more than at the last time, tune the network again and validate."""
        if self._looked_at == self.fits:
            return
        self._looked_at = self.fits
        if self._painted() > GROWTH * self._settled:
            before, dice = self.network.smoothing, self.dice
            if self._tune():
                self._loss = self._fit(self.network, self._all(), fresh=True)
                self._shown = None
            self._validate()
            if self.network.smoothing != before:
                self._shown = None
            if self.dice != dice:
                yield EpochEnd(self.fits, self._loss, self.dice, True, self.seconds)

    def show(self) -> Iterator[Event]:
        """Show the slice that the user looks at, if it would look different."""
        if self.view is None or not self.fits or self._shown == (self.view, self.fits):
            return
        view = self.view
        number = looked_at(self.cases, view)
        if number is not None:
            grid, place = self.cases[number].grid, (view.axis, view.index)
            found = answer_plane(self.network, self._features[number], grid, self.spec, place)
            yield Preview(view.sample, *place, found.labels, self.fits, found.doubt, "sketch")
        self._shown = (view, self.fits)

    def survey(self) -> Iterator[Event]:
        """Look at slices all over the volume, a few at a time, once the user wants to know where to look next."""
        for number, place in self.around.slices() if self.fits else ():
            case = self.cases[number]
            found = answer_plane(self.network, self._features[number], case.grid, self.spec, place, keep=False)
            yield Surveyed(case.case.id, *place, found.labels, self.fits, found.doubt)

    def measure(self) -> Measurement:
        """Return what the score is worth."""
        return measure(self.overlaps, [c.name for c in self.spec.classes], self.held_out.unit, self.config.hold_out)

    def save(self) -> Iterator[Event]:
        """Write the bundle."""
        seen = {"training_data": tuple(training_data_hash(case) for case in self.cases)}
        spec = self.spec.model_copy(update=seen | {"metrics": self.measure().metrics})
        sketch_bundle(spec, self.network).save(self.run.bundle)
        save_labelled(self.run, self.cases)
        yield Saved("bundle", self.run.bundle, self.fits)

    def _all(self) -> list[NDArray[np.int16]]:
        return [case.sample.target for case in self.cases]

    def _painted(self) -> int:
        return sum(int(np.count_nonzero(target != UNLABELLED)) for target in self._all())

    def _fit(self, network: SketchNetwork, targets: Sequence[NDArray[np.int16]], fresh: bool) -> float:
        lesson = prepare_lesson(self._features, targets, self.config.seed)
        return fit(network, lesson, len(self.spec.classes), self.config.seed, fresh)

    def _tune(self) -> bool:
        """Return whether the network has to learn anew."""
        tuned = tune(self.network, self._features, self._all(), len(self.spec.classes), self.config.seed)
        self._settled = self._painted()
        return tuned.set(self.network)

    def _validate(self) -> None:
        """Score a twin that has not seen the held-out voxels; the model itself learns from all."""
        if not self.held_out.masks:
            return
        twin = copy.deepcopy(self.network)
        try:
            self._fit(twin, [self.held_out.training_target(case.sample) for case in self.cases], fresh=True)
        except DataError:
            return
        score = score_sketch(twin, self._features, self.cases, self.held_out, self.spec, self.task)
        self.dice, self.overlaps = (score.dice, score.overlaps) if score else (None, {})


def sketch(sketching: Sketching, control: Control, live: bool) -> Iterator[Event]:
    """Learn, and keep the model; live, go on learning from new strokes until the user stops it.

    Parameters
    ----------
    sketching : Sketching
        What `napari_medseg.training.sketch.opening` made.
    control : Control
        Cancels, and passes `LabelsChanged`, `ShowSlice`, `LookAround`, `Drawing` and `Stop`.
    live : bool
        Whether somebody paints and watches.

    Yields
    ------
    Event
        `EpochEnd` after each learning, `Preview`, `Note`, `Saved`, and last `Finished` with a `TrainResult`.

    Raises
    ------
    Cancelled
        If `control` was cancelled; what was learnt is in the bundle by then.
    DataError
        If there is nothing to learn at the end.
    """
    try:
        while live and not sketching.stopped:
            yield from sketching.listen(control)
            if not sketching.resting:
                yield from sketching.learn()
                yield from sketching.show()
                yield from sketching.settle()
                yield from sketching.show()
                yield from sketching.survey()
            time.sleep(POLL_SECONDS)
        sketching.journal.end(sketching.fits, cancelled=False)
        yield Progress("Learning", 0, 1)
        yield from sketching.learn(fresh=True)
    except Cancelled:
        sketching.journal.end(sketching.fits, cancelled=True)
        if sketching.fits:
            yield from sketching.save()
        raise
    if not sketching.fits:
        raise DataError("There was nothing to learn.", "Paint at least one stroke of two classes.")
    yield from sketching.show()
    yield from sketching.save()
    result = TrainResult(
        sketching.run.bundle,
        sketching.fits,
        sketching.fits,
        live,
        sketching.dice,
        sketching.seconds,
        sketching.measure(),
    )
    yield Finished(result)
