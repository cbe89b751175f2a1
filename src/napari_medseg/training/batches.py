"""Batches of augmented patches, made while the network computes on the one before."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg import processes
from napari_medseg.data import UNLABELLED, Sample
from napari_medseg.data.augment import Augmentation, apply_change, draw_change
from napari_medseg.data.patches import PatchSampler, Shape3, cut_patch
from napari_medseg.training.learner import Batch


class BatchMaker:
    """Makes the batch of any step; which one depends on the seed, the step and the labels alone.

    Use as a context: leaving it ends the thread that works ahead.

    Parameters
    ----------
    samples : sequence of Sample
        Images.
    targets : sequence of (z, y, x) int16 arrays
        What is trained on, per sample.
    augmentation : Augmentation
        How patches are changed.
    seed : int
        Of all randomness.
    planar : bool
        Whether the network takes planes.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        targets: Sequence[NDArray[np.int16]],
        augmentation: Augmentation,
        seed: int,
        planar: bool,
    ) -> None:
        self._images = [sample.image for sample in samples]
        self._targets = list(targets)
        self._sampler = PatchSampler(self._targets, len(samples[0].classes))
        self.augmentation, self._seed, self._planar = augmentation, seed, planar
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="patches")
        self._ahead: tuple[tuple[int, int, Shape3], Future[Batch]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def get(self, step: int, size: int, shape: Shape3) -> Batch:
        """Return the batch of a step, and begin with that of the next.

        Parameters
        ----------
        step : int
            Steps taken before.
        size : int
            Patches in the batch; of several processes, each makes so many others.
        shape : (z, y, x) tuple of int
            Voxels of a patch.
        """
        wanted = (step, size, shape)
        if self._ahead is not None and self._ahead[0] == wanted:
            batch = self._ahead[1].result()
        else:
            batch = self._thread.submit(self._make, *wanted).result()
        self._ahead = ((step + 1, size, shape), self._thread.submit(self._make, step + 1, size, shape))
        return batch

    def replace(self, sample: int, target: NDArray[np.int16]) -> None:
        """Use another target for sample number `sample` from the next batch but one on.

        Raises
        ------
        DataError
            If that would leave nothing to learn; the old target stays.
        """
        self._thread.submit(self._replace, sample, target).result()

    def _replace(self, sample: int, target: NDArray[np.int16]) -> None:
        self._sampler.update(sample, target)
        self._targets[sample] = target

    def _make(self, step: int, size: int, shape: Shape3) -> Batch:
        first = processes.rank() * size
        numbers = range(first, first + size)
        pairs = [self._patch(np.random.default_rng([self._seed, step, number]), shape) for number in numbers]
        image, target = torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])
        return Batch(image.squeeze(2), target.squeeze(1)) if self._planar else Batch(image, target)

    def _patch(self, rng: np.random.Generator, shape: Shape3) -> tuple[torch.Tensor, torch.Tensor]:
        place = self._sampler.draw(rng, shape)
        margin = self.augmentation.margin(shape)
        image = cut_patch(self._images[place.sample], place, margin, 0)
        target = cut_patch(self._targets[place.sample], place, margin, UNLABELLED)
        return apply_change(draw_change(self.augmentation, shape, rng), image, target, shape)
