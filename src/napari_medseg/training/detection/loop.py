"""The loop of a detection's training, on one screen."""

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import torch
from torch import nn

from napari_medseg import processes
from napari_medseg.device import choose
from napari_medseg.errors import Cancelled
from napari_medseg.models import Bundle, build
from napari_medseg.models.detector_weights import load_detector
from napari_medseg.models.pretrained import fetch_imagenet, take_over
from napari_medseg.progress import Control, Event, Note
from napari_medseg.training.detection.learner import DetectorLearner
from napari_medseg.training.detection.material import load_material
from napari_medseg.training.detection.request import processor_of
from napari_medseg.training.detection.run import DetectionRun
from napari_medseg.training.detection.session import Session, clock_of
from napari_medseg.training.run import RunFolder

BATCHES = {"cpu": 2, "gpu": 8}
"""Images per step, unless asked otherwise."""
CACHE = "cache"
"""Folder of the images as the network sees them, while a run is at work."""


def train_detection(folder: RunFolder, control: Control, resume: bool) -> Iterator[Event]:
    """Train in a run's folder; see `napari_medseg.training.train`."""
    session = yield from _open(folder, control, resume)
    try:
        while not session.finished:
            session.listen(control)
            if session.stopped and session.state.planned is not None:
                break
            yield from session.step()
            yield from session.score()
            yield from session.save()
    except Cancelled:
        yield from session.finish(cancelled=True)
        raise
    if session.stopped or not folder.best.exists():
        session.stopped = True
        yield from session.score()
    yield from session.finish()
    shutil.rmtree(folder.path / CACHE, ignore_errors=True)


def _open(folder: RunFolder, control: Control, resume: bool) -> Generator[Event, None, Session]:
    run = folder.read(DetectionRun)
    clock = clock_of(run)
    started = clock()
    resume = resume and folder.last.exists()
    if not resume:
        folder.clear()
        shutil.rmtree(folder.path / CACHE, ignore_errors=True)
    material = yield from load_material(run, folder.path / CACHE, control)
    network, pretrained = yield from _network(run, control, resume)
    learner = DetectorLearner(network, run.spec, run.train, choose(processes.device_name(run.train.device)), pretrained)
    batch = run.train.batch_size or BATCHES[processor_of(run.train)]
    session = Session(folder, run, material, learner, min(batch, len(material.train)))
    if resume:
        session.load()
        yield Note(f"Training goes on at step {session.state.step}.")
    else:
        session.state.seconds = session.state.read = clock() - started
    return session


def _network(run: DetectionRun, control: Control, resume: bool) -> Generator[Event, None, tuple[nn.Module, bool]]:
    """Return the network as it begins, and whether its backbone has learnt before."""
    config, spec = run.train, run.spec
    pretrained = run.init is not None or config.pretrained is not None
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
        if config.pretrained in ("imagenet", "coco"):
            own = f"{spec.architecture}_resnet50_fpn" if config.pretrained == "coco" else spec.options["backbone"]
            path = yield from fetch_imagenet(own, control)
        load_detector(network, spec, path)
        yield Note(f"Training starts from the weights in {path.name}.")
    return network, pretrained
