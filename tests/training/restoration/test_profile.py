"""The thickness of slices is found again."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_medseg.training.restoration.profile import estimated_width
from napari_medseg.volume.sampling import AxisSampling, along, averaging_matrix


@pytest.mark.parametrize("share", [0.5, 1.0, 1.5])
def test_thickness_is_found(share):
    # Detail of all sizes, alike in all directions.
    random = np.random.default_rng(0)
    truth = sum(s * gaussian_filter(random.normal(size=(96, 80, 80)), s) * s for s in (1.0, 2.0, 4.0))
    axis = AxisSampling(3, share * 3)
    thick = along(averaging_matrix(32, 96, axis), np.asarray(truth, np.float32), 0)
    found = estimated_width(thick, 0, {1: 1.0, 2: 1.0}, AxisSampling(3))
    assert found / 3 == pytest.approx(share, rel=0.15)
