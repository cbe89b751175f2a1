"""A detection's training: what a step learns from, and how it is scored."""

import math
from collections.abc import Generator

import numpy as np
import torch

from napari_medseg import processes
from napari_medseg.evaluate.boxes import BoxPairs
from napari_medseg.evaluate.detection import mean_precision
from napari_medseg.inference.detection.detect import boxes_in
from napari_medseg.inference.detection.options import DetectOptions
from napari_medseg.progress import Control, Event
from napari_medseg.training.detection.augment import Change, Seen, mosaic, seen
from napari_medseg.training.detection.learner import DetectorLearner
from napari_medseg.training.detection.material import Example, Material
from napari_medseg.training.detection.run import DetectionRun
from napari_medseg.training.run import RunFolder
from napari_medseg.training.scored.session import ScoredSession


class Session(ScoredSession):
    """A run at work.

    Parameters
    ----------
    folder : RunFolder
        Of the run.
    run : DetectionRun
        Its configuration.
    material : Material
        The images.
    learner : DetectorLearner
        The network.
    batch : int
        Images per step.
    """

    run: DetectionRun
    learner: DetectorLearner
    sample, judges_all = 2, False

    def __init__(
        self, folder: RunFolder, run: DetectionRun, material: Material, learner: DetectorLearner, batch: int
    ) -> None:
        super().__init__(folder, run, learner, (len(material.train), len(material.val)), batch)
        self.material = material

    def _learn(self, rate: float) -> torch.Tensor:
        config, step, train = self.run.train, self.state.step, self.material.train
        rng = np.random.default_rng([config.seed, step, processes.rank()])
        turn = bool(config.turns and rng.random() < 0.5)
        shape = self.run.spec.patch_size
        shape = (*shape[:-2], shape[-1], shape[-2]) if turn else shape
        change = Change.of(config)
        found = [self._view(train[k], shape, change, turn, rng) for k in self.batch_numbers()]
        images = torch.stack([view.values for view in found])
        targets = [(view.edges, view.labels) for view in found]
        return self.learner.step(images, targets, rate, step, [view.masks for view in found])

    def _view(
        self, example: Example, shape: tuple[int, ...], change: Change, turn: bool, rng: np.random.Generator
    ) -> Seen:
        train = self.material.train
        if len(shape) == 2 and self.run.train.mosaic and rng.random() < self.run.train.mosaic:
            others = [train[k] for k in rng.integers(0, len(train), 3)]
            return mosaic([example, *others], (shape[0], shape[1]), change, turn, rng)
        return seen(example, shape, change, turn, rng)

    def _scores(self, images: list[int]) -> Generator[Event, None, dict[str, float]]:
        self.learner.mean.eval()
        options, val = DetectOptions(precision=self.run.train.precision), self.material.val
        examples = [val[k] for k in images]
        found = {}
        for example in examples:
            found[example.name] = yield from boxes_in(
                example.view(), self.learner.mean, self.run.spec, options, Control(), self.learner.device
            )
        truth = {example.name: example.boxes for example in examples}
        fifty, mean = mean_precision(BoxPairs(self.run.spec.classes, found, truth))
        return {"map50": _number(fifty), "map": _number(mean)}

    def _judge(self, scores: dict[str, float]) -> float:
        return (scores["map50"] + scores["map"]) / 2

    def _learnt(self) -> dict[str, object]:
        return {"training_data": self.material.sums}


def _number(value: float) -> float:
    """Return a score, or 0 where no held-out image has a box."""
    return 0.0 if math.isnan(value) else value
