"""nnU-Net's intensities and voxel sizes."""

from collections.abc import Sequence
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import BundleError, DataError
from napari_medseg.models.pipeline import Normalisation, Resampling

Spacing = tuple[float, ...]
Image = NDArray[np.float32]
EPSILON = 1e-8
ANISOTROPIC = 3
"""From this ratio of the coarsest to the finest edge of a voxel on, nnU-Net treats the coarsest axis by itself."""
PLACES = {
    "resample_data_or_seg_to_shape": "default_resampling",
    "resample_torch_fornnunet": "resample_torch",
    "resample_torch_simple": "resample_torch",
    "no_resampling_data_or_seg_to_shape": "no_resampling",
}


def normalise(image: Image, mask: NDArray[np.bool_], rule: Normalisation) -> Image:
    """Return the input of a network for one channel; changes `image`.

    Parameters
    ----------
    image : (z, y, x) float32 array
        In one block of memory, since sums depend on their order.
    mask : (z, y, x) bool array
        The nonzero region without holes.
    rule : Normalisation
        What to do.
    """
    if rule.scheme == "ct":
        np.clip(image, rule.low, rule.high, out=image)
        image -= rule.mean
        image /= max(rule.deviation, EPSILON)
    elif rule.scheme == "zscore" and rule.masked:
        inside = image[mask]
        image[mask] = (inside - inside.mean()) / max(inside.std(), EPSILON)
    elif rule.scheme == "zscore":
        mean, deviation = image.mean(), image.std()
        image -= mean
        image /= max(deviation, EPSILON)
    elif rule.scheme == "rescale01":
        image -= image.min()
        image /= max(image.max(), EPSILON)
    elif rule.scheme == "rgb01":
        if image.min() < 0 or image.max() > 255:
            raise DataError(
                f"The model wants colours from 0 to 255, but the image has values from {image.min():g} to "
                f"{image.max():g}.",
                "Choose a colour image, or another model.",
            )
        image /= 255.0
    return image


def resample(
    image: Image, shape: Sequence[int], spacing: Spacing, target: Spacing, rule: Resampling
) -> NDArray[np.float32]:
    """Return a (channel, z, y, x) image with another number of voxels, by nnU-Net's own function.

    Parameters
    ----------
    image : (channel, z, y, x) float32 array
        The image.
    shape : sequence of int
        Voxels wanted along (z, y, x).
    spacing, target : tuple of float
        Voxel size in mm before and after; they decide whether an axis is treated by itself.
    rule : Resampling
        Which function.
    """
    if tuple(shape) == image.shape[1:]:
        return image
    try:
        module = import_module(f"nnunetv2.preprocessing.resampling.{PLACES[rule.function]}")
    except ImportError as error:
        raise BundleError(
            "Models of nnU-Net need a package that is not installed.", "pip install 'napari-medseg[nnunet]'"
        ) from error
    function = getattr(module, rule.function)
    found = function(image, np.array(shape), list(spacing), list(target), **rule.arguments)
    return np.asarray(found, dtype=np.float32)


def separate_axis(spacing: Spacing, target: Spacing, rule: Resampling) -> int | None:
    """Return the axis that nnU-Net treats by itself on the way from one voxel size to another; None if there is none.

    Examples
    --------
    >>> separate_axis((5.0, 1.0, 1.0), (1.0, 1.0, 1.0), Resampling())
    0
    >>> separate_axis((0.2, 1.0, 1.0), (1.0, 1.0, 1.0), Resampling()) is None
    True
    """
    forced = rule.arguments.get("force_separate_z")
    threshold = float(rule.arguments.get("separate_z_anisotropy_threshold") or ANISOTROPIC)
    if rule.function == "resample_torch_simple" or forced is False:
        return None
    for edges in (spacing,) if forced else (spacing, target):
        if forced or max(edges) / min(edges) > threshold:
            coarsest = [axis for axis, edge in enumerate(edges) if max(edges) / edge == 1]
            return coarsest[0] if len(coarsest) == 1 else None
    return None
