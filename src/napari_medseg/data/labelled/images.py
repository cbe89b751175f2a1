"""Images of any format as arrays of one size."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.labelled.crop import cut_out
from napari_medseg.data.labelled.table import Box
from napari_medseg.errors import DataError, GeometryError
from napari_medseg.io import read
from napari_medseg.models.spec import Crop
from napari_medseg.volume import Volume

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""Share of red, green and blue in brightness (ITU-R BT.601), for a model of grey images."""


class Rows(Protocol):
    """Images of one shape, by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> NDArray[np.generic]: ...


@dataclass(frozen=True, eq=False)
class Pictures:
    """Where images are, by number: files of any format, or the arrays of an npz file."""

    names: tuple[str, ...]
    """As in tables: the path below the folder, or part and number of an npz file, such as ``test/12``."""
    paths: tuple[Path, ...] = ()
    """Files or DICOM folders; empty for arrays."""
    arrays: tuple[Rows, ...] = ()
    """(n, [z,] y, x[, colour]) arrays whose images come after each other; empty for files."""
    places: tuple[int, ...] = ()
    """Which of them each is; empty for all in their order."""
    more: tuple[tuple[Path, ...], ...] = ()
    """Further files of each, whose images become further channels; empty if there are none."""
    boxes: tuple[Box | None, ...] = ()
    """What part of its file each is; empty if all are whole files."""
    crop: Crop = field(default_factory=Crop)
    """How boxes are cut out."""
    _last: dict[Path, Volume] = field(default_factory=dict, repr=False)

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
            paths = (self.paths[number], *(self.more[number] if self.more else ()))
            return _together([self._part(path, number) for path in paths], self.names[number])
        return _channels_first(self._stored(number))

    def _stored(self, number: int) -> NDArray[np.generic]:
        place = self.places[number] if self.places else number
        for array in self.arrays:
            if place < len(array):
                return np.asarray(array[place])
            place -= len(array)
        raise IndexError(number)

    def chosen(self, numbers: Sequence[int]) -> "Pictures":
        """Return some of the images, in this order."""
        names = tuple(self.names[k] for k in numbers)
        if not self.paths:
            return replace(self, names=names, places=tuple(self.places[k] if self.places else k for k in numbers))
        return replace(
            self,
            names=names,
            paths=tuple(self.paths[k] for k in numbers),
            more=tuple(self.more[k] for k in numbers) if self.more else (),
            boxes=tuple(self.boxes[k] for k in numbers) if self.boxes else (),
        )

    def planes(self, number: int) -> list[NDArray[np.generic]]:
        """Return an image as (channel, y, x): a plane as the only one, a volume slice by slice in its own order.

        Raises
        ------
        MedsegError
            If a file cannot be read, or does not hold one image.
        """
        if not self.paths or (self.boxes and self.boxes[number] is not None):
            image = self.get(number)
            return [image] if image.ndim == 3 else [image[:, k] for k in range(image.shape[1])]
        name = self.names[number]
        paths = (self.paths[number], *(self.more[number] if self.more else ()))
        volumes = [[values_of(one) for one in slices_of(one_volume(path, name))] for path in paths]
        if len({len(slices) for slices in volumes}) > 1:
            raise DataError(f"The images of {name} have different numbers of slices.", "Register and resample them.")
        return [_together(parts, name) for parts in zip(*volumes, strict=True)]

    def _part(self, path: Path, number: int) -> NDArray[np.generic]:
        box = self.boxes[number] if self.boxes else None
        if box is None:
            return picture_of(path, self.names[number])
        if path not in self._last:
            self._last.clear()
            self._last[path] = one_volume(path, self.names[number])
        return values_of(cut_out(self._last[path], box, self.crop))


def one_volume(path: Path, name: str) -> Volume:
    """Read the one image of a file.

    Raises
    ------
    MedsegError
        If it cannot be read.
    DataError
        If it holds several images.
    """
    volumes = [volume for volume in read(path) if volume.kind == "image"]
    if len(volumes) != 1:
        raise DataError(f"{name} holds {len(volumes)} images instead of one.", "Give each image a file of its own.")
    return volumes[0]


def picture_of(path: Path, name: str) -> NDArray[np.generic]:
    """Read one image as (channel, [z,] y, x); a volume of one slice is a plane.

    Raises
    ------
    MedsegError
        If it cannot be read.
    DataError
        If it holds several images, or one that changes over time.
    """
    return values_of(one_volume(path, name))


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


def slices_of(volume: Volume) -> list[Volume]:
    """Return the slices of a volume along its first axis, in its own order; a plane is its own only slice."""
    if len(volume.spatial_shape) == 2:
        return [volume]
    data = np.asarray(volume.data)
    return [replace(volume, data=data[k : k + 1], geometry=None) for k in range(volume.spatial_shape[0])]


def _together(parts: Sequence[NDArray[np.generic]], name: str) -> NDArray[np.generic]:
    """Return the channels of images that lie on one grid."""
    if len(parts) == 1:
        return parts[0]
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        sizes = " and ".join("x".join(map(str, shape)) for shape in sorted(shapes))
        raise DataError(f"The images of {name} are not on one grid: {sizes} voxels.", "Register and resample them.")
    return np.concatenate([part.astype(np.float32) for part in parts])


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
    if values.ndim > 2 and values.shape[-1] == 1:
        return values[None, ..., 0]
    return values[None]


def finite(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return values as float32, with 0 for those that are no number."""
    found = values.astype(np.float32, copy=False)
    return found if values.dtype.kind in "biu" else np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)


def with_channels(values: NDArray[np.generic], channels: int, name: str) -> NDArray[np.float32]:
    """Return an image with the number of channels that a model sees.

    Grey becomes three equal channels, colour becomes brightness.

    Raises
    ------
    DataError
        If neither fits, or no value is a number.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).any():
        raise DataError(f"{name} holds no number.", "Leave it out, or save it again.")
    found = finite(values)
    if len(found) == channels:
        return found
    if len(found) == 1:
        return np.repeat(found, channels, axis=0)
    if channels == 1 and len(found) == len(LUMINANCE):
        return np.tensordot(LUMINANCE, found, axes=1)[None].astype(np.float32)
    raise DataError(f"{name} has {len(found)} channels; the model sees {channels}.", "Use images of one kind.")
