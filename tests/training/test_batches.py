from collections.abc import Iterator

import numpy as np
import pytest
import torch

from napari_medseg.data import make_sample
from napari_medseg.data.augment import Augmentation
from napari_medseg.errors import DataError
from napari_medseg.training.batches import BatchMaker
from napari_medseg.volume import LabelClass

CLASSES = (LabelClass(value=0, name="background"), LabelClass(value=1, name="blob"))


def maker(planar: bool = False, seed: int = 0) -> BatchMaker:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 12, 20, 20)).astype(np.float32)
    labels = rng.choice(np.array([0, 1, 255], np.uint8), (12, 20, 20))
    sample = make_sample(image, labels, CLASSES)
    return BatchMaker([sample], [sample.target], Augmentation(), seed, planar)


@pytest.fixture
def batches() -> Iterator[BatchMaker]:
    with maker() as made:
        yield made


def test_a_batch_follows_from_its_step_alone(batches: BatchMaker) -> None:
    in_order = [batches.get(step, 2, (8, 8, 8)) for step in range(4)]
    with maker() as other:
        for step in (3, 0, 2):
            batch = other.get(step, 2, (8, 8, 8))
            assert torch.equal(batch.image, in_order[step].image)
            assert torch.equal(batch.target, in_order[step].target)
    with maker(seed=1) as other:
        assert not torch.equal(other.get(0, 2, (8, 8, 8)).image, in_order[0].image)


def test_shapes_of_volumes_and_planes(batches: BatchMaker) -> None:
    batch = batches.get(0, 3, (8, 16, 8))
    assert batch.image.shape == (3, 2, 8, 16, 8)
    assert batch.target.shape == (3, 8, 16, 8)
    with maker(planar=True) as planes:
        plane = planes.get(0, 3, (1, 16, 8))
    assert plane.image.shape == (3, 2, 16, 8)
    assert plane.target.shape == (3, 16, 8)
    assert plane.image.dtype == torch.float32
    assert plane.target.dtype == torch.int64


def test_a_smaller_batch_can_be_had_at_any_time(batches: BatchMaker) -> None:
    batches.get(0, 2, (8, 8, 8))
    assert batches.get(1, 1, (8, 8, 8)).image.shape[0] == 1


def test_new_labels_enter_the_batch_after_the_next(batches: BatchMaker) -> None:
    batches.get(0, 1, (12, 20, 20))
    target = np.full((12, 20, 20), -1, np.int16)
    target[6, 10, 8:12], target[6, 12, 8:12] = 1, 0
    batches.replace(0, target)
    batches.get(1, 1, (12, 20, 20))
    assert (batches.get(2, 1, (12, 20, 20)).target >= 0).sum() < 30
    with pytest.raises(DataError):
        batches.replace(0, np.full_like(target, -1))
    assert (batches.get(4, 1, (12, 20, 20)).target >= 0).any()
