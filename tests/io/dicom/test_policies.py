"""Each policy of docs/geometry-policies.md, from files to volumes with their warnings."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_medseg import read
from napari_medseg.volume import Volume

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
STEP = 2.0


def slices(count: int) -> np.ndarray:
    """Return a volume whose voxels are 100 times the number of their slice, plus their own place in it."""
    return np.arange(count)[:, None, None] * 100 + np.arange(7 * 8).reshape(7, 8).astype(np.int16)


def is_acquired(volume: Volume, plane: np.ndarray, affine: np.ndarray, k: float) -> bool:
    """Return whether the volume holds an acquired slice, unchanged, where its header says."""
    assert volume.geometry is not None
    place = TO_RAS @ affine @ (k, 0, 0, 1)
    index = np.linalg.solve(volume.geometry.affine, place)[:3]
    at = round(float(index[0]))
    inside = 0 <= at < volume.data.shape[0]
    return inside and bool(np.allclose(index, (at, 0, 0), atol=0.06)) and np.array_equal(volume.data[at], plane)


@pytest.mark.parametrize(
    ("places", "shapes", "words"),
    [
        pytest.param(range(6), [6], None, id="even"),
        pytest.param([0, 1.009, 2, 3, 4, 5], [6], None, id="off by less than 2 %"),
        pytest.param([0, 1.05, 2, 2.96, 4, 5], [6], "up to 0.10 mm off an even spacing of 2.00", id="off by 5 %"),
        pytest.param([0, 1, 3, 4, 5, 6], [7], "1 of 7 slices are missing.*grid slices 2", id="one missing"),
        pytest.param([0, 1, 2, 6, 7, 8, 9, 10], [11], "3 of 11 slices are missing", id="three in a row"),
        pytest.param([0, 1, 2, 3, 12, 13, 14, 15], [4, 4], "Wide gaps", id="wide gap"),
        pytest.param([0, 1, 2, 3.8, 5.6, 7.4], [3, 3], "split into 2 volumes of even spacing", id="two spacings"),
    ],
)
def test_acquired_slices_stay_what_and_where_they_are(
    write_series: Callable[..., Path],
    phantoms: SimpleNamespace,
    places: Sequence[float],
    shapes: list[int],
    words: str | None,
) -> None:
    affine, acquired = phantoms.lps_affine((STEP, 1, 1), 20), slices(len(places))
    volumes = read(write_series(acquired, affine, places=places))
    assert sorted(volume.data.shape[0] for volume in volumes) == sorted(shapes)
    for plane, k in zip(acquired, places, strict=True):
        assert any(is_acquired(volume, plane, affine, k) for volume in volumes)
    for volume in volumes:
        if words is None:
            assert volume.warnings == ()
        else:
            assert any(re.search(words, warning) for warning in volume.warnings)


def test_a_missing_slice_is_halfway_between_its_neighbours(
    write_series: Callable[..., Path], phantoms: SimpleNamespace
) -> None:
    (volume,) = read(write_series(slices(4), phantoms.lps_affine((STEP, 1, 1)), places=[0, 1, 3, 4]))
    np.testing.assert_allclose(volume.data[2], slices(4)[1] + 50)


def test_irregular_slices_are_resampled_to_their_true_heights(
    write_series: Callable[..., Path], phantoms: SimpleNamespace
) -> None:
    places = [0.0, 1.0, 2.4, 3.4, 4.7, 6.0]
    # values that grow with the height, so that linear interpolation must give the height back
    acquired = np.stack([np.full((7, 8), round(1000 * k), np.int16) for k in places])
    (volume,) = read(write_series(acquired, phantoms.lps_affine((STEP, 1, 1)), places=places))
    assert volume.geometry is not None
    heights = np.arange(len(volume.data)) * volume.geometry.spacing[0] / STEP
    np.testing.assert_allclose(volume.data[:, 0, 0], 1000 * heights, atol=0.1 * 1000)
    assert any("2.00 to 2.80 mm" in warning for warning in volume.warnings)


def test_a_tilted_gantry_is_a_sheared_grid(write_series: Callable[..., Path], phantoms: SimpleNamespace) -> None:
    acquired = slices(6)
    affine = phantoms.lps_affine((STEP, 1, 1))
    affine[1, 0] = STEP * np.tan(np.radians(15))
    (volume,) = read(write_series(acquired, affine))
    np.testing.assert_array_equal(volume.data, acquired)
    assert volume.geometry is not None
    np.testing.assert_allclose(volume.geometry.affine, TO_RAS @ affine, atol=1e-4)
    assert any("tilted by 15.0 degrees" in warning for warning in volume.warnings)


def test_slices_off_one_line_are_volumes_of_their_own(
    write_series: Callable[..., Path], phantoms: SimpleNamespace
) -> None:
    acquired, affine = slices(4), phantoms.lps_affine((STEP, 1, 1))
    for k, aside in enumerate((0.0, 7.0, -5.0, 3.0)):
        moved = affine.copy()
        moved[0, 3] += aside
        folder = write_series(acquired[k : k + 1], moved, places=[k])
    volumes = read(folder)
    assert [volume.data.shape for volume in volumes] == [(1, 7, 8)] * 4
    assert {int(volume.data[0, 0, 0]) for volume in volumes} == {0, 100, 200, 300}
    assert all(any("one line" in warning for warning in volume.warnings) for volume in volumes)


def test_repeats_that_nothing_tells_apart_are_in_the_order_of_their_numbers(
    write_series: Callable[..., Path], phantoms: SimpleNamespace
) -> None:
    acquired, affine = slices(3), phantoms.lps_affine((STEP, 1, 1))
    for repeat in (1, 0):
        folder = write_series(acquired + 1000 * repeat, affine, InstanceNumber=lambda k, r=repeat: 10 * r + k)
    (volume,) = read(folder)
    assert volume.axes == ("repeat",)
    np.testing.assert_array_equal(volume.data, [acquired, acquired + 1000])


def test_frames_side_by_side_are_one_volume_per_place(
    write_series: Callable[..., Path], phantoms: SimpleNamespace
) -> None:
    acquired, affine = slices(3), phantoms.lps_affine((STEP, 1, 1))
    beside = affine.copy()
    beside[0, 3] += 50
    write_series(acquired, affine)
    volumes = read(write_series(acquired + 1000, beside))
    assert len(volumes) == 2
    for volume, truth, first in zip(volumes, (affine, beside), (0, 1000), strict=True):
        assert int(volume.data[0, 0, 0]) == first
        assert volume.geometry is not None
        np.testing.assert_allclose(volume.geometry.affine, TO_RAS @ truth, atol=1e-6)


def test_directions_that_are_not_perpendicular_are_made_so(
    write_series: Callable[..., Path], phantoms: SimpleNamespace
) -> None:
    tilted = ["1", "0.004", "0", "0", "1", "0"]
    (volume,) = read(write_series(slices(3), phantoms.lps_affine((STEP, 1, 1)), ImageOrientationPatient=tilted))
    assert volume.geometry is not None
    down, right = volume.geometry.affine[:3, 1], volume.geometry.affine[:3, 2]
    assert abs(float(down @ right)) < 1e-9
