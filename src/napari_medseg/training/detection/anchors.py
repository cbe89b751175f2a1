"""Sizes, resolutions and levels that fit the boxes to be learnt."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

EDGES = ((40.0, 24), (30.0, 7), (20.0, 0))
"""Edges in network pixels that the things of the smallest class may get, each with the looks at each image that time
must allow for: the first one with enough of it is taken."""
SPEED = 0.9e6
"""Pixels that a small network learns from in a second of one core."""
MOST_PIXELS = {"cpu": 640, "gpu": 1024}
"""Longest edge of a plane for the network, unless its things would become too small to see."""
VOXELS_ACROSS = 6.0
"""Voxels along the edge of the typical thing of a volume."""
NEAR = 1.35
"""Ratio of two voxel sizes that are alike enough not to resample."""
FINEST = {2: ((8, 12.0), (4, 0.0)), 3: ((4, 5.0), (2, 0.0))}
"""Strides of the finest map, with the edge in voxels of the smallest things that it serves."""
SPAN = {2: 20.0, 3: 12.0}
"""Edge of the largest things that a map serves, in its strides."""
LEVELS = 4


def fitted_zoom(
    sizes: NDArray[np.float64],
    labels: NDArray[np.int64],
    shapes: NDArray[np.int64],
    processor: Literal["cpu", "gpu"],
    seconds: float | None,
) -> float:
    """Return how many times as large planes are made: things of the smallest class get one of `EDGES`.

    Parameters
    ----------
    sizes : (box, 2) array
        Edges of all boxes in pixels.
    labels : (box,) array
        Classes.
    shapes : (image, 2) array
        Pixels of the images.
    processor : {"cpu", "gpu"}
        What computes.
    seconds : float, optional
        Time for the training, of all cores together; None: as much as it needs.

    Examples
    --------
    >>> sizes, labels, shapes = np.full((3, 2), 40.0), np.ones(3, int), np.full((200, 2), 512)
    >>> [fitted_zoom(sizes, labels, shapes, "cpu", minutes * 60) for minutes in (2, 10, 30)]
    [0.5, 0.75, 1.0]
    """
    edges = np.sqrt(sizes.prod(axis=1))
    typical = min(float(np.median(edges[labels == value])) for value in set(labels.tolist()))
    zoom = 1.0
    for edge, passes in EDGES:
        # Large images of tiny things are cut into tiles; making them larger would add nothing but work.
        zoom = float(np.clip(edge / typical, 0.05, 1.0 if shapes.max() > MOST_PIXELS[processor] else 2.0))
        # An eighth keeps the edges of most images whole numbers.
        zoom = round(zoom * 8) / 8 if zoom >= 0.25 else round(zoom, 2)
        pixels = np.minimum(shapes * zoom, MOST_PIXELS[processor]).prod(axis=1).sum()
        if processor == "gpu" or seconds is None or passes * pixels <= SPEED * seconds:
            break
    return zoom


def fitted_spacing(edges_mm: NDArray[np.float64], spacings: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """Return the voxel size to which volumes are resampled: `VOXELS_ACROSS` voxels along the typical thing.

    Parameters
    ----------
    edges_mm : (box, 3) array
        Edges of all boxes.
    spacings : (image, 3) array
        Voxel sizes of the images, in mm.

    Returns
    -------
    tuple of float or None
        None where the images' own voxels are alike and near to that already.

    Examples
    --------
    >>> fitted_spacing(np.full((5, 3), 9.0), np.array([[2.5, 0.75, 0.75]])), fitted_spacing(
    ...     np.full((5, 3), 9.0), np.array([[1.25, 1.25, 1.25]]))
    ((1.5, 1.5, 1.5), None)
    """
    wanted = float(np.median(edges_mm)) / VOXELS_ACROSS
    typical = np.median(spacings, axis=0)
    wanted = float(np.clip(wanted, typical.min(), typical.max()))
    if max(spacings.max() / wanted, wanted / spacings.min()) <= NEAR:
        return None
    size = round(wanted, 3)
    return size, size, size


def fitted_strides(sizes: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the strides of the feature maps for (box, axis) edges in network voxels.

    Examples
    --------
    >>> fitted_strides(np.full((9, 2), 30.0)), fitted_strides(np.full((9, 3), 4.0))
    ((8,), (2,))
    >>> fitted_strides(np.repeat([[10.0, 10], [600, 600]], 9, axis=0))
    (4, 8, 16, 32)
    """
    dims = sizes.shape[1]
    small, large = np.quantile(sizes.min(axis=1), 0.05), np.quantile(sizes.max(axis=1), 0.95)
    strides = [next(stride for stride, least in FINEST[dims] if small >= least)]
    while large > SPAN[dims] * strides[-1] and len(strides) < LEVELS:
        strides.append(2 * strides[-1])
    return tuple(strides)


def fitted_anchors(
    sizes: NDArray[np.float64], levels: int, each: int, seed: int
) -> tuple[tuple[tuple[float, ...], ...], ...]:
    """Return the sizes of anchors for each level: the middles of clusters of the boxes' sizes and aspects.

    The boxes are ordered by size and shared out evenly among the levels; in each, k-means on the logarithms of the
    edges gives the sizes.

    Parameters
    ----------
    sizes : (box, axis) array
        Edges of the training boxes in network voxels.
    levels, each : int
        Levels, and sizes of each.
    seed : int
        Of the clusters' beginnings.

    Examples
    --------
    >>> fitted_anchors(np.array([[10.0, 20], [10, 20], [80, 40], [80, 40]]), 2, 1, 0)
    (((10.0, 20.0),), ((80.0, 40.0),))
    """
    from sklearn.cluster import KMeans

    logs = np.log(np.maximum(sizes, 1.0))
    order = np.argsort(logs.sum(axis=1), kind="stable")
    found = []
    for part in np.array_split(order, levels):
        own = logs[part] if len(part) else logs
        many = min(each, len(np.unique(own, axis=0)))
        middles = KMeans(many, n_init=4, random_state=seed).fit(own).cluster_centers_
        middles = middles[np.argsort(middles.sum(axis=1))]
        # Fewer different boxes than anchors: the others are a fifth larger each.
        extra = [middles[-1] + np.log(1.2) * (k + 1) for k in range(each - many)]
        found.append(tuple(tuple(round(float(v), 2) for v in np.exp(m)) for m in (*middles, *extra)))
    return tuple(found)
