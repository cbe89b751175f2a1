"""Where a classification's training stands, and what comes after a step."""

import json
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass

import torch

from napari_medseg.data.labelled.answers import Classified, rows_of, write_rows
from napari_medseg.inference.classify import probabilities
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.progress import Control, EpochEnd, Event, Finished, Saved, Step
from napari_medseg.tasks.kinds.classification import Classification, balanced_weights, presence_weights
from napari_medseg.training.atomic import write_file
from napari_medseg.training.checkpoint import load_best, load_content, save_best
from napari_medseg.training.classification.images import Material, Stack, batch_numbers
from napari_medseg.training.classification.learner import ClassifierLearner
from napari_medseg.training.classification.run import HELD_OUT, ClassificationResult, ClassificationRun
from napari_medseg.training.classification.scoring import fitted_temperature, scores_of, validation_logits
from napari_medseg.training.classification.stages import free_stages
from napari_medseg.training.messages import Stop
from napari_medseg.training.run import RunFolder

EPOCHS, FEWEST_STEPS = 60, 1000
"""How often each image is seen where nobody says, and how many steps it is at least."""
TIMED = 10
"""Steps before a time budget becomes a number of steps."""
UNTIMED = 3
"""The first of them, which build caches and are slower than all others."""
VALIDATION_SHARE = 0.1
"""Most of the time that validation may take."""
RESERVE = 0.95
"""Share of the time budget that is planned for."""


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
        self.per_epoch = max(1, len(material.train) // min(config.batch_size, len(material.train)))
        self.most = (config.epochs or max(EPOCHS, FEWEST_STEPS // self.per_epoch)) * self.per_epoch
        if config.minutes is None:
            self._plan(self.most, self.per_epoch)

    @property
    def finished(self) -> bool:
        """Whether all steps are taken, or nothing has become better for long."""
        state = self.state
        return state.planned is not None and (state.step >= state.planned or state.waited >= self.run.train.patience)

    @property
    def free(self) -> int:
        """How many stages of the network learn now, counted from the last layer on."""
        done = self.state.step / (self.state.planned or self.most)
        return free_stages(self.run.train.freeze, len(self.learner.stages), done)

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
        loss = self.learner.step(self._batch(train), rate, state.step, self.free, self._unlabelled())
        took = time.monotonic() - started
        state.step += 1
        state.seconds += took
        self._losses.append(loss)
        if state.planned is None:
            self._timed.append(took)
            if len(self._timed) == TIMED:
                self._plan_by_time()
        yield Step(state.step, state.planned or self.most, float(loss), rate, state.seconds)

    def _batch(self, train: Stack) -> Stack:
        config = self.run.train
        numbers = torch.from_numpy(batch_numbers(self.state.step, len(train), config.batch_size, config.seed))
        facts = None if train.facts is None else train.facts[numbers]
        return Stack(train.images[numbers], train.targets[numbers], facts)

    def _unlabelled(self) -> torch.Tensor | None:
        images, config = self.material.unlabelled, self.run.train
        if images is None or not config.unlabelled_weight:
            return None
        return images[torch.from_numpy(batch_numbers(self.state.step, len(images), config.batch_size, config.seed))]

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
        scores = scores_of(self._logits(), self.material.val.targets, self.run.spec.output)
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
                "temperature": fitted_temperature(logits, val.targets, spec.output),
                "training_data": self.material.sums,
                "metrics": scores,
            }
        )
        Bundle.create(spec, weights).save(self.folder.bundle)
        self._write_held_out(logits, spec)
        yield Saved("bundle", self.folder.bundle, step)
        if not cancelled:
            planned = self.state.planned or self.state.step
            stopped = self.state.step < planned
            yield Finished(ClassificationResult(self.folder.bundle, step, planned, stopped, scores, self.state.seconds))

    def _write_held_out(self, logits: torch.Tensor, spec: ModelSpec) -> None:
        """Write what the model says of the images to score on, beside what they are."""
        held = self.material.held
        if held is None:
            return
        found = Classified(held.pictures.names, probabilities(logits, spec.temperature, spec.output))
        first, *rows = rows_of(found, spec)
        lines = [[row[0], word, *row[1:]] for row, word in zip(rows, held.words, strict=True)]
        write_rows([[first[0], "label", *first[1:]], *lines], self.folder.path / HELD_OUT)


def task_of(run: ClassificationRun, targets: torch.Tensor) -> Classification:
    """Return the loss of a run; `targets` are those of the images to train on."""
    config, output = run.train, run.spec.output
    counts = [int(count) for count in targets.sum(dim=0).tolist()]
    weights = None
    if config.class_weights == "balanced":
        weights = presence_weights(counts, len(targets)) if output == "several" else balanced_weights(counts)
    return Classification(weights, config.label_smoothing, config.focal, output)
