"""Closed surfaces of classes, in the patient's millimetres."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg.inference.postprocess.regions import boxes
from napari_medseg.progress import Control, Event, Note, with_time_left
from napari_medseg.results.label_map import chosen, label_map
from napari_medseg.volume import Geometry, LabelClass, Volume

REACH = 4.0
"""Standard deviations of the smoothing Gaussian that are kept around a class."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed surface of triangles."""

    entry: LabelClass
    """The class that it encloses."""
    vertices: NDArray[np.float32]
    """(vertex, 3) positions in RAS+ mm; in voxels (x, y, z) for labels without geometry."""
    faces: NDArray[np.int32]
    """(triangle, 3) vertex numbers, counter-clockwise as seen from outside."""

    @property
    def volume_ml(self) -> float:
        """Enclosed volume, by the divergence theorem."""
        corners = self.vertices.astype(np.float64)[self.faces]
        corners -= corners.mean(axis=(0, 1))
        return float(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum()) / 6000

    @property
    def area_mm2(self) -> float:
        """Area of all triangles."""
        corners = self.vertices.astype(np.float64)[self.faces]
        sides = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        return float(np.linalg.norm(sides, axis=1).sum() / 2)


def surfaces(
    labels: Volume, values: Sequence[int] = (), smoothing_mm: float = 1.0, control: Control | None = None
) -> Generator[Event, None, tuple[Mesh, ...]]:
    """Make the surface of each class, by marching cubes.

    Parameters
    ----------
    labels : Volume
        Label map of three axes.
    values : sequence of int
        Classes; all if empty.
    smoothing_mm : float
        Standard deviation of a Gaussian over the mask of a class before its surface is taken, 0 for none: more is
        smoother and loses thin parts.
    control : Control, optional
        Cancels between two classes.

    Yields
    ------
    Event
        `Progress` per class; a `Note` for a class that does not occur, or is too thin to be smoothed.

    Returns
    -------
    tuple of Mesh
        One per class that occurs; closed also where the class reaches the border of the image.

    Raises
    ------
    DataError
        If the labels are no label map of three axes, or have no such class.
    """
    found = label_map(labels)
    wanted = chosen(found.classes, values)
    grid = labels.geometry if labels.geometry is not None else _index_grid(labels.spatial_shape)
    places = dict(boxes(found.labels, [entry.value for entry in wanted]))
    started, meshes = time.monotonic(), []
    for done, entry in enumerate(wanted):
        if control is not None:
            control.checkpoint()
        yield with_time_left("Making surfaces", len(wanted), started, done)
        box = places.get(entry.value)
        if box is None:
            yield Note(f"{entry.name} does not occur in {labels.name}.", "warning")
            continue
        mask, start = found.labels[box] == entry.value, [part.start for part in box]
        mesh = _surface(entry, mask, start, grid, smoothing_mm)
        if mesh is None:
            yield Note(f"{entry.name} is too thin to be smoothed by {smoothing_mm:g} mm; it is shown as it is.")
            mesh = _surface(entry, mask, start, grid, 0.0)
        if mesh is not None:
            meshes.append(mesh)
    return tuple(meshes)


def _surface(
    entry: LabelClass, mask: NDArray[np.bool_], start: Sequence[int], grid: Geometry, smoothing_mm: float
) -> Mesh | None:
    """Return the surface of a mask whose first voxel is voxel `start` of `grid`; None if smoothing leaves nothing."""
    from skimage.measure import marching_cubes

    solid = mask.reshape((1,) * (3 - mask.ndim) + mask.shape)
    sigma = [smoothing_mm / step for step in grid.spacing]
    # One voxel of nothing all around closes the surface; the smoothed mask reaches further.
    around = [1 + int(REACH * s + 0.5) for s in sigma]
    padded = np.pad(solid.astype(np.float32), [(n, n) for n in around])
    if smoothing_mm > 0:
        padded = ndimage.gaussian_filter(padded, sigma, mode="constant", truncate=REACH)
        if padded.max() <= 0.5:
            return None
    points, faces, _, _ = marching_cubes(padded, 0.5, allow_degenerate=True)
    vertices = grid @ (points - around + np.asarray(start))
    # scikit-image's triangles face outwards where the array's axes are left-handed, as (z, y, x) usually are.
    turned = np.linalg.det(grid.affine[:3, :3]) > 0
    return Mesh(entry, vertices.astype(np.float32), np.ascontiguousarray(faces[:, ::-1] if turned else faces))


def _index_grid(shape: Sequence[int]) -> Geometry:
    """Return the grid of an image that has none: (z, y, x) indices as (x, y, z) positions."""
    affine = np.eye(4)
    affine[:3, :3] = affine[:3, :3][::-1]
    return Geometry(tuple(shape), affine)
