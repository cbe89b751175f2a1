"""Bringing a label map to another grid."""

import numpy as np

from napari_medseg.errors import DataError
from napari_medseg.volume import Volume


def onto_grid(labels: Volume, reference: Volume) -> Volume:
    """Return a label map on the grid of another volume, each voxel with the value nearest to its centre.

    Parameters
    ----------
    labels : Volume
        Label map with geometry.
    reference : Volume
        Whose grid is wanted.

    Returns
    -------
    Volume
        0 where the label map does not reach. The label map itself if it is on the grid already.

    Raises
    ------
    DataError
        If one of them has no geometry.
    """
    from scipy.ndimage import affine_transform

    if labels.geometry == reference.geometry:
        return labels
    if labels.geometry is None or reference.geometry is None:
        raise DataError(f"{labels.name} cannot be resampled: a map without geometry lies nowhere.")
    data = np.asarray(labels.data).reshape(labels.spatial_shape)
    to_own = np.linalg.solve(labels.geometry.affine, reference.geometry.affine)
    size = labels.geometry.ndim
    if size != reference.geometry.ndim:
        raise DataError(f"{labels.name} cannot be resampled: one map is a plane and the other a volume.")
    values = affine_transform(
        data, to_own[:size, :size], to_own[:size, 3], reference.geometry.shape, order=0, mode="constant", cval=0
    )
    return Volume(values, reference.geometry, name=labels.name, kind="labels", classes=labels.classes)
