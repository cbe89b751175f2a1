"""Pictures for lists of series: which slice, which way up, which size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nibabel.orientations import apply_orientation

from napari_medseg.io import scan, thumbnail, write
from napari_medseg.volume import Geometry, LabelClass, Volume


def stored(path: Path, axcodes: str, window: tuple[float, float] | None = None) -> np.ndarray:
    """Write a volume whose corner towards right, anterior and superior is bright, and return its thumbnail."""
    values = np.zeros((10, 20, 40), np.int16)
    # z grows to superior, y to posterior, x to left: the bright corner is at the end of z and the start of y and x.
    values[4:, :10, :10] = 100
    affine = np.zeros((4, 4))
    affine[:3, :3] = np.array([[0, 0, -1.0], [0, -1.0, 0], [2.0, 0, 0]])
    affine[3, 3] = 1
    volume = Volume(values, Geometry(values.shape, affine), window=window)
    grid, transform = volume.geometry.reoriented(axcodes)
    turned = replace(volume, data=np.asarray(apply_orientation(values, transform)), geometry=grid)
    write(turned, path)
    (info,) = scan(path)
    picture = thumbnail(info, side=40)
    assert picture is not None
    return picture


@pytest.mark.parametrize("axcodes", ["SPL", "IAR", "SAL", "SPR"])
def test_axial_is_seen_from_the_feet_with_the_face_up(tmp_path: Path, axcodes: str) -> None:
    picture = stored(tmp_path / "image.nii", axcodes, window=(0, 100))
    assert picture.dtype == np.uint8
    assert picture.shape == (20, 40)
    expected = np.zeros((20, 40), np.uint8)
    expected[:10, :10] = 255
    np.testing.assert_array_equal(picture, expected)


def test_a_series_taken_from_the_side_shows_a_slice_that_was_taken(tmp_path: Path) -> None:
    # The file's slowest axis is the last one: x, and the picture is (z, y) with the head up and the face to the left.
    picture = stored(tmp_path / "image.nii", "LSP", window=(0, 100))
    assert picture.shape == (40, 40)
    assert not picture.any(), "the middle of 40 columns is beside the bright corner"


def test_labels_have_their_colours(tmp_path: Path) -> None:
    values = np.zeros((3, 8, 8), np.uint8)
    values[1, :4] = 2
    path = tmp_path / "labels.nii.gz"
    write(Volume(values, None, kind="labels", classes=(LabelClass(value=2, name="liver", color="#ff8000"),)), path)
    (info,) = scan(path)
    picture = thumbnail(info, side=8)
    assert picture is not None
    assert picture.shape == (8, 8, 3)
    assert {tuple(colour) for colour in picture.reshape(-1, 3).tolist()} == {(0, 0, 0), (255, 128, 0)}


def test_a_volume_that_is_gone_has_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "image.nii"
    write(Volume(np.zeros((3, 4, 5), np.int16), None), path)
    (info,) = scan(path)
    write(Volume(np.zeros((3, 4, 6), np.int16), None), path)
    assert thumbnail(info) is None
