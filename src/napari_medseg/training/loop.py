"""The training loop, on one screen."""

from collections.abc import Iterator
from dataclasses import replace

from napari_medseg import processes
from napari_medseg.errors import Cancelled, ConfigError
from napari_medseg.models.design import SKETCH
from napari_medseg.progress import Control, Event, Finished
from napari_medseg.training.classification.loop import train_classification
from napari_medseg.training.comparing import compare
from napari_medseg.training.config import TrainConfig
from napari_medseg.training.detection.loop import train_detection
from napari_medseg.training.learner import NoMemory, Pace
from napari_medseg.training.opening import open_session
from napari_medseg.training.restoration.loop import train_restoration
from napari_medseg.training.result import finish
from napari_medseg.training.run import RunFolder, TrainResult
from napari_medseg.training.schedule import frozen_parts, learning_rate, statistics_settled
from napari_medseg.training.shrink import shrink
from napari_medseg.training.sketch.opening import train_sketch
from napari_medseg.training.together import own_folder
from napari_medseg.training.tracking import Tracked


def train(run: RunFolder, control: Control, resume: bool, live: bool) -> Iterator[Event]:
    """Train in a run's folder; see `napari_medseg.training.train`."""
    with own_folder(run) as own, Tracked(own) as tracked:
        for event in tracked.follow(_judged(own, control, _events(own, control, resume, live))):
            own.log(event)
            yield event


def _judged(run: RunFolder, control: Control, events: Iterator[Event]) -> Iterator[Event]:
    """Compare the result with the model that it is to replace, if there is one."""
    for event in events:
        if isinstance(event, Finished) and isinstance(event.result, TrainResult):
            place = run.load().replaces
            if place is not None and place.is_dir():
                verdict = yield from compare(run, control)
                event = Finished(replace(event.result, verdict=verdict))
        yield event


def _events(run: RunFolder, control: Control, resume: bool, live: bool) -> Iterator[Event]:
    sketches = run.task == "segmentation" and run.load().spec.architecture == SKETCH
    if sketches and processes.count() > 1:
        raise ConfigError("Only networks are trained by several processes.", "Start one without torchrun.")
    if run.task == "classification":
        return train_classification(run, control, resume)
    if run.task == "detection":
        return train_detection(run, control, resume)
    if run.task in ("superresolution", "enhancement"):
        return train_restoration(run, control, resume)
    return train_sketch(run, control, live) if sketches else _train(run, control, resume)


def _train(run: RunFolder, control: Control, resume: bool) -> Iterator[Event]:
    session = yield from open_session(run, control, resume)
    state, learner = session.state, session.learner
    with session.batches:
        try:
            while not session.finished:
                yield from session.listen(control)
                if session.stopped:
                    break
                started = session.clock.now()
                batch = session.batches.get(state.step, state.batch_size, state.patch)
                pace = pace_of(state.step, session.steps, session.config)
                try:
                    loss = learner.step(batch, pace, state.step)
                except NoMemory:
                    yield shrink(state, session.spec, learner.device)
                    continue
                yield from session.after_step(loss, pace.learning_rate, session.clock.now() - started)
                yield from session.score()
                yield from session.plan()
                yield from session.save()
                yield from session.preview()
                yield from session.survey()
        except Cancelled:
            yield from finish(session, cancelled=True)
            raise
    yield from finish(session)


def pace_of(step: int, steps: int, config: TrainConfig) -> Pace:
    """Return what learns at a step of so many, and how fast."""
    return Pace(
        learning_rate(step, steps, config),
        statistics_settled(step, steps, config),
        frozen_parts(step, steps, config),
    )
