"""From the positions of slices to regular grids: what is even, tilted, missing or uneven, and what is done about it.

See docs/geometry-policies.md for the policies in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_medseg.io.dicom.frame import Plane
from napari_medseg.io.orientation import grid_from_lps
from napari_medseg.volume import Geometry

EVEN_SHARE, EVEN_MM = 0.02, 0.02
"""A slice may be off its even place by this share of the spacing, or by this much, without a word."""
TOLERATED_SHARE = 0.1
"""Up to this share it is still taken as even, with a warning; positions are often rounded to 0.1 mm."""
MISSING_SHARE = 0.34
"""A grid of which more would have to be filled in is split instead."""
LONGEST_FILL = 3
"""Neighbouring missing slices that are filled in at most."""
SMALLEST_BLOCK = 3
TILT_DEGREES = 0.1


@dataclass(frozen=True)
class Blend:
    """One slice of the grid: a mix of two acquired slices; ``weight`` is that of the second."""

    first: int
    second: int
    weight: float


@dataclass(frozen=True)
class Block:
    """A regular grid for a run of slices."""

    start: int
    stop: int
    geometry: Geometry
    """Of the array (slice, row, column)."""
    blends: tuple[Blend, ...] | None = None
    """How each slice of the grid comes from the slices `start` to `stop`, counted from `start`; None if one to one."""
    warnings: tuple[str, ...] = ()


def blocks_of(planes: Sequence[Plane], shape: tuple[int, int], thickness: float | None) -> list[Block]:
    """Lay slices, sorted along their normal, on as few regular grids as their positions allow.

    Parameters
    ----------
    planes : sequence of Plane
        No two at one position.
    shape : (rows, columns)
        Of a slice.
    thickness : float or None
        mm; the extent of a single slice, which has no neighbour to measure a spacing by.

    Returns
    -------
    list of Block
        Covering all slices in order.
    """
    positions = np.array([plane.position for plane in planes])
    if len(planes) == 1:
        step = planes[0].normal * (thickness or 1.0)
        note = () if thickness else ("A single slice without thickness: 1 mm is assumed.",)
        return [Block(0, 1, _grid(planes[0], positions[0], step, 1, shape), None, note)]
    whole = _even(planes, positions, shape) or _with_gaps(planes, positions, shape)
    if whole is not None:
        return [whole]
    parts = _parts(positions)
    if len(parts) > 1:
        return _apart(planes, shape, thickness, parts)
    runs = _runs(positions)
    if all(stop - start >= SMALLEST_BLOCK for start, stop in runs):
        return _split(planes, positions, shape, runs)
    return [_resampled(planes, positions, shape)] if _on_a_line(positions) else _singles(planes, shape, thickness)


def _even(planes: Sequence[Plane], positions: NDArray[np.float64], shape: tuple[int, int]) -> Block | None:
    """Return the grid of evenly spaced slices, tilted or not."""
    count = len(planes)
    step = (positions[-1] - positions[0]) / (count - 1)
    off = float(np.linalg.norm(positions - positions[0] - np.arange(count)[:, None] * step, axis=1).max())
    length = float(np.linalg.norm(step))
    if off > max(TOLERATED_SHARE * length, EVEN_MM):
        return None
    notes = list(_tilt_note(planes[0], step))
    if off > max(EVEN_SHARE * length, EVEN_MM):
        notes.append(
            f"Slice positions are up to {off:.2f} mm off an even spacing of {length:.2f} mm; they were taken as even."
        )
    return Block(0, count, _grid(planes[0], positions[0], step, count, shape), None, tuple(notes))


def _with_gaps(planes: Sequence[Plane], positions: NDArray[np.float64], shape: tuple[int, int]) -> Block | None:
    """Return the grid of slices that are even but for some missing ones, which are interpolated."""
    gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    smallest = float(gaps.min())
    counts = np.rint(gaps / smallest).astype(int)
    base = float(gaps.sum() / counts.sum())
    total = int(counts.sum()) + 1
    steps = np.concatenate(([0], np.cumsum(counts)))
    step = (positions[-1] - positions[0]) / (total - 1)
    off = np.linalg.norm(positions - positions[0] - steps[:, None] * step, axis=1).max()
    missing = total - len(planes)
    if off > TOLERATED_SHARE * base or missing > MISSING_SHARE * total or counts.max() - 1 > LONGEST_FILL:
        return None
    where = [int(steps[i]) + j for i, n in enumerate(counts) for j in range(1, n)]
    note = (
        f"{missing} of {total} slices are missing at an even spacing of {base:.2f} mm (grid slices "
        f"{_listed(where)}): they were filled in by linear interpolation."
    )
    blends = _blends(steps.astype(float), total)
    grid = _grid(planes[0], positions[0], step, total, shape)
    return Block(0, len(planes), grid, blends, (note, *_tilt_note(planes[0], step)))


def _parts(positions: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the bounds of the pieces between gaps that are too wide to bridge."""
    gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    cuts = np.flatnonzero(gaps > (LONGEST_FILL + 1.5) * np.median(gaps)) + 1
    return list(pairwise([0, *map(int, cuts), len(positions)]))


def _apart(
    planes: Sequence[Plane], shape: tuple[int, int], thickness: float | None, parts: list[tuple[int, int]]
) -> list[Block]:
    """Return the blocks of each piece by itself."""
    blocks = []
    for number, (start, stop) in enumerate(parts):
        note = f"Wide gaps between slices: the series was split into {len(parts)} pieces; this is piece {number + 1}."
        for block in blocks_of(planes[start:stop], shape, thickness):
            notes = (note, *block.warnings)
            blocks.append(replace(block, start=start + block.start, stop=start + block.stop, warnings=notes))
    return blocks


def _runs(positions: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the bounds of the longest runs of slices with one step, from the first slice on."""
    runs, start = [], 0
    steps = np.diff(positions, axis=0)
    while start < len(positions):
        stop = start + 1
        while stop < len(positions) and np.linalg.norm(steps[stop - 1] - steps[start]) <= TOLERATED_SHARE / 2 * (
            np.linalg.norm(steps[start])
        ):
            stop += 1
        runs.append((start, stop))
        start = stop
    return runs


def _split(
    planes: Sequence[Plane], positions: NDArray[np.float64], shape: tuple[int, int], runs: list[tuple[int, int]]
) -> list[Block]:
    blocks = []
    for number, (start, stop) in enumerate(runs):
        step = (positions[stop - 1] - positions[start]) / (stop - start - 1)
        note = (
            f"Slice spacing is uneven: the series was split into {len(runs)} volumes of even spacing; this is number "
            f"{number + 1}, of {stop - start} slices {np.linalg.norm(step):.2f} mm apart."
        )
        grid = _grid(planes[start], positions[start], step, stop - start, shape)
        blocks.append(Block(start, stop, grid, None, (note, *_tilt_note(planes[start], step))))
    return blocks


def _resampled(planes: Sequence[Plane], positions: NDArray[np.float64], shape: tuple[int, int]) -> Block:
    """Return a grid at the median spacing, each slice mixed from its two neighbours."""
    along = positions[-1] - positions[0]
    length = float(np.linalg.norm(along))
    depth = np.linalg.norm(positions - positions[0], axis=1)
    gaps = np.diff(depth)
    total = max(2, round(length / float(np.median(gaps))) + 1)
    step = along / (total - 1)
    note = (
        f"Slice spacing is uneven, {gaps.min():.2f} to {gaps.max():.2f} mm: the series was resampled by linear "
        f"interpolation to {total} slices {np.linalg.norm(step):.2f} mm apart."
    )
    blends = _blends(depth / float(np.linalg.norm(step)), total)
    grid = _grid(planes[0], positions[0], step, total, shape)
    return Block(0, len(planes), grid, blends, (note, *_tilt_note(planes[0], step)))


def _singles(planes: Sequence[Plane], shape: tuple[int, int], thickness: float | None) -> list[Block]:
    note = "The slices do not lie on one line, so each is its own volume."
    found = []
    for index, plane in enumerate(planes):
        (block,) = blocks_of([plane], shape, thickness)
        found.append(replace(block, start=index, stop=index + 1, warnings=(*block.warnings, note)))
    return found


def _blends(steps: NDArray[np.float64], total: int) -> tuple[Blend, ...]:
    """Return how each of `total` grid slices is mixed from slices that lie at the grid coordinates `steps`."""
    found = []
    for k in range(total):
        second = min(int(np.searchsorted(steps, k + 1e-6)), len(steps) - 1)
        first = max(0, second - 1)
        weight = float(np.clip((k - steps[first]) / (steps[second] - steps[first]), 0.0, 1.0)) if second else 0.0
        # A grid slice next to an acquired one takes it as it is, so that acquired values stay exact.
        weight = round(weight) if abs(weight - round(weight)) < TOLERATED_SHARE / 2 else weight
        found.append(Blend(first, second, weight))
    return tuple(found)


def _on_a_line(positions: NDArray[np.float64]) -> bool:
    along = positions[-1] - positions[0]
    unit = along / np.linalg.norm(along)
    offset = positions - positions[0]
    return bool(np.linalg.norm(offset - np.outer(offset @ unit, unit), axis=1).max() < 0.5)


def _tilt_note(plane: Plane, step: NDArray[np.float64]) -> tuple[str, ...]:
    cosine = abs(float(plane.normal @ step) / float(np.linalg.norm(step)))
    degrees = float(np.degrees(np.arccos(min(1.0, cosine))))
    if degrees < TILT_DEGREES:
        return ()
    return (f"The slices are tilted by {degrees:.1f} degrees against their stack: the grid is sheared, voxels exact.",)


def _grid(
    plane: Plane, origin: NDArray[np.float64], step: NDArray[np.float64], count: int, shape: tuple[int, int]
) -> Geometry:
    down, right = np.array(plane.orientation[3:]), np.array(plane.orientation[:3])
    return grid_from_lps((count, *shape), [step, down * plane.spacing[0], right * plane.spacing[1]], origin)


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return shown if len(numbers) <= 8 else f"{shown}, ..."
