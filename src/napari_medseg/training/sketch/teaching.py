"""A network's first teacher: where a pixel classifier is sure, its answers are labels too.

A few hundred painted voxels say little about shape and surroundings to a network that starts from nothing. The pixel
classifier that has learnt from the same strokes fills in what it is sure of; what the user painted always rules, and
the teacher's word counts to the end: a network with only a few strokes to go by would forget it, and err elsewhere.
"""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.data.patches import TAUGHT
from napari_medseg.data.split import HeldOut
from napari_medseg.device import choose
from napari_medseg.errors import DataError
from napari_medseg.inference.preprocess import ModelGrid
from napari_medseg.models import ModelSpec
from napari_medseg.models.design import sketch_parts
from napari_medseg.models.registry import build
from napari_medseg.progress import Control, Event, Note, Progress
from napari_medseg.tasks import UNLABELLED, Task
from napari_medseg.training.config import TrainConfig
from napari_medseg.training.prepare import LoadedCase
from napari_medseg.training.sketch.features import Box3, FeatureCache, caches
from napari_medseg.training.sketch.fit import fit
from napari_medseg.training.sketch.lesson import prepare_lesson
from napari_medseg.training.sketch.scoring import held_out_probabilities, score_probabilities
from napari_medseg.training.sketch.tuning import tune
from napari_medseg.training.validation import Score

if TYPE_CHECKING:
    from napari_medseg.models.nets.sketch import SketchNetwork

SURE = 0.85
"""Probability from which on the teacher is believed."""
TAUGHT_VOXELS = 3_000_000
"""That are looked at by the teacher, over all images: enough for minutes of training, done in seconds."""
ENOUGH_VOXELS = 100_000
"""From so many painted voxels on the teacher labels none: whoever paints whole slices knows better."""
BLOCK, SQUARE = (48, 48, 48), (1, 192, 192)
STAGE = "Sketching"


@dataclass(frozen=True, eq=False)
class Teaching:
    """A pixel classifier and what it says."""

    spec: ModelSpec
    """Of the pixel classifier."""
    network: "SketchNetwork"
    features: tuple[FeatureCache, ...]
    """One per image."""
    answers: tuple[NDArray[np.int16], ...]
    """Per image, (z, y, x): `TAUGHT` plus a class index where the teacher is sure, else `UNLABELLED`."""
    says: dict[str, NDArray[np.float32]]
    """Per sample identifier, (class, n) probabilities at its n held-out voxels in C order."""
    score: Score | None
    """Of the pixel classifier on the held-out voxels; None if nothing is held out."""

    def fill(self, number: int, target: NDArray[np.int16]) -> NDArray[np.int16]:
        """Return the (z, y, x) target of image `number` with the teacher's answers where nothing was painted."""
        return np.where(target == UNLABELLED, self.answers[number], target)

    def relearn(self, cases: Sequence[LoadedCase], seed: int, fresh: bool) -> None:
        """Let the pixel classifier, not its answers, learn from all that is painted by now, held out or not.

        It stays as it is where too little is left: whoever erases strokes must not end the training.
        """
        with suppress(DataError):
            lesson = prepare_lesson(self.features, [case.sample.target for case in cases], seed)
            fit(self.network, lesson, len(self.spec.classes), seed, fresh)


def sketch_spec(spec: ModelSpec, grid: ModelGrid) -> ModelSpec:
    """Return the pixel classifier for what another network is made for, on images like that of `grid`."""
    spacing = (1.0, 1.0, 1.0) if grid.geometry is None else grid.geometry.spacing
    return spec.model_copy(update=sketch_parts(grid.shape[-spec.dims :], spacing[-spec.dims :]))


def teach(
    cases: Sequence[LoadedCase],
    held_out: HeldOut,
    spec: ModelSpec,
    task: Task,
    config: TrainConfig,
    control: Control,
) -> Generator[Event, None, Teaching | None]:
    """Learn a pixel classifier from all that is painted, and let it label what it is sure of.

    Parameters
    ----------
    cases : sequence of LoadedCase
        Images with strokes.
    held_out : HeldOut
        What neither teacher nor network learns from.
    spec : ModelSpec
        Of the network that is taught.
    task : Task
        Scores the teacher.
    config : TrainConfig
        Gives seed and device.
    control : Control
        Cancels, between blocks.

    Yields
    ------
    Event
        `Progress` and `Note`.

    Returns
    -------
    Teaching or None
        None where nothing can be learnt.
    """
    own = sketch_spec(spec, cases[0].grid)
    network = cast("SketchNetwork", build(own).to(choose(config.device)))
    features = caches(network, [case.sample.image for case in cases], spec.dims == 2)
    targets = [held_out.training_target(case.sample) for case in cases]
    try:
        lesson = prepare_lesson(features, targets, config.seed)
        tune(network, features, targets, len(spec.classes), config.seed).set(network)
        fit(network, lesson, len(spec.classes), config.seed, fresh=True)
    except DataError as error:
        yield Note(f"No sketch: {error}")
        return None
    answers = [np.full(target.shape, UNLABELLED, np.int16) for target in targets]
    enough = sum(int(np.count_nonzero(target != UNLABELLED)) for target in targets) >= ENOUGH_VOXELS
    blocks = [] if enough else _blocks(features, targets, spec.dims == 2, config.seed)
    for done, (number, box) in enumerate(blocks):
        control.checkpoint()
        yield Progress(STAGE, done, len(blocks))
        answers[number][box] = _sure(network, features[number], box)
    says = held_out_probabilities(network, features, cases, held_out)
    score = score_probabilities(says, cases, held_out, spec, task)
    return Teaching(own, network, features, tuple(answers), says, score)


@torch.inference_mode()
def _sure(network: "SketchNetwork", features: FeatureCache, box: Box3) -> NDArray[np.int16]:
    logits = network.classify(features.compute(box, network.wide)[None])[0]
    best, classes = logits.float().softmax(dim=0).max(dim=0)
    taught = torch.where(best >= SURE, classes + TAUGHT, UNLABELLED)
    return taught.to("cpu", torch.int16).numpy()


def _blocks(
    features: Sequence[FeatureCache], targets: Sequence[NDArray[np.int16]], planar: bool, seed: int
) -> list[tuple[int, Box3]]:
    """Return parts of the images, those with strokes first, up to the number of voxels that is looked at."""
    side = SQUARE if planar else BLOCK
    near: list[tuple[int, Box3]] = []
    far: list[tuple[int, Box3]] = []
    for number, (image, target) in enumerate(zip(features, targets, strict=True)):
        painted = {tuple(key) for key in (np.argwhere(target != UNLABELLED) // np.array(side)).tolist()}
        counts = [-(-size // n) for size, n in zip(image.shape, side, strict=True)]
        for key in np.ndindex(*counts):
            z, y, x = (slice(k * n, min((k + 1) * n, size)) for k, n, size in zip(key, side, image.shape, strict=True))
            (near if key in painted else far).append((number, (z, y, x)))
    rng = np.random.default_rng(seed)
    ordered = [part[k] for part in (near, far) for k in rng.permutation(len(part)).tolist()]
    return ordered[: max(1, TAUGHT_VOXELS // int(np.prod(side)))]
