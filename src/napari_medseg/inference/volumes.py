"""How much of each class there is."""

import numpy as np

from napari_medseg.prediction import Prediction


def volumes_ml(prediction: Prediction) -> dict[str, float] | None:
    """Return the volume in millilitres of each foreground class, by name.

    Parameters
    ----------
    prediction : Prediction
        With a label map.

    Returns
    -------
    dict of str to float, or None
        None for an image without geometry, and for a plane, which has no volume.
    """
    geometry, output = prediction.geometry, prediction.label_map
    if geometry is None or geometry.ndim != 3:
        return None
    values, counts = np.unique(output.labels, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return {c.name: found.get(c.value, 0) * geometry.voxel_volume_ml for c in output.classes if c.value}
