"""Dice on held-out voxels, by the tiled prediction that a user of the model gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_medseg import processes
from napari_medseg.data import Sample
from napari_medseg.data.split import HeldOut
from napari_medseg.inference.blend import Blender, Block
from napari_medseg.inference.network import Batches, Runner
from napari_medseg.inference.tiled import tile_of
from napari_medseg.inference.tiling import Box3, Shape3, TilePlan, box_of, cut, plan_tiles
from napari_medseg.models import ModelSpec
from napari_medseg.models.configs import tiles_at_once
from napari_medseg.models.spec import OVERLAP
from napari_medseg.tasks import UNLABELLED, Task
from napari_medseg.training.choosing import blended
from napari_medseg.training.config import TrainConfig
from napari_medseg.training.prepare import LoadedCase
from napari_medseg.training.schedule import score_interval

Overlaps = dict[str, NDArray[np.int64]]
FEWEST_TILES = 4
ALIKE = 12
"""Held-out voxels that count as one: those of a stroke are mostly right or wrong together."""
TILES_PER_PATCH = 1 / 3
"""Tiles to predict per patch that was trained on since the last validation: a forward pass takes about a third of a
step, so validation takes about a tenth of the time."""


@dataclass(frozen=True)
class Score:
    """How good a network is on held-out voxels."""

    dice: dict[str, float]
    """Per foreground class that has held-out voxels."""
    voxels: int
    """Held-out voxels that were looked at."""
    overlaps: Overlaps = field(default_factory=dict, compare=False)
    """Per held-out patient or block, (class, 3) counts of the task."""
    blended: "Score | None" = field(default=None, compare=False)
    """Of the weighed mean of the network's probabilities and the sketch's; None without a sketch."""

    @property
    def mean(self) -> float:
        """Mean Dice over the classes."""
        return float(np.mean(list(self.dice.values())))

    @property
    def uncertainty(self) -> float:
        """Standard error of the mean Dice, as of a proportion among so many independent voxels.

        The proportion is that with two more right and two more wrong (Agresti and Coull, The American Statistician 52,
        1998): nobody is sure of a Dice of 0 or 1 on a few voxels.
        """
        number = max(self.voxels, 1) / ALIKE
        share = (self.mean * number + 2) / (number + 4)
        return float(np.sqrt(share * (1 - share) / number))


def score_of(overlaps: Overlaps, spec: ModelSpec, task: Task) -> Score | None:
    """Return the score that counts of a task stand for; None if they hold no foreground."""
    total = sum(overlaps.values(), np.zeros((len(spec.classes), 3), np.int64))
    if not total[1:, 2].any():
        return None
    scores = task.scores(total)
    dice = {c.name: float(s) for c, s in zip(spec.classes, scores, strict=True) if c.value and not np.isnan(s)}
    return Score(dice, int(total[:, 2].sum()), overlaps)


def count_overlaps(
    overlaps: Overlaps, held_out: HeldOut, sample: Sample, predicted: NDArray[np.int16], task: Task
) -> None:
    """Add what a prediction has in common with the held-out voxels of a sample.

    Parameters
    ----------
    overlaps : dict
        Per patient or block; changed in place.
    held_out : HeldOut
        What to count.
    sample : Sample
        With the truth.
    predicted : (z, y, x) int16 array
        Class indices; -1 where nothing was predicted, which is left out.
    task : Task
        Counts.
    """
    target, classes = held_out.validation_target(sample), len(sample.classes)
    if target is None:
        return
    for name, box in held_out.units(sample):
        found = predicted[box]
        counts = task.overlaps(found, np.where(found < 0, UNLABELLED, target[box]), classes)
        if counts[:, 2].any():
            overlaps[name] = overlaps.get(name, 0) + counts


def places(voxels: NDArray[np.intp], mask: NDArray[np.bool_], box: Box3) -> NDArray[np.intp]:
    """Return where the voxels of a mask that lie in a box, in C order, are in the list of all of them.

    Parameters
    ----------
    voxels : (n,) int array
        ``np.flatnonzero(mask)``.
    mask : (z, y, x) bool array
    box : tuple of slice
        With starts.
    """
    inside = [index + part.start for index, part in zip(np.nonzero(mask[box]), box, strict=True)]
    found: NDArray[np.intp] = np.searchsorted(voxels, np.ravel_multi_index(tuple(inside), mask.shape))
    return found


class Validator:
    """Scores networks on always the same held-out voxels.

    Parameters
    ----------
    cases : sequence of LoadedCase
        All cases of the run.
    held_out : HeldOut
        What to score on.
    spec : ModelSpec
        What the network gives.
    task : Task
        Counts and scores.
    config : TrainConfig
        Bounds the number of tiles; at least a few.
    steps : int, optional
        Of training that a score may take a tenth as long as; those between two scores if None.
    """

    def __init__(
        self,
        cases: Sequence[LoadedCase],
        held_out: HeldOut,
        spec: ModelSpec,
        task: Task,
        config: TrainConfig,
        steps: int | None = None,
    ) -> None:
        self._cases, self._held_out, self._spec, self._task = cases, held_out, spec, task
        self._precision = config.precision
        budget = max(FEWEST_TILES, round((steps or score_interval(None, config)) * config.batch_size * TILES_PER_PATCH))
        self._starts = _choose_tiles(cases, held_out, spec, budget, config.seed)

    def score(self, network: nn.Module, beside: Mapping[str, NDArray[np.float32]] | None = None) -> Score | None:
        """Return how good a network is; None if nothing is held out. Several processes share the work.

        Parameters
        ----------
        network : nn.Module
            On its device.
        beside : dict of str to (class, n) float32 array, optional
            Per sample identifier, what another model says of its n held-out voxels in C order, as probabilities.
        """
        overlaps: Overlaps = {}
        blended: Overlaps = {}
        for position, (number, starts) in enumerate(self._starts.items()):
            if position % processes.count() == processes.rank():
                case = self._cases[number]
                mask = self._held_out.masks[case.sample.id]
                answer = _Answer(mask, None if beside is None else beside.get(case.sample.id))
                self._predict(network, case, starts, answer)
                count_overlaps(overlaps, self._held_out, case.sample, answer.own, self._task)
                if answer.blended is not None:
                    count_overlaps(blended, self._held_out, case.sample, answer.blended, self._task)
        score = score_of(_merged(processes.gathered(overlaps)), self._spec, self._task)
        if score is None or beside is None:
            return score
        return replace(score, blended=score_of(_merged(processes.gathered(blended)), self._spec, self._task))

    def _predict(self, network: nn.Module, case: LoadedCase, starts: Sequence[Shape3], answer: "_Answer") -> None:
        plan = _plan(case, self._spec)
        run = Runner(network, next(network.parameters()).device, self._precision, self._spec.dims == 2)
        size = tiles_at_once(self._spec)
        batches = Batches(run, size)
        blender = Blender(plan, self._spec.outputs, run.device)
        for done in range(0, len(starts), size):
            part = starts[done : done + size]
            tiles = (tile for some in batches.forward(cut(case.grid.read, plan, part)) for tile in some)
            for start, logits in zip(part, tiles, strict=True):
                for block in blender.add(start, logits):
                    answer.take(block)
        for block in blender.finish():
            answer.take(block)


class _Answer:
    """Class indices where tiles were predicted, and -1 elsewhere."""

    def __init__(self, mask: NDArray[np.bool_], beside: NDArray[np.float32] | None) -> None:
        self.own = np.full(mask.shape, -1, np.int16)
        """Of the network, (z, y, x)."""
        self.blended = None if beside is None else np.full(mask.shape, -1, np.int16)
        """Of the network and another model together, at held-out voxels alone; None without another."""
        self._mask, self._beside, self._voxels = mask, beside, np.flatnonzero(mask)

    def take(self, block: Block) -> None:
        """Take over a part of the image."""
        if block.logits is None:
            return
        winners = block.logits.argmax(dim=0).to(torch.int16)
        if not block.whole:
            winners[block.logits[0].isnan()] = -1
        self.own[block.box] = winners.cpu().numpy()
        if self.blended is not None and self._beside is not None:
            inside = self._mask[block.box]
            logits = block.logits[:, torch.from_numpy(inside).to(block.logits.device)]
            other = torch.from_numpy(self._beside[:, places(self._voxels, self._mask, block.box)])
            both = blended(logits, other.to(logits.device)).cpu().numpy()
            self.blended[block.box][inside] = np.where(np.isnan(both[0]), -1, both.argmax(axis=0))


def _merged(parts: Sequence[Overlaps]) -> Overlaps:
    merged: Overlaps = {}
    for part in parts:
        for name, counts in part.items():
            merged[name] = merged.get(name, 0) + counts
    return {name: merged[name] for name in sorted(merged)}


def _plan(case: LoadedCase, spec: ModelSpec) -> TilePlan:
    return plan_tiles(case.grid.shape, tile_of(spec, case.grid.shape), OVERLAP)


def _choose_tiles(
    cases: Sequence[LoadedCase], held_out: HeldOut, spec: ModelSpec, budget: int, seed: int
) -> dict[int, list[Shape3]]:
    """Return, per number of a case, the tiles that show held-out voxels, or a random part of them within the budget."""
    candidates: list[tuple[int, int]] = []
    plans: dict[int, TilePlan] = {}
    for number, case in enumerate(cases):
        mask = held_out.masks.get(case.sample.id)
        if mask is None:
            continue
        plans[number] = plan = _plan(case, spec)
        candidates += [
            (number, position)
            for position in range(len(plan.starts))
            if mask[box_of(plan, plan.starts[position])].any()
        ]
    if len(candidates) > budget:
        picked = np.random.default_rng(seed).choice(len(candidates), budget, replace=False)
        candidates = [candidates[k] for k in sorted(picked.tolist())]
    chosen: dict[int, list[Shape3]] = {}
    for number, position in candidates:
        chosen.setdefault(number, []).append(plans[number].starts[position])
    return chosen
