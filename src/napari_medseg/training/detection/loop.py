"""From the folder of a detection's run to its training."""

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

from napari_medseg import processes
from napari_medseg.device import choose
from napari_medseg.models import ModelSpec
from napari_medseg.models.detector_weights import load_detector
from napari_medseg.models.pretrained import fetch_imagenet
from napari_medseg.progress import Control, Event, Finished
from napari_medseg.training.clock import clock_of
from napari_medseg.training.detection.learner import DetectorLearner
from napari_medseg.training.detection.material import load_material
from napari_medseg.training.detection.request import processor_of
from napari_medseg.training.detection.run import DetectionRun
from napari_medseg.training.detection.session import Session
from napari_medseg.training.run import RunFolder
from napari_medseg.training.scored.beginning import beginning

BATCHES = {"cpu": 2, "gpu": 8}
"""Images per step, unless asked otherwise."""
CACHE = "cache"
"""Folder of the images as the network sees them, while a run is at work."""


def train_detection(folder: RunFolder, control: Control, resume: bool) -> Iterator[Event]:
    """Train in a run's folder; see `napari_medseg.training.train`."""
    run = folder.read(DetectionRun)
    config, clock, cache = run.train, clock_of(run.train.clock), folder.path / CACHE
    started = clock()
    resume = resume and folder.last.exists()
    if not resume:
        folder.clear()
        shutil.rmtree(cache, ignore_errors=True)
    material = yield from load_material(run, cache, control)
    network = yield from beginning(run, resume, lambda name: _weights(name, run.spec, control), load_detector)
    device = choose(processes.device_name(config.device))
    learner = DetectorLearner(network, run.spec, config, device, run.pretrained)
    batch = config.batch_size or BATCHES[processor_of(config)]
    session = Session(folder, run, material, learner, min(batch, len(material.train)))
    if resume:
        yield session.resume()
    else:
        session.count_reading(clock() - started)
    for event in session.work(control):
        if isinstance(event, Finished):
            # Nobody need ask for more after this event.
            shutil.rmtree(cache, ignore_errors=True)
        yield event


def _weights(name: str, spec: ModelSpec, control: Control) -> Generator[Event, None, Path]:
    """Return the file of the weights to begin with."""
    if name not in ("imagenet", "coco"):
        return Path(name).expanduser()
    own = f"{spec.architecture}_resnet50_fpn" if name == "coco" else spec.options["backbone"]
    return (yield from fetch_imagenet(own, control))
