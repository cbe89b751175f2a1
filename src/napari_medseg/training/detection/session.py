"""Where a detection's training stands, and what comes after a step."""

import json
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch

from napari_medseg import processes
from napari_medseg.errors import ConfigError
from napari_medseg.evaluate.boxes import BoxPairs
from napari_medseg.evaluate.detection import mean_precision
from napari_medseg.inference.detection.detect import boxes_in
from napari_medseg.inference.detection.options import DetectOptions
from napari_medseg.models import Bundle
from napari_medseg.prediction import Boxes
from napari_medseg.progress import Control, EpochEnd, Event, Finished, Saved, Step
from napari_medseg.training.atomic import write_file
from napari_medseg.training.checkpoint import load_best, load_content, save_best
from napari_medseg.training.detection.augment import Change, seen
from napari_medseg.training.detection.learner import DetectorLearner
from napari_medseg.training.detection.material import Example, Material, batch_numbers
from napari_medseg.training.detection.run import DetectionResult, DetectionRun
from napari_medseg.training.messages import Stop
from napari_medseg.training.run import RunFolder

TIMED, UNTIMED = 8, 2
"""Steps before a time budget becomes a number of steps, and the first of them, which are slower than all others."""
VALIDATION_SHARE = 0.06
"""Most of the time that validation may take."""
RESERVE = 0.96
"""Share of the time budget that is planned for."""


@dataclass
class Standing:
    """Where a run stands, apart from weights and optimiser."""

    planned: int | None = None
    every: int = 1
    """Steps between two validations."""
    step: int = 0
    seconds: float = 0.0
    """Training time, reading included, pauses left out."""
    read: float = 0.0
    """Of these, what was spent before the first step."""
    best: float = -1.0
    """Highest score so far."""
    waited: int = 0
    """Validations since then."""


class Session:
    """A run at work.

    Parameters
    ----------
    folder : RunFolder
        Of the run.
    run : DetectionRun
        Its configuration.
    material : Material
        The images.
    learner : DetectorLearner
        The network.
    batch : int
        Images per step.
    """

    def __init__(
        self, folder: RunFolder, run: DetectionRun, material: Material, learner: DetectorLearner, batch: int
    ) -> None:
        self.folder, self.run, self.material, self.learner, self.batch = folder, run, material, learner, batch
        self.state = Standing()
        self.clock = clock_of(run)
        self.stopped = False
        self._timed: list[float] = []
        self._losses: list[torch.Tensor] = []
        self._saved = time.monotonic()
        self.per_epoch = max(1, round(len(material.train) / (batch * processes.count())))
        self.most = run.train.epochs * self.per_epoch
        if run.train.minutes is None:
            self.state.planned, self.state.every = self.most, max(self.per_epoch, -(-self.most // 20))

    @property
    def finished(self) -> bool:
        """Whether all steps are taken, or nothing has become better for long."""
        state = self.state
        return state.planned is not None and (state.step >= state.planned or state.waited >= self.run.train.patience)

    def listen(self, control: Control) -> None:
        """Wait while paused, and notice a wish to stop.

        Raises
        ------
        Cancelled
            If the job was cancelled.
        """
        stopped = self.stopped or any(isinstance(message, Stop) for message in control.receive())
        cancelled, self.stopped = processes.any_of(control.cancelled, stopped)
        if cancelled:
            control.cancel()
        control.checkpoint()

    def rate(self) -> float:
        """Return the learning rate of the next step: it rises, then falls as half a cosine."""
        config, state = self.run.train, self.state
        rise = TIMED if state.planned is None else max(TIMED, round(config.warmup * state.planned))
        if state.planned is None or state.step < rise:
            return config.learning_rate * min(1.0, (state.step + 1) / rise)
        passed = (state.step - rise) / max(state.planned - rise, 1)
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(passed, 1.0)))

    def step(self) -> Iterator[Event]:
        """Take a step and report it.

        Raises
        ------
        ConfigError
            If the loss is no number any more.
        """
        state, started, rate = self.state, self.clock(), self.rate()
        loss = self.learner.step(*self._views(), rate, state.step)
        value = float(loss)
        if not math.isfinite(value):
            raise ConfigError(f"The loss of step {state.step} is {value}.", "Lower learning_rate, or set float32.")
        took = self.clock() - started
        state.step += 1
        state.seconds += took
        self._losses.append(loss)
        if state.planned is None:
            self._timed.append(took)
            if len(self._timed) == TIMED:
                yield from self._plan_by_time()
        yield Step(state.step, state.planned or self.most, value, rate, state.seconds)

    def _views(self) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
        config, step, train = self.run.train, self.state.step, self.material.train
        rng = np.random.default_rng([config.seed, step, processes.rank()])
        place = step * processes.count() + processes.rank()
        turn = bool(config.turns and rng.random() < 0.5)
        shape = self.run.spec.patch_size
        shape = (*shape[:-2], shape[-1], shape[-2]) if turn else shape
        change = Change.of(config)
        found = [seen(train[k], shape, change, turn, rng)
                 for k in batch_numbers(place, len(train), self.batch, config.seed)]  # fmt: skip
        return torch.stack([values for values, _e, _l in found]), [(edges, labels) for _v, edges, labels in found]

    def _plan_by_time(self) -> Iterator[Event]:
        minutes = self.run.train.minutes
        assert minutes is not None
        state = self.state
        each = sum(self._timed[UNTIMED:]) / (TIMED - UNTIMED)
        started = self.clock()
        yield from self._found(self.material.val[:2])
        some = max(len(self.material.val[:2]), 1)
        validation = (self.clock() - started) * len(self.material.val) / some
        state.seconds += self.clock() - started
        left = RESERVE * minutes * 60 - state.seconds - validation
        planned = min(self.most, state.step + max(1, int(left / each)))
        # Few looks early, when little is learnt, and none that take much of the time.
        every = max(planned // 20, int(validation / VALIDATION_SHARE / each), 1)
        state.planned, state.every = processes.from_first((planned, min(every, max(planned // 4, 1))))
        self._keep_to_time()

    def _found(self, examples: tuple[Example, ...]) -> Generator[Event, None, dict[str, Boxes]]:
        """Return what the network finds on held-out images, by name."""
        network = self.learner.mean if self.run.train.ema else self.learner.network
        network.eval()
        options = DetectOptions(precision=self.run.train.precision)
        found = {}
        for example in examples:
            events = boxes_in(example.view(), network, self.run.spec, options, Control(), self.learner.device)
            found[example.name] = yield from events
        return found

    def score(self) -> Iterator[Event]:
        """Score the network when it is time to, and keep the best weights."""
        state, val = self.state, self.material.val
        if state.planned is not None and state.step >= state.planned:
            self._keep_to_time()
        ended = state.planned is not None and state.step >= state.planned
        if state.planned is None or not (state.step % state.every == 0 or ended or self.stopped):
            return
        started = self.clock()
        scores: dict[str, float] = {}
        if val:
            found = yield from self._found(val)
            truth = {example.name: example.boxes for example in val}
            fifty, mean = mean_precision(BoxPairs(self.run.spec.classes, found, truth))
            scores = processes.from_first({"map50": _number(fifty), "map": _number(mean)})
        # Without images to score on, the last weights are the best.
        score = (scores["map50"] + scores["map"]) / 2 if scores else float(state.step)
        better = score > state.best
        state.best, state.waited = (score, 0) if better else (state.best, state.waited + 1)
        if better:
            network = self.learner.mean if self.run.train.ema else self.learner.network
            save_best(self.folder.best, network, state.step, scores)
        loss = float(torch.stack(self._losses).mean()) if self._losses else float("nan")
        self._losses.clear()
        state.seconds += self.clock() - started
        yield EpochEnd(state.step, loss, None, better, state.seconds, scores or None)
        self._keep_to_time()

    def _keep_to_time(self) -> None:
        """Plan fewer or more steps where they have become slower or faster than when they were timed."""
        state, minutes = self.state, self.run.train.minutes
        if minutes is None or not state.step or state.planned is None:
            return
        left = RESERVE * minutes * 60 - state.seconds
        each = (state.seconds - state.read) / state.step
        state.planned = processes.from_first(min(self.most, state.step + max(0, int(left / max(each, 1e-9)))))

    def save(self, force: bool = False) -> Iterator[Event]:
        """Write a checkpoint when it is time to."""
        due = time.monotonic() - self._saved >= self.run.train.checkpoint_seconds
        if self.state.planned is None or not (due or force):
            return
        content = {"state": json.dumps(asdict(self.state)), **self.learner.state_dict()}
        write_file(self.folder.last, lambda file: torch.save(content, file))
        self._saved = time.monotonic()
        yield Saved("checkpoint", self.folder.last, self.state.step)

    def load(self) -> None:
        """Go on from the last checkpoint."""
        content = load_content(self.folder.last)
        self.state = Standing(**json.loads(content.pop("state")))
        self.learner.load_state_dict(content)

    def finish(self, cancelled: bool = False) -> Iterator[Event]:
        """Write the bundle of the best weights."""
        yield from self.save(force=True)
        if not self.folder.best.exists():
            return
        weights, step, scores = load_best(self.folder.best)
        spec = self.run.spec.model_copy(update={"training_data": self.material.sums, "metrics": scores})
        Bundle.create(spec, weights).save(self.folder.bundle)
        yield Saved("bundle", self.folder.bundle, step)
        if not cancelled:
            planned = self.state.planned or self.state.step
            stopped = self.state.step < planned
            yield Finished(DetectionResult(self.folder.bundle, step, planned, stopped, scores, self.state.seconds))


def clock_of(run: DetectionRun) -> Callable[[], float]:
    """Return what tells a run's seconds."""
    return time.process_time if run.train.clock == "processor" else time.monotonic


def _number(value: float) -> float:
    """Return a score, or 0 where no held-out image has a box."""
    return 0.0 if math.isnan(value) else value
