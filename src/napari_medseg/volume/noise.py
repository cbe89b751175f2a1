"""How noisy an image is."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MEDIAN_TO_SIGMA = 1.4826
"""Standard deviation of a Gaussian over the median of its absolute values."""
KERNEL = np.outer([1, -2, 1], [1, -2, 1]) / 6.0
"""Difference of two Laplacians (Immerkær 1996): it is blind to slopes, and noise keeps its standard deviation."""
FLAT_SHARE = 0.5
"""Share of the voxels, those with the weakest edges, that noise is measured at."""


def noise_level(values: NDArray[np.floating]) -> float:
    """Return the standard deviation of the noise, from the flat half of what is brighter than the mean.

    Parameters
    ----------
    values : (z, y, x) or (y, x) array
        The image; noise is measured within its slices along the last two axes.

    Returns
    -------
    float
        In the unit of the image; 0 where it is too small to tell.
    """
    if min(values.shape[-2:]) < 3:
        return 0.0
    image = np.asarray(values, np.float32)
    rest = residual(image)
    tissue = (image > image.mean()) & (rest != 0)
    if not tissue.any():
        return 0.0
    slope = np.hypot(*(_slope(image, axis) for axis in (-2, -1)))[tissue]
    flat = rest[tissue][slope <= np.quantile(slope, FLAT_SHARE)]
    return float(np.median(np.abs(flat)) * MEDIAN_TO_SIGMA)


def _slope(image: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the slope along one axis of a slice, smoothed within it."""
    sigma, order = [0.0] * image.ndim, [0] * image.ndim
    sigma[-2:], order[axis] = (1.5, 1.5), 1
    return np.asarray(ndimage.gaussian_filter(image, sigma, order), np.float32)


def residual(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what is left of an image without its slopes: mostly noise, and fine edges."""
    kernel = KERNEL.reshape((1,) * (values.ndim - 2) + KERNEL.shape)
    return np.asarray(ndimage.convolve(values, kernel, mode="reflect"), np.float32)
