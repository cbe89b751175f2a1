"""Images of any format as arrays of one size."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError, GeometryError
from napari_medseg.io import read
from napari_medseg.volume import Volume

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""Share of red, green and blue in brightness (ITU-R BT.601), for a model of grey images."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Where images are, by number: files of any format, or the arrays of an npz file."""

    names: tuple[str, ...]
    """As in tables: the path below the folder, or part and number of an npz file, such as ``test/12``."""
    paths: tuple[Path, ...] = ()
    """Files or DICOM folders; empty for arrays."""
    arrays: tuple[NDArray[np.generic], ...] = ()
    """(n, [z,] y, x[, colour]) arrays whose images come after each other; empty for files."""

    def __len__(self) -> int:
        return len(self.names)

    def get(self, number: int) -> NDArray[np.generic]:
        """Return an image as (channel, [z,] y, x).

        Raises
        ------
        MedsegError
            If a file cannot be read, or does not hold one image.
        """
        if self.paths:
            return picture_of(self.paths[number], self.names[number])
        for array in self.arrays:
            if number < len(array):
                return _channels_first(np.asarray(array[number]))
            number -= len(array)
        raise IndexError(number)


def picture_of(path: Path, name: str) -> NDArray[np.generic]:
    """Read one image as (channel, [z,] y, x); a volume of one slice is a plane.

    Raises
    ------
    MedsegError
        If it cannot be read.
    DataError
        If it holds several images, or one that changes over time.
    """
    volumes = [volume for volume in read(path) if volume.kind == "image"]
    if len(volumes) != 1:
        raise DataError(f"{name} holds {len(volumes)} images instead of one.", "Give each image a file of its own.")
    return values_of(volumes[0])


def values_of(volume: Volume) -> NDArray[np.generic]:
    """Return an image as (channel, [z,] y, x), volumes with axes towards superior, posterior and left.

    Raises
    ------
    DataError
        If it changes over time, or the like.
    """
    if volume.axes:
        raise DataError(f"{volume.name} has the axes {', '.join(volume.axes)} beside those of space.", "Split it.")
    values = np.asarray(volume.data)
    values = np.moveaxis(values[..., :3], -1, 0) if volume.rgb else values[None]
    if volume.geometry is not None and values.ndim == 4 and values.shape[1] > 1:
        values = _standing(values, volume)
    return values[:, 0] if values.ndim == 4 and values.shape[1] == 1 else values


def _standing(values: NDArray[np.generic], volume: Volume) -> NDArray[np.generic]:
    assert volume.geometry is not None
    from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    wanted = axcodes2ornt(("S", "P", "L"))
    try:
        turn = ornt_transform(io_orientation(volume.geometry.affine), wanted)
    except (ValueError, GeometryError):
        return values
    return np.stack([apply_orientation(channel, turn) for channel in values])


def _channels_first(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return an image of an npz file with its channels first; colour is last there."""
    if values.ndim == 3 and values.shape[-1] in (3, 4):
        return np.moveaxis(values[..., :3], -1, 0)
    if values.ndim == 4 and values.shape[-1] == 1:
        return values[None, ..., 0]
    return values[None]


def with_channels(values: NDArray[np.generic], channels: int, name: str) -> NDArray[np.float32]:
    """Return an image with the number of channels that a model sees.

    Grey becomes three equal channels, colour becomes brightness.

    Raises
    ------
    DataError
        If neither fits.
    """
    found = np.nan_to_num(values.astype(np.float32, copy=False), nan=0.0, posinf=0.0, neginf=0.0)
    if len(found) == channels:
        return found
    if len(found) == 1:
        return np.repeat(found, channels, axis=0)
    if channels == 1 and len(found) == len(LUMINANCE):
        return np.tensordot(LUMINANCE, found, axes=1)[None].astype(np.float32)
    raise DataError(f"{name} has {len(found)} channels; the model sees {channels}.", "Use images of one kind.")
