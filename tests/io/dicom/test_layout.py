"""Positions that are not an even row: each policy of docs/geometry-policies.md."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_medseg import read
from napari_medseg.io.dicom.frame import Plane
from napari_medseg.io.dicom.layout import blocks_of

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def axial(*heights: float, shift: float = 0.0) -> list[Plane]:
    """Return axial planes at the given heights, moved along y by `shift` mm per mm of height."""
    return [Plane((0.0, shift * z, z), (1, 0, 0, 0, 1, 0), (1.0, 1.0)) for z in heights]


def test_even_slices_are_one_block_without_a_word() -> None:
    (block,) = blocks_of(axial(0, 2.5, 5, 7.5), (4, 4), None)
    assert block.geometry.shape == (4, 4, 4)
    assert block.geometry.spacing == (2.5, 1, 1)
    assert block.blends is None
    assert block.warnings == ()


def test_positions_rounded_to_a_tenth_are_even_with_a_warning() -> None:
    (block,) = blocks_of(axial(0, 0.6, 1.3, 1.9, 2.5), (4, 4), None)
    assert block.geometry.spacing[0] == pytest.approx(0.625)
    assert "off an even spacing" in block.warnings[0]


def test_a_tilted_gantry_gives_a_sheared_grid_with_exact_voxels() -> None:
    (block,) = blocks_of(axial(0, 5, 10, shift=np.tan(np.radians(20))), (4, 4), None)
    assert block.blends is None
    np.testing.assert_allclose(TO_RAS @ block.geometry.affine @ (2, 0, 0, 1), [0, 10 * np.tan(np.radians(20)), 10, 1])
    assert "tilted by 20.0 degrees" in block.warnings[0]


def test_missing_slices_are_filled_and_listed() -> None:
    (block,) = blocks_of(axial(0, 2, 4, 8, 10, 16, 18, 20), (4, 4), None)
    assert block.geometry.shape[0] == 11
    assert "3 of 11 slices are missing" in block.warnings[0]
    assert "grid slices 3, 6, 7" in block.warnings[0]
    third, seventh = block.blends[3], block.blends[7]
    assert (third.first, third.second, third.weight) == (2, 3, 0.5)
    assert (seventh.first, seventh.second) == (4, 5)
    assert seventh.weight == pytest.approx(2 / 3)


def test_two_spacings_are_two_volumes() -> None:
    first, second = blocks_of(axial(0, 3, 6, 9, 13.5, 20.5, 27.5, 34.5), (4, 4), None)
    assert (first.start, first.stop, second.start, second.stop) == (0, 4, 4, 8)
    assert (first.geometry.spacing[0], second.geometry.spacing[0]) == (3.0, 7.0)
    assert second.geometry.origin[2] == 13.5
    assert "split into 2 volumes" in first.warnings[0]


def test_a_wide_gap_is_not_bridged() -> None:
    blocks = blocks_of(axial(0, 1, 2, 3, 40, 41, 42), (4, 4), None)
    assert [(block.start, block.stop) for block in blocks] == [(0, 4), (4, 7)]
    assert all("2 pieces" in block.warnings[0] for block in blocks)


def test_irregular_slices_are_resampled_between_neighbours() -> None:
    heights = (0, 2, 5, 6, 9, 10)
    (block,) = blocks_of(axial(*heights), (4, 4), None)
    assert "resampled" in block.warnings[0]
    step = block.geometry.spacing[0]
    for k, blend in enumerate(block.blends):
        between = heights[blend.first] * (1 - blend.weight) + heights[blend.second] * blend.weight
        assert between == pytest.approx(k * step, abs=0.05 * 3)


def test_a_single_slice_says_when_its_thickness_is_a_guess() -> None:
    (known,) = blocks_of(axial(7), (4, 4), 3.0)
    (guessed,) = blocks_of(axial(7), (4, 4), None)
    assert known.geometry.spacing[0] == 3.0
    assert known.warnings == ()
    assert "1 mm is assumed" in guessed.warnings[0]


def test_acquired_slices_keep_values_and_places_when_one_is_missing(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    affine = phantoms.lps_affine((2.0, 1.0, 1.0), 15)
    places = [0, 1, 2, 4, 5, 6]
    (volume,) = read(write_series(phantom, affine, places=places))
    assert volume.data.shape == (7, 7, 8)
    np.testing.assert_array_equal(volume.data[places], phantom)
    np.testing.assert_array_equal(volume.data[3], np.rint((phantom[2].astype(float) + phantom[3]) / 2))
    np.testing.assert_allclose(volume.geometry.affine, TO_RAS @ affine, atol=1e-6)
    assert any("missing" in note for note in volume.warnings)


def test_a_header_that_contradicts_the_positions_is_mentioned(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    (volume,) = read(write_series(phantom, phantoms.lps_affine((2.0, 1.0, 1.0)), SpacingBetweenSlices=3.0))
    assert volume.geometry.spacing[0] == 2.0
    assert any("3.00 mm apart; their positions say 2.00 mm" in note for note in volume.warnings)


def test_thin_slices_far_apart_are_mentioned(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    (volume,) = read(write_series(phantom, phantoms.lps_affine((10.0, 1.0, 1.0)), SliceThickness=1.0))
    assert any("1.00 mm lie 10.00 mm apart" in note for note in volume.warnings)
