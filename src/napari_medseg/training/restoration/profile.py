"""How thick the slices of a volume are, from the volume itself."""

import numpy as np
from numpy.typing import NDArray

from napari_medseg.training.restoration.pairs import in_plane
from napari_medseg.volume.sampling import AxisSampling, along, averaging_matrix

WIDTHS = np.geomspace(0.3, 2.0, 18)
"""Thicknesses that are tried, as shares of the distance between slices."""


def estimated_width(values: NDArray[np.float32], thick: int, steps: dict[int, float], axis: AxisSampling) -> float:
    """Return the thickness of the slices in fine voxels.

    The volume is made thick along an axis within its slices, too. Where both thicknesses are the same, neighbouring
    slices differ as much as neighbouring rows, if tissue looks alike in both directions.

    Parameters
    ----------
    values : (z, y, x) array
        The volume.
    thick : int
        Axis across the slices.
    steps : dict of int to float
        As for `in_plane`.
    axis : AxisSampling
        Factor and profile of the slices; the width that is in it has no influence.
    """
    found = []
    for planes in in_plane(values, thick, steps):
        count = int(planes.shape[1] // axis.factor)
        if count < 4 or len(planes) < 4:
            continue
        excess = []
        for share in WIDTHS:
            tried = AxisSampling(axis.factor, share * axis.factor, axis.profile)
            both = along(averaging_matrix(count, planes.shape[1], tried), planes, 1)
            across, within = (float(np.mean(np.square(np.diff(both, axis=side)))) for side in (0, 1))
            excess.append(np.log(across / max(within, 1e-12)) if across else 0.0)
        # The thicker the rows are made, the less they differ, and the larger is the excess of the slices.
        found.append(float(np.interp(0.0, np.maximum.accumulate(excess), WIDTHS)))
    return axis.factor * (float(np.mean(found)) if found else 1.0)
