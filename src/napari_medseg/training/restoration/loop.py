"""Training a network that gives images, in the folder of a run."""

import json
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg import processes
from napari_medseg.device import choose
from napari_medseg.errors import Cancelled, DataError
from napari_medseg.evaluate.images import psnr
from napari_medseg.inference.restoration.applying import HALO, Runner, Views, from_blocks
from napari_medseg.inference.restoration.restored import Scale
from napari_medseg.inference.restoration.sharper import sight
from napari_medseg.models import Bundle, build
from napari_medseg.models.nets.unrolled import UnrolledNetwork
from napari_medseg.progress import Control, EpochEnd, Event, Finished, Saved
from napari_medseg.training.atomic import write_file
from napari_medseg.training.checkpoint import load_best, load_content, save_best
from napari_medseg.training.restoration.blurring import blurred_pairs
from napari_medseg.training.restoration.config import EnhancementConfig, SuperResolutionConfig
from napari_medseg.training.restoration.fitting import Standing, fit
from napari_medseg.training.restoration.learner import Learner
from napari_medseg.training.restoration.material import Image, fine_pairs, load_images, own_axes
from napari_medseg.training.restoration.noisy import noisy_pairs
from napari_medseg.training.restoration.pairs import Pairs, whole_factor
from napari_medseg.training.restoration.run import RestorationRun
from napari_medseg.training.restoration.shelf import Shelf
from napari_medseg.training.run import RunFolder
from napari_medseg.training.scored import ScoredResult
from napari_medseg.volume.noise import noise_level
from napari_medseg.volume.sampling import blurred, coarser, consistent, finer

SCORED = 6
"""Images that are scored on at most."""
SCORES = 5
"""Times that the network is scored in a training."""


def train_restoration(folder: RunFolder, control: Control, resume: bool) -> Iterator[Event]:
    """Train in a run's folder; see `napari_medseg.training.train`."""
    run = folder.read(RestorationRun)
    if not resume:
        folder.clear()
    shelf = Shelf(folder.path / "images")
    try:
        training, scored = yield from _images(run, control, shelf)
        session = Session(folder, run, (training, scored), shelf)
        if resume and folder.last.exists():
            session.load()
        yield from _learn(session, control)
    finally:
        shelf.clear()


def _learn(session: "Session", control: Control) -> Iterator[Event]:
    try:
        yield from fit(session.learner, session.pairs, session.run.train, session.state, control, session.after)
    except Cancelled:
        if session.state.step:
            yield from session.save()
            session.finish()
        raise
    yield from session.end()


def _images(
    run: RestorationRun, control: Control, shelf: Shelf
) -> Generator[Event, None, tuple[list[Image], list[Image]]]:
    """Read the images to learn from and those to score on."""
    groups: tuple[list[Image], list[Image]] = ([], [])
    kept = list(run.held_out)
    rest = [number for number in range(len(run.images)) if number not in run.held_out]
    for numbers, group in zip((rest, kept[:SCORED]), groups, strict=True):
        for found in load_images(run, numbers, control, shelf):
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
    shelf : Shelf
        Keeps what is made of them.
    """

    def __init__(
        self, folder: RunFolder, run: RestorationRun, images: tuple[list[Image], list[Image]], shelf: Shelf
    ) -> None:
        training, self.scored = images
        self.folder, self.run, self.state = folder, run, Standing()
        self.digests = tuple(image.digest for image in training)
        config, network = run.train, self._network()
        self.pairs = _pairs(run, training, shelf)
        # Where the answers are noisy, their mean is what is right.
        squared = isinstance(config, EnhancementConfig) and config.method != "deblur"
        self.learner = Learner(network, config, choose(processes.device_name(config.device)), squared)
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
        config = self.run.train
        started = self.learner.clock()
        device = processes.device_name(config.device)
        network = self.learner.network
        halo = sight(network.width) if isinstance(network, UnrolledNetwork) else HALO
        runner = Runner.of(network, network.factor, device, config.precision, halo)
        scores = _scores(runner, self.run, self.scored)
        self.learner.network.train()
        better = scores["psnr"] > self.state.best
        if better:
            self.state.best = scores["psnr"]
            save_best(self.folder.best, self.learner.network, self.state.step, scores)
        self.state.seconds += self.learner.clock() - started
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
        # PSNR in dB, and the gain over a cubic spline or the blurred image; nothing where nobody knows the truth.
        yield Finished(ScoredResult(self.folder.bundle, step, planned, state.stopped, scores, state.seconds))

    def finish(self) -> tuple[int, dict[str, float]]:
        """Write the bundle of the best weights, or of the last where nothing is scored."""
        weights, step, scores = self.learner.network.state_dict(), self.state.step, dict[str, float]()
        if self.folder.best.exists():
            weights, step, scores = load_best(self.folder.best)
        spec = self.run.spec.model_copy(update={"training_data": self.digests, "metrics": scores})
        Bundle.create(spec, weights).save(self.folder.bundle)
        return step, scores


def _pairs(run: RestorationRun, images: list[Image], shelf: Shelf) -> Pairs:
    if isinstance(run.train, SuperResolutionConfig):
        return fine_pairs(run.spec, run.train, images, shelf)
    if run.train.method == "deblur":
        return blurred_pairs(run.spec, run.train, images, shelf)
    return noisy_pairs(run.spec, run.train, images)


def _scores(runner: Runner, run: RestorationRun, images: list[Image]) -> dict[str, float]:
    """Return the mean PSNR in dB of simulated images made fine or sharp, and the gain over what is known without."""
    found = []
    # Each process scores on a share of the images.
    for image in images[processes.rank() :: processes.count()]:
        truth, seen, plain = _trial(run, image.values)
        scale, views = Scale.of(seen), Views(truth.shape)
        for _ in from_blocks(runner, scale.apply(seen), range(truth.ndim), 1, views):
            pass
        made = scale.undo(views.mean)
        if isinstance(run.train, SuperResolutionConfig):
            made = consistent(made, seen, own_axes(run.spec))
        own = psnr(made, truth)
        found.append((own, own - psnr(plain, truth)))
    own, gain = np.mean([pair for share in processes.gathered(found) for pair in share], axis=0)
    return {"psnr": float(own), "gain_db": float(gain)}


def _trial(
    run: RestorationRun, values: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return a true image, what is seen of it, and the best that is known of it without a network."""
    if not isinstance(run.train, SuperResolutionConfig):
        level = run.train.level or noise_level(values)
        noise = np.random.default_rng(run.train.seed).standard_normal(values.shape, np.float32)
        seen = blurred(values, run.spec.options["width"]) + np.float32(level) * noise
        return values, seen, seen
    axes = own_axes(run.spec)
    factors = [whole_factor(axis) for axis in axes]
    counts = [n // f for n, f in zip(values.shape, factors, strict=True)]
    truth = values[tuple(slice(n * f) for n, f in zip(counts, factors, strict=True))]
    thick = coarser(truth, axes, counts)
    return truth, thick, finer(thick, axes)
