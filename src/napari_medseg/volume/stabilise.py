"""Values in which noise is alike everywhere, and the way back without bias."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ive

from napari_medseg.volume.noise import noise_level, residual

NoiseKind = Literal["gaussian", "rician", "poisson"]
BINS = 24
"""Brightnesses at which the variance of the noise is measured."""


@dataclass(frozen=True)
class Stabiliser:
    """Between an image and values whose noise has one standard deviation.

    Gaussian noise stays as it is. Rician noise (magnitude images of MR) stays, too, but the way back takes away what it
    adds to dark voxels (Koay and Basser 2006). Noise of photons, with a Gaussian part, goes through the generalised
    Anscombe transform and back through its unbiased inverse (Mäkitalo and Foi 2013).
    """

    kind: NoiseKind
    level: float
    """Standard deviation of the noise, of its Gaussian part for ``poisson``, in the image's unit."""
    gain: float = 1.0
    """For ``poisson``: variance of the noise per unit of brightness."""

    @property
    def stable_level(self) -> float:
        """Standard deviation of the noise after `apply`."""
        return 1.0 if self.kind == "poisson" else self.level

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values whose noise is alike everywhere."""
        if self.kind != "poisson":
            return values
        inside = self.gain * values + 0.375 * self.gain**2 + self.level**2
        return np.asarray(2 / self.gain * np.sqrt(np.maximum(inside, 0)), np.float32)

    def undo(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an image from the means of stable values."""
        if self.kind == "gaussian":
            return values
        if self.kind == "rician":
            signal = np.linspace(0, max(float(values.max()), 10 * self.level), 4096)
            return np.interp(values, rician_mean(signal, self.level), signal).astype(np.float32)
        root = np.maximum(values, 2 * np.sqrt(0.375 + (self.level / self.gain) ** 2)).astype(np.float64)
        counts = root**2 / 4 + np.sqrt(1.5) / 4 / root - 11 / 8 / root**2 + 5 / 8 * np.sqrt(1.5) / root**3 - 1 / 8
        return np.asarray(self.gain * (counts - (self.level / self.gain) ** 2), np.float32)


def stabiliser_for(values: NDArray[np.float32], kind: NoiseKind, level: float | None = None) -> Stabiliser:
    """Return the stabiliser of an image, whose noise is estimated unless its level is given."""
    if kind != "poisson":
        return Stabiliser(kind, max(noise_level(values) if level is None else level, 1e-12))
    gain, variance = _photons(values)
    return Stabiliser("poisson", float(np.sqrt(variance)) if level is None else level, gain)


def rician_mean(signal: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return the mean of magnitudes whose true signal and noise level are given.

    Examples
    --------
    >>> rician_mean(np.array([0.0, 10.0]), 1.0).round(3)
    array([ 1.253, 10.05 ])
    """
    power = signal**2 / (2 * level**2)
    half = power / 2
    # Laguerre polynomial of degree one half; the scaled Bessel functions do not overflow.
    laguerre = (1 + power) * ive(0, half) + power * ive(1, half)
    return np.asarray(level * np.sqrt(np.pi / 2) * laguerre, np.float64)


def _photons(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the variance of the noise per unit of brightness, and that where there is none."""
    mean = ndimage.uniform_filter(values, (1,) * (values.ndim - 2) + (3, 3))
    square = residual(values) ** 2
    edges = np.quantile(mean, np.linspace(0, 1, BINS + 1))
    at, found = [], []
    for low, high in pairwise(edges):
        inside = (mean >= low) & (mean <= high)
        if high > low and inside.sum() > BINS:
            at.append(float(mean[inside].mean()))
            # Half of the squares of Gaussian noise are below 0.455 of its variance; edges are above.
            found.append(float(np.median(square[inside])) / 0.455)
    if len(at) < 2:
        return 1.0, 0.0
    slope, intercept = np.polyfit(at, found, 1, w=1 / np.sqrt(np.maximum(found, 1e-12)))
    return max(float(slope), 1e-6 * max(found[-1], 1e-12)), max(float(intercept), 0.0)
