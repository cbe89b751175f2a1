"""From a run's folder to a training that is ready for its next step."""

from collections.abc import Generator

from napari_medseg import processes
from napari_medseg.data.augment import Augmentation, spread_of
from napari_medseg.data.order import ordered_axes
from napari_medseg.data.split import HeldOut, hold_out
from napari_medseg.device import choose, compute_dtype
from napari_medseg.inference.tiled import tile_of
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, Event, Note, Progress
from napari_medseg.tasks import UNLABELLED, task_named
from napari_medseg.training.batches import BatchMaker
from napari_medseg.training.checkpoint import State, load_checkpoint, load_held_out, save_held_out
from napari_medseg.training.clock import Stopwatch, clock_of
from napari_medseg.training.journal import Journal
from napari_medseg.training.learner import Learner
from napari_medseg.training.prepare import LoadedCase, flip_axes, load_case, patched
from napari_medseg.training.pretraining import pretrain
from napari_medseg.training.run import RunConfig, RunFolder
from napari_medseg.training.session import Session
from napari_medseg.training.sketch.teaching import teach
from napari_medseg.training.transfer import fresh_parameters, load_weights
from napari_medseg.training.validation import Validator

STAGE = "Reading cases"


def open_session(run: RunFolder, control: Control, resume: bool) -> Generator[Event, None, Session]:
    """Read what a run is made of, and bring its network to where it was.

    Parameters
    ----------
    run : RunFolder
        As made by `create_run`.
    control : Control
        Cancels, between cases.
    resume : bool
        Go on from the last checkpoint, if there is one; otherwise traces of an earlier attempt are removed.

    Yields
    ------
    Event
        `Progress` and `Note`.

    Returns
    -------
    Session
        Ready for its next step.
    """
    config = run.load()
    train, spec = config.train, patched(config.spec, config.train)
    device, task = choose(processes.device_name(train.device)), task_named(spec.task)
    resume = resume and run.last.exists()
    if not resume:
        run.clear()
    journal, cases = Journal(run), []
    for done, case in enumerate(config.cases):
        control.checkpoint()
        yield Progress(STAGE, done, len(config.cases))
        cases.append(load_case(case, spec, journal.keep))
        yield from (Note(text, "warning") for text in cases[-1].grid.notes)
    held_out = _held_out(run, cases, config, resume)
    samples = [case.sample for case in cases]
    targets = [held_out.training_target(sample) for sample in samples]
    teaching, watch = None, Stopwatch(clock_of(train.clock))
    if train.teacher and config.init is None and any((sample.target == UNLABELLED).any() for sample in samples):
        teaching = yield from teach(cases, held_out, spec, task, train, control)
    if teaching is not None:
        targets = [teaching.fill(number, target) for number, target in enumerate(targets)]
    # Where it takes the wide context to tell the classes apart, a mirrored image would tell them wrong.
    ordered = ordered_axes([sample.target for sample in samples], len(spec.classes))
    mirrored = () if teaching is not None and teaching.network.wide else flip_axes(spec, train)
    centre, unit = spread_of([sample.image for sample in samples])
    augmentation = Augmentation(
        tuple(axis for axis in mirrored if axis not in ordered), train.geometry, train.intensity, centre, unit
    )
    batches = BatchMaker(samples, targets, augmentation, train.seed, spec.dims == 2)
    start = None if config.init is None else Bundle.load(config.init)
    fresh = None if start is None else fresh_parameters(spec, start.spec)
    learner = Learner(spec, task, train, device, fresh)
    if train.pretrain_steps and start is None and not resume:
        looks = yield from pretrain([sample.image for sample in samples], spec, train, device, control)
        learner.network.load_state_dict(looks, strict=False)
    seconds = watch.seconds
    state = State.start(train, tile_of(spec, cases[0].grid.shape))
    if resume:
        state, weights = load_checkpoint(run.last)
        learner.load_state_dict(weights)
    elif start is not None:
        yield Note(load_weights(learner.network, spec, start))
    journal.begin(state.step, cases, device)
    dtype = str(compute_dtype(train.precision, device)).removeprefix("torch.")
    yield Note(f"Training on {device} in {dtype}. {held_out.note}", "info" if held_out.masks else "warning")
    return Session(
        run,
        train,
        spec,
        cases,
        held_out,
        journal,
        learner,
        batches,
        Validator(cases, held_out, spec, task, train),
        state,
        Stopwatch(watch.now, state.seconds or seconds),
        teaching,
    )


def _held_out(run: RunFolder, cases: list[LoadedCase], config: RunConfig, resume: bool) -> HeldOut:
    """Return the choice of an earlier session, or a new one, written down."""
    if resume and run.held_out.exists():
        return load_held_out(run.held_out)
    held_out = hold_out([case.sample for case in cases], config.train.hold_out, config.train.seed)
    save_held_out(run.held_out, held_out)
    return held_out
