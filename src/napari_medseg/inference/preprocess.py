"""From an image to the grid and the numbers that a network wants.

The same steps, by MONAI's own transforms, stand in the bundle's configuration; see `napari_medseg.models.configs`.
Small images take MONAI's transforms as a whole, so that every bit is the same. Large ones are read, resampled and
measured in chunks and normalised tile by tile, which agrees to rounding.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.inference.placement import Placement, channels_first
from napari_medseg.inference.resample import Resampling
from napari_medseg.inference.scratch import zeros
from napari_medseg.inference.statistics import mean_and_deviation, percentiles, smallest_and_largest
from napari_medseg.inference.tiling import Box3, Shape3
from napari_medseg.models import Intensity, ModelSpec
from napari_medseg.models.configs import intensity_transform
from napari_medseg.volume import Geometry, Volume

WHOLE_VOXELS = 1 << 26
"""Most values of an image, before resampling, that is held as a whole; 256 MB in float32."""
CHUNK_VOXELS = 1 << 22
"""Values that are looked at together in larger images."""
SAME_SPACING = 1e-3
"""Voxel sizes that differ by a smaller share are rounded ones of the same; nothing is interpolated for that."""

Normalise = Callable[[torch.Tensor], torch.Tensor]
"""From image values to the network's input, voxel by voxel; may change its argument."""


@dataclass(frozen=True, eq=False)
class ModelGrid:
    """An image as a network sees it."""

    values: NDArray[Any]
    """(channel, z, y, x) real numbers before `normalise`, possibly a memory map. A plane has z of 1."""
    normalise: Normalise
    """Makes float32 parts of `values` the network's input."""
    placement: Placement
    """The way between the image's own axes and those of this grid."""
    geometry: Geometry | None
    """This grid in space; None for an image without geometry."""
    has_matter: Callable[[Box3], bool] | None = None
    """Whether some voxel of a part reaches the model's value for air; None if the model has none."""
    notes: tuple[str, ...] = ()
    """What the user should know, one sentence each."""

    @property
    def shape(self) -> Shape3:
        """Voxels along (z, y, x)."""
        _, z, y, x = self.values.shape
        return z, y, x

    @property
    def resampled(self) -> bool:
        """Whether the voxels are not the image's own."""
        return self.geometry != self.placement.native

    def read(self, box: Box3) -> torch.Tensor:
        """Return the (channel, z, y, x) normalised float32 values of a part."""
        return self.normalise(finite(self.values[(slice(None), *box)]))

    @cached_property
    def image(self) -> torch.Tensor:
        """The whole as (channel, z, y, x) normalised float32, on the CPU."""
        return self.read((slice(None), slice(None), slice(None)))


def to_model_grid(volume: Volume, spec: ModelSpec, whole_voxels: int = WHOLE_VOXELS) -> ModelGrid:
    """Bring an image to a model's axes, spacing and intensities.

    Parameters
    ----------
    volume : Volume
        Left as it is; in memory, memory-mapped or lazy.
    spec : ModelSpec
        What the model needs.
    whole_voxels : int
        Most values of an image that is held as a whole.

    Returns
    -------
    ModelGrid
        The network's input and the way back.

    Raises
    ------
    BundleError
        If the model is for another kind of image (volume or plane, with or without geometry).
    DataError
        If the image has another number of channels.
    """
    placement = Placement.of(volume, spec)
    values = placement.to_grid(channels_first(volume, spec.channels, spec.name))
    unusable = _count_unusable(values)
    notes = (f"{unusable} values of {volume.name} are not finite numbers and count as zero.",) if unusable else ()
    if values.size <= whole_voxels:
        return _as_a_whole(values, spec, placement, notes)
    return _in_chunks(values, spec, placement, notes)


def finite(values: NDArray[Any]) -> torch.Tensor:
    """Return a float32 copy in which numbers that are not finite are zero."""
    copied = torch.from_numpy(np.array(values, dtype=np.float32, order="C"))
    return copied.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0) if values.dtype.kind == "f" else copied


def _count_unusable(values: NDArray[Any]) -> int:
    if values.dtype.kind != "f":
        return 0
    return sum(part.size - int(np.count_nonzero(np.isfinite(part))) for part in _planes(values))


def _planes(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the planes of a (channel, z, y, x) array, several at once."""
    rows = max(1, CHUNK_VOXELS * values.shape[1] // max(values.size, 1))
    for start in range(0, values.shape[1], rows):
        yield values[:, start : start + rows]


def _as_a_whole(values: NDArray[Any], spec: ModelSpec, placement: Placement, notes: tuple[str, ...]) -> ModelGrid:
    # Always a copy: the image stays as it is, and sums run over memory in one order.
    image, geometry = finite(values), placement.native
    if geometry is not None and spec.spacing is not None:
        image, geometry = _spaced(image, geometry, spec.spacing)
    matter = None if spec.air_below is None else (image >= spec.air_below).any(dim=0)
    name, arguments = intensity_transform(spec.intensity)
    normalised = transform_named(name, arguments)(image).numpy()
    has_matter = None if matter is None else lambda box: bool(matter[box].any())
    return ModelGrid(normalised, lambda part: part, placement, geometry, has_matter, notes)


def _spaced(
    image: torch.Tensor, geometry: Geometry, spacing: tuple[float, float, float], lazy: bool = False
) -> tuple[torch.Tensor, Geometry]:
    """Return the image at another spacing, and its grid; the image as it is if `lazy`."""
    from monai.data.meta_tensor import MetaTensor
    from monai.transforms.spatial.array import Spacing

    if np.allclose(geometry.spacing, spacing, rtol=SAME_SPACING, atol=0):
        return image, geometry
    placed = MetaTensor(image, affine=torch.tensor(geometry.affine))
    resampled = cast("MetaTensor", Spacing(pixdim=spacing, mode="bilinear")(placed, lazy=lazy))
    shape, affine = resampled.peek_pending_shape(), np.asarray(resampled.peek_pending_affine(), dtype=np.float64)
    return resampled.as_tensor(), Geometry(tuple(int(n) for n in shape), affine)


def _in_chunks(values: NDArray[Any], spec: ModelSpec, placement: Placement, notes: tuple[str, ...]) -> ModelGrid:
    geometry = placement.native
    if geometry is not None and spec.spacing is not None:
        # One number, expanded: what is wanted is the grid.
        _, wanted = _spaced(torch.zeros(()).expand(values.shape), geometry, spec.spacing, lazy=True)
        values, geometry = _resampled(values, Resampling(geometry, wanted)), wanted
    air = spec.air_below
    has_matter = None if air is None else lambda box: bool((finite(values[(slice(None), *box)]) >= air).any())
    return ModelGrid(values, _measured(values, spec.intensity), placement, geometry, has_matter, notes)


def _resampled(values: NDArray[Any], resampling: Resampling) -> NDArray[np.float32]:
    """Return the values on another grid, computed some planes at a time."""
    depth, height, width = resampling.target_shape
    found: NDArray[np.float32] = zeros((len(values), depth, height, width), np.float32)
    own = values.size // values.shape[1] * values.shape[1] / depth
    rows = max(1, int(CHUNK_VOXELS / max(own, len(values) * height * width)))
    for start in range(0, depth, rows):
        target = (slice(start, min(start + rows, depth)), slice(0, height), slice(0, width))
        box = resampling.source_box(target)
        part = resampling.values(finite(values[(slice(None), *box)]), [rows.start for rows in box], target)
        found[(slice(None), *target)] = part.numpy()
    return found


def _measured(values: NDArray[Any], intensity: Intensity) -> Normalise:
    """Return an intensity rule with the numbers that it takes from the whole image filled in."""

    def chunks() -> Iterator[NDArray[np.float32]]:
        return (finite(part).numpy() for part in _planes(values))

    name, arguments = intensity_transform(intensity)
    if intensity.kind == "zscore":
        mean, deviation = mean_and_deviation(chunks, intensity.nonzero)
        arguments = arguments | {"subtrahend": mean, "divisor": deviation}
    elif intensity.kind in ("minmax", "percentile"):
        if intensity.kind == "minmax":
            low, high = smallest_and_largest(chunks)
        else:
            low, high = percentiles(chunks, (intensity.low, intensity.high))
        name = "ScaleIntensityRange"
        limits = {"a_min": low, "a_max": high, "b_min": 0.0, "b_max": 1.0}
        arguments = limits | {"clip": intensity.kind == "percentile"}
    return transform_named(name, arguments)


def transform_named(name: str, arguments: dict[str, Any]) -> Normalise:
    """Return a transform of MONAI's by name, on plain float32 tensors."""
    from monai.transforms.intensity import array as transforms

    transform = getattr(transforms, name)(**arguments)

    def normalise(image: torch.Tensor) -> torch.Tensor:
        normalised = transform(image)
        return torch.as_tensor(getattr(normalised, "as_tensor", lambda: normalised)(), dtype=torch.float32)

    return normalise
