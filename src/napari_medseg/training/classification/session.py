"""Where a classification's training stands, and what comes after a step."""

import json
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass

import torch

from napari_medseg.models import Bundle
from napari_medseg.progress import Control, EpochEnd, Event, Finished, Saved, Step
from napari_medseg.tasks.kinds.classification import Classification, balanced_weights
from napari_medseg.training.atomic import write_file
from napari_medseg.training.checkpoint import load_best, load_content, save_best
from napari_medseg.training.classification.images import Material, batch_numbers
from napari_medseg.training.classification.learner import ClassifierLearner
from napari_medseg.training.classification.run import ClassificationResult, ClassificationRun
from napari_medseg.training.classification.scoring import fitted_temperature, scores_of, validation_logits
from napari_medseg.training.messages import Stop
from napari_medseg.training.run import RunFolder

TIMED = 10
"""Steps before a time budget becomes a number of steps."""
UNTIMED = 3
"""The first of them, which build caches and are slower than all others."""
VALIDATION_SHARE = 0.1
"""Most of the time that validation may take."""
RESERVE = 0.95
"""Share of the time budget that is planned for."""
STAGED = 0.2
"""Share of the steps in which only the last layer learns, where layers are freed in stages."""


@dataclass
class Standing:
    """Where a run stands, apart from weights and optimiser."""

    planned: int | None = None
    every: int = 1
    """Steps between two validations."""
    step: int = 0
    seconds: float = 0.0
    """Training time, pauses left out."""
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
    run : ClassificationRun
        Its configuration.
    material : Material
        The images.
    learner : ClassifierLearner
        The network.
    """

    def __init__(
        self, folder: RunFolder, run: ClassificationRun, material: Material, learner: ClassifierLearner
    ) -> None:
        self.folder, self.run, self.material, self.learner = folder, run, material, learner
        self.state = Standing()
        self.stopped = False
        self._timed: list[float] = []
        self._losses: list[torch.Tensor] = []
        self._saved = time.monotonic()
        config = run.train
        self.per_epoch = max(1, len(material.train.labels) // min(config.batch_size, len(material.train.labels)))
        self.most = config.epochs * self.per_epoch
        if config.minutes is None:
            self._plan(self.most, self.per_epoch)

    @property
    def finished(self) -> bool:
        """Whether all steps are taken, or nothing has become better for long."""
        state = self.state
        return state.planned is not None and (state.step >= state.planned or state.waited >= self.run.train.patience)

    @property
    def frozen(self) -> bool:
        """Whether the last layer alone learns now."""
        freeze, planned = self.run.train.freeze, self.state.planned or self.most
        return freeze == "head" or (freeze == "staged" and self.state.step < STAGED * planned)

    def listen(self, control: Control) -> None:
        """Wait while paused, and notice a wish to stop.

        Raises
        ------
        Cancelled
            If the job was cancelled.
        """
        control.checkpoint()
        self.stopped = self.stopped or any(isinstance(message, Stop) for message in control.receive())
        if self.stopped and self.state.planned is None:
            self._plan(self.state.step, 1)

    def step(self, rate: float) -> Iterator[Event]:
        """Take a step and report it."""
        state, train = self.state, self.material.train
        started = time.monotonic()
        numbers = torch.from_numpy(
            batch_numbers(state.step, len(train.labels), self.run.train.batch_size, self.run.train.seed)
        )
        loss = self.learner.step(train.images[numbers], train.labels[numbers], rate, state.step, self.frozen)
        took = time.monotonic() - started
        state.step += 1
        state.seconds += took
        self._losses.append(loss)
        if state.planned is None:
            self._timed.append(took)
            if len(self._timed) == TIMED:
                self._plan_by_time()
        yield Step(state.step, state.planned or self.most, float(loss), rate, state.seconds)

    def _plan_by_time(self) -> None:
        minutes = self.run.train.minutes
        assert minutes is not None
        each = sum(self._timed[UNTIMED:]) / (TIMED - UNTIMED)
        started = time.monotonic()
        self._logits()
        validation = time.monotonic() - started
        every = max(self.per_epoch, int(validation / VALIDATION_SHARE / each))
        left = RESERVE * minutes * 60 - self.state.seconds - validation
        fitting = self.state.step + max(1, int(left / (each + validation / every)))
        # Even little time is enough for a few looks at what was learnt.
        planned = min(self.most, fitting)
        self._plan(planned, max(1, min(every, planned // 4)))

    def _plan(self, steps: int, every: int) -> None:
        self.state.planned, self.state.every = steps, every

    def _logits(self) -> torch.Tensor:
        learner, run = self.learner, self.run
        network = learner.mean if run.train.ema else learner.network
        return validation_logits(network, self.material.val, run.spec, learner.device, run.train.precision)

    def score(self) -> Iterator[Event]:
        """Score the network when it is time to, and keep the best weights."""
        state = self.state
        if state.planned is None or not (state.step % state.every == 0 or state.step >= state.planned or self.stopped):
            return
        started = time.monotonic()
        scores = scores_of(self._logits(), self.material.val.labels)
        # Among equal rankings the surer one is better.
        score = scores["auc"] - 1e-3 * min(scores["cross_entropy"], 10.0)
        better = score > state.best
        state.best, state.waited = (score, 0) if better else (state.best, state.waited + 1)
        if better:
            network = self.learner.mean if self.run.train.ema else self.learner.network
            save_best(self.folder.best, network, state.step, scores)
        loss = float(torch.stack(self._losses).mean()) if self._losses else float("nan")
        self._losses.clear()
        state.seconds += time.monotonic() - started
        yield EpochEnd(state.step, loss, None, better, state.seconds, scores)
        self._keep_to_time()

    def _keep_to_time(self) -> None:
        """Plan fewer steps where they have become slower than when they were timed."""
        state, minutes = self.state, self.run.train.minutes
        if minutes is None or not state.step or state.planned is None:
            return
        left = RESERVE * minutes * 60 - state.seconds
        fitting = state.step + max(0, int(left / (state.seconds / state.step)))
        if fitting < state.planned:
            state.planned = fitting

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

    def finish(self, cancelled: bool = False) -> Generator[Event, None, None]:
        """Write the bundle of the best weights."""
        yield from self.save(force=True)
        if not self.folder.best.exists():
            return
        weights, step, scores = load_best(self.folder.best)
        network = self.learner.mean
        network.load_state_dict(weights)
        spec, val = self.run.spec, self.material.val
        logits = validation_logits(network, val, spec, self.learner.device, "float32")
        spec = spec.model_copy(
            update={
                "temperature": fitted_temperature(logits, val.labels),
                "training_data": self.material.sums,
                "metrics": scores,
            }
        )
        Bundle.create(spec, weights).save(self.folder.bundle)
        yield Saved("bundle", self.folder.bundle, step)
        if not cancelled:
            planned = self.state.planned or self.state.step
            stopped = self.state.step < planned
            yield Finished(ClassificationResult(self.folder.bundle, step, planned, stopped, scores, self.state.seconds))


def task_of(run: ClassificationRun, labels: torch.Tensor) -> Classification:
    """Return the loss of a run."""
    config = run.train
    counts = torch.bincount(labels, minlength=len(run.spec.classes)).tolist()
    weights = balanced_weights(counts) if config.class_weights == "balanced" else None
    return Classification(weights, config.label_smoothing, config.focal)
