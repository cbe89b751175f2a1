"""Training a network that gives images, in the folder of a run."""

import json
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict

import numpy as np
import torch

from napari_medseg.device import choose
from napari_medseg.errors import Cancelled, DataError
from napari_medseg.evaluate.images import psnr
from napari_medseg.inference.restoration.applying import Runner, Views, from_blocks
from napari_medseg.inference.restoration.finer import Scale
from napari_medseg.models import Bundle, build
from napari_medseg.progress import Control, EpochEnd, Event, Finished, Saved
from napari_medseg.training.atomic import write_file
from napari_medseg.training.checkpoint import load_best, load_content, save_best
from napari_medseg.training.restoration.config import EnhancementConfig, SuperResolutionConfig
from napari_medseg.training.restoration.fitting import Standing, fit
from napari_medseg.training.restoration.learner import Learner
from napari_medseg.training.restoration.material import Image, fine_pairs, load_images, own_axes
from napari_medseg.training.restoration.noisy import noisy_pairs
from napari_medseg.training.restoration.run import RestorationResult, RestorationRun
from napari_medseg.training.run import RunFolder
from napari_medseg.volume.sampling import coarser, consistent, finer

SCORED = 6
"""Images that are scored on at most."""
SCORES = 5
"""Times that the network is scored in a training."""


def train_restoration(folder: RunFolder, control: Control, resume: bool) -> Iterator[Event]:
    """Train in a run's folder; see `napari_medseg.training.train`."""
    run = folder.read(RestorationRun)
    if not resume:
        folder.clear()
    training, scored = yield from _images(run, control)
    session = Session(folder, run, (training, scored))
    if resume and folder.last.exists():
        session.load()
    try:
        yield from fit(session.learner, session.pairs, run.train, session.state, control, session.after)
    except Cancelled:
        if session.state.step:
            yield from session.save()
            session.finish()
        raise
    yield from session.end()


def _images(run: RestorationRun, control: Control) -> Generator[Event, None, tuple[list[Image], list[Image]]]:
    """Read the images to learn from and those to score on."""
    groups: tuple[list[Image], list[Image]] = ([], [])
    kept = list(run.held_out)
    rest = [number for number in range(len(run.images)) if number not in run.held_out]
    for numbers, group in zip((rest, kept[:SCORED]), groups, strict=True):
        for found in load_images(run, numbers, control):
            if isinstance(found, Image):
                group.append(found)
            else:
                yield found
    if not groups[0]:
        raise DataError("None of the images can be learned from.", "See the notes above.")
    return groups


class Session:
    """A run at work.

    Parameters
    ----------
    folder : RunFolder
        Of the run.
    run : RestorationRun
        Its configuration.
    images : (list of Image, list of Image)
        To learn from, and to score on.
    """

    def __init__(self, folder: RunFolder, run: RestorationRun, images: tuple[list[Image], list[Image]]) -> None:
        training, self.scored = images
        self.folder, self.run, self.state = folder, run, Standing()
        self.digests = tuple(image.digest for image in training)
        config, network = run.train, self._network()
        self.pairs = (
            fine_pairs(run.spec, config, training)
            if isinstance(config, SuperResolutionConfig)
            else noisy_pairs(run.spec, config, training)
        )
        self.learner = Learner(network, config, choose(config.device), isinstance(config, EnhancementConfig))
        if run.init is None:
            self.learner.calibrate(self.pairs)
        self._losses: list[float] = []
        self._saved = time.monotonic()

    def _network(self) -> torch.nn.Module:
        if self.run.init is not None:
            return Bundle.load(self.run.init).network()
        torch.manual_seed(self.run.train.seed)
        return build(self.run.spec)

    def after(self, loss: float) -> Iterator[Event]:
        """Score and save when it is time to."""
        self._losses.append(loss)
        state = self.state
        planned = state.planned
        if self.scored and planned and state.step % max(1, planned // SCORES) == 0 and state.step < planned:
            yield from self.score()
        if time.monotonic() - self._saved >= self.run.train.checkpoint_seconds:
            yield from self.save()

    def score(self) -> Generator[Event, None, dict[str, float]]:
        """Score on the images that were kept out, and keep the best weights."""
        started = time.monotonic()
        config = self.run.train
        runner = Runner.of(self.learner.network, self.learner.network.factor, config.device, config.precision)
        scores = _scores(runner, self.run, self.scored)
        self.learner.network.train()
        better = scores["psnr"] > self.state.best
        if better:
            self.state.best = scores["psnr"]
            save_best(self.folder.best, self.learner.network, self.state.step, scores)
        self.state.seconds += time.monotonic() - started
        loss = float(np.mean(self._losses)) if self._losses else float("nan")
        self._losses.clear()
        yield EpochEnd(self.state.step, loss, None, better, self.state.seconds, scores)
        return scores

    def save(self) -> Iterator[Event]:
        """Write a checkpoint."""
        state = asdict(self.state) | {"stopped": False}
        content = {"state": json.dumps(state), **self.learner.state_dict()}
        write_file(self.folder.last, lambda file: torch.save(content, file))
        self._saved = time.monotonic()
        yield Saved("checkpoint", self.folder.last, self.state.step)

    def load(self) -> None:
        """Go on from the last checkpoint."""
        content = load_content(self.folder.last)
        self.state = Standing(**json.loads(content.pop("state")))
        self.learner.load_state_dict(content)

    def end(self) -> Iterator[Event]:
        """Score the last weights, and write the bundle of the best."""
        if self.scored:
            yield from self.score()
        yield from self.save()
        step, scores = self.finish()
        yield Saved("bundle", self.folder.bundle, step)
        state = self.state
        planned = state.planned or state.step
        yield Finished(RestorationResult(self.folder.bundle, step, planned, state.stopped, scores, state.seconds))

    def finish(self) -> tuple[int, dict[str, float]]:
        """Write the bundle of the best weights, or of the last where nothing is scored."""
        weights, step, scores = self.learner.network.state_dict(), self.state.step, dict[str, float]()
        if self.folder.best.exists():
            weights, step, scores = load_best(self.folder.best)
        spec = self.run.spec.model_copy(update={"training_data": self.digests, "metrics": scores})
        Bundle.create(spec, weights).save(self.folder.bundle)
        return step, scores


def _scores(runner: Runner, run: RestorationRun, images: list[Image]) -> dict[str, float]:
    """Return the mean PSNR in dB of simulated thick slices made fine, and the gain over a cubic spline."""
    axes = own_axes(run.spec)
    own, plain = [], []
    for image in images:
        counts = [n // round(axis.factor) for n, axis in zip(image.values.shape, axes, strict=True)]
        truth = image.values[tuple(slice(n * round(axis.factor)) for n, axis in zip(counts, axes, strict=True))]
        thick = coarser(truth, axes, counts)
        scale, views = Scale.of(thick), Views(truth.shape)
        for _ in from_blocks(runner, scale.apply(thick), range(truth.ndim), 1, views):
            pass
        own.append(psnr(consistent(scale.undo(views.mean), thick, axes), truth))
        plain.append(psnr(finer(thick, axes), truth))
    return {"psnr": float(np.mean(own)), "gain_db": float(np.mean(own) - np.mean(plain))}
