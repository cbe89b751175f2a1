"""The values of a label map, one per voxel."""

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.volume import Volume


def label_array(volume: Volume, name: str) -> NDArray[np.generic]:
    """Return the values of a label map without leading axes.

    Parameters
    ----------
    volume : Volume
        From any file. A mask that was saved as a picture in colour is taken by one of its equal colours, an alpha
        channel is left out.
    name : str
        Of the case, for messages.

    Returns
    -------
    (Z, Y, X) or (Y, X) array
        As stored.

    Raises
    ------
    DataError
        If it has several values per voxel.
    """
    data = np.asarray(volume.data)
    if volume.rgb:
        data = data[..., :3]
        if not (data == data[..., :1]).all():
            raise DataError(f"{name}: {volume.name} is a picture in colour.", "Save the mask as grey values.")
        data = data[..., 0]
    if data.size != np.prod(volume.spatial_shape):
        raise DataError(f"{name}: the labels have the shape {data.shape}, not one class per voxel.", "Use a label map.")
    return data.reshape(volume.spatial_shape)
