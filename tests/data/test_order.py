"""Axes along which classes keep their order, from one patient to the next."""

import numpy as np

from napari_medseg.data.order import ordered_axes


def heads(count: int, seed: int = 0) -> list[np.ndarray]:
    """Return label maps of two balls: always one before the other along y, in any order along z and x."""
    rng, maps = np.random.default_rng(seed), []
    z, y, x = np.ogrid[:30, :40, :60]
    for _ in range(count):
        target = np.zeros((30, 40, 60), np.int16)
        for index, row in ((1, 10), (2, 28)):
            centre = rng.uniform(8, 20), row + rng.normal(0, 2), rng.uniform(10, 50)
            target[(z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < 36] = index
        maps.append(target)
    return maps


def test_an_order_that_all_patients_share_is_found():
    assert ordered_axes(heads(12), 3) == {1}
    # One patient the other way round does not change what is usual.
    turned = [*heads(40), np.flip(heads(1, seed=5)[0], 1).copy()]
    assert ordered_axes(turned, 3) == {1}


def test_too_few_patients_or_classes_say_nothing():
    assert not ordered_axes(heads(4), 3)
    assert not ordered_axes([np.minimum(target, 1) for target in heads(12)], 2)


def test_some_painted_slices_of_each_patient_are_enough():
    painted = []
    for number, target in enumerate(heads(12)):
        target[np.arange(30) % 10 != number % 10] = -1
        painted.append(target)
    assert ordered_axes(painted, 3) == {1}


def test_images_without_two_classes_do_not_count():
    alone = [np.where(target == 2, 0, target).astype(np.int16) for target in heads(12)]
    assert not ordered_axes(alone, 4)
    assert ordered_axes([*alone, *heads(6)], 4) == {1}


def test_large_images_are_looked_at_coarsely_and_alike():
    large = [target.repeat(4, 0).repeat(4, 1).repeat(4, 2) for target in heads(6)]
    assert ordered_axes(large, 3) == {1}
