"""Images that are nearly the same: saved anew with loss, a little larger or smaller, brighter or noisier."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.labelled.images import Pictures, finite

EDGES, FINE = {2: 16, 3: 8}, {2: 24, 3: 12}
"""Of thumbnails that are compared, and of those that have the last word, by number of axes."""
SAME, FINE_SAME = 0.99, 0.95
"""Correlation from which thumbnails are the same, and that of their details."""
SMOOTH = {2: 2.0, 3: 1.0}
"""Details are what this much blurring takes away, in voxels of the finer thumbnail."""
ROUNDING = 1e-4
"""How much a sum of products may be off."""
FLAT = 0.05
"""Thumbnails with less contrast than this share of the usual show nothing to compare."""
ROWS = 256
"""Thumbnails that are compared with all others at once."""
SAMPLE = 2000
"""Thumbnails that tell how few values are enough to rule pairs out."""
FEW, RARE = (31, 95), 1e-3
"""Such numbers of values, and the share of pairs that may be left to be compared by all values."""


def thumbnail(image: NDArray[np.generic], edges: dict[int, int] = EDGES) -> NDArray[np.float32]:
    """Return the means over a coarse grid.

    Parameters
    ----------
    image : (channel, [z,] y, x) array
        As `Pictures.get` gives it.
    edges : dict of int to int
        Edge of the thumbnail by number of axes.
    """
    found = finite(image).mean(axis=0)
    for axis, size in enumerate(found.shape):
        found = np.moveaxis(np.tensordot(_shares(size, edges[found.ndim]), found, axes=(1, axis)), 0, axis)
    return np.asarray(found, np.float32)


def nearly_equal(
    pictures: Pictures, thumbnails: NDArray[np.float32], parts: Sequence[str]
) -> tuple[tuple[int, int], ...]:
    """Return pairs of images that are nearly the same and may come to stand on both sides of a split.

    Parameters
    ----------
    pictures : Pictures
        The images.
    thumbnails : (image, value) array
        Of each, by `thumbnail`.
    parts : sequence of str
        Of each; images without one may come to any side.
    """
    named = np.array(parts, dtype=object)
    pool = np.flatnonzero((named == "") | (named == "train"))
    others = np.flatnonzero((named == "val") | (named == "test"))
    if not (named == "val").any():
        others = np.concatenate([pool, others])
    scaled, contrast = _standardised(thumbnails)
    scaled[contrast < FLAT * np.median(contrast)] = 0
    known: dict[int, NDArray[np.float32]] = {}
    found = set()
    short = _bounding(scaled)
    for start in range(0, len(pool), ROWS):
        rows, columns = np.nonzero(short[pool[start : start + ROWS]] @ short[others].T >= SAME - ROUNDING)
        one, other = pool[start + rows], others[columns]
        same = np.einsum("nv,nv->n", scaled[one], scaled[other]) >= SAME
        for first, second in np.sort(np.column_stack([one, other])[same & (one != other)], axis=1).tolist():
            if _details(pictures, first, known) @ _details(pictures, second, known) >= FINE_SAME:
                found.add((first, second))
    return tuple(sorted(found))


def joined(digests: Sequence[str], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Return digests that images which are nearly equal share, also by way of others.

    Examples
    --------
    >>> joined(["a", "b", "c", "d"], [(1, 3), (2, 3)])
    ['a', 'b', 'b', 'b']
    """
    from scipy.cluster.hierarchy import DisjointSet

    together = DisjointSet({digests[k] for pair in pairs for k in pair})
    for first, second in pairs:
        together.merge(digests[first], digests[second])
    same = {digest: min(subset) for subset in together.subsets() for digest in subset}
    return [same.get(digest, digest) for digest in digests]


def _bounding(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return fewer values of each thumbnail, whose products are at least those of all values.

    They are the main components, and the length of what these leave out.
    """
    sample = scaled[:: max(1, len(scaled) // SAMPLE)]
    directions = np.linalg.eigh(sample.T @ sample)[1][:, ::-1]
    length = np.square(scaled).sum(axis=1)
    for few in FEW:
        main = scaled @ directions[:, :few]
        rest = np.sqrt(np.clip(length - np.square(main).sum(axis=1), 0, None))
        short = np.column_stack([main, rest])
        own = short[:: max(1, len(scaled) // SAMPLE)]
        left = np.count_nonzero(own @ own.T >= SAME - ROUNDING) - len(own)
        if left < RARE * len(own) ** 2:
            return short
    return scaled


def _standardised(thumbnails: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (image, value) thumbnails of mean 0 and length 1, and the contrast of each."""
    flat = thumbnails - thumbnails.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.maximum(length, 1e-6), length[:, 0]


def _details(pictures: Pictures, number: int, known: dict[int, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return what is fine in an image, of mean 0 and length 1."""
    from scipy.ndimage import gaussian_filter

    if number not in known:
        fine = thumbnail(pictures.get(number), FINE)
        known[number] = _standardised((fine - gaussian_filter(fine, SMOOTH[fine.ndim])).reshape(1, -1))[0][0]
    return known[number]


@lru_cache
def _shares(size: int, edge: int) -> NDArray[np.float32]:
    """Return (edge, size) how much each of `size` voxels counts for each of `edge` means along an axis."""
    cuts, places = np.linspace(0, size, edge + 1), np.arange(size)
    shares = np.minimum(cuts[1:, None], places + 1) - np.maximum(cuts[:-1, None], places)
    shares = np.clip(shares, 0, None)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)
