"""Scores of one binary mask against another; surfaces and distances are MONAI's."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Mask = NDArray[np.bool_]


def dice(predicted: Mask, reference: Mask) -> float:
    """Return the overlap of two masks.

    Parameters
    ----------
    predicted, reference : bool arrays of one shape
        Masks on the same grid.

    Returns
    -------
    float
        2|A∩B| / (|A|+|B|), in [0, 1]; nan when both are empty.

    Examples
    --------
    >>> dice(np.array([True, True, False]), np.array([False, True, False]))
    0.6666666666666666
    """
    total = int(np.count_nonzero(predicted)) + int(np.count_nonzero(reference))
    return 2 * int(np.count_nonzero(predicted & reference)) / total if total else float("nan")


def hausdorff95(predicted: Mask, reference: Mask, spacing: Sequence[float] | None = None) -> float:
    """Return the distance that 95 % of both surfaces keep to the other surface.

    Parameters
    ----------
    predicted, reference : (Z, Y, X) or (Y, X) bool arrays
        Masks on the same grid.
    spacing : sequence of float, optional
        Voxel size along each axis, in mm; 1 if None.

    Returns
    -------
    float
        The larger of both directions' 95th percentile, in the unit of `spacing`; nan when a mask is empty.

    Examples
    --------
    >>> line = np.zeros((1, 9), bool)
    >>> first, second = line.copy(), line.copy()
    >>> first[0, 1], second[0, 5] = True, True
    >>> hausdorff95(first, second, (1.0, 0.5))
    2.0
    """
    if not predicted.any() or not reference.any():
        return float("nan")
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    a, b = _cropped(predicted, reference)
    size = None if spacing is None else [float(s) for s in spacing]
    with _without_notices():
        return float(compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=size))


def surface_dice(predicted: Mask, reference: Mask, tolerance: float, spacing: Sequence[float] | None = None) -> float:
    """Return the share of both surfaces that lies within a tolerance of the other (normalised surface Dice, NSD).

    Parameters
    ----------
    predicted, reference : (Z, Y, X) or (Y, X) bool arrays
        Masks on the same grid.
    tolerance : float
        Largest distance that counts as agreement, in the unit of `spacing`.
    spacing : sequence of float, optional
        Voxel size along each axis, in mm; 1 if None.

    Returns
    -------
    float
        In [0, 1]; 0 when one mask is empty, nan when both are.
    """
    if not predicted.any() or not reference.any():
        return 0.0 if predicted.any() or reference.any() else float("nan")
    from monai.metrics.surface_dice import compute_surface_dice

    a, b = _cropped(predicted, reference)
    size = None if spacing is None else [float(s) for s in spacing]
    with _without_notices():
        return float(compute_surface_dice(a, b, [tolerance], include_background=True, spacing=size))


def _cropped(predicted: Mask, reference: Mask) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return both masks as (1, 1, ...) tensors, cut to what they occupy."""
    import torch

    occupied = predicted | reference
    box = []
    for axis in range(occupied.ndim):
        others = tuple(other for other in range(occupied.ndim) if other != axis)
        inside = np.flatnonzero(occupied.any(axis=others))
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    first, second = (torch.from_numpy(mask[tuple(box)].copy())[None, None] for mask in (predicted, reference))
    return first, second


@contextmanager
def _without_notices() -> Iterator[None]:
    """Silence what MONAI 1.6 says about its own call of its own deprecated argument."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"monai\.metrics\.utils get_mask_edges", category=FutureWarning)
        yield
