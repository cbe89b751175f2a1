"""The training loop, on one screen."""

import time
from collections.abc import Iterator

from napari_medseg.errors import Cancelled
from napari_medseg.progress import Control, Event
from napari_medseg.training.classification.loop import train_classification
from napari_medseg.training.config import TrainConfig
from napari_medseg.training.learner import NoMemory, Pace
from napari_medseg.training.opening import open_session
from napari_medseg.training.restoration.loop import train_restoration
from napari_medseg.training.result import finish
from napari_medseg.training.run import RunFolder
from napari_medseg.training.schedule import frozen_parts, learning_rate, statistics_settled, teacher_weight
from napari_medseg.training.shrink import shrink
from napari_medseg.training.sketch.opening import ARCHITECTURE, train_sketch


def train(run: RunFolder, control: Control, resume: bool, live: bool) -> Iterator[Event]:
    """Train in a run's folder; see `napari_medseg.training.train`."""
    for event in _events(run, control, resume, live):
        run.log(event)
        yield event


def _events(run: RunFolder, control: Control, resume: bool, live: bool) -> Iterator[Event]:
    if run.task == "classification":
        return train_classification(run, control, resume)
    if run.task in ("superresolution", "enhancement"):
        return train_restoration(run, control, resume)
    if run.load().spec.architecture == ARCHITECTURE:
        return train_sketch(run, control, live)
    return _train(run, control, resume)


def _train(run: RunFolder, control: Control, resume: bool) -> Iterator[Event]:
    session = yield from open_session(run, control, resume)
    state, learner = session.state, session.learner
    with session.batches:
        try:
            while not session.finished:
                yield from session.listen(control)
                if session.stopped:
                    break
                started = time.monotonic()
                batch = session.batches.get(state.step, state.batch_size, state.patch)
                pace = pace_of(state.step, session.steps, session.config)
                try:
                    loss = learner.step(batch, pace, state.step)
                except NoMemory:
                    yield shrink(state, session.spec, learner.device)
                    continue
                yield from session.after_step(loss, pace.learning_rate, time.monotonic() - started)
                yield from session.score()
                yield from session.plan()
                yield from session.save()
                yield from session.preview()
        except Cancelled:
            yield from finish(session, cancelled=True)
            raise
    yield from finish(session)


def pace_of(step: int, steps: int, config: TrainConfig) -> Pace:
    """Return what learns at a step of so many, and how fast."""
    return Pace(
        learning_rate(step, steps, config),
        statistics_settled(step, steps, config),
        teacher_weight(step, steps),
        frozen_parts(step, steps, config),
    )
