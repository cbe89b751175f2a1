"""The end of a training: from the best weights to a bundle."""

from collections.abc import Iterator

from napari_medseg.errors import Cancelled
from napari_medseg.models import Bundle
from napari_medseg.progress import Event, Finished, Note, Saved
from napari_medseg.training.checkpoint import load_best
from napari_medseg.training.comparing import save_labelled
from napari_medseg.training.prepare import training_data_hash
from napari_medseg.training.run import TrainResult
from napari_medseg.training.session import Session


def finish(session: Session, cancelled: bool = False) -> Iterator[Event]:
    """Score weights that were not scored yet, and write a checkpoint and the bundle.

    Parameters
    ----------
    session : Session
        After its last step.
    cancelled : bool
        Whether the job was cancelled, so that it has no result.

    Yields
    ------
    Event
        `Saved`, and `Finished` unless cancelled.
    """
    run, state = session.run, session.state
    if not state.step:
        raise Cancelled("Stopped before the first step.")
    session.journal.end(state.step, cancelled)
    if not cancelled:
        yield from session.score()
    yield from session.save(force=True)
    weights, step, dice = session.learner.network.state_dict(), state.step, None
    if run.best.exists():
        weights, step, dice = load_best(run.best)
    spec, teaching, measured = session.spec, session.teaching, None
    if session.teacher_is_better and teaching is not None and teaching.score is not None:
        yield Note(
            f"The sketch is kept, not the network: on held-out voxels its mean Dice is {teaching.score.mean:.3f}, "
            f"that of the network {max(state.best_score, 0):.3f}. More training or more strokes may change that."
        )
        teaching.relearn(session.cases, session.config.seed, fresh=True)
        spec, weights, dice = teaching.spec, teaching.network.state_dict(), teaching.score.dice
        measured = session.measure(teaching.score)
    elif not cancelled:
        measured = session.measure(session.score_closely(weights))
    spec = spec.model_copy(
        update={
            "training_data": tuple(training_data_hash(case) for case in session.cases),
            "metrics": measured.metrics
            if measured
            else {f"dice/{name}": value for name, value in (dice or {}).items()},
        }
    )
    Bundle.create(spec, weights).save(run.bundle)
    save_labelled(run, session.cases)
    yield Saved("bundle", run.bundle, step)
    if not cancelled:
        steps = state.planned if state.planned is not None else state.step
        dice, seconds = measured.dice if measured else dice, session.clock.seconds
        yield Finished(TrainResult(run.bundle, step, steps, session.stopped, dice, seconds, measured))
