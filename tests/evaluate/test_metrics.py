"""Scores of masks whose answers were worked out by hand, and agreement with MONAI on whole one-hot volumes."""

import math

import numpy as np
import pytest
import torch

from napari_medseg.evaluate import dice, hausdorff95, surface_dice


def box(shape, start, stop) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def test_dice_of_two_overlapping_boxes():
    # 2 x 2 x 2 voxels each, sharing 1 x 2 x 2: 2 * 4 / 16.
    assert dice(box((4, 4, 4), (0, 0, 0), (2, 2, 2)), box((4, 4, 4), (1, 0, 0), (3, 2, 2))) == 0.5


def test_distance_of_two_shifted_boxes_is_the_shift_in_mm():
    first, second = box((9, 20, 20), (2, 2, 2), (7, 7, 7)), box((9, 20, 20), (2, 2, 12), (7, 7, 17))
    # The farthest 5 % are the sides turned away: 10 voxels of 0.5 mm.
    assert hausdorff95(first, second, (3.0, 1.0, 0.5)) == pytest.approx(5.0)


def test_surface_agreement_of_two_planes_depends_on_the_tolerance():
    first, second = box((1, 8, 8), (0, 2, 0), (1, 3, 8)), box((1, 8, 8), (0, 4, 0), (1, 5, 8))
    assert surface_dice(first, second, 2.9, (1.0, 1.5, 1.0)) == 0.0
    assert surface_dice(first, second, 3.0, (1.0, 1.5, 1.0)) == 1.0


def test_half_of_a_surface_agrees():
    first = box((1, 1, 12), (0, 0, 0), (1, 1, 1)) | box((1, 1, 12), (0, 0, 10), (1, 1, 11))
    second = box((1, 1, 12), (0, 0, 0), (1, 1, 1)) | box((1, 1, 12), (0, 0, 5), (1, 1, 6))
    # One of two voxels of each coincides.
    assert surface_dice(first, second, 1.0) == 0.5


def test_empty_masks():
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    assert math.isnan(dice(empty, empty))
    assert math.isnan(surface_dice(empty, empty, 1.0))
    assert dice(empty, full) == surface_dice(empty, full, 1.0) == surface_dice(full, empty, 1.0) == 0.0
    assert math.isnan(hausdorff95(empty, full))
    assert math.isnan(hausdorff95(full, empty))


@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")
@pytest.mark.parametrize("shape", [(17, 23), (11, 17, 13)])
def test_same_numbers_as_monai_on_the_whole_image(shape):
    from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

    generator = np.random.default_rng(0)
    first, second = (generator.random(shape) > 0.8 for _ in range(2))
    spacing = (2.5, 0.8, 0.7)[-len(shape) :]
    a, b = (torch.from_numpy(mask)[None, None] for mask in (first, second))
    assert dice(first, second) == pytest.approx(float(compute_dice(a, b)))
    expected = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=list(spacing))
    assert hausdorff95(first, second, spacing) == pytest.approx(float(expected))
    expected = compute_surface_dice(a, b, [1.0], include_background=True, spacing=list(spacing))
    assert surface_dice(first, second, 1.0, spacing) == pytest.approx(float(expected))
