"""From an image to the grid and the numbers that a network wants.

The same steps, by MONAI's own transforms, stand in the bundle's configuration; see `napari_medseg.models.configs`.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from napari_medseg.inference.placement import Placement, channels_first
from napari_medseg.models import ModelSpec
from napari_medseg.models.configs import intensity_transform
from napari_medseg.volume import Geometry, Volume


@dataclass(frozen=True, eq=False)
class ModelGrid:
    """An image as a network sees it."""

    image: torch.Tensor
    """(channel, z, y, x) normalised float32, on the CPU. A plane has z of 1."""
    placement: Placement
    """The way between the image's own axes and those of this grid."""
    geometry: Geometry | None
    """This grid in space; None for an image without geometry."""
    matter: torch.Tensor | None = None
    """(z, y, x) bool, where some channel reaches the model's value for air; None if the model has none."""
    notes: tuple[str, ...] = ()
    """What the user should know, one sentence each."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        _, z, y, x = self.image.shape
        return z, y, x

    @property
    def resampled(self) -> bool:
        """Whether the voxels are not the image's own."""
        return self.geometry != self.placement.native


def to_model_grid(volume: Volume, spec: ModelSpec) -> ModelGrid:
    """Bring an image to a model's axes, spacing and intensities.

    Parameters
    ----------
    volume : Volume
        Left as it is.
    spec : ModelSpec
        What the model needs.

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
    own = channels_first(volume, spec.channels, spec.name)
    # Always a copy: the image stays as it is, and sums run over memory in one order.
    array = np.array(placement.to_grid(own), dtype=np.float32, order="C")
    unusable = array.size - int(np.count_nonzero(np.isfinite(array)))
    notes = (f"{unusable} values of {volume.name} are not finite numbers and count as zero.",) if unusable else ()
    image = torch.from_numpy(array).nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
    geometry = placement.native
    if geometry is not None and spec.spacing is not None:
        image, geometry = _resample(image, geometry, spec.spacing)
    matter = None if spec.air_below is None else (image >= spec.air_below).any(dim=0)
    return ModelGrid(_normalise(image, spec), placement, geometry, matter, notes)


def _resample(
    image: torch.Tensor, geometry: Geometry, spacing: tuple[float, float, float]
) -> tuple[torch.Tensor, Geometry]:
    from monai.data.meta_tensor import MetaTensor
    from monai.transforms.spatial.array import Spacing

    placed = MetaTensor(image, affine=torch.tensor(geometry.affine))
    resampled = cast("MetaTensor", Spacing(pixdim=spacing, mode="bilinear")(placed))
    return resampled.as_tensor(), Geometry(tuple(resampled.shape[1:]), resampled.affine.numpy())


def _normalise(image: torch.Tensor, spec: ModelSpec) -> torch.Tensor:
    from monai.transforms.intensity import array as transforms

    name, arguments = intensity_transform(spec.intensity)
    normalised = getattr(transforms, name)(**arguments)(image)
    return torch.as_tensor(getattr(normalised, "as_tensor", lambda: normalised)(), dtype=torch.float32)
