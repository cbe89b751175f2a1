"""How an image's own axes and the axes of the network's grid belong together."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import BundleError, DataError
from napari_medseg.inference.scratch import zeros
from napari_medseg.models import ModelSpec
from napari_medseg.volume import Geometry, Volume


@dataclass(frozen=True, eq=False)
class Placement:
    """Permutation and flips from an image's own axes to those of the network's grid; copies nothing.

    Examples
    --------
    >>> image = Volume(np.arange(3.0).reshape(1, 1, 3), Geometry((1, 1, 3), np.eye(4)[:, [2, 1, 0, 3]]))
    >>> Placement.of(image, ModelSpec(name="head", architecture="unet")).to_grid(image.data)
    array([[[2., 1., 0.]]])
    """

    shape: tuple[int, ...]
    """Voxels along the image's own axes; two or three."""
    axes: tuple[int, int, int]
    """Own axis that each axis of the grid runs along. A plane has a first axis of one voxel."""
    flips: tuple[bool, bool, bool]
    """Whether each axis of the grid runs against its own axis."""
    native: Geometry | None
    """The image's voxels on the axes of the grid; None for an image without geometry."""

    @classmethod
    def of(cls, volume: Volume, spec: ModelSpec) -> "Placement":
        """Return the placement of an image for a model.

        Raises
        ------
        BundleError
            If the model needs a volume, or a place in the patient, that the image does not have.
        """
        shape = volume.spatial_shape
        if len(shape) == 2 and spec.dims == 3:
            raise BundleError(
                f"{spec.name} works on volumes, but {volume.name} is a single plane of {shape} pixels.",
                "Choose a model for planes, or open the whole series.",
            )
        if spec.axcodes is None:
            return cls(shape, (0, 1, 2), (False, False, False), None)
        if volume.geometry is None:
            raise BundleError(
                f"{spec.name} needs to know how the patient lies ({spec.axcodes}), but {volume.name} has no geometry.",
                "Save the image in a format with geometry, such as NIfTI, or train a model on images without.",
            )
        own = _as_volume(volume.geometry)
        native, transform = own.reoriented(spec.axcodes)
        order = np.argsort(transform[:, 0])
        z, y, x = (int(axis) for axis in order)
        if len(shape) == 2 and z != 0:
            raise BundleError(
                f"{spec.name} works on planes that are stacked along {spec.axcodes[0]}, but {volume.name} "
                f"is a plane of the other direction ({own.axcodes[1:]}).",
                "Choose a model for planes of this direction.",
            )
        flips = transform[order, 1] < 0
        return cls(shape, (z, y, x), (bool(flips[0]), bool(flips[1]), bool(flips[2])), native)

    @property
    def grid_shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x) of the grid, before any resampling."""
        own = (1, *self.shape)[-3:]
        z, y, x = (own[axis] for axis in self.axes)
        return z, y, x

    @property
    def own(self) -> Geometry | None:
        """Where the image's own array lies, that of a plane as a block of one slice; None without geometry."""
        grid = self.native
        for axis in np.flatnonzero(self.flips):
            grid = None if grid is None else grid.flipped(int(axis))
        return None if grid is None else grid.transposed([int(axis) for axis in np.argsort(self.axes)])

    def to_grid(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a (..., z, y, x) view on the grid of an array whose last axes are the image's own."""
        array = np.asarray(array)
        if len(self.shape) == 2:
            array = array[..., None, :, :]
        lead = tuple(range(array.ndim - 3))
        array = array.transpose(*lead, *(len(lead) + axis for axis in self.axes))
        return self._flip(array)

    def from_grid(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a view with the image's own axes of a (..., z, y, x) array on the grid."""
        array = self._flip(array)
        lead = tuple(range(array.ndim - 3))
        array = array.transpose(*lead, *(len(lead) + int(axis) for axis in np.argsort(self.axes)))
        return array[..., 0, :, :] if len(self.shape) == 2 else array

    def _flip(self, array: NDArray[Any]) -> NDArray[Any]:
        steps = tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)
        view: NDArray[Any] = array[(..., *steps)]
        return view

    def grid_slice(self, axis: int, index: int) -> tuple[int, int]:
        """Return the grid's axis and index of a slice of the image's own array.

        Parameters
        ----------
        axis : int
            Own axis that the slice is perpendicular to; a plane is its own only slice whatever is asked.
        index : int
            Position along it.
        """
        if len(self.shape) == 2:
            return 0, 0
        grid_axis = self.axes.index(axis)
        return grid_axis, self.grid_shape[grid_axis] - 1 - index if self.flips[grid_axis] else index


def channels_first(volume: Volume, channels: int, model: str) -> NDArray[Any]:
    """Return the (channel, ...) array of an image for a network with `channels` inputs.

    Colours or one leading axis become channels. An alpha channel that the network does not want is dropped; a grey
    image is taken for a network of colours, and a picture of equal colours for a network of one channel.

    Raises
    ------
    DataError
        If the image has another number of channels, with what to do.
    """
    data = _at_hand(volume)
    if volume.rgb:
        data = np.moveaxis(data, -1, len(volume.axes))
    lead = data.shape[: data.ndim - len(volume.spatial_shape)]
    if volume.rgb and lead[-1] == 4 and channels != 4:
        data, lead = np.delete(data, 3, axis=len(lead) - 1), (*lead[:-1], 3)
    if volume.rgb and channels == 1 and (data == data[..., :1, :, :]).all():
        data, lead = data[..., 0, :, :], lead[:-1]
    if channels == 3 and volume.geometry is None and len(volume.spatial_shape) == 2 and not [n for n in lead if n > 1]:
        data, lead = np.broadcast_to(data.reshape(1, *volume.spatial_shape), (3, *volume.spatial_shape)), (3,)
    if [n for n in lead if n > 1] != ([channels] if channels > 1 else []):
        names = (*volume.axes, *(("colour",) if volume.rgb else ()))
        found = ", ".join(f"{n} along {name}" for name, n in zip(names, lead, strict=True)) or "one channel"
        raise DataError(
            f"{model} takes {channels} channel{'s' if channels > 1 else ''}, but {volume.name} has {found}.",
            "Choose one time point or channel of it, or a model that was made for such images.",
        )
    if data.dtype.kind not in "biuf":
        raise DataError(f"{volume.name} has values of type {data.dtype}, not real numbers.", "Convert it first.")
    return data.reshape(channels, *volume.spatial_shape)


def _at_hand(volume: Volume) -> NDArray[Any]:
    """Return the array of an image; a lazy one is computed chunk by chunk, into a temporary file if it is large."""
    data = volume.data
    if isinstance(data, np.ndarray):
        return data
    from dask.array import store

    held = zeros(data.shape, data.dtype)
    # Chunks do not overlap, so they can be written at the same time.
    store(data, held, lock=False)
    return held


def _as_volume(geometry: Geometry) -> Geometry:
    if geometry.ndim == 3:
        return geometry
    return Geometry((1, *geometry.shape), geometry.affine[:, [2, 0, 1, 3]])
