import numpy as np
import pytest
import torch

from napari_medseg.data import UNLABELLED
from napari_medseg.data.augment import Augmentation, Change, apply_change, draw_change, spread_of

SHAPE = (16, 20, 24)


def patch(margin: tuple[int, int, int] = (0, 0, 0), channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = tuple(n + 2 * m for n, m in zip(SHAPE, margin, strict=True))
    return rng.normal(size=(channels, *shape)).astype(np.float32), rng.integers(-1, 3, shape).astype(np.int16)


def test_the_same_generator_gives_the_same_patch() -> None:
    augmentation = Augmentation()
    image, target = patch(augmentation.margin(SHAPE), channels=2)
    results = [
        apply_change(draw_change(augmentation, SHAPE, np.random.default_rng(seed)), image, target, SHAPE)
        for seed in (5, 5, 6)
    ]
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[2][0])
    assert results[0][0].shape == (2, *SHAPE)
    assert results[0][1].shape == SHAPE
    assert results[0][1].dtype == torch.int64


def test_no_change_is_the_middle_of_the_cut() -> None:
    augmentation = Augmentation(flip_axes=(), geometry=False, intensity=False)
    image, target = patch((1, 2, 3))
    changed, labels = apply_change(draw_change(augmentation, SHAPE, np.random.default_rng(0)), image, target, SHAPE)
    np.testing.assert_array_equal(changed, image[:, 1:-1, 2:-2, 3:-3])
    np.testing.assert_array_equal(labels, target[1:-1, 2:-2, 3:-3])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirroring_is_exact_for_image_and_labels(axis: int) -> None:
    matrix = np.eye(3)
    matrix[axis, axis] = -1
    image, target = patch()
    changed, labels = apply_change(Change(matrix), image, target, SHAPE)
    np.testing.assert_array_equal(changed, np.flip(image, axis + 1))
    np.testing.assert_array_equal(labels, np.flip(target, axis))


def test_each_axis_is_mirrored_half_of_the_time() -> None:
    augmentation = Augmentation(flip_axes=(0, 2), geometry=False, intensity=False)
    signs = np.array([np.diag(draw_change(augmentation, SHAPE, np.random.default_rng(s)).matrix) for s in range(200)])
    assert ((signs < 0).sum(axis=0) > 70)[[0, 2]].all()
    assert (signs[:, 1] == 1).all()


def test_a_quarter_turn_moves_voxels_where_they_belong() -> None:
    matrix = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    shape = (4, 6, 6)
    rng = np.random.default_rng(0)
    image, target = rng.normal(size=(1, *shape)).astype(np.float32), rng.integers(-1, 3, shape).astype(np.int16)
    changed, labels = apply_change(Change(matrix), image, target, shape)
    # about the centre, the voxel at (y, x) comes from (-x, y)
    np.testing.assert_allclose(changed[0], np.rot90(image[0], -1, axes=(1, 2)), atol=1e-5)
    np.testing.assert_array_equal(labels, np.rot90(target, -1, axes=(1, 2)))


def test_image_and_labels_move_together() -> None:
    augmentation = Augmentation(intensity=False)
    shape = (32, 32, 32)
    margin = augmentation.margin(shape)
    z, y, x = np.indices([n + 2 * m for n, m in zip(shape, margin, strict=True)])
    ball = (z - 24) ** 2 + (y - 20) ** 2 + (x - 22) ** 2 < 64
    for seed in range(5):
        change = draw_change(augmentation, shape, np.random.default_rng(seed))
        image, labels = apply_change(change, ball[None].astype(np.float32), ball.astype(np.int16), shape)
        assert ((image[0] > 0.5) == (labels == 1)).float().mean() > 0.995
        assert (labels == 1).any()


def test_what_comes_from_outside_is_unlabelled() -> None:
    image, target = np.ones((1, 8, 8, 8), np.float32), np.ones((8, 8, 8), np.int16)
    changed, labels = apply_change(Change(np.eye(3) * 2), image, target, (8, 8, 8))
    assert labels[0, 0, 0] == UNLABELLED
    assert labels[4, 4, 4] == 1
    assert (changed == 1).all()


def test_labels_are_never_mixed() -> None:
    augmentation = Augmentation()
    image, target = patch(augmentation.margin(SHAPE))
    target[target == 1] = 0
    for seed in range(5):
        change = draw_change(augmentation, SHAPE, np.random.default_rng(seed))
        assert set(apply_change(change, image, target, SHAPE)[1].unique().tolist()) <= {-1, 0, 2}


def test_brightness_changes_are_bounded_and_spare_the_labels() -> None:
    augmentation = Augmentation(flip_axes=(), geometry=False)
    image, target = patch()
    for seed in range(20):
        change = draw_change(augmentation, SHAPE, np.random.default_rng(seed))
        changed, labels = apply_change(change, image, target, SHAPE)
        np.testing.assert_array_equal(labels, target)
        assert changed.isfinite().all()
        assert (changed - torch.from_numpy(image)).abs().mean() < 1


def test_changes_are_measured_by_the_spread_of_the_input() -> None:
    image, target = patch()
    windowed = (0.4 + 0.02 * image).astype(np.float32)
    centre, unit = spread_of([windowed])
    assert (centre, unit) == (pytest.approx(windowed.mean(), abs=1e-6), pytest.approx(windowed.std(), rel=1e-4))
    assert spread_of([np.zeros((1, 4, 4, 4), np.float32)]) == (0.0, 1.0)
    for seed in range(20):
        augmentation = Augmentation(flip_axes=(), geometry=False)
        change = draw_change(augmentation, SHAPE, np.random.default_rng(seed))
        usual, _ = apply_change(change, ((windowed - centre) / unit).astype(np.float32), target, SHAPE)
        augmentation = Augmentation(flip_axes=(), geometry=False, centre=centre, unit=unit)
        change = draw_change(augmentation, SHAPE, np.random.default_rng(seed))
        changed, _ = apply_change(change, windowed, target, SHAPE)
        np.testing.assert_allclose((changed - centre) / unit, usual, atol=1e-3)


def test_gamma_keeps_the_range() -> None:
    image, target = patch()
    changed, _ = apply_change(Change(np.eye(3), gamma=1.4), image, target, SHAPE)
    np.testing.assert_allclose([changed.min(), changed.max()], [image.min(), image.max()], atol=1e-5)
    order = np.argsort(image.ravel())
    assert (np.diff(changed.numpy().ravel()[order]) >= -1e-5).all()


@pytest.mark.parametrize("shape", [(1, 32, 32), (8, 64, 64)])
def test_flat_patches_are_turned_in_their_plane_only(shape: tuple[int, int, int]) -> None:
    augmentation = Augmentation(flip_axes=())
    assert augmentation.margin(shape)[0] == 0
    matrix = draw_change(augmentation, shape, np.random.default_rng(0)).matrix
    np.testing.assert_array_equal(matrix[0], [1, 0, 0])
    np.testing.assert_array_equal(matrix[:, 0], [1, 0, 0])
    image, target = np.ones((1, *shape), np.float32), np.ones(shape, np.int16)
    changed, labels = apply_change(Change(matrix), image, target, shape)
    assert changed.shape == (1, *shape)
    assert labels.shape == shape
