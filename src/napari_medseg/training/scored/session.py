"""Where a training stands, what comes after a step, and when it ends."""

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass

import torch

from napari_medseg import processes
from napari_medseg.errors import Cancelled, ConfigError
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, EpochEnd, Event, Finished, Note, Saved, Step
from napari_medseg.training.atomic import write_file
from napari_medseg.training.averaging import Averaged
from napari_medseg.training.checkpoint import load_best, load_content, save_best
from napari_medseg.training.clock import clock_of
from napari_medseg.training.messages import Stop
from napari_medseg.training.run import RunFolder
from napari_medseg.training.scored.pace import TIMED, batch_numbers, rate_of, spread
from napari_medseg.training.scored.run import ScoredResult, ScoredRun

EPOCHS, FEWEST_STEPS = 60, 1000
"""How often each image is seen where nobody says, and how many steps it is at least."""
UNTIMED = 2
"""The first of the timed steps, which are slower than all others."""
TIMED_SHARE = 0.2
"""Of the time budget, after which fewer steps are enough to plan by."""
LOOKS = 20
"""Validations in a training, if they take no more than the share below."""
FEWEST_LOOKS = 4
"""Even little time is enough for a few looks at what was learnt."""
VALIDATION_SHARE = 0.06
"""Most of the time that validation may take."""
RESERVE = 0.95
"""Share of the time budget that is planned for."""


@dataclass
class Standing:
    """Where a run stands, apart from weights and optimiser."""

    planned: int | None = None
    every: int = 1
    """Steps between two validations."""
    looked: int | None = None
    """Images of each validation; None for all that are kept out."""
    tail: float = 0.0
    """Seconds that are kept for what comes after the last step."""
    step: int = 0
    seconds: float = 0.0
    """Training time, reading included, pauses left out."""
    read: float = 0.0
    """Of these, what was spent before the first step."""
    best: float = -1.0
    """Highest score so far."""
    waited: int = 0
    """Validations since then."""


class ScoredSession(ABC):
    """A run at work; what is learnt and how it is scored is up to the task.

    Parameters
    ----------
    folder : RunFolder
        Of the run.
    run : ScoredRun
        Its configuration.
    learner : Averaged
        The network.
    counts : (int, int)
        Images to learn from, and to score on.
    batch : int
        Images per step and process.
    """

    sample: int
    """Images that tell how long validation takes."""
    judges_all: bool
    """Whether the best weights are asked about all images that are kept out, in the end."""

    def __init__(
        self, folder: RunFolder, run: ScoredRun, learner: Averaged, counts: tuple[int, int], batch: int
    ) -> None:
        self.folder, self.run, self.learner, self.batch = folder, run, learner, batch
        self.images, self.held = counts
        self.state = Standing()
        self.clock = clock_of(run.train.clock)
        self.stopped = False
        self._timed: list[float] = []
        self._losses: list[torch.Tensor] = []
        self._saved = time.monotonic()
        self.per_epoch = max(1, round(self.images / (batch * processes.count())))
        self.most = (run.train.epochs or max(EPOCHS, FEWEST_STEPS // self.per_epoch)) * self.per_epoch
        if run.train.minutes is None:
            self.state.planned, self.state.every = self.most, max(self.per_epoch, -(-self.most // LOOKS))

    @abstractmethod
    def _learn(self, rate: float) -> torch.Tensor:
        """Take a step at a learning rate, and return its scalar loss."""

    @abstractmethod
    def _scores(self, images: list[int]) -> Generator[Event, None, dict[str, float]]:
        """Return the scores of the mean weights on some of the images that are kept out."""

    @abstractmethod
    def _judge(self, scores: dict[str, float]) -> float:
        """Return the one number of scores that is to be as high as possible, at least 0."""

    @abstractmethod
    def _learnt(self) -> dict[str, object]:
        """Return what the model's description gets when the best weights are in the mean network."""

    @property
    def finished(self) -> bool:
        """Whether all steps are taken, or nothing has become better for long."""
        state = self.state
        return state.planned is not None and (state.step >= state.planned or state.waited >= self.run.train.patience)

    def work(self, control: Control) -> Iterator[Event]:
        """Train until the run is finished or stopped."""
        try:
            while not self.finished:
                self._listen(control)
                if self.stopped and self.state.planned is not None:
                    break
                yield from self._step()
                yield from self._score()
                yield from self._save()
        except Cancelled:
            yield from self._finish(cancelled=True)
            raise
        if self.stopped or not self.folder.best.exists():
            self.stopped = True
            yield from self._score()
        yield from self._finish()

    def resume(self) -> Note:
        """Go on from the last checkpoint."""
        content = load_content(self.folder.last)
        self.state = Standing(**json.loads(content.pop("state")))
        self.learner.load_state_dict(content)
        return Note(f"Training goes on at step {self.state.step}.")

    def count_reading(self, seconds: float) -> None:
        """Count what was spent before the first step as training time."""
        self.state.seconds = self.state.read = seconds

    def batch_numbers(self, images: int | None = None) -> list[int]:
        """Return which images make this process's batch of the next step, of those to learn from or so many others."""
        place = self.state.step * processes.count() + processes.rank()
        return batch_numbers(place, images or self.images, self.batch, self.run.train.seed)

    def _listen(self, control: Control) -> None:
        """Wait while paused, and notice a wish to stop; raise `Cancelled` if the job was cancelled."""
        stopped = self.stopped or any(isinstance(message, Stop) for message in control.receive())
        cancelled, self.stopped = processes.any_of(control.cancelled, stopped)
        if cancelled:
            control.cancel()
        control.checkpoint()

    def _step(self) -> Iterator[Event]:
        """Take a step and report it; raise `ConfigError` if the loss is no number any more."""
        state, started = self.state, self.clock()
        rate = rate_of(state.step, state.planned, self.run.train)
        loss = self._learn(rate)
        value = float(loss)
        if not math.isfinite(value):
            raise ConfigError(f"The loss of step {state.step} is {value}.", "Lower learning_rate, or set float32.")
        took = self.clock() - started
        state.step += 1
        state.seconds += took
        self._losses.append(loss)
        if state.planned is None:
            self._timed.append(took)
            [slow] = processes.any_of(state.seconds - state.read > TIMED_SHARE * 60 * (self.run.train.minutes or 0))
            if len(self._timed) == TIMED or (slow and len(self._timed) > UNTIMED):
                yield from self._plan_by_time()
        yield Step(state.step, state.planned or self.most, value, rate, state.seconds)

    def _plan_by_time(self) -> Iterator[Event]:
        state, minutes = self.state, self.run.train.minutes
        assert minutes is not None
        each = sum(self._timed[UNTIMED:]) / (len(self._timed) - UNTIMED)
        validation = 0.0
        if self.held:
            started, some = self.clock(), min(self.sample, self.held)
            yield from self._scores(spread(some, self.held))
            spent = self.clock() - started
            state.seconds += spent
            validation = spent * self.held / some
            state.tail = validation * self.judges_all
            # Few looks at some of very many images say more than one look at all.
            most = VALIDATION_SHARE * minutes * 60 / FEWEST_LOOKS / validation
            state.looked = processes.from_first(max(some, round(min(most, 1.0) * self.held)))
            validation *= state.looked / self.held
        if state.read > minutes * 30:
            yield Note("Reading the images took most of the time, so little is learnt: give more minutes.", "warning")
        left = RESERVE * minutes * 60 - state.seconds - state.tail
        planned = min(self.most, state.step + max(1, int(left / each)))
        every = max(planned // LOOKS, int(validation / VALIDATION_SHARE / each), 1)
        state.planned, state.every = processes.from_first((planned, min(every, max(planned // FEWEST_LOOKS, 1))))
        self._keep_to_time()

    def _score(self) -> Iterator[Event]:
        """Score the network when it is time to, and keep the best weights."""
        state = self.state
        if state.planned is not None and state.step >= state.planned:
            self._keep_to_time()
        ended = state.planned is not None and state.step >= state.planned
        if state.planned is None or not (state.step % state.every == 0 or ended or self.stopped):
            return
        started = self.clock()
        scores: dict[str, float] = {}
        if self.held:
            found = yield from self._scores(spread(self.state.looked or self.held, self.held))
            scores = processes.from_first(found)
        # Without images to score on, the last weights are the best.
        score = self._judge(scores) if scores else float(state.step)
        better = score > state.best
        state.best, state.waited = (score, 0) if better else (state.best, state.waited + 1)
        if better:
            save_best(self.folder.best, self.learner.mean, state.step, scores)
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
        left = RESERVE * minutes * 60 - state.seconds - state.tail
        each = (state.seconds - state.read) / state.step
        state.planned = processes.from_first(min(self.most, state.step + max(0, int(left / max(each, 1e-9)))))

    def _save(self, force: bool = False) -> Iterator[Event]:
        """Write a checkpoint when it is time to."""
        due = time.monotonic() - self._saved >= self.run.train.checkpoint_seconds
        if self.state.planned is None or not (due or force):
            return
        content = {"state": json.dumps(asdict(self.state)), **self.learner.state_dict()}
        write_file(self.folder.last, lambda file: torch.save(content, file))
        self._saved = time.monotonic()
        yield Saved("checkpoint", self.folder.last, self.state.step)

    def _finish(self, cancelled: bool = False) -> Iterator[Event]:
        """Write the bundle of the best weights."""
        yield from self._save(force=True)
        if not self.folder.best.exists():
            return
        weights, step, scores = load_best(self.folder.best)
        self.learner.mean.load_state_dict(weights)
        spec = self.run.spec.model_copy(update={"metrics": scores, **self._learnt()})
        Bundle.create(spec, weights).save(self.folder.bundle)
        yield Saved("bundle", self.folder.bundle, step)
        if not cancelled:
            planned = self.state.planned or self.state.step
            stopped = self.state.step < planned
            yield Finished(ScoredResult(self.folder.bundle, step, planned, stopped, scores, self.state.seconds))
