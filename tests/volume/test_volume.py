"""A volume refuses a grid that is not its own."""

import dask.array as da
import numpy as np
import pytest

from napari_medseg.errors import GeometryError
from napari_medseg.volume import Geometry, Volume


def test_spatial_axes_lie_between_leading_axes_and_colour() -> None:
    geometry = Geometry((3, 4, 5), np.eye(4))
    volume = Volume(np.zeros((2, 3, 4, 5, 3), np.uint8), geometry, axes=("time",), rgb=True)
    assert volume.spatial_axes == (1, 2, 3)
    assert volume.spatial_shape == (3, 4, 5)
    np.testing.assert_array_equal(volume.affine, np.eye(4))


def test_a_lazy_array_stays_lazy() -> None:
    volume = Volume(da.zeros((3, 4, 5), chunks=1), None)
    assert isinstance(volume.data, da.Array)
    assert volume.affine is None


def test_a_foreign_grid_is_refused() -> None:
    with pytest.raises(GeometryError, match=r"\(3, 4, 5\) voxels but the array has \(3, 4, 6\)"):
        Volume(np.zeros((3, 4, 6)), Geometry((3, 4, 5), np.eye(4)), name="CT 1")


def test_an_array_without_spatial_axes_is_refused() -> None:
    with pytest.raises(GeometryError, match="two or three spatial axes"):
        Volume(np.zeros(7), None)
