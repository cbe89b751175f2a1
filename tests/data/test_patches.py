import numpy as np
import pytest

from napari_medseg.data.patches import MAX_CENTRES, PatchPlace, PatchSampler, cut_patch
from napari_medseg.errors import DataError


def target_with(counts: dict[int, int], shape: tuple[int, int, int] = (20, 30, 40)) -> np.ndarray:
    target = np.full(shape, -1, np.int16)
    places = np.random.default_rng(0).permutation(target.size)
    for k, count in counts.items():
        target.reshape(-1)[places[:count]], places = k, places[count:]
    return target


def test_rare_classes_are_drawn_as_often_as_common_ones() -> None:
    target = target_with({0: 3000, 1: 1, 2: 50})
    sampler = PatchSampler([target], 3)
    drawn = []
    for step in range(300):
        place = sampler.draw(np.random.default_rng(step), (1, 1, 1))
        drawn.append(int(target[place.start]))
    assert np.bincount(drawn, minlength=3).min() > 70


def test_a_patch_shows_the_voxel_that_it_was_drawn_for() -> None:
    target = target_with({0: 5, 1: 5})
    sampler = PatchSampler([target], 2)
    for step in range(200):
        place = sampler.draw(np.random.default_rng(step), (8, 12, 16))
        assert (cut_patch(target, place, (0, 0, 0), -1) >= 0).any()


def test_a_patch_lies_within_an_image_that_is_large_enough() -> None:
    sampler = PatchSampler([target_with({0: 500, 1: 500})], 2)
    for step in range(200):
        place = sampler.draw(np.random.default_rng(step), (8, 12, 16))
        assert all(0 <= a <= n - p for a, n, p in zip(place.start, (20, 30, 40), place.shape, strict=True))


def test_a_small_image_lies_in_the_middle_of_its_patch() -> None:
    sampler = PatchSampler([target_with({0: 5, 1: 5}, (4, 5, 40))], 2)
    place = sampler.draw(np.random.default_rng(0), (8, 8, 8))
    assert place.start[:2] == (-2, -1)


def test_samples_take_turns() -> None:
    sampler = PatchSampler([target_with({0: 9}), target_with({0: 900, 1: 9})], 2)
    places = [sampler.draw(np.random.default_rng(step), (4, 4, 4)).sample for step in range(400)]
    assert 60 < places.count(0) < 140  # half of the background patches


def test_cutting_fills_what_is_outside() -> None:
    array = np.arange(8, dtype=np.int16).reshape(2, 2, 2)
    patch = cut_patch(array, PatchPlace(0, (-1, 0, 1), (2, 2, 2)), (0, 1, 0), -1)
    expected = np.full((2, 4, 2), -1)
    expected[1, 1:3, 0] = [1, 3]
    np.testing.assert_array_equal(patch, expected)


def test_cutting_keeps_channels_and_copies() -> None:
    image = np.random.default_rng(0).random((3, 4, 5, 6)).astype(np.float32)
    patch = cut_patch(image, PatchPlace(0, (1, 1, 1), (2, 3, 4)), (0, 0, 0), 0)
    np.testing.assert_array_equal(patch, image[:, 1:3, 1:4, 1:5])
    assert not np.shares_memory(patch, image)


def test_new_strokes_are_drawn_from() -> None:
    sampler = PatchSampler([target_with({0: 5, 1: 5})], 3)
    target = target_with({0: 5, 1: 5})
    target[0, 0, 0] = 2
    sampler.update(0, target)
    starts = {sampler.draw(np.random.default_rng(step), (1, 1, 1)).start for step in range(50)}
    assert (0, 0, 0) in starts


@pytest.mark.parametrize("counts", [{}, {1: 9}])
def test_fewer_than_two_classes_are_refused(counts: dict[int, int]) -> None:
    with pytest.raises(DataError, match="annotated") as error:
        PatchSampler([target_with(counts)], 2)
    assert "background" in error.value.remedy


def test_erasing_everything_keeps_the_old_strokes() -> None:
    sampler = PatchSampler([target_with({0: 5, 1: 5})], 2)
    with pytest.raises(DataError):
        sampler.update(0, target_with({}))
    sampler.draw(np.random.default_rng(0), (4, 4, 4))


def test_finished_volumes_do_not_fill_the_memory_with_centres() -> None:
    target = np.zeros((40, 100, 100), np.int16)
    target[20:, :, :] = 1
    sampler = PatchSampler([target], 2)
    starts = [sampler.draw(np.random.default_rng(step), (1, 1, 1)).start[0] for step in range(300)]
    assert sum(centres.size for centres in sampler._centres[0]) <= 2 * MAX_CENTRES
    assert min(starts) < 4
    assert max(starts) > 35
