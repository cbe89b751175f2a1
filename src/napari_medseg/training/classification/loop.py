"""From the folder of a classification's run to its training."""

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

from napari_medseg import processes
from napari_medseg.device import choose
from napari_medseg.errors import ConfigError
from napari_medseg.models import ModelSpec
from napari_medseg.models.medicalnet import fetch_medicalnet
from napari_medseg.models.pretrained import fetch_imagenet, load_pretrained
from napari_medseg.progress import Control, Event
from napari_medseg.training.classification.images import load_material
from napari_medseg.training.classification.learner import ClassifierLearner
from napari_medseg.training.classification.run import ClassificationRun
from napari_medseg.training.classification.session import Session, task_of
from napari_medseg.training.clock import clock_of
from napari_medseg.training.run import RunFolder
from napari_medseg.training.scored.beginning import beginning

CACHE = "cache"
"""Folder of images that are too many for the memory, while a run is at work."""


def train_classification(folder: RunFolder, control: Control, resume: bool) -> Iterator[Event]:
    """Train in a run's folder; see `napari_medseg.training.train`."""
    run = folder.read(ClassificationRun)
    config, clock, cache = run.train, clock_of(run.train.clock), folder.path / CACHE
    started = clock()
    if config.freeze != "none" and not run.pretrained:
        raise ConfigError(f"freeze={config.freeze} needs a pretrained network.", "Give --init or set pretrained.")
    resume = resume and folder.last.exists()
    if not resume:
        folder.clear()
    shutil.rmtree(cache, ignore_errors=True)
    material = yield from load_material(run, cache, control)
    network = yield from beginning(run, resume, lambda name: _weights(name, run.spec, control), load_pretrained)
    task, device = task_of(run, material.train.targets), choose(processes.device_name(config.device))
    learner = ClassifierLearner(network, run.spec, config, task, device, run.pretrained)
    session = Session(folder, run, material, learner)
    if resume:
        yield session.resume()
    else:
        session.count_reading(run.looked + clock() - started)
    yield from session.work(control)
    shutil.rmtree(cache, ignore_errors=True)


def _weights(name: str, spec: ModelSpec, control: Control) -> Generator[Event, None, Path]:
    """Return the file of the weights to begin with."""
    if name == "imagenet":
        return (yield from fetch_imagenet(spec.architecture, control))
    if name == "medicalnet":
        return (yield from fetch_medicalnet(spec.architecture, control))
    return Path(name).expanduser()
