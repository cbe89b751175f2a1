"""The end of a training: from the best weights to a bundle."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from napari_medseg.errors import Cancelled
from napari_medseg.models import Bundle
from napari_medseg.models.ensemble import ensemble
from napari_medseg.progress import Event, Finished, Note, Saved
from napari_medseg.training.checkpoint import load_best
from napari_medseg.training.choosing import NETWORK_SHARE, NETWORK_TEMPERATURE, Winner, reason
from napari_medseg.training.comparing import save_labelled
from napari_medseg.training.prepare import training_data_hash
from napari_medseg.training.run import TrainResult
from napari_medseg.training.session import Session
from napari_medseg.training.sketch.fit import sketch_bundle
from napari_medseg.training.validation import Score

BOTH = "Weighted mean of the softened probabilities of a network and those of the pixel classifier that taught it."


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
    closely = None if cancelled else session.score_closely(weights)
    who, score = _kept(session, closely)
    measured = None if cancelled else session.measure(score)
    if who != "network":
        dice = score.dice if score else None
        yield Note(_why(who, session, closely))
    metrics = measured.metrics if measured else {f"dice/{name}": value for name, value in (dice or {}).items()}
    _bundle(session, who, weights, metrics).save(run.bundle)
    save_labelled(run, session.cases)
    yield Saved("bundle", run.bundle, step)
    if not cancelled:
        steps = state.planned if state.planned is not None else state.step
        dice, seconds = measured.dice if measured else dice, session.clock.seconds
        yield Finished(TrainResult(run.bundle, step, steps, session.stopped, dice, seconds, measured))


def _kept(session: Session, closely: Score | None) -> tuple[Winner, Score | None]:
    """Return what becomes the model, and its score, given that of the network, which is None for a cancelled job."""
    teaching = session.teaching
    if teaching is None:
        return "network", closely
    if closely is None:
        who = session.shown
        return who, teaching.score if who == "sketch" else None
    blended = closely.blended
    who = session.best_of(closely.mean, blended.mean if blended else -1.0)
    return who, {"network": closely, "blend": blended, "sketch": teaching.score}[who]


def _why(who: Winner, session: Session, closely: Score | None) -> str:
    state = session.state
    network, blend = (closely.mean, closely.blended) if closely else (state.best_score, None)
    return f"Kept is the {reason(who, session.sketch_score, network, blend.mean if blend else state.blend_score)}."


def _bundle(session: Session, who: Winner, weights: dict[str, torch.Tensor], metrics: dict[str, float]) -> Bundle:
    """Return the model: the network, the pixel classifier that taught it, or the mean of both."""
    seen = {"training_data": tuple(training_data_hash(case) for case in session.cases), "metrics": metrics}
    network = Bundle.create(session.spec.model_copy(update=seen), weights)
    if who == "network" or session.teaching is None:
        return network
    session.teaching.relearn(session.cases, session.config.seed, fresh=True)
    sketch = sketch_bundle(session.teaching.spec.model_copy(update=seen), session.teaching.network)
    if who == "sketch":
        return sketch
    shares, heats = (NETWORK_SHARE, 1 - NETWORK_SHARE), (NETWORK_TEMPERATURE, 1.0)
    both = ensemble(session.spec.name, [network, sketch], shares, heats)
    return replace(both, spec=both.spec.model_copy(update={"description": BOTH, "metrics": metrics}))
