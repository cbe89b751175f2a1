"""A short text that tells whether an image is still the same: its voxels and its place, not its file."""

import hashlib

import numpy as np

from napari_medseg.volume import Volume

WHOLE_BYTES = 1 << 32
"""Larger images are known by evenly spaced planes, so that an image of any size is checked in a moment."""
PLANES = 64


def fingerprint(volume: Volume) -> str:
    """Return a fingerprint of an image's values, type, shape and grid; names and file formats do not count.

    Parameters
    ----------
    volume : Volume
        In memory or lazy. Of more than `WHOLE_BYTES`, 64 planes along the first axis are looked at.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    data = volume.data
    # Masks are shown, and so copied, as numbers; byte order is the file's business.
    dtype = np.dtype(np.uint8) if data.dtype == bool else data.dtype.newbyteorder("=")
    found = hashlib.blake2b(f"{dtype.str[1:]} {tuple(data.shape)} {volume.rgb}".encode(), digest_size=16)
    if volume.geometry is not None:
        # Rounded, because formats keep a few digits of a position only.
        found.update(np.round(volume.geometry.affine, 3).astype("<f4").tobytes())
    size, count = int(data.nbytes), int(data.shape[0])
    planes = range(count) if size <= WHOLE_BYTES else sorted({int(k) for k in np.linspace(0, count - 1, PLANES)})
    for index in planes:
        plane = np.ascontiguousarray(np.asarray(data[index]), dtype)
        found.update(plane.astype(dtype.newbyteorder("<"), copy=False).data)
    return found.hexdigest()
