"""Depth, kernels and patches follow nnU-Net's rules."""

from math import prod

import pytest

from napari_medseg.models.plan import MIN_STAGES, plan_unet, propose_patch


def test_equal_voxels_are_halved_alike():
    plan = plan_unet((64, 64, 64))
    assert plan.strides == ((1, 1, 1), *((2, 2, 2),) * 4)
    assert set(plan.kernels) == {(3, 3, 3)}
    assert plan.divisor == (16, 16, 16)


def test_thick_slices_wait_until_the_others_are_as_coarse():
    plan = plan_unet((16, 128, 128), (5.0, 0.7, 0.7))
    # 0.7 and 1.4 mm are finer than 5 mm by two or more, 2.8 mm is not.
    assert plan.strides == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert plan.kernels == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))


def test_odd_axes_are_never_halved():
    assert plan_unet((17, 32)).strides == ((1, 1), (1, 2), (1, 2), (1, 2))


@pytest.mark.parametrize("patch", [(1, 1, 1), (7, 7), (4, 4, 4), (3, 64, 5)])
def test_there_are_always_enough_stages(patch):
    plan = plan_unet(patch)
    assert len(plan.strides) == len(plan.kernels) >= MIN_STAGES
    assert all(n % d == 0 for n, d in zip(patch, plan.divisor, strict=True))


@pytest.mark.parametrize(
    ("shape", "spacing", "voxels", "expected"),
    [
        ((400, 512, 512), None, 64**3, (64, 64, 64)),
        ((30, 512, 512), (5.0, 0.7, 0.7), 64**3, (16, 128, 128)),
        ((400, 512, 512), (2.0, 1.0, 1.0), 64**3, (48, 80, 80)),
        ((10, 12, 9), None, 64**3, (12, 16, 12)),
        ((2000, 1000), None, 256**2, (256, 256)),
        ((300, 20), (1.0, 1.0), 96**2, (304, 24)),
    ],
)
def test_patch_is_a_cube_in_mm_within_the_image(shape, spacing, voxels, expected):
    assert propose_patch(shape, spacing, voxels) == expected


def test_patch_keeps_to_its_budget():
    for shape in ((155, 240, 240), (36, 50, 47), (20, 320, 320), (600, 512, 512)):
        for spacing in (None, (3.0, 0.6, 0.6), (1.0, 1.0, 4.0)):
            patch = propose_patch(shape, spacing)
            assert prod(patch) <= 1.5 * 64**3
