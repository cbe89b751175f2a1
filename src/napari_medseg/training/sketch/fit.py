"""A random forest learns from the strokes, and a small network learns from the forest.

The forest is hard to beat on a few hundred voxels, but slow on millions and no network; the network gives the same
answers at a fraction of the time, on any device, and is stored and exported like every other model.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_medseg.errors import DataError
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.nets.sketch import SketchNetwork
from napari_medseg.training.sketch.lesson import Lesson

TREES = 50
LEAF = 2
"""Painted voxels in a leaf, at least, once there are enough: single slips of the hand make no rule."""
FIRST_STEPS, LATER_STEPS = 300, 120
BATCH = 1024
LEARNING_RATE = 1e-2
PAINTED = 0.25
"""Share of each batch that the user painted, the same for every class."""
LEAST_WEIGHT = 0.02
"""Of a voxel that the forest is sure of, where one it is not sure of has its entropy."""


class Teacher:
    """A random forest on painted voxels.

    Parameters
    ----------
    features : (voxel, feature) tensor
        Responses.
    classes : (voxel,) integer array
        Class indices.
    outputs : int
        Number of classes of the model.
    seed : int
        Of its randomness.

    Raises
    ------
    DataError
        If only one class was painted.
    """

    def __init__(self, features: torch.Tensor, classes: NDArray[np.integer], outputs: int, seed: int) -> None:
        from sklearn.ensemble import RandomForestClassifier

        if len(np.unique(classes)) < 2:
            raise DataError(
                "Only one class is painted.", "Paint at least one stroke of another class or of background."
            )
        leaf = max(1, min(LEAF, len(classes) // (20 * outputs)))
        self._outputs = outputs
        self._forest = RandomForestClassifier(
            TREES,
            min_samples_leaf=leaf,
            random_state=seed,
            n_jobs=torch.get_num_threads(),
        )
        # Half way to balance: users paint a class more often because there is more of it, and because it was missed.
        weights = 1 / np.sqrt(np.bincount(classes)[classes])
        self._forest.fit(features.numpy(), classes, weights)

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Return the (voxel, class) probabilities of (voxel, feature) responses."""
        found = torch.zeros(len(features), self._outputs)
        if len(features):
            columns = torch.from_numpy(self._forest.classes_.astype(np.int64))
            found[:, columns] = torch.from_numpy(self._forest.predict_proba(features.numpy()).astype(np.float32))
        return found


def fit(network: SketchNetwork, lesson: Lesson, outputs: int, seed: int, fresh: bool) -> float:
    """Teach the network what the strokes say.

    Parameters
    ----------
    network : SketchNetwork
        Changed in place.
    lesson : Lesson
        What to learn.
    outputs : int
        Number of classes.
    seed : int
        Of all randomness.
    fresh : bool
        Whether to begin with random weights, instead of those from the last time.

    Returns
    -------
    float
        Cross-entropy against the forest in the last steps.

    Raises
    ------
    DataError
        If only one class was painted.
    """
    rows = network.seen(torch.cat([lesson.pool, lesson.features]))
    teacher = Teacher(rows[len(lesson.pool) :], lesson.classes, outputs, seed)
    wanted = teacher(rows)
    weights = LEAST_WEIGHT - (wanted * wanted.clamp_min(1e-6).log()).sum(dim=1)
    painted = torch.from_numpy(1 / np.bincount(lesson.classes)[lesson.classes])
    weights[len(lesson.pool) :] = painted * (
        PAINTED / (1 - PAINTED) * weights[: len(lesson.pool)].sum() / painted.sum()
    )
    if fresh:
        _start(network, rows, seed)
    return _distil(network, rows, wanted, weights, FIRST_STEPS if fresh else LATER_STEPS, seed)


def sketch_bundle(spec: ModelSpec, network: SketchNetwork) -> Bundle:
    """Return the model that a network has become, without what it does not look at."""
    options = {**spec.options, "smoothing": network.smoothing}
    if not network.wide:
        options["context"] = []
    return Bundle.create(spec.model_copy(update={"options": options}), network.weights())


def _start(network: SketchNetwork, rows: torch.Tensor, seed: int) -> None:
    """Place the pieces of the encoding between quantiles, and draw the weights anew."""
    used, bins = rows.shape[1], network.low.shape[1]
    marks = torch.from_numpy(np.quantile(rows.numpy(), np.linspace(0, 1, bins + 1), axis=0).astype(np.float32).T)
    width = marks[:, 1:] - marks[:, :-1]
    # a feature that hardly varies would be divided by zero
    least = 1e-6 * (marks.abs().amax(dim=1, keepdim=True) + 1e-3)
    network.low[:used] = marks[:, :-1]
    network.width[:used] = torch.maximum(width, least)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.first.reset_parameters()
        network.last.reset_parameters()


def _distil(
    network: SketchNetwork, rows: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor, steps: int, seed: int
) -> float:
    device = network.low.device
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(weights, BATCH * steps, replacement=True, generator=generator).reshape(steps, BATCH)
    optimizer = torch.optim.AdamW(network.perceptron(), lr=LEARNING_RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    rows, wanted = rows.to(device), wanted.to(device)
    last = []
    for batch in drawn.to(device):
        loss = nn.functional.cross_entropy(network.classify_rows(rows[batch]), wanted[batch])
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        last.append(loss.detach())
    return float(torch.stack(last[-20:]).mean())
