"""Plain numbers of images that hold gaps."""

import numpy as np
import pytest

from napari_medseg.errors import DataError
from napari_medseg.volume import Volume
from napari_medseg.volume.plain import plain_values, with_gaps


def test_what_is_no_number_has_the_least_value_and_stays_empty():
    data = np.arange(12, dtype=np.float64).reshape(3, 4) - 5
    data[0, 0], data[2, 3] = np.nan, np.inf
    volume = Volume(data, None)
    found = plain_values(volume)
    assert found.dtype == np.float32
    assert found[0, 0] == found[2, 3] == -4
    fine = with_gaps(np.zeros((6, 4), np.float32), volume)
    assert np.argwhere(np.isnan(fine)).tolist() == [[0, 0], [1, 0], [4, 3], [5, 3]]
    whole = np.zeros((3, 4), np.float32)
    assert with_gaps(whole, Volume(np.zeros((3, 4), np.int16), None)) is whole
    with pytest.raises(DataError, match="holds no number"):
        plain_values(Volume(np.full((3, 3), np.nan), None, name="gap"))
    with pytest.raises(DataError, match="has colours"):
        plain_values(Volume(np.zeros((4, 4, 3)), None, rgb=True))
