"""Images of several frames or colours, taken apart and put together."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_medseg.volume.volume import Volume

COLOURS = 3
"""Red, green and blue; what is transparent is not computed with."""


def has_frames(volume: Volume) -> bool:
    """Return whether an image has colours or axes beside those of space."""
    return volume.rgb or bool(volume.axes)


def frames_of(volume: Volume) -> list[Volume]:
    """Return the frames of an image, or its colours, each as an image of one channel.

    Examples
    --------
    >>> [frame.data.shape for frame in frames_of(Volume(np.zeros((4, 5, 3), np.uint8), None, rgb=True))]
    [(4, 5), (4, 5), (4, 5)]
    """
    data = volume.data
    if volume.rgb:
        colours = [data[..., number] for number in range(min(COLOURS, data.shape[-1]))]
        whole = [replace(volume, data=colour, rgb=False, window=None) for colour in colours]
        return [frame for colour in whole for frame in frames_of(colour)]
    if not volume.axes:
        return [volume]
    shape = tuple(int(n) for n in data.shape[: len(volume.axes)])
    return [replace(volume, data=data[index], axes=(), axis_values={}) for index in np.ndindex(shape)]


def joined(parts: Sequence[NDArray[np.generic]], volume: Volume) -> NDArray[np.generic]:
    """Return the array of an image from what was computed of its frames.

    Parameters
    ----------
    parts : sequence of arrays
        In the order of `frames_of`; all of one shape, which need not be that of the frames.
    volume : Volume
        The image that was taken apart.
    """
    stacked = np.stack(parts)
    lead = tuple(int(n) for n in volume.data.shape[: len(volume.axes)])
    if not volume.rgb:
        return stacked.reshape(*lead, *stacked.shape[1:])
    colours = stacked.reshape(-1, *lead, *stacked.shape[1:])
    return np.moveaxis(colours, 0, -1)
