"""Grey images that were stored in colour."""

from dataclasses import replace

import numpy as np

from napari_medseg.volume.volume import Volume


def as_grey(volume: Volume) -> Volume:
    """Return an image whose three colours are alike everywhere with one channel; others as they are.

    X-rays and ultrasound are often saved so.

    Examples
    --------
    >>> as_grey(Volume(np.full((4, 5, 3), 7, np.uint8), None, rgb=True)).data.shape
    (4, 5)
    """
    if not volume.rgb:
        return volume
    data = np.asarray(volume.data)
    if data.shape[-1] < 3 or not all(np.array_equal(data[..., 0], data[..., k]) for k in (1, 2)):
        return volume
    return replace(volume, data=data[..., 0], rgb=False)
