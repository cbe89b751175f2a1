"""What is known of an image's quality, and what may harm the tasks that follow."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_medseg.errors import DataError
from napari_medseg.volume import Volume
from napari_medseg.volume.grey import as_grey
from napari_medseg.volume.noise import MEDIAN_TO_SIGMA, noise_level, residual
from napari_medseg.volume.plain import plain_values

MAP_VOXELS = 9
"""Edge of the surroundings, within a slice, over which the noise map is taken."""
ANISOTROPIC = 2.0
"""Ratio of the largest to the smallest spacing from which slices count as thick."""
LOW_SNR = 10.0
LOW_SHARPNESS = 0.2
CLIPPED_SHARE = 0.002
"""Share of the voxels at one end of the values from which they count as clipped."""
GHOSTED = 0.5
"""How much brighter the background is beside the object than in the corners, as a share of the noise, from which it
counts as ghosts of motion."""
STEPPED = 0.15
"""Mean jump of brightness from slice to slice, as a share of the signal, from which slices do not match."""


@dataclass(frozen=True)
class QualityReport:
    """Quality of one image. Levels are in its unit; what cannot be measured is None."""

    name: str
    signal: float
    """Median of the tissue."""
    noise: float
    """Standard deviation of the noise, from the flat parts of the tissue."""
    snr: float | None
    """`signal` over `noise`."""
    cnr: float | None
    """Difference between the two regions, or between tissue and background, over `noise`."""
    sharpness: float
    """Slope at the edges, as a share of the step per voxel: about 0.5 for the sharpest edge that voxels can hold."""
    anisotropy: float | None
    """Largest over smallest spacing."""
    clipped_low: float
    """Share of the tissue's voxels at the smallest value."""
    clipped_high: float
    """Share of all voxels at the largest value."""
    ghosting: float | None
    """How much brighter the background is beside the object than in the corners, over the noise."""
    slice_steps: float | None
    """Mean jump of brightness from slice to slice, over the signal."""
    findings: tuple[str, ...]
    """What may harm other tasks, and what helps, one sentence each."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {**asdict(self), "findings": list(self.findings)}


def assess(
    volume: Volume, first: NDArray[np.bool_] | None = None, second: NDArray[np.bool_] | None = None
) -> QualityReport:
    """Measure the quality of an image.

    Parameters
    ----------
    volume : Volume
        One channel, no axes beside those of space.
    first, second : bool arrays, optional
        Regions on the image's grid: signal is taken in the first, contrast between both. By default tissue and
        background are told apart by Otsu's threshold.

    Raises
    ------
    DataError
        If the image has colours or further axes, or shows one value only.
    """
    volume = as_grey(volume)
    values = plain_values(volume)
    if values.min() == values.max():
        raise DataError(f"{volume.name} has the value {values.min():g} everywhere.", "Choose another image.")
    some = values[:: max(1, len(values) // 64)] if values.ndim == 3 else values
    tissue = values > threshold_otsu(some.ravel())
    region = tissue if first is None else first
    other = ~tissue if second is None else second
    _check_regions(values, region, other)
    noise = noise_level(values)
    signal, rest = float(np.median(values[region])), float(np.median(values[other]))
    measured = {
        "signal": signal,
        "noise": noise,
        "snr": abs(signal) / noise if noise else None,
        "cnr": abs(signal - rest) / noise if noise else None,
        "sharpness": _sharpness(values),
        "anisotropy": _anisotropy(volume),
        "clipped_low": float(np.mean(values[tissue] == values.min())),
        "clipped_high": float(np.mean(values == values.max())),
        "ghosting": _ghosting(values, tissue, noise),
        "slice_steps": _slice_steps(values, tissue),
    }
    return QualityReport(name=volume.name, **measured, findings=tuple(_findings(measured)))  # type: ignore[arg-type]  # the keys are its fields


def noise_map(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the standard deviation of the noise around each voxel, within its slice; edges count as noise, too.

    Parameters
    ----------
    values : (z, y, x) or (y, x) array
        The image.
    """
    rest = np.abs(residual(np.asarray(values, np.float32)))
    size = (1,) * (rest.ndim - 2) + (MAP_VOXELS, MAP_VOXELS)
    return np.asarray(ndimage.median_filter(rest, size) * MEDIAN_TO_SIGMA, np.float32)


def _check_regions(values: NDArray[np.float32], *regions: NDArray[np.bool_]) -> None:
    for region in regions:
        if region.shape != values.shape:
            raise DataError(f"A region of {region.shape} voxels is not on the image's grid of {values.shape}.")
        if not region.any():
            raise DataError("A region has no voxel.", "Mark some voxels in both regions.")


def _sharpness(values: NDArray[np.float32]) -> float:
    """Return the slope at the strongest edges over the step of brightness across each of them."""
    reach = (1,) * (values.ndim - 2) + (7, 7)
    step = ndimage.maximum_filter(values, reach) - ndimage.minimum_filter(values, reach)
    slopes = [np.gradient(values, axis=axis) for axis in (-2, -1)]
    slope = np.hypot(*slopes)
    strong = step > np.quantile(step, 0.95)
    # An edge is where the slope is largest around it.
    crest = strong & (slope >= ndimage.maximum_filter(slope, (1,) * (values.ndim - 2) + (3, 3)))
    return float(np.median(slope[crest] / np.maximum(step[crest], 1e-12))) if crest.any() else 0.0


def _anisotropy(volume: Volume) -> float | None:
    if volume.geometry is None:
        return None
    return max(volume.geometry.spacing) / min(volume.geometry.spacing)


def _ghosting(values: NDArray[np.float32], tissue: NDArray[np.bool_], noise: float) -> float | None:
    """Return how much brighter the background in line with the object is than that in the corners."""
    if not noise:
        return None
    planes, masks = (a if a.ndim == 3 else a[None] for a in (values, tissue))
    background = ~ndimage.binary_dilation(np.asarray(masks.any(axis=0)), iterations=3)
    rows, columns = (np.asarray(masks.any(axis=(0, axis))) for axis in (2, 1))
    corners = background & ~rows[:, None] & ~columns[None]
    found = []
    for beside in (background & rows[:, None] & ~columns[None], background & ~rows[:, None] & columns[None]):
        if beside.sum() >= 16 and corners.sum() >= 16:
            found.append(float(planes[:, beside].mean() - planes[:, corners].mean()) / noise)
    return max(found) if found else None


def _slice_steps(values: NDArray[np.float32], tissue: NDArray[np.bool_]) -> float | None:
    """Return how far the brightness of a slice is from the mean of its neighbours', over the whole signal."""
    if values.ndim != 3 or len(values) < 5:
        return None
    full = tissue.mean(axis=(1, 2))
    means = np.array(
        [float(plane[mask].mean()) if mask.any() else np.nan for plane, mask in zip(values, tissue, strict=True)]
    )
    used = full > 0.25 * full.max()
    jump = np.abs(means[1:-1] - (means[:-2] + means[2:]) / 2)
    inner = used[1:-1] & used[:-2] & used[2:]
    return float(np.mean(jump[inner]) / abs(np.nanmean(means))) if inner.any() else None


def _findings(measured: dict[str, float | None]) -> list[str]:
    """Return what may harm other tasks, and what helps."""
    found = []
    anisotropy, snr, ghosting, steps = (measured[key] for key in ("anisotropy", "snr", "ghosting", "slice_steps"))
    if anisotropy is not None and anisotropy >= ANISOTROPIC:
        found.append(
            f"Slices are {anisotropy:.1f} times as thick as pixels are wide: 3D networks and surfaces see steps. "
            "Super-resolution makes them thinner; networks of planes do not mind."
        )
    if snr is not None and snr < LOW_SNR:
        found.append(f"The signal is {snr:.1f} times the noise: faint structures may be lost. Denoising helps.")
    if (measured["sharpness"] or 0) < LOW_SHARPNESS:
        found.append("Edges are soft: outlines will be uncertain by more than a voxel. Check for motion or smoothing.")
    if (measured["clipped_high"] or 0) > CLIPPED_SHARE:
        found.append(
            f"{100 * (measured['clipped_high'] or 0):.1f} % of the voxels have the largest value: what is bright is "
            "clipped."
        )
    if (measured["clipped_low"] or 0) > CLIPPED_SHARE:
        found.append("Part of the tissue has the smallest value: dark structures are clipped.")
    if ghosting is not None and ghosting > GHOSTED:
        found.append("The background is brighter beside the object than in the corners: ghosts of motion, or folding.")
    if steps is not None and steps > STEPPED:
        found.append("Brightness jumps from slice to slice: interleaved slices do not match, as after motion.")
    return found
