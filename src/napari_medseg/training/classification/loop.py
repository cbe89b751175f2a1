"""The loop of a classification's training, on one screen."""

import math
from collections.abc import Generator, Iterator
from pathlib import Path

import torch
from torch import nn

from napari_medseg.device import choose
from napari_medseg.errors import Cancelled, ConfigError
from napari_medseg.models import Bundle, build
from napari_medseg.models.medicalnet import fetch_medicalnet
from napari_medseg.models.pretrained import fetch_imagenet, load_pretrained, take_over
from napari_medseg.progress import Control, Event, Note
from napari_medseg.training.classification.config import ClassificationConfig
from napari_medseg.training.classification.images import load_material
from napari_medseg.training.classification.learner import ClassifierLearner
from napari_medseg.training.classification.run import ClassificationRun
from napari_medseg.training.classification.session import TIMED, Session, task_of
from napari_medseg.training.run import RunFolder


def train_classification(folder: RunFolder, control: Control, resume: bool) -> Iterator[Event]:
    """Train in a run's folder; see `napari_medseg.training.train`."""
    session = yield from _open(folder, control, resume)
    try:
        while not session.finished:
            session.listen(control)
            if session.stopped:
                break
            yield from session.step(rate_of(session.state.step, session.state.planned, session.run.train))
            yield from session.score()
            yield from session.save()
    except Cancelled:
        yield from session.finish(cancelled=True)
        raise
    if not folder.best.exists():
        yield from session.score()
    yield from session.finish()


def rate_of(step: int, steps: int | None, config: ClassificationConfig) -> float:
    """Return the learning rate of a step: it rises, then falls as half a cosine.

    Parameters
    ----------
    step : int
        Steps taken before.
    steps : int, optional
        Steps planned; None while they are timed.
    config : ClassificationConfig
        Peak and share of the rise.

    Examples
    --------
    >>> config = ClassificationConfig(learning_rate=1.0, warmup=0.1)
    >>> [round(rate_of(step, 200, config), 3) for step in (0, 19, 110, 199)]
    [0.05, 1.0, 0.5, 0.0]
    """
    rise = TIMED if steps is None else max(TIMED, round(config.warmup * steps))
    if steps is None or step < rise:
        return config.learning_rate * min(1.0, (step + 1) / rise)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))


def _open(folder: RunFolder, control: Control, resume: bool) -> Generator[Event, None, Session]:
    run = folder.read(ClassificationRun)
    resume = resume and folder.last.exists()
    if not resume:
        folder.clear()
    material = yield from load_material(run, control)
    network, pretrained = yield from _network(run, control, resume)
    device = choose(run.train.device)
    task = task_of(run, material.train.targets)
    learner = ClassifierLearner(network, run.spec, run.train, task, device, pretrained)
    session = Session(folder, run, material, learner)
    if resume:
        session.load()
        yield Note(f"Training goes on at step {session.state.step}.")
    return session


def _network(run: ClassificationRun, control: Control, resume: bool) -> Generator[Event, None, tuple[nn.Module, bool]]:
    """Return the network as it begins, and whether its body has learnt before."""
    config, spec = run.train, run.spec
    pretrained = run.init is not None or config.pretrained is not None
    if config.freeze != "none" and not pretrained:
        raise ConfigError(f"freeze={config.freeze} needs a pretrained network.", "Give --init or set pretrained.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = build(spec)
    if resume:
        return network, pretrained
    if run.init is not None:
        start = Bundle.load(run.init)
        take_over(network, spec, start.state_dict(), start.spec.name)
        yield Note(f"Training starts from the weights of {start.spec.name}.")
    elif config.pretrained is not None:
        path = Path(config.pretrained).expanduser()
        if config.pretrained == "imagenet":
            path = yield from fetch_imagenet(spec.architecture, control)
        elif config.pretrained == "medicalnet":
            path = yield from fetch_medicalnet(spec.architecture, control)
        load_pretrained(network, spec, path)
        yield Note(f"Training starts from the weights in {path.name}.")
    return network, pretrained
